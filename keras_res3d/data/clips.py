"""Which frames make a clip: arithmetic on frame numbers alone, without a video.

The short-video rule, used everywhere: a clip keeps its stride, and past the end of the video the last frame repeats.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from keras_res3d.nets.architecture import LARGEST

# The paper's frames are 128 x 171 for a crop of 112 x 112 (section 3); table 5 keeps the proportion at other sizes.
PAPER_RESIZE, PAPER_CROP = (128, 171), 112
# Containers round time stamps to a millisecond (Matroska), so a frame due this soon after a tick is already shown.
TICK_TOLERANCE_SECONDS = 1e-3
# A time stamp that is wrong by a year must not fill the memory: this is a week at 15 frames a second.
MAX_TICKS = 10_000_000
# What a clip may be: more than any net takes, and little enough that no card and no flag can fill the memory. A clip of
# 2^25 pixels (16 frames of 1080 x 1920) takes 100 MB as it is resized, and 400 MB as a net's input. So much is scored
# at a time, however many clips that are, and frames of up to 2^28 pixels (800 MB) wait for clips that overlap.
MAX_STRIDE, MAX_CLIP_PIXELS, MAX_HELD_PIXELS = 1_000_000, 2**25, 2**28
SLOWEST_FPS, FASTEST_FPS = 0.001, 10_000.0


def _pair(name: str, value) -> tuple[int, int]:
    """A (height, width) pair of positive integers, from a pair or a list of two."""
    if not (isinstance(value, (tuple, list)) and len(value) == 2 and all(_positive(v) for v in value)):
        raise ValueError(f"{name} is {value!r}; expected two positive integers, (height, width)")
    if max(value) > LARGEST["crop"]:
        raise ValueError(f"{name} is {value!r}; expected sides from 1 to {LARGEST['crop']:,} pixels")
    return tuple(int(v) for v in value)


def _positive(value) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 1


@dataclass(frozen=True)
class Sampling:
    """How clips are cut from a video; the released net's numbers are the defaults.

    Args:
        frames: frames of a clip, from 1 to 10,000.
        stride: distance from one frame of a clip to the next in the video, from 1 to 1,000,000; 2 takes every second
            frame.
        resize: (height, width) in pixels that frames are resized to, the aspect ratio not kept. All frames of a clip
            have up to 2^25 pixels then.
        crop: (height, width) in pixels of what is cropped from the resized frames.
        fps: None takes the frames as stored; a rate from 0.001 to 10,000 frames a second first resamples the video to
            it.
        preprocessing: a name in `transform.PREPROCESSING`.

    Raises:
        ValueError: a value is out of range, or the crop does not fit.
    """

    frames: int = 8
    stride: int = 2
    resize: tuple[int, int] = (128, 171)
    crop: tuple[int, int] = (112, 112)
    fps: float | None = None
    preprocessing: str = "res3d"

    def __post_init__(self) -> None:
        for name, largest in (("frames", LARGEST["frames"]), ("stride", MAX_STRIDE)):
            if not _positive(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected a positive integer")
            if getattr(self, name) > largest:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a whole number from 1 to {largest:,}")
            object.__setattr__(self, name, int(getattr(self, name)))
        for name in ("resize", "crop"):
            object.__setattr__(self, name, _pair(name, getattr(self, name)))
        if self.crop[0] > self.resize[0] or self.crop[1] > self.resize[1]:
            raise ValueError(f"crop is {self.crop}, resize is {self.resize}; expected a crop that fits in the resize")
        if (pixels := self.frames * math.prod(self.resize)) > MAX_CLIP_PIXELS:
            raise ValueError(f"a clip of {self.frames} frames of {self.resize} has {pixels:,} pixels; expected up to "
                             f"{MAX_CLIP_PIXELS:,}")  # fmt: skip
        if self.fps is not None:
            check_fps(self.fps)
            object.__setattr__(self, "fps", self.fps if isinstance(self.fps, int) else float(self.fps))
        if not (isinstance(self.preprocessing, str) and self.preprocessing):
            raise ValueError(f"preprocessing is {self.preprocessing!r}; expected a name such as 'res3d'")

    @property
    def span(self) -> int:
        """Frames of the video from a clip's first frame to its last, both counted."""
        return span(self.frames, self.stride)

    def to_dict(self) -> dict:
        """The fields as plain JSON values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @staticmethod
    def from_dict(fields: Mapping) -> Sampling:
        """The Sampling that `to_dict` was called on.

        Raises:
            ValueError: unknown fields, or values out of range.
        """
        unknown = sorted(set(fields) - set(Sampling.__dataclass_fields__))
        if unknown:
            raise ValueError(f"sampling has fields {unknown}; expected some of {list(Sampling.__dataclass_fields__)}")
        return Sampling(**fields)


def clips_at_once(sampling: Sampling, wanted: int) -> int:
    """How many clips to hold as a batch: as many as are wanted, but one alone or up to 2^25 pixels together."""
    return max(1, min(wanted, MAX_CLIP_PIXELS // (sampling.frames * math.prod(sampling.crop))))


def check_fps(fps: object) -> None:
    """Raises ValueError where a value is no rate that videos are resampled to."""
    numeric = isinstance(fps, numbers.Real) and not isinstance(fps, bool)
    if not (numeric and SLOWEST_FPS <= fps <= FASTEST_FPS):
        raise ValueError(f"fps is {fps!r}; expected None (frames as stored) or a rate from {SLOWEST_FPS} to "
                         f"{FASTEST_FPS:,.0f} frames a second")  # fmt: skip


def for_crop(frames: int, stride: int, crop: int | Sequence[int], preprocessing: str = "res3d") -> Sampling:
    """A Sampling whose resize keeps the paper's proportion to the crop: 64 x 86 for a crop of 56 (table 5).

    Args:
        frames, stride, preprocessing: as of `Sampling`.
        crop: in pixels, one number for a square or (height, width).
    """
    height, width = _pair("crop", (crop, crop) if isinstance(crop, (int, np.integer)) else crop)
    resize = tuple(math.floor(side * full / PAPER_CROP + 0.5)
                   for side, full in zip((height, width), PAPER_RESIZE, strict=True))
    return Sampling(frames=frames, stride=stride, resize=resize, crop=(height, width), preprocessing=preprocessing)


def span(frames: int, stride: int) -> int:
    """Frames of the video from a clip's first frame to its last, both counted."""
    return (frames - 1) * stride + 1


