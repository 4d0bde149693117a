"""Pictures have the size, the text and the colours they should."""

import io

import numpy as np
from PIL import Image

from keras_res3d.reports import pages, plots

HISTORY = {"loss": [2.0, 1.0], "clip@1": [0.2, 0.6], "val_video@1": [0.1, 0.5]}


def test_learning_curves_name_every_run():
    text = plots.as_svg(plots.learning_curves({"3D": HISTORY, "2D": {"loss": [2.0], "clip@1": [0.1]}}, 0.125))
    assert text.startswith("<svg") and text.rstrip().endswith("</svg>")


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


def test_animation_holds_every_frame():
    import base64

    clip = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3), np.uint8)
    address = pages.animation(clip, scale=2)
    image = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    assert image.n_frames == 5 and image.size == (16, 16)
    image.seek(3)
    assert np.array_equal(np.asarray(image.convert("RGB"))[::2, ::2], clip[3])


def test_page_is_self_contained_and_escapes():
    clip = np.zeros((2, 8, 8, 3), np.uint8)
    grid = pages.clip_grid([(clip, "<b>", [("net", "<b>", 0.5)])])
    text = pages.page("t & t", "lead", [("tables", pages.table(["a", "b"], [["x<y", 1]])), ("clips", grid)])
    assert "x&lt;y" in text and "t &amp; t" in text and "&lt;b&gt;" in text
    assert "http" not in text and "<script" not in text
