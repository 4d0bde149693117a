"""Curves and confusion matrices as parts of an HTML page: they follow its width, its fonts and its colour scheme."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator
from PIL import Image

from keras_res3d.measures import Curves
from keras_res3d.reports.pages import picture_address
from keras_res3d.reports.plots import HISTORY_LINES
from keras_res3d.scores import Scores

# In units of the drawing: on a telephone a unit is about a pixel.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 220, 40, 8, 10, 24
# More classes than this are not told apart in a matrix with names and numbers.
MOST_NAMED, MOST_CONFUSED = 30, 20
ACCENT = (0, 114, 178)


@dataclass(frozen=True)
class Line:
    """A line of a chart as the page draws it.

    Attributes:
        name: in the legend.
        style: "solid" or "dashed" or "dotted".
        colour: number of its colour, from 0.
        paths: points of each unbroken piece, as an SVG path.
        points: (x, y) of values that have no neighbour.
        last: the last finite value, as text.
    """

    name: str
    style: str
    colour: int
    paths: tuple[str, ...]
    points: tuple[tuple[float, float], ...]
    last: str


@dataclass(frozen=True)
class Chart:
    """A panel of curves: lines, and (place, text) of the ticks of both axes; `over` says what the lower one is."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    guide: float | None
    over: str = "the epochs"
    macro = "chart"
    width, height, left, right, top, bottom = WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM


_STYLES = {"-": "solid", "--": "dashed", ":": "dotted"}


def history_charts(histories: Mapping[str, Mapping[str, Sequence[float]]], chance: float | None = None) -> list[Chart]:
    """Loss and accuracy over the epochs; a panel without a value is left out.

    Args:
        histories: of each run, as of `plots.learning_curves`. A value that is not finite leaves a gap.
        chance: accuracy of guessing in 0..1, drawn as a thin line.
    """
    panels: dict[str, list] = {"loss": [], "accuracy": []}
    for number, (name, history) in enumerate(histories.items()):
        for panel, key, what, style in HISTORY_LINES:
            values = np.array(history.get(key, ()), float)
            if np.isfinite(values).any():
                shown = f"{name}, {what}" if len(histories) > 1 else what
                panels[panel].append((shown, _STYLES[style], number, values))
    charts = []
    for panel, rows in panels.items():
        if rows:
            charts.append(_chart(panel, rows, (0.0, 1.0) if panel == "accuracy" else None,
                                 chance if panel == "accuracy" else None))  # fmt: skip
    return charts


