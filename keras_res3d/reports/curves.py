"""Accuracy over dimensions, ROC and precision-recall curves, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_res3d.measures import Curves
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
    return _roc({f"area {100 * auc:.1f} %": (false_rate, true_rate)}, title)


def roc_curves(curves: Mapping[str, Curves], title: str = "") -> Figure:
    """The ROC curve of each class as the positive one, beside the diagonal of guessing.

    Args:
        curves: by class, as `Scores.curves` gives them.
        title: of the picture.
    """
    lines = {f"{name}, area {100 * each.auc:.1f} %": (each.false_positive_rate, each.true_positive_rate)
             for name, each in curves.items()}  # fmt: skip
    return _roc(lines, title)


def _roc(lines: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str) -> Figure:
    figure, axes = _unit_square("false positive rate", "true positive rate", title)
    for colour, (label, (false_rate, true_rate)) in zip(COLOURS * 9, lines.items(), strict=False):
        axes.plot(false_rate, true_rate, color=colour, label=line_label(label))
    axes.plot([0, 1], [0, 1], color="0.5", linestyle="-.", linewidth=1, label="guessing")
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return literal(figure)


def precision_recall_curves(curves: Mapping[str, Curves], title: str = "") -> Figure:
    """The precision-recall curve of each class as the positive one, in steps; guessing is a thin line of its colour.

    Args:
        curves: by class, as `Scores.curves` gives them.
        title: of the picture.
    """
    figure, axes = _unit_square("recall", "precision", title)
    for colour, (name, each) in zip(COLOURS * 9, curves.items(), strict=False):
        label = line_label(f"{name}, average precision {100 * each.average_precision:.1f} %")
        axes.step(each.true_positive_rate, each.precision, where="pre", color=colour, label=label)
        # The last point calls every video positive: its precision is the share of the class.
        axes.axhline(each.precision[-1], color=colour, linestyle="-.", linewidth=0.8, alpha=0.6)
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    return literal(figure)


def _unit_square(x: str, y: str, title: str) -> tuple[Figure, Axes]:
    figure = new_figure(4.6, 4.6)
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1.005), ylim=(0, 1.01), aspect="equal", title=printable(title))
    plain_axes(axes)
    return figure, axes
