"""Non-maximum suppression: of detections that overlap much, the one with the highest score stays. NumPy alone."""

from __future__ import annotations

import numpy as np

from keras_res3d.tasks.detection.intervals import temporal_iou

# Of the IoUs of some rows with all later ones, at most so many rows and so many numbers are held at a time.
BLOCK, HELD = 256, 2**20


def by_score(scores: np.ndarray) -> np.ndarray:
    """The order of descending scores in which, of equal ones, the later row comes first."""
    return np.argsort(scores, kind="stable")[::-1]


def suppress(spans: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Keeps a detection where its IoU with every kept one of a higher score is at most the threshold.

    Args:
        spans: `(n, 2)`, begin and end, of one class in one video.
        scores: `(n,)`; of equal ones the later row wins, as in the released evaluation.
        threshold: in 0..1.

    Returns:
        The rows that stay, in the order of `by_score`.
    """
    check_threshold(threshold)
    order = by_score(np.asarray(scores))
    spans = spans[order]
    stays = np.ones(len(order), bool)
    block = min(BLOCK, max(1, HELD // max(1, len(order))))
    for start in range(0, len(order), block):
        rows = start + np.flatnonzero(stays[start : start + block])
        near = temporal_iou(spans[rows], spans[start:]) > threshold
        for row, nearby in zip(rows, near, strict=True):
            if stays[row]:
                nearby[row - start] = False
                stays[start:] &= ~nearby
    return order[stays]


def check_threshold(threshold: float) -> None:
    """Raises ValueError for a threshold of suppression outside 0..1."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"the threshold of suppression is {threshold!r}; expected a number in 0..1")


def suppress_groups(spans: np.ndarray, scores: np.ndarray, groups: np.ndarray, threshold: float) -> np.ndarray:
    """`suppress` within each group, such as a class in a video.

    Args:
        spans, scores, threshold: as of `suppress`.
        groups: what tells groups apart, whole numbers `(n, columns)`.

    Returns:
        The rows that stay, ascending.
    """
    kept = [rows[suppress(spans[rows], scores[rows], threshold)] for rows in grouped(groups).values()]
    return np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.int64)


def grouped(keys: np.ndarray) -> dict[tuple[int, ...], np.ndarray]:
    """The rows of each group, ascending; groups are in the order of their keys.

    Args:
        keys: whole numbers `(n, columns)`.
    """
    if not len(keys):
        return {}
    order = np.lexsort(keys.T[::-1])
    ordered = keys[order]
    starts = np.flatnonzero(np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)])
    parts = np.split(order, starts[1:])
    return {tuple(ordered[start].tolist()): rows for start, rows in zip(starts, parts, strict=True)}
