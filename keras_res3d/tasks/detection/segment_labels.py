"""Which windows show an action well enough to learn from, and which show none. NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_res3d.tasks.detection.intervals import temporal_iou

BACKGROUND, LEFT_OUT = 0, -1


@dataclass(frozen=True)
class LabelRule:
    """The three thresholds of IoU between a window and an instance of an action.

    Attributes:
        positive: a window above it shows the action.
        best: so does the window that fits an instance best, if it is above this one.
        background: a window shows no action if it reaches this with no instance.

    Raises:
        ValueError: a threshold outside 0..1, or `background` above `best` or `best` above `positive`.
    """

    positive: float = 0.7
    best: float = 0.5
    background: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.background <= self.best <= self.positive <= 1:
            raise ValueError(f"the thresholds are {self.background}, {self.best} and {self.positive}; expected "
                             "0 < background <= best <= positive <= 1")  # fmt: skip


@dataclass(frozen=True)
class SegmentLabels:
    """What each window is for training.

    Attributes:
        labels: int64 `(windows,)`: the number of a class from 1, 0 for background, -1 for what is left out.
        ious: float64 `(windows,)`, with the instance that gave the label; 0 for the others.
    """

    labels: np.ndarray
    ious: np.ndarray


def label_segments(
    windows: np.ndarray, instances: np.ndarray, classes: np.ndarray, rule: LabelRule | None = None
) -> SegmentLabels:
    """Labels the windows of a video by the instances of actions in it.

    A window that shows several instances takes the one that it overlaps most; of equal ones the first. Of several
    windows that fit an instance equally well, the first is the best one.

    Args:
        windows: `(windows, 2)`, begin and end.
        instances: `(instances, 2)`, in the same unit.
        classes: number of each instance's class, from 1, `(instances,)`.
        rule: the thresholds; None takes S-CNN's.
    """
    rule, count = rule or LabelRule(), len(windows)
    if not len(instances):
        return SegmentLabels(np.full(count, BACKGROUND, np.int64), np.zeros(count))
    classes = np.asarray(classes, np.int64)
    if classes.shape != (len(instances),) or (classes < 1).any():
        raise ValueError(f"classes is {classes.tolist()}; expected a number from 1 for each of {len(instances)} "
                         "instances")  # fmt: skip
    if not count:
        return SegmentLabels(np.zeros(0, np.int64), np.zeros(0))
    ious = temporal_iou(windows, instances)
    shown = ious > rule.positive
    best = ious.argmax(axis=0), np.arange(len(instances))
    shown[best] |= ious[best] > rule.best
    instance = np.where(shown, ious, -1.0).argmax(axis=1)
    foreground = shown.any(axis=1)
    quiet = (ious < rule.background).all(axis=1) & ~foreground
    labels = np.where(foreground, classes[instance], np.where(quiet, BACKGROUND, LEFT_OUT))
    return SegmentLabels(labels, np.where(foreground, ious[np.arange(count), instance], 0.0))
