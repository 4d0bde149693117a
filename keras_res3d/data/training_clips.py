"""The random clip that training takes of a video: read in this process, or in children of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_res3d.data.augment import augmented, clip_stride
from keras_res3d.data.bad_videos import UNREADABLE
from keras_res3d.data.children import Children
from keras_res3d.data.clips import Sampling, random_clip
from keras_res3d.data.crashes import opened
from keras_res3d.data.types import VideoError, labels_of


class SeveralClips:
    """A data set in which every video stands several times, so that an epoch takes several random clips of it."""

    def __init__(self, data_set, clips_per_video: int):
        self._data_set, self._count = data_set, clips_per_video
        self.examples = tuple(data_set.examples) * clips_per_video

    def __reduce__(self):
        return SeveralClips, (self._data_set, self._count)

    def __len__(self):
        return len(self.examples)

    def __getattr__(self, name):
        return getattr(self._data_set, name)

    def open(self, i, *args, **kwargs):
        return self._data_set.open(range(len(self))[i] % len(self._data_set), *args, **kwargs)


class TrainingClips:
    """Reads random clips of a data set's videos; it can be sent to another process wherever its arguments can.

    Args:
        data_set, sampling, augment: as of `training_batches`.
        mirror: whether half of the clips are mirrored.
    """

    def __init__(self, data_set, sampling: Sampling, augment: Callable, mirror: bool):
        self.data_set, self.sampling, self.augment, self.mirror = data_set, sampling, augment, mirror

    def read(self, example: int, key: tuple[int, ...]) -> np.ndarray:
        """One clip, uint8 `(frames, height, width, 3)`.

        Args:
            example: number of the video.
            key: non-negative integers that decide all that is random.
        """
        rng = np.random.default_rng(key)
        return self._augmented(self._decoded(example, rng), example, rng)

    def read_or_fault(self, item: tuple[int, tuple[int, ...]]) -> tuple[np.ndarray | None, str | None]:
        """The clip of (example, key), or what is wrong with its video; for a child."""
        rng = np.random.default_rng(item[1])
        try:
            clip = self._decoded(item[0], rng)
        except UNREADABLE as error:
            return None, str(error) or type(error).__name__
        return self._augmented(clip, item[0], rng), None

    def _decoded(self, example: int, rng: np.random.Generator) -> np.ndarray:
        sampling = self.sampling
        with opened(self.data_set, example, sampling.fps) as video:
            stride = clip_stride(self.augment, sampling, video.num_frames, rng)
            indices = random_clip(video.num_frames, sampling.frames, stride, rng.random())
            return next(video.clips([indices], size=sampling.resize))

    def _augmented(self, clip: np.ndarray, example: int, rng: np.random.Generator) -> np.ndarray:
        labels = labels_of(self.data_set.examples[example])
        label = labels[0] if len(labels) == 1 else labels
        return augmented(self.augment, clip, self.sampling.crop, rng, self.mirror, label)


class ClipsFromChildren:
    """`TrainingClips.read` in child processes: a file that crashes its decoder is a bad video like others.

    Args:
        clips: what reads them; it is sent to each child.
        processes: children, which are started at the first call.
    """

    def __init__(self, clips: TrainingClips, processes: int):
        self._examples, self._children = clips.data_set.examples, Children(clips.read_or_fault, processes)

    def close(self) -> None:
        """Ends the children."""
        self._children.close()

    def read(self, example: int, key: tuple[int, ...]) -> np.ndarray:
        """As of `TrainingClips`; many threads may call it.

        Raises:
            VideoError: the video cannot be read, or crashes the process that decodes it.
            RuntimeError: the child failed in another way.
        """
        outcome = self._children((example, key))
        if outcome.crashed:
            raise VideoError(f"{self._examples[example].path}: {outcome.error}")
        if outcome.error:
            raise RuntimeError(f"a process that reads clips failed: {outcome.error}")
        clip, fault = outcome.value
        if fault is not None:
            raise VideoError(fault)
        return clip
