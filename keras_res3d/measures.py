"""What accuracies, curves and intervals are: functions of NumPy arrays alone, each as scikit-learn defines it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

# Of the bootstrap: how sure an interval is, how often the videos are drawn again, and the seed of the drawing.
LEVEL, ROUNDS, SEED = 0.95, 4_000, 0
# The area under a curve takes time with every video: of more than so many it is found for so many drawings.
MANY_VIDEOS, ROUNDS_OF_MANY = 20_000, 500


def top_k_hits(probabilities: np.ndarray, truth: np.ndarray, k: int) -> np.ndarray:
    """Whether the true class of each row is among the k highest; of equal scores the lower class number wins."""
    own = np.take_along_axis(probabilities, truth[:, None], axis=1)
    lower = np.arange(probabilities.shape[1]) < truth[:, None]
    ahead = (probabilities > own) | ((probabilities == own) & lower)
    return ahead.sum(axis=1) < k


@dataclass(frozen=True)
class ClassRates:
    """Precision, recall and F1 of each class, `(classes,)`; NaN where a class has nothing to divide by.

    Attributes:
        precision: of the videos that are called by this class, the share that is of it.
        recall: of the videos of this class, the share that is called by it.
        f1: the harmonic mean of both; NaN only where no video is of the class or called by it.
        videos: how many are of the class.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    videos: np.ndarray

    def macro(self) -> dict[str, float]:
        """Means over the classes that occur or are predicted, each class alike; what is NaN there counts as 0."""
        return self._mean((~np.isnan(self.f1)).astype(float))

    def weighted(self) -> dict[str, float]:
        """Means over the classes, each by its number of videos; what is NaN counts as 0."""
        return self._mean(self.videos.astype(float))

    def _mean(self, weights: np.ndarray) -> dict[str, float]:
        rates = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {name: float(np.average(np.nan_to_num(values), weights=weights)) for name, values in rates.items()}


def class_rates(confusion: np.ndarray) -> ClassRates:
    """Precision, recall and F1 of a confusion matrix, true classes as rows and predicted ones as columns."""
    return rates_of(np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1))


def rates_of(right: np.ndarray, predicted: np.ndarray, videos: np.ndarray) -> ClassRates:
    """The rates of counts of videos, `(classes,)` each: called by the class and of it, called by it, of it."""
    return ClassRates(_ratio(right, predicted), _ratio(right, videos), _ratio(2 * right, videos + predicted), videos)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


@dataclass(frozen=True)
class Curves:
    """The ROC curve and the precision-recall curve of a yes-or-no question, from the highest threshold to the lowest.

    Attributes:
        thresholds: a video with this score or more is called positive, `(points,)`; the first is infinite.
        false_positive_rate: of the negative videos, the share that is called positive.
        true_positive_rate: of the positive videos, the share that is called positive; also called recall.
        precision: of the videos that are called positive, the share that is; 1 where none is.
    """

    thresholds: np.ndarray
    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    precision: np.ndarray

    @property
    def auc(self) -> float:
        """The area under the ROC curve."""
        return float(np.trapezoid(self.true_positive_rate, self.false_positive_rate))

    @property
    def average_precision(self) -> float:
        """The mean of precision over recall, in steps, without interpolation."""
        return float(np.sum(np.diff(self.true_positive_rate) * self.precision[1:]))