def _check(num_frames: int, frames: int, stride: int) -> None:
    for name, value in (("num_frames", num_frames), ("frames", frames), ("stride", stride)):
        if not _positive(value):
            raise ValueError(f"{name} is {value!r}; expected a positive integer")


def clip_indices(start: int, frames: int, stride: int, num_frames: int) -> np.ndarray:
    """Frame numbers of one clip: start, start + stride and so on; past the end of the video the last frame repeats.

    Args:
        start: the clip's first frame, from 0.
        frames, stride: as of `Sampling`.
        num_frames: frames of the video, from 1.

    Returns:
        int64 `(frames,)`.

    Raises:
        ValueError: `start` is not a frame of the video, or a number is not positive.
    """
    _check(num_frames, frames, stride)
    if not 0 <= start < num_frames:
        raise ValueError(f"start is {start!r}; expected a frame from 0 to {num_frames - 1}")
    return np.minimum(start + stride * np.arange(frames, dtype=np.int64), num_frames - 1)


def random_clip(num_frames: int, frames: int, stride: int, uniform: float) -> np.ndarray:
    """Frame numbers of one clip, every whole clip equally likely; a video shorter than a clip has one.

    Args:
        num_frames: frames of the video, from 1.
        frames, stride: as of `Sampling`.
        uniform: a random number in [0, 1) that the caller has drawn; it decides where the clip begins.

    Returns:
        int64 `(frames,)`.
    """
    _check(num_frames, frames, stride)
    if not 0 <= uniform < 1:
        raise ValueError(f"uniform is {uniform!r}; expected a number in [0, 1)")
    starts = max(1, num_frames - span(frames, stride) + 1)
    return clip_indices(min(int(uniform * starts), starts - 1), frames, stride, num_frames)


