"""Windows that slide over a video, and the frames that stand for each: arithmetic on frame numbers. NumPy alone.

S-CNN's windows have 16 to 512 frames, overlap by 75 % and are each seen through 16 of their frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_res3d.data.clips import last_shown

LENGTHS = (16, 32, 64, 128, 256, 512)
OVERLAP = 0.75
FRAMES = 16


def step_of(length: int, overlap: float = OVERLAP) -> int:
    """Frames from the beginning of one window to the beginning of the next, at least 1.

    Args:
        length: frames of a window, from 1.
        overlap: the part that a window shares with the next, from 0 to below 1.

    Raises:
        ValueError: a number is out of range.
    """
    if length != int(length) or length < 1:
        raise ValueError(f"a window has {length!r} frames; expected a whole number from 1")
    if not 0 <= overlap < 1:
        raise ValueError(f"the overlap is {overlap!r}; expected a part from 0 to below 1")
    return max(1, round(length * (1 - overlap)))


def sliding_windows(num_frames: int, lengths: Sequence[int] = LENGTHS, overlap: float = OVERLAP) -> np.ndarray:
    """All whole windows of a video, the short ones first, each length in the order of time.

    A video that is shorter than the shortest window has one window, all of its frames.

    Args:
        num_frames: frames of the video, from 1.
        lengths: frames of the windows, ascending.
        overlap: as of `step_of`.

    Returns:
        int64 `(windows, 2)`: the first frame, from 0, and the frame after the last one.

    Raises:
        ValueError: no length, lengths that do not ascend, or a number out of range.
    """
    if num_frames != int(num_frames) or num_frames < 1:
        raise ValueError(f"num_frames is {num_frames!r}; expected a whole number from 1")
    if not len(lengths) or list(lengths) != sorted(set(lengths)):
        raise ValueError(f"the lengths are {list(lengths)}; expected one or more, in ascending order")
    starts = {length: np.arange(0, num_frames - length + 1, step_of(length, overlap)) for length in lengths}
    windows = [np.stack([first, first + length], axis=1) for length, first in starts.items() if len(first)]
    return np.concatenate(windows).astype(np.int64) if windows else np.array([[0, num_frames]], np.int64)


def frames_of(windows: np.ndarray, frames: int = FRAMES) -> np.ndarray:
    """The frames that stand for each window: evenly spread over it, its first frame included.

    A window of fewer frames than that has some of them twice.

    Args:
        windows: `(windows, 2)`, as of `sliding_windows`.
        frames: how many for each window, from 1.

    Returns:
        int64 `(windows, frames)`, ascending in each row.
    """
    if frames < 1:
        raise ValueError(f"frames is {frames!r}; expected 1 or more")
    lengths = windows[:, 1] - windows[:, 0]
    return windows[:, :1] + np.arange(frames, dtype=np.int64)[None, :] * lengths[:, None] // frames


def seconds_of(windows: np.ndarray, seconds: np.ndarray, otherwise: float) -> np.ndarray:
    """When each window begins and ends, in seconds from the first frame of the video.

    A window ends when the frame after it is shown; the last frame is shown as long as `last_shown` says.

    Args:
        windows: `(windows, 2)`, as of `sliding_windows`.
        seconds: when each frame is shown, ascending, `(num_frames,)`.
        otherwise: seconds for which the frame of a video of a single one is shown.

    Returns:
        float64 `(windows, 2)`.
    """
    seconds = np.asarray(seconds, np.float64)
    return np.append(seconds, seconds[-1] + last_shown(seconds, otherwise))[windows] - seconds[0]