def curves(scores: np.ndarray, positive: np.ndarray) -> Curves:
    """The curves of scores that should be higher where the answer is yes; equal scores are one point.

    Args:
        scores: `(videos,)`.
        positive: whether the answer is yes, `(videos,)`.

    Raises:
        ValueError: no video is positive, or none is negative, so that a rate has nothing to divide by.
    """
    positive = np.asarray(positive, bool)
    if positive.all() or not positive.any():
        raise ValueError(f"{positive.sum()} of {len(positive)} videos are positive; a curve needs positive and "
                         "negative ones")  # fmt: skip
    order = np.argsort(-scores, kind="stable")
    ordered = np.asarray(scores)[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    found = np.cumsum(positive[order])[ends]
    called = ends + 1
    zero = np.zeros(1)
    return Curves(
        np.concatenate([[np.inf], ordered[ends]]),
        np.concatenate([zero, (called - found) / (~positive).sum()]),
        np.concatenate([zero, found / positive.sum()]),
        np.concatenate([zero + 1, found / called]),
    )


def bootstrap_interval(
    hits: np.ndarray, counts: np.ndarray, groups: Sequence[Hashable | None] = ()
) -> tuple[float, float] | None:
    """The 95 % interval of sum(hits) / sum(counts): its percentiles where videos are drawn again and again.

    Whole groups are drawn where there are some, since videos of one group are not independent. The seed is fixed, so
    that the same scores have the same interval.

    Args:
        hits: what was right of each video, `(videos,)`.
        counts: what there was of each video, `(videos,)`.
        groups: what each video belongs to; None is a group of its own. Empty draws single videos.

    Returns:
        The lower and the upper end; None where there are fewer than two videos or groups to draw from.
    """
    units = np.stack([np.asarray(hits, np.int64), np.asarray(counts, np.int64)], axis=1)
    if len(groups):
        units = _sums(units, groups)
    if len(units) < 2:
        return None
    # Units with the same numbers are alike: how often each kind is drawn is all that counts.
    kinds, times = np.unique(units, axis=0, return_counts=True)
    drawn = np.random.default_rng(SEED).multinomial(len(units), times / len(units), size=ROUNDS)
    right, of = (drawn @ kinds).T
    return _ends(right / of)


def bootstrap_auc(
    scores: np.ndarray, positive: np.ndarray, groups: Sequence[Hashable | None] = ()
) -> tuple[float, float] | None:
    """The 95 % interval of the area under the ROC curve, as `bootstrap_interval` draws the videos.

    Drawings without a positive or without a negative video have no area and do not count.

    Args:
        scores, positive: as of `curves`.
        groups: as of `bootstrap_interval`.
    """
    codes, units = _codes(groups) if len(groups) else (np.arange(len(scores)), len(scores))
    if units < 2:
        return None
    order = np.argsort(scores, kind="stable")
    starts = np.append(0, np.flatnonzero(np.diff(np.asarray(scores)[order])) + 1)
    codes, positive = codes[order], np.asarray(positive, bool)[order]
    random, areas = np.random.default_rng(SEED), []
    for _ in range(ROUNDS if len(scores) <= MANY_VIDEOS else ROUNDS_OF_MANY):
        times = np.bincount(random.integers(units, size=units), minlength=units)[codes]
        yes, no = (np.add.reduceat(times * kind, starts) for kind in (positive, ~positive))
        pairs = yes.sum() * no.sum()
        if pairs:
            # Of each pair of a positive and a negative video, one half where their scores are equal.
            areas.append((yes * (np.cumsum(no) - no / 2)).sum() / pairs)
    return _ends(areas) if areas else None


def _ends(drawn: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Between which figures the middle `LEVEL` of the drawings lies."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _sums(units: np.ndarray, groups: Sequence[Hashable | None]) -> np.ndarray:
    """The rows of each group summed."""
    codes, count = _codes(groups)
    sums = np.zeros((count, 2), np.int64)
    np.add.at(sums, codes, units)
    return sums


def _codes(groups: Sequence[Hashable | None]) -> tuple[np.ndarray, int]:
    """The number of each video's group, and how many there are; a video without one is a group of its own."""
    numbers: dict = {}
    codes = [numbers.setdefault(("", place) if group is None else group, len(numbers))
             for place, group in enumerate(groups)]  # fmt: skip
    return np.array(codes), len(numbers)


def groups_in(groups: Sequence[Hashable | None]) -> int:
    """How many groups there are to draw from, videos without one among them; 0 where no video has a group."""
    named = {group for group in groups if group is not None}
    return len(named) + sum(group is None for group in groups) if named else 0
