"""Pictures have the size, the text and the colours they should."""

import numpy as np
import pytest
from PIL import Image

from keras_res3d.reports import plots

HISTORY = {"loss": [2.0, 1.0], "clip@1": [0.2, 0.6], "val_loss": [2.1, 1.5], "val_clip@1": [0.1, 0.4],
           "val_video@1": [0.1, 0.5], "seconds": [9.0, 8.0]}  # fmt: skip


def lines(figure):
    """{label: values} of each panel."""
    return [{line.get_label(): list(line.get_ydata()) for line in axes.lines} for axes in figure.axes]


def test_learning_curves_of_our_training():
    loss, accuracy = lines(plots.learning_curves({"3D": HISTORY, "2D": {"loss": [2.0], "clip@1": [0.1]}}, 0.125))
    assert loss == {"3D, training": [2.0, 1.0], "3D, validation": [2.1, 1.5], "2D, training": [2.0]}
    assert accuracy == {
        "3D, training clips": [0.2, 0.6],
        "3D, validation clips": [0.1, 0.4],
        "3D, validation videos": [0.1, 0.5],
        "2D, training clips": [0.1],
        "chance": [0.125, 0.125],
    }


@pytest.mark.parametrize("missing", [(), ("loss",), ("accuracy", "val_accuracy"), ("val_loss", "val_accuracy")])
def test_learning_curves_of_a_keras_history(missing):
    history = {"loss": [2.0, 1.0], "accuracy": [0.2, 0.6], "val_loss": [2.2, 2.1], "val_accuracy": [0.1, 0.2],
               "learning_rate": [0.1, 0.01]}  # fmt: skip
    figure = plots.learning_curves({"net": {key: history[key] for key in history if key not in missing}})
    drawn = [values for panel in lines(figure) for values in panel.values()]
    assert drawn == [history[key] for key in ("loss", "val_loss", "accuracy", "val_accuracy") if key not in missing]


def test_learning_curves_without_an_epoch():
    text = plots.as_svg(plots.learning_curves({"net": {}}))
    assert text.startswith("<svg") and text.rstrip().endswith("</svg>")


ODD_NAMES = ("$\\frac{$", "a_$b$", "<script>alert(1)</script>", "-->", "50 % \\")


def test_class_names_are_no_formulas_and_no_markup(tmp_path):
    figures = [
        plots.confusion_matrix(np.eye(5, dtype=int), ODD_NAMES, "$x$ <b>"),
        plots.timeline(np.array([0.5, 1.0]), np.eye(5)[:2], ODD_NAMES, "$\\frac{$.mp4"),
        plots.learning_curves(dict.fromkeys(ODD_NAMES, HISTORY)),
    ]
    for number, figure in enumerate(figures):
        assert plots.save_png(figure, tmp_path / f"{number}.png").stat().st_size > 5000
        text = plots.as_svg(figure)
        assert "<script" not in text and "<!--" not in text and "-->" not in text
    names = [label.get_text() for label in figures[0].axes[0].get_xticklabels()]
    assert names == list(ODD_NAMES)


def test_names_with_control_characters_and_of_other_bytes_are_drawn_escaped(tmp_path):
    odd = ("red\x1b[31m", "two\nlines", b"\xff".decode("utf-8", "surrogateescape"), "_hidden")
    shown = [r"red\x1b[31m", r"two\nlines", r"\xff", "_hidden"]
    matrix = plots.confusion_matrix(np.eye(4, dtype=int), odd, odd[0])
    line = plots.timeline(np.array([0.5, 1.0]), np.eye(4)[:2], odd, odd[1])
    curves = plots.learning_curves({name: {"loss": [1.0, 2.0]} for name in odd})
    for number, figure in enumerate((matrix, line, curves)):
        assert plots.save_png(figure, tmp_path / f"{number}.png").stat().st_size > 5000
    assert [label.get_text() for label in matrix.axes[0].get_xticklabels()] == shown
    assert matrix.axes[0].get_title() == shown[0] and line.axes[0].get_title() == shown[1]
    # A name that begins with a line below is in the legend like the others.
    for figure, what in ((line, ""), (curves, ", training")):
        legend = [text.get_text().strip() for text in figure.axes[0].get_legend().get_texts()]
        assert sorted(legend) == sorted(name + what for name in shown)


def test_a_name_is_drawn_as_it_is_written():
    """`$a$` is as wide as its three characters, and wider than the formula a."""
    figure = plots.confusion_matrix(np.eye(2, dtype=int), ("$a$", "a"))
    figure.canvas.draw()
    first, second = (label.get_window_extent().height for label in figure.axes[0].get_xticklabels())
    assert first > 2 * second


def test_confusion_matrix_draws_the_diagonal_dark(tmp_path):
    figure = plots.confusion_matrix(np.eye(3, dtype=int) * 5, ("a", "b", "c"), "title")
    path = plots.save_png(figure, tmp_path / "c.png")
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    dark_blue = (pixels[..., 2] - pixels[..., 0] > 60) & (pixels[..., 0] < 60)
    assert 0.05 < dark_blue.mean() < 0.4


def test_confusion_matrix_of_many_classes_stays_drawable():
    figure = plots.confusion_matrix(np.eye(487, dtype=int), [str(i) for i in range(487)])
    assert max(figure.get_size_inches()) <= 30
    assert not figure.axes[0].texts


def test_timeline_draws_the_best_classes(tmp_path):
    scores = np.array([[0.1, 0.7, 0.2], [0.1, 0.8, 0.1]])
    figure = plots.timeline(np.array([0.5, 1.0]), scores, ("a", "b", "c"), "video.mp4", top=2)
    assert [line.get_label() for line in figure.axes[0].lines] == ["b", "c"]
