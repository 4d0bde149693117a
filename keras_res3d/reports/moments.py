"""Precision over recall of detections as a matplotlib figure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from keras_res3d.reports.plots import COLOURS, line_label, literal, new_figure, plain_axes
from keras_res3d.tables import printable


def precision_over_recall(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, float]], title: str = ""
) -> Figure:
    """A line for each class, with its average precision in the legend.

    Args:
        curves: for each name precision and recall after each detection, `(detections,)` both, and the average precision
            in 0..1.
        title: of the picture.
    """
    figure = new_figure(8, max(4.2, 0.19 * len(curves) + 0.8))
    axes = figure.subplots()
    styles = itertools.cycle(itertools.product(("-", "--", ":", "-."), COLOURS))
    for (style, colour), (name, (precision, recall, average)) in zip(styles, curves.items(), strict=False):
        axes.plot(recall, precision, style, color=colour, marker="." if len(recall) == 1 else None,
                  label=line_label(f"{name}, {100 * average:.1f} %"))  # fmt: skip
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02), title=printable(title))
    plain_axes(axes)
    if curves:
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return literal(figure)
