"""Accuracy over dimensions, and ROC curves, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from keras_res3d.reports.plots import COLOURS, line_label, literal, new_figure, plain_axes
from keras_res3d.tables import printable

# Percent that the axis of accuracies shows at least, so that a difference of two videos looks as small as it is.
SMALLEST_SPAN = 20


def accuracy_over_dimensions(
    lines: Mapping[str, Sequence[tuple[int, float]]],
    whole: Mapping[str, float] | None = None,
    points: Mapping[str, Mapping[int, float]] | None = None,
    title: str = "",
) -> Figure:
    """Accuracy after PCA, a line for each set of features, as figure 3 of the paper.

    Args:
        lines: for each name, (dimensions, accuracy in percent) in ascending order.
        whole: for each name, the accuracy without a projection: a dashed line.
        points: published accuracies by name and dimensions: hollow marks.
        title: of the picture.
    """
    figure = new_figure(7, 4)
    axes = figure.subplots()
    for colour, (name, line) in zip(COLOURS * 9, lines.items(), strict=False):
        counts, values = zip(*line, strict=True) if line else ((), ())
        axes.plot(counts, values, "o-", color=colour, label=line_label(name))
        if name in (whole or {}):
            axes.axhline(whole[name], color=colour, linestyle="--", linewidth=1,
                         label=line_label(f"{name}, without projection"))  # fmt: skip
    for marker, (name, found) in zip("sD^v" * 9, (points or {}).items(), strict=False):
        axes.plot(list(found), list(found.values()), marker, color="0.35", markerfacecolor="none",
                  label=line_label(f"{name}, published"))  # fmt: skip
    low, high = axes.get_ylim()
    middle, half = (low + high) / 2, max(high - low, SMALLEST_SPAN) / 2
    axes.set(xlabel="dimensions", ylabel="accuracy, %", title=printable(title), ylim=(middle - half, middle + half))
    plain_axes(axes)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return literal(figure)


def roc_curve(false_rate: np.ndarray, true_rate: np.ndarray, auc: float, title: str = "") -> Figure:
    """A ROC curve beside the diagonal of guessing.

    Args:
        false_rate, true_rate: from 0 to 1, `(points,)`.
        auc: the area under it, in 0..1, for the legend.
        title: of the picture.
    """
    figure = new_figure(4.6, 4.6)
    axes = figure.subplots()
    axes.plot(false_rate, true_rate, color=COLOURS[0], label=f"area {100 * auc:.1f} %")
    axes.plot([0, 1], [0, 1], color="0.5", linestyle="-.", linewidth=1, label="guessing")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01), aspect="equal",
             title=printable(title))  # fmt: skip
    plain_axes(axes)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return literal(figure)
