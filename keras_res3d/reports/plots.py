"""Learning curves, confusion matrices and timelines as matplotlib figures, drawn without a display."""

from __future__ import annotations

import io
import pathlib

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by colour-blind readers too.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def learning_curves(histories: dict[str, dict[str, list[float]]], chance: float | None = None) -> Figure:
    """Loss and accuracy over the epochs, a colour per run; solid for training, dashed for validation videos.

    Args:
        histories: for each run what `train` returned.
        chance: accuracy of guessing, drawn as a dotted line.
    """
    figure = _figure(9, 3.4)
    loss, accuracy = figure.subplots(1, 2)
    for colour, (name, history) in zip(COLOURS * 9, histories.items(), strict=False):
        epochs = np.arange(1, len(history["loss"]) + 1)
        marker = "o" if len(epochs) == 1 else None
        loss.plot(epochs, history["loss"], color=colour, marker=marker, label=name)
        accuracy.plot(epochs, history["clip@1"], color=colour, marker=marker, label=f"{name}, training clips")
        if "val_video@1" in history:
            values, label = history["val_video@1"], f"{name}, validation videos"
            accuracy.plot(epochs, values, "--", color=colour, marker=marker, label=label)
    if chance:
        accuracy.axhline(chance, color="0.5", linestyle=":", label="chance")
    for axes, title in ((loss, "loss"), (accuracy, "accuracy")):
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _plain(axes)
    accuracy.set_ylim(0, 1.02)
    accuracy.legend(fontsize=8, frameon=False)
    return figure


def confusion_matrix(confusion: np.ndarray, labels, title: str = "") -> Figure:
    """True classes as rows, predicted ones as columns; colour is the share of the row, numbers are videos.

    Numbers are written for up to 30 classes and names for up to 120; beyond that the picture would be black with them.
    """
    count = len(labels)
    side = min(30, max(3.6, 0.34 * count + 1.6))
    figure = _figure(side, side)
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
    return figure


def timeline(seconds: np.ndarray, probabilities: np.ndarray, labels, title: str = "", top: int = 5) -> Figure:
    """Scores over time for the classes with the highest mean score.

    Args:
        seconds: centre of each clip, `(clips,)`.
        probabilities: `(clips, classes)`.
        labels: class names.
        title: of the picture.
        top: how many classes to draw.
    """
    figure = _figure(9, 3.2)
    axes = figure.subplots()
    for colour, number in zip(COLOURS * 9, np.argsort(-probabilities.mean(axis=0))[:top], strict=False):
        axes.plot(seconds, probabilities[:, number], color=colour, label=labels[number],
                  marker="o" if len(seconds) < 60 else None, markersize=3)  # fmt: skip
    axes.set(xlabel="seconds", ylabel="score", ylim=(0, 1.02), title=title)
    _plain(axes)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def save_png(figure: Figure, path, dpi: int = 120) -> pathlib.Path:
    """Writes the figure as PNG; returns the path."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=dpi)
    return path


def as_svg(figure: Figure) -> str:
    """The figure as an SVG element for an HTML page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
