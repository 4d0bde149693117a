"""The stream of a run's training batches from any step on, and how long the run waits for it."""

from __future__ import annotations

import functools
import time

import numpy as np
import tensorflow as tf

from keras_res3d.data.batches import training_batches
from keras_res3d.data.clips import Sampling
from keras_res3d.data.transform import random_crop_and_mirror, random_resized_crop_and_mirror
from keras_res3d.training.recipes import TrainingOptions


class SeveralClips:
    """A data set in which every video stands several times, so that an epoch takes several random clips of it."""

    def __init__(self, data_set, clips_per_video: int):
        self._data_set = data_set
        self.examples = tuple(data_set.examples) * clips_per_video

    def __len__(self):
        return len(self.examples)

    def __getattr__(self, name):
        return getattr(self._data_set, name)

    def open(self, i, *args, **kwargs):
        return self._data_set.open(range(len(self))[i] % len(self._data_set), *args, **kwargs)


def mixup_shares(options: TrainingOptions, step: int, batch: int) -> np.ndarray:
    """Each clip's own share under mixup, float32 `(batch,)`, from 0.5 to 1; it follows from (seed, step)."""
    if not options.mixup:
        return np.ones(batch, np.float32)
    shares = np.random.default_rng((options.seed, step, 2)).beta(options.mixup, options.mixup, batch)
    return np.maximum(shares, 1 - shares).astype(np.float32)


class Feed:
    """Training batches from `start_step` on.

    Attributes:
        waited: seconds spent waiting for batches so far.
    """

    def __init__(self, data_set, sampling: Sampling, options: TrainingOptions, start_step: int):
        data = SeveralClips(data_set, options.clips_per_video) if options.clips_per_video > 1 else data_set
        epochs = -(-options.total_steps(len(data_set)) // options.steps_per_epoch(len(data_set)))
        augment = random_crop_and_mirror
        if options.smallest_area < 1:
            augment = functools.partial(random_resized_crop_and_mirror, smallest_area=options.smallest_area)
        self._batches = iter(training_batches(
            data, sampling, options.batch_size, epochs, options.seed, start_step, options.workers, options.mirror,
            preprocess=False, augment=augment,
        ))  # fmt: skip
        self._options, self._step, self.waited = options, start_step, 0.0

    def take(self, count: int):
        """The next `count` batches: uint8 clips, labels and mixup's shares, each `(count, batch, ...)`."""
        start = time.perf_counter()
        clips, labels = zip(*(next(self._batches) for _ in range(count)), strict=True)
        self.waited += time.perf_counter() - start
        batch, steps = labels[0].shape[0], range(self._step, self._step + count)
        shares = np.stack([mixup_shares(self._options, step, batch) for step in steps])
        self._step += count
        # A stack of one is a view: the common case copies nothing.
        stack = (lambda parts: parts[0][None]) if count == 1 else tf.stack
        with tf.device("/cpu:0"):
            return stack(clips), stack(labels), tf.constant(shares)
