"""The figures of PCA and of ROC curves."""

import numpy as np
from PIL import Image

from keras_res3d.reports.curves import SMALLEST_SPAN, accuracy_over_dimensions, roc_curve
from keras_res3d.reports.plots import save_png


def test_accuracy_over_dimensions(tmp_path):
    lines = {"_mine": [(10, 50.0), (50, 52.0)], "$x$": [(10, 51.0)]}
    figure = accuracy_over_dimensions(lines, {"_mine": 53.0}, {"Res3D": {10: 56.7}}, "a_$b$")
    axes = figure.axes[0]
    names = [text.get_text().strip() for text in axes.get_legend().get_texts()]
    assert names == ["_mine", "_mine, without projection", "$x$", "Res3D, published"]
    assert list(axes.lines[0].get_ydata()) == [50.0, 52.0]
    low, high = axes.get_ylim()
    assert high - low >= SMALLEST_SPAN
    assert Image.open(save_png(figure, tmp_path / "pca.png")).size[0] > 600


def test_roc_curve():
    figure = roc_curve(np.array([0, 0.5, 1]), np.array([0, 0.9, 1]), 0.7, "pairs")
    axes = figure.axes[0]
    assert list(axes.lines[0].get_ydata()) == [0, 0.9, 1] and "70.0 %" in axes.get_legend().get_texts()[0].get_text()
