"""Pictures and a page of detections: precision over recall, the moments of a video on a line of time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from keras_res3d.reports.pages import picture_address, render
from keras_res3d.reports.plots import COLOURS, as_svg, line_label, literal, new_figure, plain_axes
from keras_res3d.reports.search import Thumbnail
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


# (begin, end, strength): seconds, and 0..1.
Bar = tuple[float, float, float]


def moments_on_a_line(
    rows: Sequence[tuple[str, Sequence[Bar], Sequence[Bar]]], seconds: float, title: str = ""
) -> Figure:
    """Moments of a video as bars, a row for each class: what was found in colour, the ground truth in grey below it.

    Args:
        rows: (name, what was found, ground truth) from the top down. Weak detections are pale.
        seconds: of the video.
        title: of the picture.
    """
    figure = new_figure(9, 0.42 * max(1, len(rows)) + 1.1)
    axes = figure.subplots()
    for number, (colour, (_, found, truth)) in enumerate(zip(itertools.cycle(COLOURS), rows, strict=False)):
        for begin, end, strength in found:
            alpha = 0.2 + 0.8 * min(max(strength, 0), 1)
            axes.barh(number - 0.2, end - begin, left=begin, height=0.4, color=colour, alpha=alpha)
        for begin, end, _ in truth:
            axes.barh(number + 0.2, end - begin, left=begin, height=0.3, color="0.45")
    axes.set_axisbelow(True)
    axes.set_yticks(range(len(rows)), [printable(name) for name, *_ in rows], fontsize=8)
    axes.set(xlabel="seconds", xlim=(0, max(seconds, 1e-3)), ylim=(max(1, len(rows)) - 0.5, -0.5),
             title=printable(title))  # fmt: skip
    plain_axes(axes)
    return literal(figure)


@dataclass(frozen=True)
class VideoMoments:
    """A video on the page of what was found.

    Attributes:
        name: of the video.
        timeline: as of `moments_on_a_line`.
        moments: what is played, the surest first.
        more: how many detections are not played.
    """

    name: str
    timeline: Figure
    moments: tuple[Thumbnail, ...]
    more: int = 0

    @property
    def drawing(self) -> str:
        """The timeline as the address of an SVG image, whose texts a page need not escape."""
        return picture_address(as_svg(self.timeline).encode(), "svg+xml")


def moments_page(videos: Sequence[VideoMoments], lead: str) -> str:
    """The page as HTML: for each video its line of time, and the found moments playing.

    Args:
        videos: in their order.
        lead: a sentence about the search.
    """
    return render("moments.html", title="Actions found in videos", lead=lead, videos=videos)
