"""What differences between candidates are worth: paired t intervals, Holm's correction, Kendall's tau, Pareto front.

NumPy alone. The t distribution comes from the regularised incomplete beta function.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """One candidate's figure less another's, paired over the seeds that both have.

    Attributes:
        first, second: names of the two.
        mean: of the differences.
        low, high: the t interval at the level at which Holm's method tests this comparison, so that it leaves 0 out
            where the difference exceeds the noise, and there alone; NaN without an estimate.
        p: two-sided p value of the paired t test, before any correction; NaN without an estimate.
        adjusted: Holm's p value over all comparisons.
        seeds: how many pairs.
        exceeds: whether the difference exceeds the noise: `adjusted` is below 1 minus the level.
    """

    first: str
    second: str
    mean: float
    low: float
    high: float
    p: float
    adjusted: float
    seeds: int
    exceeds: bool


def t_cdf(t: float, df: float) -> float:
    """Probability that Student's t with `df` degrees of freedom is at most `t`."""
    if math.isinf(t):
        return float(t > 0)
    tail = 0.5 * _incomplete_beta(df / 2, 0.5, df / (df + t * t))
    return 1 - tail if t > 0 else tail


def t_quantile(p: float, df: float) -> float:
    """The value that Student's t stays below with probability `p`, from 0 to 1 (both left out).

    Raises:
        ValueError: `p` or `df` is out of range.
    """
    if not (0 < p < 1 and df > 0):
        raise ValueError(f"p is {p}, df is {df}; expected p between 0 and 1, df above 0")
    if p == 0.5:
        return 0.0
    tail, high = min(p, 1 - p), 1.0
    while t_cdf(-high, df) > tail:
        high *= 2
    low = 0.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if t_cdf(-middle, df) > tail else (low, middle)
    return high if p > 0.5 else -high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by Lentz's evaluation of its continued fraction."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny, c, total = 1e-300, 1.0, 0.0
    d = 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    total = d
    for m in range(1, 1000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + numerator * d) or tiny)
            c = (1 + numerator / c) or tiny
            total *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * total


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's adjusted p values: with the k-th smallest of m multiplied by m - k + 1, none below an earlier one.

    Args:
        p: p values; NaN counts as 1.
    """
    values = np.nan_to_num(np.asarray(p, float), nan=1.0)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * (len(values) - np.arange(len(values)))))
    return adjusted


def holm_levels(p: Sequence[float], level: float = LEVEL) -> np.ndarray:
    """The level of the interval that fits Holm's decision on each comparison.

    The k-th smallest of m p values is tested at (1 - level) / (m - k + 1). From the first that fails on, its own level
    holds for all.

    Args:
        p: p values; NaN counts as 1.
        level: of the family.
    """
    values = np.nan_to_num(np.asarray(p, float), nan=1.0)
    order, count = np.argsort(values, kind="stable"), len(values)
    tested = (1 - level) / (count - np.arange(count))
    failed = np.flatnonzero(values[order] >= tested)
    if len(failed):
        tested[failed[0] :] = tested[failed[0]]
    levels = np.empty(count)
    levels[order] = 1 - tested
    return levels


def paired_difference(first: Sequence[float], second: Sequence[float], level: float = LEVEL) -> tuple[float, ...]:
    """Mean of the paired differences, its t interval and its p value: (mean, low, high, p).

    Fewer than two pairs, or differences that are all equal, give no estimate of the noise: the last three are NaN.

    Args:
        first, second: figures of the same seeds in the same order.
        level: of the interval.
    """
    differences = np.asarray(first, float) - np.asarray(second, float)
    count = len(differences)
    mean = float(differences.mean()) if count else math.nan
    spread = float(differences.std(ddof=1)) if count > 1 else 0.0
    if spread <= 1e-12 * max(1.0, abs(mean)):
        return mean, math.nan, math.nan, math.nan
    error = spread / math.sqrt(count)
    half = t_quantile((1 + level) / 2, count - 1) * error
    return mean, mean - half, mean + half, 2 * t_cdf(-abs(mean) / error, count - 1)


def differences(
    figures: Mapping[str, Mapping[int, float]], reference: str | None = None, level: float = LEVEL
) -> list[Difference]:
    """Every pair of candidates compared over their common seeds, corrected for the number of comparisons.

    Args:
        figures: by candidate and seed.
        reference: compare each with this candidate alone, which needs fewer comparisons; None compares all pairs.
        level: of the family of all comparisons together.

    Raises:
        ValueError: there is no such reference.
    """
    if reference is not None and reference not in figures:
        raise ValueError(f"the reference is {reference!r}; expected one of {', '.join(figures)}")
    pairs = list(itertools.combinations(figures, 2))
    if reference is not None:
        pairs = [(name, reference) for name in figures if name != reference]
    sides = [_common(figures[first], figures[second]) for first, second in pairs]
    p = [paired_difference(*values)[3] for values in sides]
    adjusted, levels = holm(p), holm_levels(p, level)
    found = []
    for pair, values, own, corrected, at in zip(pairs, sides, p, adjusted, levels, strict=True):
        mean, low, high, _ = paired_difference(*values, level=at)
        exceeds = bool(corrected < 1 - level)
        found.append(Difference(*pair, mean, low, high, own, float(corrected), len(values[0]), exceeds))
    return found


def _common(first: Mapping[int, float], second: Mapping[int, float]) -> tuple[list[float], list[float]]:
    """The figures of the seeds that both have."""
    seeds = sorted(set(first) & set(second))
    return [first[seed] for seed in seeds], [second[seed] for seed in seeds]


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's tau-b: agreement of two rankings from -1 to 1, corrected for ties; NaN where one has no order."""
    a, b = np.asarray(first, float), np.asarray(second, float)
    return float(_taus_of_different(np.arange(len(a))[None], a[None], b[None])[0])


