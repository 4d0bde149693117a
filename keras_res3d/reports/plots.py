"""Learning curves, confusion matrices and timelines as matplotlib figures, drawn without a display."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from keras_res3d.io import atomic_path
from keras_res3d.remote import as_path
from keras_res3d.tables import printable

if TYPE_CHECKING:
    # Keras comes with it, which pictures can do without.
    from keras_res3d.inference.events import Event

# Okabe and Ito's palette: told apart by colour-blind readers too.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]


def new_figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def literal(figure: Figure) -> Figure:
    """The figure with its text as it is: a class called `$5` or `a_$b$` is a name and no formula."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    return figure


def line_label(text: str) -> str:
    """A line's name as a legend shows it: one that begins with `_` would be left out."""
    return (" " if text.startswith("_") else "") + printable(text)


def plain_axes(axes) -> None:
    """Takes the frame off two sides and puts a faint grid behind the lines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


# What a history may hold: panel, key, what the line is called, style. The loops of Keras call the accuracy "accuracy".
HISTORY_LINES = (
    ("loss", "loss", "training", "-"),
    ("loss", "val_loss", "validation", "--"),
    ("accuracy", "clip@1", "training clips", "-"),
    ("accuracy", "accuracy", "training clips", "-"),
    ("accuracy", "clip_F1", "training clips, F1", "-"),
    ("accuracy", "val_clip@1", "validation clips", ":"),
    ("accuracy", "val_accuracy", "validation clips", ":"),
    ("accuracy", "val_video@1", "validation videos", "--"),
    ("accuracy", "val_clip_mAP", "validation clips, mAP", ":"),
    ("accuracy", "val_mAP", "validation videos, mAP", "--"),
)


def learning_curves(histories: Mapping[str, Mapping[str, Sequence[float]]], chance: float | None = None) -> Figure:
    """Loss and accuracy over the epochs in two panels, a colour per run.

    Lines are solid for training, dashed for validation (loss and videos) and dotted for validation clips.

    Args:
        histories: for each run what `train` returned, or the `history` of Keras' `History`: values of each epoch
            under `loss`, `clip@1` or `accuracy`, `val_loss`, `val_clip@1` or `val_accuracy`, `val_video@1`; of several
            labels `clip_F1`, `val_clip_mAP`, `val_mAP`. Any of them may be missing, and others are left out.
        chance: accuracy of guessing in 0..1, drawn as a thin line.
    """
    figure = new_figure(9, 3.4)
    panels = dict(zip(("loss", "accuracy"), figure.subplots(1, 2), strict=True))
    for colour, (name, history) in zip(COLOURS * 9, histories.items(), strict=False):
        for panel, key, what, style in HISTORY_LINES:
            values = history.get(key, ())
            if len(values):
                marker = "o" if len(values) == 1 else None
                label = line_label(f"{name}, {what}")
                panels[panel].plot(range(1, len(values) + 1), values, style, color=colour, marker=marker, label=label)
    if chance:
        panels["accuracy"].axhline(chance, color="0.5", linestyle="-.", linewidth=1, label="chance")
    panels["accuracy"].set_ylim(0, 1.02)
    for title, axes in panels.items():
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.get_major_locator().set_params(integer=True)
        plain_axes(axes)
        if axes.lines:
            axes.legend(fontsize=8, frameon=False)
    return literal(figure)


def confusion_matrix(confusion: np.ndarray, labels: Sequence[str], title: str = "") -> Figure:
    """True classes as rows, predicted ones as columns; the colour is the share of the row, the numbers are videos.

    Numbers are written for up to 30 classes and names for up to 120; more of them would not be legible.

    Args:
        confusion: number of videos, `(classes, classes)`.
        labels: class names.
        title: of the picture.
    """
    count, labels, title = len(labels), [printable(label) for label in labels], printable(title)
    side = min(30, max(3.6, 0.34 * count + 1.6))
    figure = new_figure(side, side)
    axes = figure.subplots()
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if count <= 120:
        size = 9 if count <= 30 else 6
        axes.set_xticks(range(count), labels, rotation=90, fontsize=size)
        axes.set_yticks(range(count), labels, fontsize=size)
    if count <= 30:
        for row, column in zip(*np.nonzero(confusion), strict=True):
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, confusion[row, column], ha="center", va="center", color=colour, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    return literal(figure)


def timeline(
    seconds: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    title: str = "",
    top: int = 5,
    events: Sequence[Event] | None = None,
    threshold: float | None = None,
) -> Figure:
    """Scores over time for the classes with the highest mean score, and events as bars below them.

    Args:
        seconds: centre of each clip, `(clips,)`.
        probabilities: `(clips, classes)`.
        labels: class names.
        title: of the picture.
        top: how many classes to draw.
        events: as of `find_events`; classes with an event, the highest peak first, are drawn before others.
        threshold: drawn as a thin line.
    """
    numbers = _drawn(probabilities, top, events or ())
    colours = dict(zip(numbers, COLOURS * (len(numbers) // len(COLOURS) + 1), strict=False))
    figure = new_figure(9, 3.2 if events is None else 3.6 + 0.22 * len(numbers))
    rows = 1 if events is None else 2
    ratios = (1,) if events is None else (3, 0.25 + 0.25 * len(numbers))
    axes, *below = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    for number, colour in colours.items():
        axes.plot(seconds, probabilities[:, number], color=colour, label=line_label(labels[number]),
                  marker="o" if len(seconds) < 60 else None, markersize=3)  # fmt: skip
    if threshold is not None:
        axes.axhline(threshold, color="0.5", linestyle="-.", linewidth=1, label=f"threshold {threshold:g}")
    axes.set(ylabel="score", title=printable(title))
    if probabilities.min() >= 0 and probabilities.max() <= 1:  # logits have a range of their own
        axes.set_ylim(0, 1.02)
    plain_axes(axes)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    for lanes in below:
        _draw_events(lanes, events, colours, labels)
    (below or [axes])[-1].set_xlabel("seconds")
    return literal(figure)


def _drawn(probabilities: np.ndarray, top: int, events: Sequence[Event]) -> list[int]:
    """Numbers of the classes that a timeline shows: those with the highest events, then those with the best mean."""
    peaks: dict[int, float] = {}
    for event in events:
        peaks[event.number] = max(event.peak, peaks.get(event.number, event.peak))
    best = np.argsort(-probabilities.mean(axis=0)).tolist()
    return list(dict.fromkeys([*sorted(peaks, key=lambda number: -peaks[number]), *best]))[:top]


def _draw_events(axes, events: Sequence[Event], colours: Mapping[int, str], labels: Sequence[str]) -> None:
    """A lane for each class that is drawn, with its events as bars."""
    for lane, (number, colour) in enumerate(colours.items()):
        bars = [(event.start, event.end - event.start) for event in events if event.number == number]
        axes.broken_barh(bars, (lane - 0.35, 0.7), color=colour)
    axes.set_yticks(range(len(colours)), [printable(labels[number]) for number in colours], fontsize=8)
    axes.set(ylim=(len(colours) - 0.5, -0.5), ylabel="events", axisbelow=True)
    plain_axes(axes)


def save_png(figure: Figure, path: str | os.PathLike, dpi: int = 120) -> os.PathLike:
    """Writes the figure as PNG, whole or not at all; returns the path. Missing folders are made."""
    with atomic_path(path) as aside:
        figure.savefig(aside, format="png", dpi=dpi)
    return as_path(path)


def as_svg(figure: Figure) -> str:
    """The figure as an SVG element for an HTML page, its text drawn as outlines, without comments or metadata."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    # Matplotlib repeats every text in a comment, class names with markup in them too.
    return re.sub(r"<!--.*?-->\s*", "", text[text.index("<svg") :], flags=re.S)
