"""Scores of videos that may have several labels: average precision of each class, its mean, F1 at a half."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from keras_res3d.measures import ClassRates, bootstrap_interval, curves, rates_of
from keras_res3d.scores import VideoScores, gather

# A label counts as given where its probability is above this.
THRESHOLD = 0.5


class LabelScore(NamedTuple):
    """What is right about one label.

    Attributes:
        name: of the class.
        videos: how many have the label.
        average_precision: in 0..1; nan where no video has it.
        precision, recall, f1: of the decisions at `THRESHOLD`, as of `ClassRates`.
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
        scores: `(videos, classes)`; only their order counts.
        truth: whether the video has the label, the same shape.

    Returns:
        float64 `(classes,)`; nan of a class that no video has.

    Raises:
        ValueError: shapes differ, or a score is not finite.
    """
    scores, truth = np.asarray(scores), np.asarray(truth).astype(bool)
    if scores.ndim != 2 or scores.shape != truth.shape:
        raise ValueError(f"scores have shape {scores.shape}, truth {truth.shape}; expected (videos, classes) of both")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinite values; expected numbers")
    return np.array([_of_one_class(*column) for column in zip(scores.T, truth.T, strict=True)])


def _of_one_class(scores: np.ndarray, truth: np.ndarray) -> float:
    if truth.all() or not truth.any():  # no curve
        return 1.0 if len(truth) and truth.all() else float("nan")
    return curves(scores, truth).average_precision


def mean_over_classes(values: np.ndarray) -> float:
    """The mean over the classes that have a value; nan where none has."""
    known = ~np.isnan(values)
    return float(np.mean(values, where=known)) if known.any() else float("nan")


@dataclass(frozen=True)
class MultiLabelScores(VideoScores):
    """Every clip's probabilities with its video, and what follows from them where a video may have several labels.

    Attributes:
        probabilities: of the clips, `(clips, classes)`: the model's own outputs, each class by itself.
        truth: whether each video has each label, bool `(videos, classes)`. The others are as of `VideoScores`.

    Raises:
        ValueError: no video has a label, so that there is nothing to find.
    """

    def __post_init__(self):
        if not self.truth.any():
            raise ValueError(f"none of the {len(self.truth)} videos that were scored has a label; expected some")

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
        """Whether a video is given a label: its probability is above `THRESHOLD`; bool `(videos, classes)`."""
        return self.video_probabilities > THRESHOLD

    @cached_property
    def rates(self) -> ClassRates:
        """Precision, recall and F1 of the labels given, of each class."""
        right = (self.decisions & self.truth).sum(axis=0)
        return rates_of(right, self.decisions.sum(axis=0), self.truth.sum(axis=0))

    @property
    def f1(self) -> float:
        """F1 of all labels given to all videos together: 2 right / (given + there)."""
        right, counts = self._f1_counts()
        return float(right.sum() / counts.sum())

    def _f1_counts(self) -> tuple[np.ndarray, np.ndarray]:
        right = 2 * (self.decisions & self.truth).sum(axis=1)
        return right, self.decisions.sum(axis=1) + self.truth.sum(axis=1)

    @property
    def measures(self) -> dict[str, float]:
        """mAP of the videos, clip mAP, and F1 at `THRESHOLD`."""
        return {"mAP": self.mean_ap, "clip_mAP": self.clip_mean_ap, "F1": self.f1}

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float] | None]:
        """The 95 % bootstrap interval of F1, as of `Scores`; None of the others, which are no shares of videos."""
        right, counts = self._f1_counts()
        kept = np.flatnonzero(counts)  # where nothing is given and nothing is there, nothing is counted
        groups = [self.groups[number] for number in kept] if self.groups else ()
        return {"mAP": None, "clip_mAP": None, "F1": bootstrap_interval(right[kept], counts[kept], groups)}

    @property
    def chance(self) -> float:
        """The mAP of guessing, nearly: the share of videos that have a label, over the classes that some video has."""
        shares = self.truth.mean(axis=0)
        return mean_over_classes(np.where(shares > 0, shares, np.nan))

    def per_class(self) -> list[LabelScore]:
        """For each class its average precision, and precision, recall and F1 of the labels given."""
        rates = self.rates
        columns = (rates.videos, self.average_precision, rates.precision, rates.recall, rates.f1)
        rows = zip(self.labels, *(column.tolist() for column in columns), strict=True)
        return [LabelScore(*row) for row in rows]

    @property
    def class_shares(self) -> list[float]:
        """What the classes are ordered by, the worst first: the average precision of each, NaN where it has no video.
        """
        return self.average_precision.tolist()

    def class_table(self) -> tuple[list[str], list[list]]:
        """Header and rows of a table of the classes: `per_class`, counts as int and shares in 0..1 as float."""
        return ["class", *LabelScore._fields[1:]], [list(row) for row in self.per_class()]

    def video_columns(self) -> dict[str, Sequence]:
        """A table of the videos as columns of `(videos,)`, as of `Scores`; labels have "|" between them."""
        return self._columns(*(["|".join(np.array(self.labels)[row]) for row in rows]
                               for rows in (self.truth, self.decisions)))  # fmt: skip

    def summary(self) -> dict:
        """The scores with the counts they rest on, ready for JSON; "left_out" counts unread videos."""
        return {
            **self.measures,
            "threshold": THRESHOLD,
            "intervals": self._intervals_summary(),
            "macro": self.rates.macro(),
            "weighted": self.rates.weighted(),
            **self._counts_summary(),
            "classes_without_video": int((~self.truth.any(axis=0)).sum()),
            "chance": self.chance,
        }


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
    found = gather(classify, batches, len(labels), on_videos)
    return MultiLabelScores(tuple(labels), found.probabilities, found.videos, found.truth > 0)