@dataclass(frozen=True)
class Agreement:
    """Of two rankings of the same candidates.

    Attributes:
        tau: Kendall's tau-b of the means.
        low, high: the percentile interval of the bootstrap.
        candidates: how many both have.
    """

    tau: float
    low: float
    high: float
    candidates: int


def agreement(
    first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]], level: float = LEVEL,
    draws: int = 2000, seed: int = 0,
) -> Agreement:  # fmt: skip
    """Kendall's tau of the candidates' means, with a bootstrap interval.

    Each draw takes as many candidates with replacement, and for each of them as many of its figures with replacement,
    so that the interval has the noise of the seeds and that of the choice of candidates. Draws without an order are
    left out.

    Args:
        first, second: figures of each candidate, one for each seed; candidates that one lacks are left out.
        level: of the interval.
        draws: of the bootstrap.
        seed: of its random numbers.

    Raises:
        ValueError: fewer than two candidates are common.
    """
    names = [name for name in first if name in second]
    if len(names) < 2:
        raise ValueError(f"{len(names)} candidates are in both rankings; expected at least 2")
    rng = np.random.default_rng(seed)
    sides = [[np.asarray(side[name], float) for name in names] for side in (first, second)]
    tau = kendall_tau(*([values.mean() for values in side] for side in sides))
    chosen = rng.integers(len(names), size=(draws, len(names)))
    found = _taus_of_different(chosen, *(_resampled_means(side, chosen, rng) for side in sides))
    found = found[np.isfinite(found)]
    tail = (1 - level) / 2
    low, high = np.quantile(found, [tail, 1 - tail]) if len(found) else (math.nan, math.nan)
    return Agreement(tau, float(low), float(high), len(names))


def _resampled_means(side: list[np.ndarray], chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each candidate in `chosen`, the mean of as many of its figures as it has, drawn with replacement."""
    means = np.empty(chosen.shape)
    for place, values in enumerate(side):
        here = chosen == place
        means[here] = values[rng.integers(len(values), size=(here.sum(), len(values)))].mean(axis=1)
    return means


def _taus_of_different(chosen: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of each row over its pairs of different candidates; NaN where a row has no order.

    A candidate that is drawn twice has one rank; its copies say nothing about order.
    """
    left, right = np.triu_indices(chosen.shape[1], 1)
    different = chosen[:, left] != chosen[:, right]
    signs = [np.sign(values[:, left] - values[:, right]) * different for values in (first, second)]
    scale = np.sqrt((signs[0] != 0).sum(axis=1) * (signs[1] != 0).sum(axis=1))
    return np.divide((signs[0] * signs[1]).sum(axis=1), scale, out=np.full(len(chosen), math.nan), where=scale > 0)


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Numbers of the points that no other beats: none has a cost as low and a value as high, and one of them better.

    Args:
        costs: the lower the better; values: the higher the better. Points with NaN are left out.

    Returns:
        In ascending order of cost.
    """
    costs, values = np.asarray(costs, float), np.asarray(values, float)
    points = [number for number in range(len(costs)) if np.isfinite(costs[number]) and np.isfinite(values[number])]

    def beaten(number: int) -> bool:
        return any(
            costs[other] <= costs[number] and values[other] >= values[number]
            and (costs[other] < costs[number] or values[other] > values[number])
            for other in points
        )  # fmt: skip

    return sorted((number for number in points if not beaten(number)), key=lambda number: (costs[number], number))
