"""One label a video, or several: what training does differently for the two, a row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import tensorflow as tf

from keras_res3d.data.types import DataSet, is_multi_label
from keras_res3d.multi_label import THRESHOLD, score_multi_label
from keras_res3d.scores import score


@keras.saving.register_keras_serializable(package="keras_res3d")
class DecisionsF1(keras.metrics.Metric):
    """F1 of all decisions about all classes together: 2 hits / (labels given + labels there).

    Args:
        threshold: outputs above it are labels that the net gives: 0.5 of probabilities, 0 of logits.
    """

    def __init__(self, threshold: float = THRESHOLD, name: str = "clip_F1", **kwargs):
        super().__init__(name=name, **kwargs)
        self.threshold = threshold
        self.hits, self.given, self.there = (
            self.add_variable((), "zeros", self.dtype, name=name) for name in ("hits", "given", "there")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch, `(batch, classes)` each. Mixed and smoothed targets count as labels above a half."""
        there = keras.ops.cast(keras.ops.cast(y_true, "float32") > THRESHOLD, self.dtype)
        given = keras.ops.cast(keras.ops.cast(y_pred, "float32") > self.threshold, self.dtype)
        self.hits.assign_add(keras.ops.sum(there * given))
        self.given.assign_add(keras.ops.sum(given))
        self.there.assign_add(keras.ops.sum(there))

    def result(self):
        return keras.ops.divide_no_nan(2 * self.hits, self.given + self.there)

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold}


def labels_loss(targets, outputs, from_logits: bool = False) -> tf.Tensor:
    """Binary cross-entropy of each clip, summed over the classes, `(batch,)`.

    The sum and not Keras' mean: a class then learns at the rate at which it learns by a softmax, for which recipes have
    their learning rates, however many other classes there are. Caffe's sigmoid loss is this sum too.
    """
    targets = keras.ops.cast(targets, outputs.dtype)
    return keras.ops.sum(keras.ops.binary_crossentropy(targets, outputs, from_logits), axis=-1)


@keras.saving.register_keras_serializable(package="keras_res3d")
class LabelsLoss(keras.losses.Loss):
    """`labels_loss` as a loss of Keras.

    Args:
        from_logits: whether outputs are logits, or probabilities.
    """

    def __init__(self, from_logits: bool = False, name: str = "labels_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.from_logits = from_logits

    def call(self, y_true, y_pred):
        return labels_loss(y_true, y_pred, self.from_logits)

    def get_config(self):
        return {**super().get_config(), "from_logits": self.from_logits}


@dataclass(frozen=True)
class LabelKind:
    """How a net learns and is scored.

    Args:
        activation: of the net's last layer.
        loss: of (targets are rows and not numbers, outputs are logits).
        metric: of training clips, of the same two.
        clip_losses: the loss of each clip, `(batch,)`, of (targets, outputs, outputs are logits).
        probabilities: of logits.
        outcomes: over how many label smoothing spreads its share, of so many classes: over all of them, or over a class
            that is there or is not.
        score: as of `scores.score`.
        video_figure, clip_figure: name in the logs of a score of videos, and of clips, and the attribute that has it.
            The first says which net is best.
    """

    activation: str
    loss: Callable[[bool, bool], keras.losses.Loss]
    metric: Callable[[bool, bool], keras.metrics.Metric]
    clip_losses: Callable
    probabilities: Callable
    outcomes: Callable[[int], int]
    score: Callable
    video_figure: tuple[str, str]
    clip_figure: tuple[str, str]


def _categorical(soft: bool) -> str:
    return "Categorical" if soft else "SparseCategorical"


ONE_LABEL = LabelKind(
    activation="softmax",
    loss=lambda soft, logits: getattr(keras.losses, f"{_categorical(soft)}Crossentropy")(from_logits=logits),
    metric=lambda soft, logits: getattr(keras.metrics, f"{_categorical(soft)}Accuracy")(name="clip@1"),
    clip_losses=lambda targets, outputs, logits: keras.losses.sparse_categorical_crossentropy(
        targets, outputs, from_logits=logits
    ),
    probabilities=tf.nn.softmax,
    outcomes=lambda classes: classes,
    score=score,
    video_figure=("val_video@1", "video_at_1"),
    clip_figure=("val_clip@1", "clip_at_1"),
)
SEVERAL_LABELS = LabelKind(
    activation="sigmoid",
    loss=lambda soft, logits: LabelsLoss(logits),
    metric=lambda soft, logits: DecisionsF1(0.0 if logits else THRESHOLD),
    clip_losses=labels_loss,
    probabilities=tf.sigmoid,
    outcomes=lambda classes: 2,
    score=score_multi_label,
    video_figure=("val_mAP", "mean_ap"),
    clip_figure=("val_clip_mAP", "clip_mean_ap"),
)


def kind_for(multi_label: bool) -> LabelKind:
    """How a net learns one label a video, or several."""
    return SEVERAL_LABELS if multi_label else ONE_LABEL


def kind_of(data_set: DataSet) -> LabelKind:
    """How a net learns the labels of a data set."""
    return kind_for(is_multi_label(data_set))
