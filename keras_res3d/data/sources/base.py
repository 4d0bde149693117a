"""What every kind of video has in common: frame numbers, a clock of another rate, resizing, clips from frames."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from keras_res3d.data.clips import TICK_TOLERANCE_SECONDS, at_frame_rate, last_shown
from keras_res3d.data.images import resize
from keras_res3d.data.types import PathLike, VideoError
from keras_res3d.tables import printable

# Where neither times nor a rate are stored; the public data sets' frames were extracted at about this rate.
FRAME_RATE = 25.0


class Source:
    """A video whose stored frames a subclass reads: it gives `_read`, and the times to `_number_frames`.

    Args:
        path: what messages name.
        size: (height, width) in pixels that frames are resized to unless a call says otherwise; None means as stored.
        strict: whether damage raises VideoError. Otherwise it is counted, and warned of once.

    Attributes:
        num_frames, seconds, frame_rate, faults: as of `types.VideoSource`.
    """

    # What to do about damage, for the error when strict.
    _remedy = "fetch it again"

    def __init__(self, path: PathLike, size: tuple[int, int] | None = None, strict: bool = False):
        self.path, self.size, self.strict = os.fspath(path), size, strict
        self.faults, self._warned = 0, False

    def _number_frames(self, seconds: np.ndarray, fps: float | None, rate: float = FRAME_RATE) -> None:
        """Numbers the stored frames, or the ticks of a clock.

        Args:
            seconds: when each stored frame is shown, ascending, at least one.
            fps: ticks a second; None numbers the frames as stored.
            rate: frames a second where the times do not tell.
        """
        times = np.array(seconds, np.float64)  # a copy, which a user may change: tables of known files are kept
        try:
            self._ticks = None if fps is None else at_frame_rate(times, fps)
        except ValueError as error:
            raise VideoError(f"{self.path}: {error}") from error
        self.seconds = times if fps is None else times[0] + np.arange(len(self._ticks)) / fps
        self.num_frames = len(self.seconds)
        lasts = times[-1] - times[0]
        self.frame_rate = float(fps or ((len(times) - 1) / lasts if lasts > 0 else rate))

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file; there is nothing to let go of unless a subclass says so."""

    def frames(self, indices: Iterable[int], size: tuple[int, int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (index, frame) for each index; see `types.VideoSource.frames`."""
        indices = np.asarray(list(indices), np.int64)
        self._check(indices)
        if (indices[1:] < indices[:-1]).any():
            raise ValueError(f"{self.path}: frame numbers are out of order; expected them ascending")
        return self._frames(indices, size or self.size)

    def frames_at(self, seconds: Iterable[float], size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """Yields the frame that is shown at each time; see `types.VideoSource.frames_at`."""
        wanted = np.asarray(list(seconds), np.float64)
        first, last = self.seconds[0], self.seconds[-1]
        end = last + last_shown(self.seconds, 1 / self.frame_rate)
        if not ((wanted >= first - TICK_TOLERANCE_SECONDS) & (wanted <= end + TICK_TOLERANCE_SECONDS)).all():
            raise ValueError(f"{self.path}: times {wanted.min():g}..{wanted.max():g} s were asked for; expected "
                             f"{first:g}..{end:g} s")  # fmt: skip
        shown = np.searchsorted(self.seconds, wanted + TICK_TOLERANCE_SECONDS, side="right") - 1
        return (pixels for _, pixels in self.frames(np.maximum(shown, 0), size))

    def _frames(self, indices: np.ndarray, size: tuple[int, int] | None) -> Iterator[tuple[int, np.ndarray]]:
        stored = indices if self._ticks is None else self._ticks[indices]
        # A frame that is shown at several ticks, or that stands in for lost ones, is read and resized once.
        pictures = self._read(np.unique(stored).tolist())
        shown = picture = pixels = None
        for index, number in zip(indices.tolist(), stored.tolist(), strict=True):
            if number != shown:
                before, picture, shown = picture, next(pictures), number
                if picture is not before:
                    pixels = picture if size is None else resize(picture, size)
            yield index, pixels

    def clips(self, clips: Iterable[Sequence[int]], size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """Yields each clip in the order given; see `types.VideoSource.clips`.

        Only frames that later clips still need are held, so that sliding windows over an hour of video stay small.
        Clips whose numbers do not ascend are right too, but hold more.
        """
        clips = [np.asarray(clip, np.int64) for clip in clips]
        for clip in clips:
            self._check(clip)
        return self._clips(clips, size)

    def _clips(self, clips: list[np.ndarray], size: tuple[int, int] | None) -> Iterator[np.ndarray]:
        # The clips of an hour stay arrays, which are smaller than lists of numbers.
        last_use = {index: number for number, clip in enumerate(clips) for index in clip.tolist()}
        stream, held = self.frames(sorted(last_use), size), {}
        for number, clip in enumerate(map(np.ndarray.tolist, clips)):
            while any(index not in held for index in clip):
                index, pixels = next(stream)
                held[index] = pixels
            yield np.stack([held[index] for index in clip])
            for index in set(clip):
                if last_use[index] == number:
                    del held[index]

    def _check(self, indices: np.ndarray) -> None:
        if indices.size and (indices.min() < 0 or indices.max() >= self.num_frames):
            raise ValueError(f"{self.path}: frames {indices.min()}..{indices.max()} were asked for; "
                             f"expected 0..{self.num_frames - 1}")  # fmt: skip

    def _read(self, numbers: list[int]) -> Iterator[np.ndarray]:
        """Yields the stored frame of each number (ascending, no number twice): uint8 RGB, at its stored size.

        Where a frame stands in for lost ones, the same array is yielded again.
        """
        raise NotImplementedError

    def _report(self, what: str) -> None:
        """Reports damage: raises an error when strict, otherwise counts a fault and warns the first time."""
        self.faults += 1
        if self.strict:
            raise VideoError(f"{what}; {self._remedy}, or read it with strict=False")
        if not self._warned:
            self._warned = True
            warnings.warn(printable(what), stacklevel=2)
