"""Scores of videos that may have several labels: average precision of each class, its mean, F1 at a half."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from keras_res3d.scores import score

# A label counts as given where its probability is above this.
THRESHOLD = 0.5


class ClassScores(NamedTuple):
    """One class of a multi-label data set.

    Args:
        name: of the class.
        videos: how many videos have the label.
        average_precision: in 0..1; nan where no video has the label.
        precision: share of the videos given the label that have it; nan where it is given to none.
        recall: share of the videos that have the label to which it is given; nan where none has it.
        f1: 2 hits / (videos given the label + videos that have it); nan where both are none.
    """

    name: str
    videos: int
    average_precision: float
    precision: float
    recall: float
    f1: float


def average_precision(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The average precision of each class: precision at every score, weighted by the recall that it adds.

    Equal scores count together, so that their order does not matter, and nothing is interpolated: what scikit-learn's
    `average_precision_score` gives.

    Args:
        scores: `(videos, classes)` or of one class `(videos,)`; only their order counts.
        truth: whether the video has the label, the same shape.

    Returns:
        float64 `(classes,)`, or a number for one class; nan of a class that no video has.

    Raises:
        ValueError: shapes differ, or a score is not finite.
    """
    scores, truth = np.asarray(scores, np.float64), np.asarray(truth).astype(bool)
    if scores.shape != truth.shape or scores.ndim not in (1, 2):
        raise ValueError(f"scores have shape {scores.shape}, truth {truth.shape}; expected (videos, classes) of both")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinite values; expected numbers")
    if scores.ndim == 2:
        return np.array([_average_precision(*column) for column in zip(scores.T, truth.T, strict=True)])
    return _average_precision(scores, truth)


def _average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    if not truth.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits, ranked = np.cumsum(truth[order]), scores[order]
    # The last place of each run of equal scores.
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    gained = np.diff(hits[ends], prepend=0)
    return float((gained * hits[ends] / (ends + 1)).sum() / hits[-1])


def mean_over_classes(values: np.ndarray) -> float:
    """The mean of the classes that have a value; nan where none has."""
    values = np.asarray(values)[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


@dataclass(frozen=True)
class MultiLabelScores:
    """Every clip's probabilities with its video, and what follows from them where a video may have several labels.

    Attributes:
        labels: class names.
        probabilities: of the clips, `(clips, classes)`: the model's own outputs, each class by itself.
        videos: number of each clip's video, `(clips,)`, from 0 without gaps.
        truth: whether each video has each label, bool `(videos, classes)`.
        left_out: as of `Scores`.
    """

    labels: tuple[str, ...]
    probabilities: np.ndarray
    videos: np.ndarray
    truth: np.ndarray
    left_out: dict[int, str] = field(default_factory=dict)

    @cached_property
    def video_probabilities(self) -> np.ndarray:
        """Mean over each video's clips, `(videos, classes)`."""
        sums = np.zeros(self.truth.shape)
        np.add.at(sums, self.videos, self.probabilities)
        return sums / np.bincount(self.videos, minlength=len(self.truth))[:, None]

    @cached_property
    def average_precision(self) -> np.ndarray:
        """Of each class, over the videos, `(classes,)`; nan of a class that no video has."""
        return average_precision(self.video_probabilities, self.truth)

    @property
    def mean_ap(self) -> float:
        """mAP: the mean of the average precision over the classes that some video has."""
        return mean_over_classes(self.average_precision)

    @cached_property
    def clip_mean_ap(self) -> float:
        """The same over single clips, each with the labels of its video."""
        return mean_over_classes(average_precision(self.probabilities, self.truth[self.videos]))

    @cached_property
    def decisions(self) -> np.ndarray:
        """Whether a video's probability of a label is above `THRESHOLD`, bool `(videos, classes)`."""
        return self.video_probabilities > THRESHOLD

    @property
    def f1(self) -> float:
        """F1 of all decisions about all classes together."""
        return _ratio(2 * (self.decisions & self.truth).sum(), self.decisions.sum() + self.truth.sum())

    @property
    def mean_f1(self) -> float:
        """The mean of the classes' F1, without those that no video has and none is given."""
        return mean_over_classes(np.array([row.f1 for row in self.per_class()]))

    @property
    def chance(self) -> float:
        """The mAP of guessing, nearly: the share of videos that have a label, over the classes that some video has."""
        shares = self.truth.mean(axis=0)
        return mean_over_classes(np.where(shares > 0, shares, np.nan))

    def per_class(self) -> list[ClassScores]:
        """For each class: name, videos, average precision, and precision, recall and F1 at a half."""
        hits = (self.decisions & self.truth).sum(axis=0).tolist()
        given, there = self.decisions.sum(axis=0).tolist(), self.truth.sum(axis=0).tolist()
        return [
            ClassScores(name, n, float(value), _ratio(hit, gave), _ratio(hit, n), _ratio(2 * hit, gave + n))
            for name, value, hit, gave, n in zip(self.labels, self.average_precision, hits, given, there, strict=True)
        ]

    def summary(self) -> dict:
        """The scores with the counts they rest on, ready for JSON; "left_out" counts unread videos."""
        return {
            "mAP": self.mean_ap,
            "clip_mAP": self.clip_mean_ap,
            "F1": self.f1,
            "mean_F1": self.mean_f1,
            "threshold": THRESHOLD,
            "clips": len(self.probabilities),
            "videos": len(self.truth),
            "left_out": len(self.left_out),
            "classes": len(self.labels),
            "classes_without_video": int((~self.truth.any(axis=0)).sum()),
            "chance": self.chance,
        }


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")


def score_multi_label(
    classify: Callable, batches: Iterable, labels: tuple[str, ...], on_videos: Callable[[int], None] | None = None
) -> MultiLabelScores:
    """Scores every batch of `data.batches.video_batches` of a multi-label data set.

    Args:
        classify, labels, on_videos: as of `scores.score`.
        batches: clips, rows of zeros and ones `(batch, classes)`, and video numbers, which may have gaps.

    Raises:
        ValueError: as of `scores.score`.
    """
    rows: dict[int, np.ndarray] = {}

    def numbered():
        for clips, targets, numbers in batches:
            rows.update(zip(np.asarray(numbers).tolist(), np.asarray(targets) > THRESHOLD, strict=True))
            yield clips, np.zeros(len(numbers), int), numbers

    found = score(classify, numbered(), labels, on_videos)
    truth = np.stack([rows[number] for number in sorted(rows)])
    return MultiLabelScores(found.labels, found.probabilities, found.videos, truth)
