"""The demo: what it shows of a video, and the page itself over HTTP and in a browser where both are installed."""

import importlib.util
import socket
import time

import keras
import numpy as np
import pytest
from PIL import Image

from keras_res3d import export_model, save_model
from keras_res3d.cards import card_of
from keras_res3d.commands.main import main
from keras_res3d.data.types import VideoError
from keras_res3d.inference.classifier import as_classifier, load_model
from keras_res3d.inference.videos import predict_video
from keras_res3d.reports import demo

from ..browser import CHROMIUM, browser
from ..users_models import MODELS, SAMPLING

LABELS = ("<b>a</b>", "b", "c")
with_gradio = pytest.mark.skipif(not importlib.util.find_spec("gradio"), reason="gradio is not installed")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A .keras file and an export of it."""
    folder = tmp_path_factory.mktemp("demo")
    model = MODELS["nested"]()
    save_model(model, folder / "net.keras", labels=LABELS, sampling=SAMPLING)
    export_model(model, folder / "net.tflite", "litert", card=card_of(model, LABELS, SAMPLING))
    return folder / "net.keras", folder / "net.tflite"


@pytest.fixture(scope="module")
def video(tmp_path_factory, make_video):
    frames = np.random.default_rng(0).integers(0, 255, (40, 36, 48, 3), np.uint8)
    return make_video(tmp_path_factory.mktemp("video") / "noise.mp4", frames)


def test_keras_model_and_export_answer_alike(models, video):
    keras, export = (demo.answer(load_model(path), video, 4) for path in models)
    expected = predict_video(models[0], video, 4).mean
    assert list(keras.shares) == [LABELS[n] for n in np.argsort(-expected)]
    assert np.allclose(list(keras.shares.values()), np.sort(expected)[::-1], atol=1e-6)
    assert all(abs(export.shares[name] - share) < 1e-4 for name, share in keras.shares.items())
    assert keras.heat.shape == (4, 32, 32) and export.heat is None and np.array_equal(keras.clip, export.clip)
    assert demo.NO_GRADIENTS in demo.clip_html(export)
    page = demo.clip_html(keras)
    assert page.count("data:image/webp") == 6 and "<b>a" not in page and demo.NO_GRADIENTS not in page


def test_a_model_without_a_layer_to_look_at_is_scored_all_the_same(video):
    layers = [keras.Input((4, 32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]
    found = demo.answer(as_classifier(keras.Sequential(layers), LABELS, SAMPLING), video, 2)
    assert found.heat is None and "no layer whose output has frames" in demo.clip_html(found)
    assert np.isclose(sum(found.shares.values()), 1)


def test_heat_lies_over_the_clip():
    clip = np.full((1, 2, 2, 3), 100, np.uint8)
    shown = demo.overlay(clip, np.array([[[0.0, 1.0], [0.0, 0.0]]]))
    assert shown[0, 0, 0].tolist() == [60, 60, 60] and shown[0, 0, 1, 0] > 200 > shown[0, 0, 1, 2]


def test_logits_are_shown_as_shares():
    logits = np.array([[1.0, -2.0, 3.0]])
    assert np.allclose(demo._shares(logits), np.exp(logits) / np.exp(logits).sum())
    assert np.array_equal(demo._shares(np.array([[0.25, 0.75]])), [[0.25, 0.75]])


def test_a_bad_video_is_an_error_that_the_page_can_show(models, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"\0" * 500)
    with pytest.raises(VideoError, match=r"bad\.mp4"):
        demo.answer(load_model(models[0]), tmp_path / "bad.mp4")


def test_without_gradio(models, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["demo", str(models[0])]) == 1
    assert "pip install 'keras-res3d[demo]'" in capsys.readouterr().err


@pytest.fixture
def served(models, request):
    """The address of a running demo of the Keras model (0) or of the export (1)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = demo.serve_demo(models[request.param], port=port, block=False)
    yield f"http://127.0.0.1:{port}"
    page.close()


@with_gradio
@pytest.mark.parametrize("served", [0, 1], indirect=True)
def test_over_http(served, models, video, tmp_path):
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    client = Client(served, verbose=False, analytics_enabled=False)
    best, plot, page = client.predict(handle_file(str(video)), 4, api_name="/score")
    found = {row["label"]: row["confidence"] for row in best["confidences"]}
    expected = dict(predict_video(models[0], video, 4).top(3))
    assert found.keys() == expected.keys() and all(abs(found[name] - expected[name]) < 1e-4 for name in found)
    assert plot["plot"].startswith("data:image/")
    assert page.count("data:image/webp") == (1 if demo.NO_GRADIENTS in page else 6)
    (tmp_path / "bad.mp4").write_bytes(b"\0" * 500)
    with pytest.raises(AppError, match=r"bad\.mp4"):
        client.predict(handle_file(str(tmp_path / "bad.mp4")), 4, api_name="/score")
    with pytest.raises(AppError, match="Choose a video"):
        client.predict(None, 4, api_name="/score")
    assert not client.config["analytics_enabled"]


@with_gradio
def test_a_port_that_is_taken(models):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="the port is taken"):
            demo.serve_demo(models[1], port=taken.getsockname()[1], block=False)


@with_gradio
@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
@pytest.mark.parametrize("served", [0], indirect=True)
def test_in_a_browser(served, video, tmp_path):
    pytest.importorskip("websockets")
    with browser(tmp_path / "profile") as tab:
        tab.open(served, width=390)
        assert "sr18, 3 classes" in tab.wait_for("sent nowhere")
        tab.wait_for("clips, evenly spread")
        for _ in range(10):  # until the page listens
            if "Click to Upload" in tab.wait_for("Score"):
                tab.give_file(video)
            time.sleep(1)
        shown = tab.wait_for("speaks most for")
        assert "Grad-CAM" in shown and LABELS[0] in shown
        assert tab.value("document.documentElement.scrollWidth <= window.innerWidth")
        tab.screenshot(tmp_path / "page.png")
        assert 370 <= Image.open(tmp_path / "page.png").size[0] <= 390  # less a scroll bar
        outside = [at for at in tab.requested if not at.startswith((served, "data:", "blob:", "about:"))]
    assert not outside
