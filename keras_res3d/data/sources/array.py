"""Frames that are in memory already, such as those that a user sampled with another reader, as a video."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from keras_res3d.data.sources.base import FRAME_RATE, Source
from keras_res3d.data.types import VideoError

_EXPECTED = "expected uint8 RGB of shape (frames, height, width, 3)"
_GREY = "it is grey, so pass np.repeat({}, 3, axis=-1)"
_FROM_UNIT = "np.rint(255 * array).astype(np.uint8) where they are 0..1"
_FROM_INTEGERS = "array.astype(np.uint8) where they are that already"


class ArrayVideo(Source):
    """An array as a video, read as frames and clips. A context manager, though it holds nothing open.

    Args:
        frames: uint8 RGB `(frames, height, width, 3)`, or a list of frames of one size.
        size, fps, strict: as of `Video`.
        frame_rate: frames a second, which an array cannot tell.

    Raises:
        VideoError: another shape or type; the message says how to convert it.
    """

    def __init__(
        self,
        frames: np.ndarray,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        strict: bool = False,
        frame_rate: float = FRAME_RATE,
    ):
        self._pixels = _checked(frames)
        super().__init__(f"the array of {len(self._pixels)} frames", size, strict)
        if not 0 < frame_rate < math.inf:
            raise VideoError(f"{self.path}: frame_rate is {frame_rate!r}; expected frames a second, above 0")
        self._number_frames(np.arange(len(self._pixels)) / frame_rate, fps)
        self.frame_rate = float(fps or frame_rate)

    def _read(self, numbers: list[int]) -> Iterator[np.ndarray]:
        return (self._pixels[number] for number in numbers)


def _checked(frames: np.ndarray) -> np.ndarray:
    """The frames as an array.

    Raises:
        VideoError: they are no uint8 RGB frames of one size.
    """
    try:
        pixels = np.asarray(frames)
    except (ValueError, TypeError) as error:
        shapes = sorted({np.shape(frame) for frame in frames if hasattr(frame, "shape")})
        raise VideoError(f"the frames have several sizes or none ({', '.join(map(str, shapes[:3]))}); {_EXPECTED}: "
                         "resize them to one size") from error  # fmt: skip
    advice = _advice(pixels)
    if advice is not None:
        raise VideoError(f"the array is {pixels.dtype} of shape {pixels.shape}; {_EXPECTED}{advice}")
    return pixels


def _advice(pixels: np.ndarray) -> str | None:
    """What to do about an array that is no video; None where it is one."""
    shape = pixels.shape
    if pixels.ndim == 3:
        return ": pass array[None] for one frame" if shape[2] == 3 else f": {_GREY.format('array[..., None]')}"
    if pixels.ndim != 4:
        return ": pass one video at a time" if pixels.ndim == 5 else ""
    if shape[3] != 3:
        first = [axis for axis in (1, 0) if shape[axis] == 3]
        if first:
            return f": channels come last, so pass np.moveaxis(array, {first[0]}, -1)"
        return {1: f": {_GREY.format('array')}", 4: ": leave alpha out, as array[..., :3]"}.get(shape[3], "")
    if pixels.dtype != np.uint8:
        convert = _FROM_UNIT if np.issubdtype(pixels.dtype, np.floating) else _FROM_INTEGERS
        return f": levels are 0 to 255, so pass {convert}"
    return None if pixels.size else ", at least one frame of at least one pixel"
