"""The clips of all windows of a video, each frame decoded once, and held while a window still needs it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_res3d.data.clips import Sampling
from keras_res3d.data.evaluation import clips_at
from keras_res3d.data.types import VideoSource
from keras_res3d.tasks.detection.windows import frames_of


def window_clips(video: VideoSource, windows: np.ndarray, sampling: Sampling) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the clip of each window, as soon as its last frame is decoded.

    Windows overlap, and every frame is decoded and resized once for all of them. What is held at a time are the frames
    that windows which are not yet done need: no more than the longest window spans.

    Args:
        video: an open video.
        windows: int64 `(windows, 2)`, as of `sliding_windows`.
        sampling: frames, resize and crop of a clip.

    Yields:
        (row of the window, uint8 RGB `(frames, height, width, 3)`), in the order of the windows' last frames.

    Raises:
        VideoError: as of `VideoSource.frames`.
    """
    order = np.argsort(frames_of(windows, sampling.frames)[:, -1], kind="stable")
    clips = clips_at(video, sampling, frames_of(windows[order], sampling.frames))
    yield from zip(order.tolist(), clips, strict=True)
