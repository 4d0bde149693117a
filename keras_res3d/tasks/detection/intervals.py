"""Stretches of time, `(begin, end)`: how much two of them share. NumPy alone."""

from __future__ import annotations

import numpy as np


def as_spans(spans) -> np.ndarray:
    """The stretches as float64 `(n, 2)`; no stretch at all is `(0, 2)`.

    Raises:
        ValueError: another shape, a time that is not finite, or a stretch that ends before it begins.
    """
    spans = np.asarray(spans, np.float64)
    spans = spans.reshape(0, 2) if spans.size == 0 else spans
    if spans.ndim != 2 or spans.shape[1] != 2:
        raise ValueError(f"the spans have shape {spans.shape}; expected (n, 2), begin and end of each")
    wrong = ~np.isfinite(spans).all(axis=1) | (spans[:, 1] < spans[:, 0])
    if wrong.any():
        begin, end = spans[np.argmax(wrong)]
        raise ValueError(f"a span goes from {begin:g} to {end:g}; expected finite times, the end not before the begin")
    return spans


def shared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How long each of n stretches and each of m overlap, `(n, m)`; 0 where they do not.

    Args:
        first: `(n, 2)`, begin and end.
        second: `(m, 2)`, in the same unit.
    """
    begin = np.maximum(first[:, None, 0], second[None, :, 0])
    end = np.minimum(first[:, None, 1], second[None, :, 1])
    return np.maximum(end - begin, 0.0)


def temporal_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """What each of n stretches and each of m share, as a part of what they cover together, `(n, m)` in 0..1.

    Two stretches that share nothing, or no more than a moment, have 0.

    Args:
        first: `(n, 2)`, begin and end.
        second: `(m, 2)`, in the same unit.
    """
    both = shared(first, second)
    lengths = (first[:, 1] - first[:, 0])[:, None] + (second[:, 1] - second[:, 0])[None, :]
    return np.divide(both, lengths - both, out=np.zeros_like(both), where=both > 0)
