"""How many instances are found among the first proposals of a video, whatever their class. NumPy alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from keras_res3d.tasks.detection.intervals import temporal_iou
from keras_res3d.tasks.detection.moments import Annotations, Detections
from keras_res3d.tasks.detection.protocols import PROTOCOLS, check_thresholds

COUNTS = (1, 10, 50, 100, 200, 500)


def average_recall(
    proposals: Detections,
    annotations: Annotations,
    counts: Sequence[int] = COUNTS,
    thresholds: Sequence[float] = PROTOCOLS["activitynet"].thresholds,
    blocked: Iterable[str] = (),
) -> np.ndarray:
    """The share of instances that one of the first proposals of their video reaches, averaged over thresholds of IoU.

    Args:
        proposals: ranked in each video by their scores; classes do not count, and of equal scores the first row is
            first.
        annotations: the instances; ambiguous ones do not count.
        counts: how many proposals of each video count, from 1.
        thresholds: of IoU, which a proposal must reach, above 0 and up to 1.
        blocked: videos that do not count.

    Returns:
        float64 `(counts,)` in 0..1.

    Raises:
        ValueError: a count below 1, a threshold out of range, or no instance.
    """
    if not len(counts) or min(counts) < 1:
        raise ValueError(f"the counts of proposals are {list(counts)}; expected one or more, from 1")
    check_thresholds(thresholds)
    blocked = tuple(blocked)
    proposals, annotations = proposals.without(blocked), annotations.without(blocked)
    actions = np.flatnonzero(annotations.labels >= 0)
    if not len(actions):
        raise ValueError(f"{annotations.name} has no instance of an action")
    of_video, instances = _rows(proposals.videos), _rows([annotations.videos[row] for row in actions])
    reached = np.zeros((len(counts), len(thresholds)))
    for video, numbers in instances.items():
        rows = of_video.get(video)
        if rows is None:
            continue
        rows = rows[np.argsort(-proposals.scores[rows], kind="stable")]
        ious = temporal_iou(annotations.spans[actions[numbers]], proposals.spans[rows])
        best = np.maximum.accumulate(ious, axis=1)[:, np.minimum(counts, len(rows)) - 1]
        reached += (best[:, :, None] >= np.asarray(thresholds)).sum(axis=0)
    return (reached / len(actions)).mean(axis=1)


def _rows(videos: Sequence[str]) -> dict[str, np.ndarray]:
    """The rows of each video, ascending."""
    found: dict[str, list[int]] = {}
    for row, video in enumerate(videos):
        found.setdefault(video, []).append(row)
    return {video: np.array(rows) for video, rows in found.items()}