def _chart(title: str, rows: list, limits: tuple[float, float] | None, guide: float | None) -> Chart:
    finite = np.concatenate([values[np.isfinite(values)] for *_, values in rows])
    low, high = limits or (min(0.0, float(finite.min())), float(finite.max()))
    low, high = float(low), float(high if high > low else low + 1)
    epochs = max(len(values) for *_, values in rows)

    def x(epoch: float) -> float:
        return round(LEFT + (epoch - 1) / max(epochs - 1, 1) * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    lines = []
    for name, style, colour, values in rows:
        pieces = _pieces(values)
        places = [[(x(epoch + 1), y(values[epoch])) for epoch in piece] for piece in pieces]
        paths = tuple("M" + "L".join(f"{a} {b}" for a, b in piece) for piece in places if len(piece) > 1)
        points = tuple(piece[0] for piece in places if len(piece) == 1)
        last = values[np.isfinite(values)][-1]
        lines.append(Line(name, style, colour % 8, paths, points, _number(last, limits is not None)))
    x_ticks = [tick for tick in MaxNLocator(6, integer=True).tick_values(1, epochs) if 1 <= tick <= epochs]
    y_ticks = [tick for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high + 1e-9]
    return Chart(
        title, tuple(lines), tuple((x(tick), f"{tick:.0f}") for tick in x_ticks or [1.0]),
        tuple((y(tick), f"{tick:.0%}" if limits else f"{tick:g}") for tick in y_ticks),
        None if guide is None else y(guide),
    )  # fmt: skip


def curve_charts(curves: Mapping[str, Curves]) -> list[Chart]:
    """The ROC curve and the precision-recall curve of each class; the legend has the area, or the average precision.

    Args:
        curves: by class, as `Scores.curves` gives them.
    """
    if not curves:
        return []
    roc = {name: (each.false_positive_rate, each.true_positive_rate, each.auc) for name, each in curves.items()}
    # Between two points the precision is that of the later one.
    steps = {name: (each.true_positive_rate.repeat(2)[:-1], each.precision.repeat(2)[1:], each.average_precision)
             for name, each in curves.items()}  # fmt: skip
    return [_shares("ROC curve", roc, "the false positive rate"),
            _shares("precision over recall", steps, "the recall")]  # fmt: skip


def _shares(title: str, rows: Mapping[str, tuple[np.ndarray, np.ndarray, float]], over: str) -> Chart:
    """A panel whose axes both go from 0 % to 100 %."""
    across, up = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    lines = []
    for number, (name, (x, y, figure)) in enumerate(rows.items()):
        places = np.stack([LEFT + x * across, TOP + (1 - y) * up], axis=1).round(1)
        # Of points that fall together one is enough: a curve may have a million.
        kept = places[np.append(True, (np.diff(places, axis=0) != 0).any(axis=1))]
        path = "M" + "L".join(f"{a} {b}" for a, b in kept.tolist())
        lines.append(Line(name, "solid", number % 8, (path,), (), f"{figure:.1%}"))
    ticks = [(share, f"{share:.0%}") for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    return Chart(title, tuple(lines), tuple((round(LEFT + share * across, 1), text) for share, text in ticks),
                 tuple((round(TOP + (1 - share) * up, 1), text) for share, text in ticks), None, over)  # fmt: skip


def _pieces(values: np.ndarray) -> list[list[int]]:
    """Numbers of neighbouring finite values, each run of them as a list."""
    pieces: list[list[int]] = []
    for number in np.flatnonzero(np.isfinite(values)):
        if pieces and pieces[-1][-1] == number - 1:
            pieces[-1].append(int(number))
        else:
            pieces.append([int(number)])
    return pieces


def _number(value: float, share: bool) -> str:
    return f"{value:.1%}" if share else f"{value:.3g}"


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix of a page, with true classes as rows and predicted ones as columns.

    Attributes:
        title: of the matrix.
        rows: for each class shown its number, its name and its cells: (videos, share of the row's videos).
        columns: numbers of the classes shown.
        classes: how many there are in all.
        picture: the data address of a picture of all of them; "" where all are in `rows`.
        mistakes: the commonest ones: (true class, predicted class, videos).
    """

    title: str
    rows: list[tuple[int, str, list[tuple[int, float]]]]
    columns: list[int]
    classes: int
    picture: str
    mistakes: list[tuple[str, str, int]]
    macro = "matrix"


def confusion(scores: Scores, title: str) -> Matrix:
    """The confusion matrix of a page; of more than 30 classes those with the most mistakes, and a picture of all."""
    counts, labels = scores.confusion, scores.labels
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = counts * (1 - np.eye(len(labels), dtype=int))
    chosen = np.arange(len(labels))
    if len(labels) > MOST_NAMED:
        chosen = np.sort(np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:MOST_CONFUSED])
    rows = [
        (int(row) + 1, labels[row], [(int(counts[row, column]), float(share[row, column])) for column in chosen])
        for row in chosen
    ]
    commonest = np.argsort(-wrong, axis=None, kind="stable")[:10]
    pairs = [divmod(int(place), len(labels)) for place in commonest]
    mistakes = [(labels[row], labels[column], int(wrong[row, column])) for row, column in pairs if wrong[row, column]]
    picture = _picture(share) if len(labels) > MOST_NAMED else ""
    return Matrix(title, rows, [int(n) + 1 for n in chosen], len(labels), picture, mistakes)


def _picture(share: np.ndarray) -> str:
    """A pixel or a square of them for each cell; a cell with a single video can still be seen."""
    side = max(1, math.ceil(480 / len(share)))
    pixels = np.empty((*share.shape, 4), np.uint8)
    pixels[..., :3] = ACCENT
    pixels[..., 3] = np.where(share > 0, np.rint(255 * np.maximum(share, 0.3)), 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels.repeat(side, 0).repeat(side, 1)).save(buffer, "PNG", optimize=True)
    return picture_address(buffer.getvalue(), "png")
