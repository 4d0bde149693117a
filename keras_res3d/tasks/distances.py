"""The twelve distances and similarities of two non-negative vectors that action similarity is judged by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Values that are held at a time, in each of a few arrays.
VALUES_AT_A_TIME = 4_000_000


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, where 0 / 0 counts as 0."""
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)


def _dot(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x * y).sum(axis=1)


def _cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _ratio(_dot(x, y), np.sqrt(_dot(x, x) * _dot(y, y)))


def _intersection(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _ratio(np.minimum(x, y).sum(axis=1), x.sum(axis=1) * y.sum(axis=1))


def _overlap(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _ratio(np.minimum(x, y).sum(axis=1), np.maximum(x, y).sum(axis=1))


# Each takes two float64 arrays (pairs, width) and gives (pairs,).
DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "dot product": _dot,
    "root of the dot product": lambda x, y: np.sqrt(_dot(x, y)),
    "Hellinger affinity": lambda x, y: np.sqrt(np.sqrt(x * y).sum(axis=1)),
    "root of the harmonic sum": lambda x, y: np.sqrt(_ratio(x * y, x + y).sum(axis=1)),
    "cosine": _cosine,
    "chi distance": lambda x, y: np.sqrt(_ratio((x - y) ** 2, x + y).sum(axis=1)),
    "L1 distance": lambda x, y: np.abs(x - y).sum(axis=1),
    "Hellinger distance": lambda x, y: np.sqrt(((np.sqrt(x) - np.sqrt(y)) ** 2).sum(axis=1)),
    "L2 distance": lambda x, y: np.sqrt(((x - y) ** 2).sum(axis=1)),
    "intersection": _intersection,
    "overlap": _overlap,
    "sum of roots of maxima": lambda x, y: np.sqrt(np.maximum(x, y)).sum(axis=1),
}


def distances(values: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The twelve numbers of each pair, in the order of `DISTANCES`.

    Args:
        values: non-negative features, `(videos, width)`.
        first, second: row numbers of each pair, `(pairs,)`.

    Returns:
        float64 `(pairs, 12)`. 0/0 counts as 0.

    Raises:
        ValueError: a value is negative or not finite.
    """
    if not (values.min(initial=0) >= 0 and np.isfinite(values).all()):
        raise ValueError("features have values that are negative or not finite; the twelve distances are of "
                         "non-negative values, such as those of res5b, pool5 and prob")  # fmt: skip
    found = np.empty((len(first), len(DISTANCES)))
    step = max(1, VALUES_AT_A_TIME // max(1, values.shape[1]))
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        x, y = (values[rows[part]].astype("float64") for rows in (first, second))
        for column, distance in enumerate(DISTANCES.values()):
            found[part, column] = distance(x, y)
    return found
