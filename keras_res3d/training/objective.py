"""A loss that takes a number of each video beside its class, in place of cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from keras_res3d.data.types import is_multi_label
from keras_res3d.training.checkpoint import digest_of
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.training.stream import has_soft_targets


@dataclass(frozen=True)
class Objective:
    """What `train` learns by. The targets of a batch are float32 `(batch, 2)`: the class and the number of each video.

    Attributes:
        name: says which loss it is, with its settings; a run goes on by the same one alone.
        numbers: of each video, `(videos,)`.
        loss, metric: of whether the net's outputs are logits; the metric is that of training clips, "clip@1".
    """

    name: str
    numbers: np.ndarray
    loss: Callable[[bool], keras.losses.Loss]
    metric: Callable[[bool], keras.metrics.Metric]

    def check(self, data_set, options: TrainingOptions, sample_weight: np.ndarray | None) -> None:
        """Raises ValueError where data and options do not go with it."""
        if np.shape(self.numbers) != (len(data_set),):
            raise ValueError(f"{self.name} has numbers of shape {np.shape(self.numbers)}; expected one for each of the "
                             f"{len(data_set)} videos")  # fmt: skip
        if is_multi_label(data_set) or sample_weight is not None or has_soft_targets(options):
            raise ValueError(f"{self.name} takes one class of each video; expected neither several labels, weights of "
                             "videos or classes, mixup nor label_smoothing")  # fmt: skip

    @property
    def identity(self) -> str:
        """What a run that goes on must have in common with its beginning."""
        return f"{self.name} {digest_of(self.numbers)}"

    def paired(self, stream: tf.data.Dataset) -> tf.data.Dataset:
        """Batches of clips, classes and numbers as batches of clips and targets."""
        return stream.map(lambda clips, labels, numbers: (clips, tf.stack([tf.cast(labels, tf.float32), numbers], -1)))
