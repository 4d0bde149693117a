"""Mean average precision of detections, by the released evaluation or by ActivityNet's. NumPy alone."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_res3d.tasks.detection.intervals import shared, temporal_iou
from keras_res3d.tasks.detection.matching import precision_and_recall
from keras_res3d.tasks.detection.moments import AMBIGUOUS, Annotations, Detections
from keras_res3d.tasks.detection.protocols import (
    PROTOCOLS,
    RELEASED_MARGIN,
    RELEASED_NMS,
    Protocol,
    check_thresholds,
)
from keras_res3d.tasks.detection.suppression import by_score, grouped, suppress
from keras_res3d.tasks.detection.window_weights import WindowWeights

# Of each (class, video) the places of detections among those of that class in that video.
Orders = Mapping[tuple[int, int], np.ndarray]


@dataclass(frozen=True)
class DetectionScores:
    """What an evaluation found.

    Attributes:
        protocol: its name.
        nms: the threshold of suppression; "released" lies 0.1 below each IoU, None is none.
        thresholds: of IoU.
        classes: names.
        instances: int64 `(classes,)`, how many of each class there are to find.
        videos: how many were counted: those with an annotation, with a detection, or listed.
        hits: for each threshold and each class, bool `(detections,)`: those that count, in descending order of scores,
            and whether they are right.
        average_precision: float64 `(classes, thresholds)`; NaN for a class without an instance.
    """

    protocol: str
    nms: float | str | None
    thresholds: tuple[float, ...]
    classes: tuple[str, ...]
    instances: np.ndarray
    videos: int
    hits: tuple[tuple[np.ndarray, ...], ...]
    average_precision: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """mAP at each threshold, over the classes that have an instance, `(thresholds,)`."""
        return np.nanmean(self.average_precision, axis=0)

    def curve(self, label: int, threshold: int) -> tuple[np.ndarray, np.ndarray]:
        """(precision, recall) of a class by their numbers, `(detections,)` both; of a class with an instance."""
        return precision_and_recall(self.hits[threshold][label], int(self.instances[label]))

    def summary(self) -> dict:
        """The scores as plain JSON values; None stands for a class without an instance."""
        values = {name: [None if np.isnan(ap) else ap for ap in row.tolist()]
                  for name, row in zip(self.classes, self.average_precision, strict=True)}  # fmt: skip
        return {"protocol": self.protocol, "nms": self.nms, "videos": self.videos, "iou": list(self.thresholds),
                "mAP": self.mean.tolist(), "average_precision": values,
                "instances": dict(zip(self.classes, self.instances.tolist(), strict=True))}  # fmt: skip


def evaluate_detections(
    detections: Detections,
    annotations: Annotations,
    *,
    protocol: str = "thumos14",
    thresholds: Sequence[float] | None = None,
    nms: float | str | None = "auto",
    window_weights: WindowWeights | None = None,
    blocked: Iterable[str] = (),
) -> DetectionScores:
    """Scores detections against annotations.

    Args:
        detections: of the annotations' classes.
        annotations: with one instance of an action or more.
        protocol: a name in `protocols.PROTOCOLS`.
        thresholds: of IoU, above 0 and up to 1; None takes the protocol's.
        nms: suppression before scoring: a threshold of IoU, "released" (0.1 below each threshold of the evaluation),
            None for none, or "auto": "released" for windows as a model scored them and none for other detections.
        window_weights: what scores are multiplied by first, by class and length of window.
        blocked: videos that do not count.

    Raises:
        ValueError: an argument out of range, detections of other classes or without windows where these are needed, or
            no instance to find.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"the protocol is {protocol!r}; expected one of {', '.join(PROTOCOLS)}")
    rules = PROTOCOLS[protocol]
    thresholds = tuple(map(float, rules.thresholds if thresholds is None else thresholds))
    check_thresholds(thresholds)
    nms = _checked((RELEASED_NMS if detections.raw else None) if nms == "auto" else nms)
    if detections.classes != annotations.classes:
        raise ValueError(f"{detections.name} has other classes than {annotations.name}, or another order of them")
    blocked = tuple(blocked)
    detections, annotations = detections.without(blocked), annotations.without(blocked)
    instances = np.bincount(annotations.labels[annotations.labels >= 0], minlength=len(annotations.classes))
    if not instances.any():
        raise ValueError(f"{annotations.name} has no instance of an action in the videos that count")
    scored = _Scored(detections, annotations, rules, _weighted(detections, window_weights))
    orders = functools.lru_cache(maxsize=1)(scored.orders)  # one for all thresholds, unless suppression follows them
    hits = tuple(scored.hits(threshold, orders(_nms_at(nms, threshold))) for threshold in thresholds)
    found = [[rules.average_precision(right, count) if count else np.nan
              for right, count in zip(classes, instances.tolist(), strict=True)] for classes in hits]  # fmt: skip
    return DetectionScores(protocol, nms, thresholds, annotations.classes, instances, len(scored.videos), hits,
                           np.array(found, np.float64).T)  # fmt: skip


