"""Self-contained HTML pages from templates: text, tables, drawings and animated clips in one file.

A page has no script and takes nothing from the network. Templates lie in `templates/`: a page's own extends
`page.html` and calls the macros of `parts.html`. Every value that a template shows is escaped.
"""

from __future__ import annotations

import base64
import functools
import io
import pathlib
from dataclasses import dataclass

import jinja2
import numpy as np
from PIL import Image

from keras_res3d.data.clips import Sampling
from keras_res3d.tables import printable

TEMPLATES = pathlib.Path(__file__).parent / "templates"
# Of an animation on a page: pixels of its longer side, frames, bytes. A clip of fewer pixels keeps them, enlarged.
LARGEST_SIDE, MOST_FRAMES, MOST_BYTES, SMALL_SIDE = 160, 32, 120_000, 64


@dataclass(frozen=True)
class ClipShown:
    """A clip of a page's grid, with what nets say of it.

    Attributes:
        clip: `(frames, height, width, 3)`, uint8 RGB.
        truth: name of its class.
        answers: (who, class name, score) of each net; "" for who where there is one.
        fps: frames shown a second.
        source: which video it is of; "" where that says nothing.
    """

    clip: np.ndarray
    truth: str
    answers: list[tuple[str, str, float]]
    fps: float = 8
    source: str = ""


def shown_rate(video, sampling: Sampling) -> float:
    """Frames a second at which a clip of a video runs as the video does, from 1 to 30."""
    return max(1.0, min(30.0, float(video.frame_rate) / sampling.stride))


def animation(clip: np.ndarray, fps: float = 8, scale: int = 4) -> str:
    """A clip as the data address of a looping WebP of at most about 120,000 bytes, if it can be had.

    Args:
        clip: `(frames, height, width, 3)`, uint8 RGB. At most 32 frames are shown, evenly chosen.
        fps: frames of the clip shown a second.
        scale: side of the square that each pixel of a small clip becomes; such a clip is stored without loss.
    """
    chosen = np.unique(np.linspace(0, len(clip) - 1, min(len(clip), MOST_FRAMES)).round().astype(int))
    duration = max(20, round(1000 / fps * len(clip) / len(chosen)))
    height, width = clip.shape[1:3]
    small = max(height, width) <= SMALL_SIDE
    ratio = scale if small else min(1, LARGEST_SIDE / max(height, width))
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    filtering = Image.Resampling.NEAREST if small else Image.Resampling.BILINEAR
    frames = [Image.fromarray(clip[number]).resize(size, filtering) for number in chosen]
    # What is small costs little without loss; noise does not.
    for options in ([{"lossless": True}] if small else []) + [{"quality": quality} for quality in (80, 50, 20)]:
        data = webp(frames, duration, options)
        if len(data) <= MOST_BYTES:
            break
    return picture_address(data)


def picture_address(data: bytes, kind: str = "webp") -> str:
    """A picture of a kind ("webp", "png", "svg+xml") as the address of an image in HTML."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def webp(frames: list[Image.Image], duration: int, options: dict) -> bytes:
    """Frames as a looping WebP, each shown for `duration` milliseconds; options are Pillow's."""
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], duration=duration, loop=0, **options)
    return buffer.getvalue()


@functools.cache
def _templates() -> jinja2.Environment:
    # A name that a page's values lack is an error, not an empty place on the page.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        # Class names and paths may hold what no page may: control characters, and bytes that are not UTF-8.
        finalize=lambda value: printable(value, lines=True) if type(value) is str else value,
    )  # fmt: skip
    environment.globals.update(animation=animation)
    return environment


def render(template: str, **values) -> str:
    """The page that a template makes of the values.

    Args:
        template: a file in `templates/`, such as "report.html".
        values: what the template names; texts are escaped, and `ClipShown` is drawn.

    Raises:
        jinja2.UndefinedError: the template names a value that is not given.
    """
    return _templates().get_template(template).render(**values)
