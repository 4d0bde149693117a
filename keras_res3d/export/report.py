"""What an export is worth: how far from the Keras model, how large, how fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keras_res3d.multi_label import THRESHOLD
from keras_res3d.tables import as_text

# Of the largest output, by quantisation; what is quantised to integers is judged by its decisions instead.
DIFFERENCE_BOUNDS = {"none": 1e-4, "float16": 1e-2}
AGREEMENT_BOUND = 0.99
# With fewer clips to check on, none may differ; from here on one may, however few a share of them would be.
FEWEST_FOR_ONE = 10
# Without a classifier there are no decisions to judge integers by.
FEATURE_DIFFERENCE_BOUND = 0.25


class ExportError(ValueError):
    """An export that could not be made, or is not what the Keras model is; nothing was written."""


def largest_difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Relative to the largest value expected."""
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny))


def top1_agreement(expected: np.ndarray, found: np.ndarray) -> float:
    """Share of rows of `(clips, classes)` where both have the same best class."""
    return float((expected.argmax(-1) == found.argmax(-1)).mean())


def labels_given(expected: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is compared of a multi-label net: the labels that either model gives to a clip, each as a no or a yes.

    Labels that neither gives do not count. Of many classes they are nearly all, and an export that gives no label at
    all would agree on them.

    Args:
        expected, found: probabilities `(clips, classes)` of the Keras model and of the export.

    Returns:
        Of both the probabilities of no and yes, `(labels, 2)`.
    """
    either = (expected > THRESHOLD) | (found > THRESHOLD)
    return tuple(np.stack([1 - scores[either], scores[either]], axis=-1) for scores in (expected, found))


def rounding_step(expected: np.ndarray) -> float:
    """What int8 outputs can tell apart: 1/256 of probabilities, else 1/255 of the range that the outputs span."""
    if expected.min() >= 0 and expected.max() <= 1:
        return 1 / 256
    return float(expected.max() - expected.min()) / 255


def decided(expected: np.ndarray) -> np.ndarray:
    """For each row of `(clips, classes)`: whether its best class leads the second by an int8 step or more."""
    if expected.shape[-1] < 2:
        return np.ones(len(expected), bool)
    best = np.sort(expected, -1)
    return best[:, -1] - best[:, -2] >= rounding_step(expected)


def allowed_misses(clips: int, min_agreement: float) -> int:
    """How many of `clips` may have another best class.

    Too few clips cannot show the share asked for (no share of 54 lies between 98.2 % and 100 %), so of `FEWEST_FOR_ONE`
    clips or more one may always differ, unless the share asked for is 1.
    """
    share = int(clips * (1 - min_agreement) + 1e-9)
    return max(share, int(min_agreement < 1 and clips >= FEWEST_FOR_ONE))


class _Words(NamedTuple):
    """How a report speaks of decisions: what there are many of, and sentences about them."""

    many: str
    same: str
    differ: str
    close: str
    others: str


_ONE_LABEL = _Words(
    "clips",
    "same top-1",
    "its best class is another than the Keras model's on {} of {} clips",
    "On {} of {} clips the Keras model's two best classes are closer",
    "on the others the best class is the same",
)
_SEVERAL_LABELS = _Words(
    "labels",
    "same labels",
    "{0} of the {1} labels that it or the Keras model gives to a clip (above 0.5) are given by one of the two alone",
    "On {} of {} labels the Keras model's yes and no are closer",
    "on the others both agree",
)


@dataclass(frozen=True)
class ExportReport:
    """An export beside the Keras model it was made from, both run on the same clips on this machine.

    Attributes:
        path, format, quantize, form: of the export.
        clips: how many both were run on.
        largest_difference: of the outputs, relative to the largest one.
        top1_agreement: share of clips with the same best class; None for a net without a classifier.
        size_bytes, latency_seconds: of the export; one clip, median, all threads.
        peak_memory_bytes: of a process that loads the export and runs it, runtime included.
        keras_size_bytes, keras_latency_seconds: of the Keras model's weights, and of the model as a `tf.function`.
        seconds: conversion and check together.
        close_clips: how many of them have a best class in Keras that leads by less than an int8 step (`rounding_step`),
            so that rounding decides; the bound is not on these.
        decided_agreement: share of the other clips with the same best class; None where there are none.
        min_agreement: what that share has to be for "dynamic" and "int8".
        labels: of a multi-label net, how many labels either model gives to all clips together, as of `labels_given`.
            `top1_agreement`, `close_clips` and `decided_agreement` are then about these, not about clips. None of other
            nets.
    """

    path: str
    format: str
    quantize: str
    form: str
    clips: int
    largest_difference: float
    top1_agreement: float | None
    size_bytes: int
    latency_seconds: float
    peak_memory_bytes: int
    keras_size_bytes: int
    keras_latency_seconds: float
    seconds: float
    close_clips: int = 0
    decided_agreement: float | None = None
    min_agreement: float = AGREEMENT_BOUND
    labels: int | None = None

    @property
    def _words(self) -> _Words:
        return _ONE_LABEL if self.labels is None else _SEVERAL_LABELS

    @property
    def _judged(self) -> int:
        """How many decisions there are."""
        return self.clips if self.labels is None else self.labels

    def fault(self) -> str | None:
        """What misses its bound, as a sentence, or None."""
        if not np.isfinite(self.largest_difference):
            return "its output holds NaN or infinite values"
        bound = DIFFERENCE_BOUNDS.get(self.quantize)
        if bound is None and self.decided_agreement is not None:
            return self._disagreement()
        bound = FEATURE_DIFFERENCE_BOUND if bound is None else bound
        if self.largest_difference <= bound:
            return None
        return f"it differs by {self.largest_difference:.1e} of the largest output; at most {bound:.0e} expected"

    def _disagreement(self) -> str | None:
        """What is said where more best classes, or decisions about labels, differ than may."""
        count, words = self._judged - self.close_clips, self._words
        misses, allowed = round(count * (1 - self.decided_agreement)), allowed_misses(count, self.min_agreement)
        if misses <= allowed:
            return None
        if count * (1 - self.min_agreement) < 1:
            bound = (f"at most {allowed} may differ, as {count} {words.many} are too few to show the "
                     f"{self.min_agreement:.4g} asked for")  # fmt: skip
        else:
            bound = f"at least {self.min_agreement:.4g} expected (min_agreement), so at most {allowed} may differ"
        return (
            f"{words.differ.format(misses, count)}; {bound}. Calibrate and "
            "check on clips like those it will see" + self._close(". ", "; these do not count")
        )

    def _close(self, before: str, after: str) -> str:
        """A remark on clips without a decision; "" where there are none."""
        if not self.close_clips:
            return ""
        return f"{before}{self._words.close.format(self.close_clips, self._judged)} than an int8 step{after}"

    def rows(self) -> list[tuple[str, ...]]:
        """Header, the Keras model, the export."""
        agreement = "-" if self.top1_agreement is None else f"{self.top1_agreement:.1%}"
        keras = f"{self.keras_size_bytes / 1e6:.1f}", f"{self.keras_latency_seconds * 1e3:.1f}"
        own = f"{self.size_bytes / 1e6:.1f}", f"{self.latency_seconds * 1e3:.1f}"
        name = f"{self.format} {self.form}" + ("" if self.quantize == "none" else f" {self.quantize}")
        return [
            ("", "MB", "ms/clip", "peak MB", "largest difference",
             f"{self._words.same} ({self._judged} {self._words.many})"),
            ("keras", *keras, "-", "-", "-"),
            (name, *own, f"{self.peak_memory_bytes / 1e6:.0f}", f"{self.largest_difference:.1e}", agreement),
        ]

    def table(self) -> str:
        """The export beside the Keras model, as aligned text."""
        header, *rows = self.rows()
        text = as_text(list(header), [list(row) for row in rows])
        if self.decided_agreement is None or self.quantize in DIFFERENCE_BOUNDS:
            return text
        return text + self._close("\n", f"; {self._words.others} for {self.decided_agreement:.1%}")