def _checked(nms: float | str | None) -> float | str | None:
    """The suppression to use. Raises ValueError for a threshold out of range."""
    if nms is None or nms == RELEASED_NMS:
        return nms
    if isinstance(nms, str) or not 0 <= nms <= 1:
        raise ValueError(f"nms is {nms!r}; expected a number in 0..1, {RELEASED_NMS!r}, 'auto' or None")
    return float(nms)


def _nms_at(nms: float | str | None, threshold: float) -> float | None:
    return max(0.0, threshold - RELEASED_MARGIN) if nms == RELEASED_NMS else nms


def _weighted(detections: Detections, weights: WindowWeights | None) -> np.ndarray:
    if weights is None:
        return detections.scores
    if detections.windows is None and len(detections):
        raise ValueError(f"{detections.name} does not say from which windows its detections are, which window weights "
                         "need")  # fmt: skip
    if not len(detections):
        return detections.scores
    return detections.scores * weights.of(detections.windows, detections.labels, detections.classes)


class _Scored:
    """Detections by class and video, with what does not depend on a threshold worked out once."""

    def __init__(self, detections: Detections, annotations: Annotations, rules: Protocol, scores: np.ndarray):
        self.rules, self.spans, self.scores, self.classes = rules, detections.spans, scores, annotations.classes
        self.videos = sorted({*detections.videos, *annotations.videos, *annotations.durations})
        number = {video: at for at, video in enumerate(self.videos)}
        self.groups = grouped(_keys(detections, number))
        self.shown = np.array([float(f"{score:.5g}") for score in scores]) if rules.rounds else scores
        times = np.round(self.spans, 1) if rules.rounds else self.spans
        truth = grouped(_keys(annotations, number))
        none = np.zeros(0, np.int64)
        self.ious = {key: temporal_iou(annotations.spans[truth.get(key, none)], times[rows])
                     for key, rows in self.groups.items()}  # fmt: skip
        self.spared = np.zeros(len(scores), bool)
        for (_, video), rows in self.groups.items() if rules.spares_ambiguous else ():
            unsure = annotations.spans[truth.get((AMBIGUOUS, video), none)]
            self.spared[rows] = (shared(unsure, times[rows]) > 0).any(axis=0)

    def orders(self, nms: float | None) -> Orders:
        """What is left of each class in each video by suppression, in descending order of scores."""
        return {key: by_score(self.scores[rows]) if nms is None else suppress(self.spans[rows], self.scores[rows], nms)
                for key, rows in self.groups.items()}  # fmt: skip

    def hits(self, threshold: float, orders: Orders) -> tuple[np.ndarray, ...]:
        """Of each class, bool `(detections,)`: those that count, in descending order of scores."""
        found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in self.classes]
        for (label, video), rows in self.groups.items():
            order = orders[label, video]
            right = self.rules.match(self.ious[label, video][:, order], threshold)
            counts = right | ~self.spared[rows[order]]
            found[label].append((self.shown[rows[order]][counts], right[counts]))
        return tuple(_in_order(of_class) for of_class in found)


def _keys(moments: Annotations | Detections, number: dict[str, int]) -> np.ndarray:
    """(class, video) of each row as numbers."""
    videos = np.array([number[video] for video in moments.videos], np.int64)
    return np.stack([moments.labels, videos], axis=1)


def _in_order(videos: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Whether detections are right, of all videos in descending order of scores; of equal ones the first video's."""
    if not videos:
        return np.zeros(0, bool)
    scores, right = (np.concatenate(column) for column in zip(*videos, strict=True))
    return right[np.argsort(-scores, kind="stable")]
