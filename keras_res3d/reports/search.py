"""A page of the videos most like a given one, each as an animated thumbnail."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from keras_res3d.data.open import open_video
from keras_res3d.data.types import VideoError
from keras_res3d.reports.pages import picture_address, render, webp

FRAMES = 12
HEIGHT = 144
SECONDS_SHOWN = 2.0


@dataclass(frozen=True)
class Thumbnail:
    """A video on the page.

    Attributes:
        name: as it is written below the picture.
        lines: of text below it.
        picture: the data address of an animated WebP, or None.
        fault: why there is no picture.
    """

    name: str
    lines: tuple[str, ...]
    picture: str | None
    fault: str = ""


def thumbnail(
    path: str | os.PathLike, name: str, lines: Sequence[str] = (), seconds: tuple[float, float] | None = None
) -> Thumbnail:
    """An animated thumbnail of a part of a video; a video that cannot be read has a fault in its place.

    Args:
        path: of a video file or a folder of frames.
        name: of the video, and
        lines: of text, both below the picture.
        seconds: (begin, end) in the video's own clock; None, or NaN, takes the whole video.
    """
    try:
        return Thumbnail(name, tuple(lines), _animated(_frames(path, seconds)))
    except (VideoError, OSError) as error:
        return Thumbnail(name, tuple(lines), None, str(error))


def _frames(path, seconds: tuple[float, float] | None) -> list[Image.Image]:
    with open_video(path) as video:
        begin, end = (math.nan, math.nan) if seconds is None else seconds
        if not (math.isfinite(begin) and math.isfinite(end)):
            begin, end = float(video.seconds[0]), float(video.seconds[-1])
        # A frame counts as shown a millisecond early, since containers round times.
        numbers = np.searchsorted(video.seconds, np.linspace(begin, end, FRAMES) + 1e-3, "right") - 1
        numbers = np.unique(np.clip(numbers, 0, video.num_frames - 1))
        return [_small(frame) for _, frame in video.frames(numbers.tolist())]


def _small(frame: np.ndarray) -> Image.Image:
    picture = Image.fromarray(frame)
    scale = HEIGHT / picture.height
    return picture.resize((max(1, round(picture.width * scale)), HEIGHT), Image.Resampling.BILINEAR)


def _animated(frames: list[Image.Image]) -> str:
    """A looping WebP as a data address; the whole of it lasts two seconds."""
    return picture_address(webp(frames, round(1000 * SECONDS_SHOWN / len(frames)), {"quality": 70}))


def search_page(query: Thumbnail, found: Sequence[Thumbnail], lead: str) -> str:
    """The page as HTML: the query, and below it what was found, the most like first.

    Args:
        query: the given video.
        found: the others in their order.
        lead: a sentence about the search.
    """
    return render("search.html", title="Videos most like the given one", lead=lead, query=query, found=found)
