"""The clips of all windows of a video, each frame decoded once, with no more frames held than a window spans."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_res3d.data.clips import Sampling
from keras_res3d.data.transform import centre_crop
from keras_res3d.data.types import VideoSource
from keras_res3d.tasks.detection.windows import frames_of


def window_clips(video: VideoSource, windows: np.ndarray, sampling: Sampling) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the clip of each window, as soon as its last frame is decoded.

    Windows overlap, and every frame is decoded, resized and cropped once for all of them. What is held at a time are
    the frames from the beginning of the longest window that is not yet done.

    Args:
        video: an open video.
        windows: int64 `(windows, 2)`, as of `sliding_windows`.
        sampling: frames, resize and crop of a clip.

    Yields:
        (row of the window, uint8 RGB `(frames, height, width, 3)`), in the order of the windows' last frames.

    Raises:
        VideoError: as of `VideoSource.frames`.
    """
    numbers = frames_of(windows, sampling.frames)
    order = np.argsort(numbers[:, -1], kind="stable")
    # The first frame that any window from here on needs: what lies before it is let go.
    needed_from = np.minimum.accumulate(numbers[order, 0][::-1])[::-1]
    frames = video.frames(np.unique(numbers), size=sampling.resize)
    held: dict[int, np.ndarray] = {}
    for row, first in zip(order.tolist(), needed_from.tolist(), strict=True):
        while next(iter(held), first) < first:
            del held[next(iter(held))]
        clip = numbers[row].tolist()
        while clip[-1] not in held:
            number, pixels = next(frames)
            if number >= first:
                held[number] = np.ascontiguousarray(centre_crop(pixels, sampling.crop))
        yield row, np.stack([held[number] for number in clip])
