"""A folder of JPEG or PNG frames as a video; only the frames that are asked for are read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import numpy as np

from keras_res3d.data.images import MAX_PIXELS, decode_picture, picture_size
from keras_res3d.data.sources.base import FRAME_RATE, Source
from keras_res3d.data.types import FRAME_EXTENSIONS, PathLike, VideoError
from keras_res3d.remote import opened


def frame_names(folder: PathLike) -> list[str]:
    """Names of a folder's frames in order: numbers in names count as numbers, so 2.jpg comes before 10.jpg.

    Where there are JPEG files, PNG files beside them are no frames.
    """
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if os.path.splitext(entry.name)[1].lower() in FRAME_EXTENSIONS and not entry.name.startswith(".")
        ]
    jpegs = [name for name in names if not name.lower().endswith(".png")]
    return sorted(jpegs or names, key=_with_numbers)


def _with_numbers(name: str) -> list[str | int]:
    parts = re.split(r"(\d+)", name, flags=re.ASCII)
    return [int(part) if part.isdecimal() else part for part in parts]


class FrameFolder(Source):
    """A folder of JPEG or PNG frames, read as RGB frames and clips. A context manager, though it holds nothing open.

    Args:
        path: the folder; its .jpg and .jpeg files in the order of their names are the frames, or, where it has none,
            its .png files.
        size, max_pixels, fps, strict: as of `Video`.
        frame_rate: frames a second, which the folder cannot tell.
        first_frame: where the video begins in the folder, counted from 1.
        frames: how many frames the video has from there on; None is all.

    Raises:
        VideoError: the folder is missing or holds no frames, or it has no frame `first_frame`.
    """

    _remedy = "extract it again"

    def __init__(
        self,
        path: PathLike,
        size: tuple[int, int] | None = None,
        max_pixels: int = MAX_PIXELS,
        fps: float | None = None,
        strict: bool = False,
        frame_rate: float = FRAME_RATE,
        first_frame: int = 1,
        frames: int | None = None,
    ):
        super().__init__(path, size, strict)
        self._max_pixels = max_pixels
        if not os.path.isdir(self.path):
            raise VideoError(f"{self.path}: no such folder; expected a folder of JPEG or PNG frames")
        names = frame_names(self.path)
        if not names:
            raise VideoError(f"{self.path}: holds no frames; expected .jpg or .png files, one for each frame")
        if not 1 <= first_frame <= len(names):
            raise VideoError(f"{self.path}: first_frame is {first_frame}; expected 1 to {len(names)}, its frames")
        self._names = names[first_frame - 1 :][:frames]
        self._number_frames(np.arange(len(self._names)) / frame_rate, fps)
        self.frame_rate = float(fps or frame_rate)

    def _read(self, numbers: list[int]) -> Iterator[np.ndarray]:
        for wanted in numbers:
            # The last good frame before a bad one stands in for it, else the first good one after it.
            order = (*range(wanted, -1, -1), *range(wanted + 1, len(self._names)))
            pixels = next((found for number in order if (found := self._decoded(number)) is not None), None)
            if pixels is None:
                raise VideoError(
                    f"{self.path}: no frame can be decoded; extract the frames again or take it off the list"
                )
            yield pixels

    def _decoded(self, number: int) -> np.ndarray | None:
        """One frame's pixels, or None after reporting that it cannot be decoded."""
        file = os.path.join(self.path, self._names[number])
        try:
            with opened(file) as picture:
                data = picture.read()
            height, width = picture_size(data)
            if height * width <= self._max_pixels:
                return decode_picture(data, self._max_pixels)
        except (OSError, ValueError) as error:
            self._report(f"{file}: cannot be decoded ({error})")
            return None
        raise VideoError(f"{file}: is {width} x {height}; expected at most {self._max_pixels} pixels a frame "
                         "(max_pixels): raise it if the file is to be trusted")  # fmt: skip
