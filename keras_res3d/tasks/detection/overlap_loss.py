"""The loss of S-CNN's localization net: the surer a window that fits its instance badly, the dearer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_res3d.training.objective import Objective

# The released loss layer divides by the IoU to this power.
ALPHA = 0.25


def targets(labels, ious) -> Any:
    """What the loss takes as `y_true`: float32 `(batch, 2)`, the class and the IoU of each window.

    Args:
        labels: numbers of classes, 0 for background, `(batch,)`.
        ious: of each window with its instance, above 0 and up to 1; what stands for background does not count.
    """
    return ops.stack([ops.cast(labels, "float32"), ops.cast(ious, "float32")], axis=-1)


@keras.saving.register_keras_serializable(package="keras_res3d")
class OverlapLoss(keras.losses.Loss):
    """Cross-entropy plus half of p^2 / v^alpha - 1 for each window that shows an action, p its score, v its IoU.

    Both terms are averaged over all windows of the batch, background included.

    Args:
        weight: of the second term; 0 leaves the cross-entropy alone.
        alpha: the power of the IoU.
        from_logits: whether the model's outputs are logits, else probabilities.
    """

    def __init__(self, weight: float = 1.0, alpha: float = ALPHA, from_logits: bool = False, name: str = "overlap_loss",
                 **kwargs):  # fmt: skip
        super().__init__(name=name, **kwargs)
        if weight < 0 or alpha < 0:
            raise ValueError(f"weight and alpha are {weight} and {alpha}; expected 0 or more")
        self.weight, self.alpha, self.from_logits = float(weight), float(alpha), from_logits

    def call(self, y_true, y_pred):
        """The loss of each window, `(batch,)`.

        Args:
            y_true: as of `targets`.
            y_pred: outputs of the net, `(batch, classes)`.
        """
        labels, ious = ops.cast(y_true[:, 0], "int32"), y_true[:, 1]
        entropy = keras.losses.sparse_categorical_crossentropy(labels, y_pred, from_logits=self.from_logits)
        scores = ops.softmax(y_pred) if self.from_logits else y_pred
        score = ops.sum(scores * ops.one_hot(labels, scores.shape[-1], dtype=scores.dtype), axis=-1)
        action = labels > 0
        # Background has no IoU; a power of 0 would make its gradient NaN, even where it is left out.
        fit = ops.power(ops.where(action, ious, ops.ones_like(ious)), self.alpha)
        overlap = ops.where(action, (ops.square(score) / fit - 1) / 2, ops.zeros_like(score))
        return entropy + self.weight * overlap

    def get_config(self):
        return {**super().get_config(), "weight": self.weight, "alpha": self.alpha, "from_logits": self.from_logits}


@keras.saving.register_keras_serializable(package="keras_res3d")
class WindowAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """The share of windows whose class is told right, of the targets of `OverlapLoss`."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(y_true[:, 0], y_pred, sample_weight)


def overlap_objective(ious: np.ndarray, weight: float = 1.0) -> Objective:
    """The loss as an objective of `train`.

    Args:
        ious: of each training window with its instance, `(windows,)`; 0 for background.
        weight: as of `OverlapLoss`.
    """
    return Objective(f"the overlap loss by {weight:g}", ious, lambda logits: OverlapLoss(weight, from_logits=logits),
                     lambda logits: WindowAccuracy(name="clip@1"))  # fmt: skip
