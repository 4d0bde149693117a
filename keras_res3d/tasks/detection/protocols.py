"""How detections are scored: the released evaluation on THUMOS'14, and ActivityNet's; a row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from keras_res3d.tasks.detection.matching import (
    interpolated_average_precision,
    match_detections_first,
    match_instances_first,
    plain_average_precision,
)

# Suppression of the released evaluation: its threshold lies so far below the IoU that is asked for.
RELEASED_NMS, RELEASED_MARGIN = "released", 0.1


@dataclass(frozen=True)
class Protocol:
    """A way of scoring.

    Attributes:
        thresholds: of IoU.
        match: says which detections are right, as of `match_instances_first`.
        average_precision: as of `plain_average_precision`.
        rounds: whether times count to 0.1 seconds and scores to 5 digits.
        spares_ambiguous: whether a wrong detection that overlaps an ambiguous moment is left out.
    """

    thresholds: tuple[float, ...]
    match: Callable[[np.ndarray, float], np.ndarray]
    average_precision: Callable[[np.ndarray, int], float]
    rounds: bool
    spares_ambiguous: bool


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({
    "thumos14": Protocol((0.3, 0.4, 0.5, 0.6, 0.7), match_instances_first, plain_average_precision, True, True),
    "activitynet": Protocol((0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95), match_detections_first,
                            interpolated_average_precision, False, False),
})  # fmt: skip


def check_thresholds(thresholds: Sequence[float]) -> None:
    """Raises ValueError where thresholds of IoU are none, or one is out of range."""
    if not len(thresholds) or not all(0 < threshold <= 1 for threshold in thresholds):
        raise ValueError(f"the thresholds of IoU are {list(thresholds)}; expected one or more, above 0 and up to 1")
