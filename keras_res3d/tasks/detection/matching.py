"""Which detections of a class in a video find an instance, and the average precision of all of them. NumPy alone."""

from __future__ import annotations

import numpy as np


def match_instances_first(ious: np.ndarray, threshold: float) -> np.ndarray:
    """THUMOS' matching: in their own order, each instance takes the free detection that overlaps it most.

    Args:
        ious: `(instances, detections)`, detections in the order of descending scores.
        threshold: the IoU must be above it.

    Returns:
        bool `(detections,)`, which of them are right.
    """
    hits = np.zeros(ious.shape[1], bool)
    for row in ious:
        free = np.where(hits, -1.0, row)
        if len(free) and free.max() > threshold:
            hits[free.argmax()] = True
    return hits


def match_detections_first(ious: np.ndarray, threshold: float) -> np.ndarray:
    """ActivityNet's matching: in the order of their scores, each detection takes the free instance it overlaps most.

    Args:
        ious: as of `match_instances_first`.
        threshold: the IoU must reach it.

    Returns:
        bool `(detections,)`, which of them are right.
    """
    hits, taken = np.zeros(ious.shape[1], bool), np.zeros(len(ious), bool)
    for number in np.flatnonzero((ious >= threshold).any(axis=0)) if len(ious) else ():
        free = np.where(taken, -1.0, ious[:, number])
        if free.max() >= threshold:
            taken[free.argmax()] = hits[number] = True
    return hits


def precision_and_recall(hits: np.ndarray, instances: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall after each detection, in the order of descending scores, both `(detections,)`."""
    found = np.cumsum(hits)
    return found / np.arange(1, len(hits) + 1), found / instances


def plain_average_precision(hits: np.ndarray, instances: int) -> float:
    """The precisions at the right detections, added up, for each instance: THUMOS' average precision.

    Args:
        hits: bool `(detections,)` in the order of descending scores.
        instances: how many there are to find, from 1.
    """
    precision, _ = precision_and_recall(hits, instances)
    return float(precision[hits].sum() / instances)


def interpolated_average_precision(hits: np.ndarray, instances: int) -> float:
    """ActivityNet's average precision: at each recall, the best precision at that recall or a higher one.

    Args:
        hits, instances: as of `plain_average_precision`.
    """
    precision, _ = precision_and_recall(hits, instances)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[hits].sum() / instances)