def even_clips(num_frames: int, frames: int, stride: int, clips: int = 10) -> list[np.ndarray]:
    """Clips spread evenly over a video, first and last frame included (the paper averages 10, section 4).

    Args:
        num_frames: frames of the video, from 1.
        frames, stride: as of `Sampling`.
        clips: how many, from 1; one clip is the centre one. A video with fewer places to start gives each place once.

    Returns:
        An int64 array `(frames,)` for each clip.
    """
    _check(num_frames, frames, stride)
    if not _positive(clips):
        raise ValueError(f"clips is {clips!r}; expected a positive integer")
    last = max(0, num_frames - span(frames, stride))
    # More clips than places give each place once, whatever their number.
    places = np.linspace(0, last, min(clips, last + 1)).round().astype(int)
    starts = [last // 2] if clips == 1 else np.unique(places).tolist()
    return [clip_indices(start, frames, stride, num_frames) for start in starts]


def sliding_clips(num_frames: int, frames: int, stride: int, step: int) -> list[np.ndarray]:
    """Whole clips that start every `step` frames (the released frame lists use 16).

    Frames after the last whole clip are left out; a video shorter than a clip has one clip, its last frame repeated.

    Args:
        num_frames: frames of the video, from 1.
        frames, stride: as of `Sampling`.
        step: frames from the start of one clip to the start of the next, from 1.

    Returns:
        An int64 array `(frames,)` for each clip.
    """
    _check(num_frames, frames, stride)
    if not _positive(step):
        raise ValueError(f"step is {step!r}; expected a positive integer")
    last = max(0, num_frames - span(frames, stride))
    return [clip_indices(start, frames, stride, num_frames) for start in range(0, last + 1, step)]


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Whole batches in n examples, but at least one. An epoch leaves out the remaining examples, others each time."""
    if n < 1 or batch_size < 1:
        raise ValueError(f"n, batch_size are {n}, {batch_size}; expected at least 1 each")
    return max(1, n // batch_size)


def last_shown(seconds: np.ndarray, otherwise: float) -> float:
    """Seconds for which a video's last frame is shown: the median distance of frames; `otherwise` of a single one."""
    return float(np.median(np.diff(seconds))) if len(seconds) > 1 else otherwise


def at_frame_rate(seconds: np.ndarray, fps: float) -> np.ndarray:
    """The frame that is shown at each tick of a clock: resampling by time stamps, for variable rates too.

    The first tick is the first frame's time; the last frame is shown for the median gap between frames.

    Args:
        seconds: when each frame is shown, ascending, `(num_frames,)`.
        fps: ticks a second, from 0.001 to 10,000.

    Returns:
        int64 frame numbers, one per tick, never empty.

    Raises:
        ValueError: no times, times that are not finite and ascending, a rate out of range, or more than 10 million
            ticks.
    """
    times = np.asarray(seconds, np.float64)
    if times.ndim != 1 or not times.size or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise ValueError(f"seconds has shape {times.shape}; expected at least one time, finite and in ascending order")
    check_fps(fps)
    times = times - times[0]
    gap = last_shown(times, 1 / fps)
    count = max(1, math.ceil((times[-1] + gap - TICK_TOLERANCE_SECONDS) * fps))
    if count > MAX_TICKS:
        widest = int(np.argmax(np.diff(times, prepend=0)))
        raise ValueError(f"frames span {times[-1]:.0f} seconds, {count} ticks at {fps} a second; expected at most "
                         f"{MAX_TICKS} ticks: a time stamp is wrong (there is a gap of "
                         f"{times[widest] - times[widest - 1]:.1f} seconds before frame {widest}), or fps too high")
    ticks = np.arange(count) / fps
    return np.searchsorted(times, ticks + TICK_TOLERANCE_SECONDS, side="right") - 1
