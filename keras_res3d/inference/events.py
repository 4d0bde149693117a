"""Events of a video: stretches of time in which a class scores high."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from keras_res3d.inference.videos import VideoPrediction

# Seconds by which two times may differ and count as one.
_SAME = 1e-6


@dataclass(frozen=True)
class Event:
    """A stretch of a video in which a class scores high.

    Attributes:
        label: name of the class.
        number: of the class, from 0.
        start: when the first frame of its first clip is shown, in seconds.
        end: when the last frame of its last clip has been shown, in seconds.
        clips: number of clips from the first to the last.
        mean: mean score of these clips.
        peak: their highest score.
    """

    label: str
    number: int
    start: float
    end: float
    clips: int
    mean: float
    peak: float


def find_events(
    prediction: VideoPrediction,
    threshold: float = 0.5,
    *,
    low_threshold: float | None = None,
    min_seconds: float = 0.0,
    max_gap_seconds: float = 0.0,
    classes: Iterable[str] | None = None,
) -> list[Event]:
    """Finds the stretches of a video in which a class scores at or above a threshold.

    Clips that follow one another and reach the threshold are one event. Clips overlap where they start closer together
    than they are long; stretches of one class that overlap in time for that reason are one event, with the clips
    between them. Events of different classes are found apart from each other.

    Args:
        prediction: what `predict_video` gave, best with `step`, so that clips lie close together.
        threshold: score that an event reaches, in the model's own outputs.
        low_threshold: score that an event goes on above, once it has reached `threshold` (hysteresis): a score that
            wavers around one threshold does not cut an event into pieces. None is `threshold`.
        min_seconds: shorter events are left out, after joining.
        max_gap_seconds: events of one class that lie at most this far apart are joined; 0 joins those alone that
            overlap.
        classes: names of the classes to look for; None is all of them.

    Returns:
        Events in the order of their start, then of their class.

    Raises:
        ValueError: a threshold that is no number, a low one above the other, negative seconds, a class that the model
            does not have, or a prediction that has no `extents`.
    """
    low = threshold if low_threshold is None else low_threshold
    _check(prediction, threshold, low, min_seconds, max_gap_seconds)
    found = []
    for number in _numbers(prediction.labels, classes):
        scores = prediction.probabilities[:, number]
        for first, last in _joined(_runs(scores, threshold, low), prediction.extents, max_gap_seconds):
            start, end = float(prediction.extents[first, 0]), float(prediction.extents[last, 1])
            if end - start + _SAME >= min_seconds:
                within = scores[first : last + 1]
                label = str(prediction.labels[number])
                found.append(Event(label, number, start, end, len(within), float(within.mean()), float(within.max())))
    return sorted(found, key=lambda event: (event.start, event.number))


def _check(prediction: VideoPrediction, threshold: float, low: float, min_seconds: float, max_gap: float) -> None:
    if prediction.extents is None:
        raise ValueError("the prediction has no extents, the times from which to which its clips reach; predict_video "
                         "gives them")  # fmt: skip
    if not (math.isfinite(threshold) and math.isfinite(low) and low <= threshold):
        raise ValueError(f"threshold is {threshold!r} and low_threshold is {low!r}; expected numbers, the low one at "
                         "most as high as the other")  # fmt: skip
    for name, value in (("min_seconds", min_seconds), ("max_gap_seconds", max_gap)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} is {value!r}; expected a number of seconds from 0")


def _numbers(labels: tuple[str, ...], classes: Iterable[str] | None) -> list[int]:
    """Numbers of the classes to look for."""
    if classes is None:
        return list(range(len(labels)))
    wanted = [classes] if isinstance(classes, str) else list(classes)
    if not wanted:
        raise ValueError("classes is empty; expected names of classes to look for, or None for all")
    unknown = [name for name in wanted if name not in labels]
    if unknown:
        known = f"{list(labels[:8])}{', ...' if len(labels) > 8 else ''}"
        raise ValueError(f"there is no class {', '.join(map(repr, unknown))}; the model has {known}")
    return [number for number, label in enumerate(labels) if label in wanted]


def _runs(scores: np.ndarray, threshold: float, low: float) -> Iterator[tuple[int, int]]:
    """(first, last) of every run of scores at or above `low` that reaches `threshold`; NaN is neither."""
    held = np.concatenate([[False], scores >= low, [False]])
    edges = np.flatnonzero(held[1:] != held[:-1])
    for first, after in edges.reshape(-1, 2).tolist():
        if (scores[first:after] >= threshold).any():
            yield first, after - 1


def _joined(runs: Iterable[tuple[int, int]], extents: np.ndarray, max_gap: float) -> list[tuple[int, int]]:
    """Runs, joined where they overlap in time or lie at most `max_gap` seconds apart."""
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        gap = extents[first, 0] - extents[joined[-1][1], 1] if joined else math.inf
        if gap < -_SAME or (max_gap > 0 and gap <= max_gap + _SAME):
            joined[-1] = joined[-1][0], last
        else:
            joined.append((first, last))
    return joined
