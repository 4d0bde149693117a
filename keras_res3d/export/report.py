"""What an export is worth: how far from the Keras model, how large, how fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_res3d.tables import as_text

# Of the largest output, by quantisation; what is quantised to integers is judged by its decisions instead.
DIFFERENCE_BOUNDS = {"none": 1e-4, "float16": 1e-2}
AGREEMENT_BOUND = 0.99
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

    def fault(self) -> str | None:
        """What misses its bound, as a sentence, or None."""
        if not np.isfinite(self.largest_difference):
            return "its output holds NaN or infinite values"
        bound = DIFFERENCE_BOUNDS.get(self.quantize)
        if bound is None and self.top1_agreement is not None:
            if self.top1_agreement >= AGREEMENT_BOUND:
                return None
            return (
                f"its best class is the Keras model's for {self.top1_agreement:.1%} of {self.clips} clips; "
                f"at least {AGREEMENT_BOUND:.0%} expected. Calibrate and check on clips like those it will see. A net "
                "that is hardly trained gives all classes nearly the same score, so that the smallest rounding changes "
                "which of them is the best"
            )
        bound = FEATURE_DIFFERENCE_BOUND if bound is None else bound
        if self.largest_difference <= bound:
            return None
        return f"it differs by {self.largest_difference:.1e} of the largest output; at most {bound:.0e} expected"

    def rows(self) -> list[tuple[str, ...]]:
        """Header, the Keras model, the export."""
        agreement = "-" if self.top1_agreement is None else f"{self.top1_agreement:.1%}"
        keras = f"{self.keras_size_bytes / 1e6:.1f}", f"{self.keras_latency_seconds * 1e3:.1f}"
        own = f"{self.size_bytes / 1e6:.1f}", f"{self.latency_seconds * 1e3:.1f}"
        name = f"{self.format} {self.form}" + ("" if self.quantize == "none" else f" {self.quantize}")
        return [
            ("", "MB", "ms/clip", "peak MB", "largest difference", f"same top-1 ({self.clips} clips)"),
            ("keras", *keras, "-", "-", "-"),
            (name, *own, f"{self.peak_memory_bytes / 1e6:.0f}", f"{self.largest_difference:.1e}", agreement),
        ]

    def table(self) -> str:
        """The export beside the Keras model, as aligned text."""
        header, *rows = self.rows()
        return as_text(list(header), [list(row) for row in rows])
