"""The clips by which a video is judged: evenly spread or one every few frames, resized and centre-cropped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from keras_res3d.data.clips import MAX_HELD_PIXELS, Sampling, even_clips, sliding_clips
from keras_res3d.data.transform import centre_crop


def evaluation_places(video, sampling: Sampling, clips: int = 10, step: int | None = None) -> list[np.ndarray]:
    """Frame numbers of a video's evaluation clips.

    Args:
        video: an open video; its `num_frames` counts.
        sampling: frames and stride of a clip.
        clips: how many clips to spread evenly, first and last frame included; a short video has fewer.
        step: a number takes a clip every `step` frames instead.

    Returns:
        An int64 array `(frames,)` for each clip.
    """
    if step is not None:
        return sliding_clips(video.num_frames, sampling.frames, sampling.stride, step)
    return even_clips(video.num_frames, sampling.frames, sampling.stride, clips)


def evaluation_clips(video, sampling: Sampling, clips: int = 10, step: int | None = None) -> Iterator[np.ndarray]:
    """A video's evaluation clips, one at a time, in order.

    Args:
        video: an open video, as `data_set.open(i, fps=sampling.fps)` gives it.
        sampling: how clips are cut, resized and cropped.
        clips, step: as of `evaluation_places`.

    Yields:
        uint8 RGB `(frames, height, width, 3)`, the centre of each resized frame.

    Raises:
        VideoError: the file cannot be read; names it.
    """
    yield from clips_at(video, sampling, evaluation_places(video, sampling, clips, step))


def clips_at(video, sampling: Sampling, places: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The evaluation clips of some of a video's `evaluation_places`, one at a time; as of `evaluation_clips`.

    Frames are decoded once and held for the clips that share or interleave them; where these would be more than
    `MAX_HELD_PIXELS`, each clip is read by itself, which takes longer.
    """
    places = list(places)
    crowded = _held_frames(places) * math.prod(sampling.resize) > MAX_HELD_PIXELS
    for part in [[place] for place in places] if crowded else [places]:
        for clip in video.clips(part, size=sampling.resize):
            yield np.ascontiguousarray(centre_crop(clip, sampling.crop))


def _held_frames(places: list[np.ndarray]) -> int:
    """How many frames at most are held at once while clips, ordered by their first frames, are read in one pass."""
    if not places:
        return 0
    firsts, lasts = (np.array([place[end] for place in places]) for end in (0, -1))
    open_clips = np.searchsorted(firsts, lasts, "right") - np.arange(len(places))
    return int(min(open_clips.max() * len(places[0]), (lasts - firsts).max() + 1))
