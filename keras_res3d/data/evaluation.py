"""Which clips of a video are scored and how they are made, for evaluation, prediction, calibration alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_res3d.data.clips import Sampling, even_clips, sliding_clips
from keras_res3d.data.transform import centre_crop


def evaluation_places(video, sampling: Sampling, clips: int = 10, step: int | None = None) -> list[np.ndarray]:
    """Frame numbers of a video's clips: `clips` evenly spread ones, or one every `step` frames."""
    if step is None:
        return even_clips(video.num_frames, sampling.frames, sampling.stride, clips)
    return sliding_clips(video.num_frames, sampling.frames, sampling.stride, step)


def evaluation_clips(video, sampling: Sampling, clips: int = 10, step: int | None = None) -> Iterator[np.ndarray]:
    """Yields a video's clips one at a time, as uint8 RGB `(frames, height, width, 3)`, resized and centre-cropped."""
    places = evaluation_places(video, sampling, clips, step)
    for clip in video.clips(places, size=sampling.resize):
        yield np.ascontiguousarray(centre_crop(clip, sampling.crop))
