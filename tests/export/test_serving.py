"""docs/serving.md: the request as TensorFlow Serving decodes it, run by the SavedModel's own signature."""

import base64
import json
import urllib.error

import numpy as np
import pytest

from keras_res3d import save_model
from keras_res3d.commands.main import main
from keras_res3d.data.transform import preprocess_input
from keras_res3d.inference.videos import predict_video

from ..docs.markdown import ROOT, blocks
from .serving import Model, Refused, serving

PAGE = "docs/serving.md"


@pytest.fixture
def here(model, card, tmp_path, monkeypatch, make_video):
    """The current folder of the page's reader: a run and a video."""
    save_model(model, tmp_path / "runs" / "fight" / "model.keras", card)
    make_video(tmp_path / "video.mp4", np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.skipif(not (ROOT / PAGE).exists(), reason="the documentation is not there")
def test_the_page_from_its_first_line_to_its_last(here, model, card, capsys):
    commands = [block.text for block in blocks(PAGE) if block.language == "bash"]
    assert main(commands[0].split()[1:]) == 0
    code = "\n".join(block.text for block in blocks(PAGE) if block.language == "python")
    names = {}
    with serving("res3d", here / "models" / "res3d") as address:
        exec(code.replace("http://127.0.0.1:8501", address), names)
        expected = predict_video(model, "video.mp4", 3, card=card)
        assert np.allclose(names["scores"], expected.probabilities, atol=1e-5)
        assert capsys.readouterr().out.splitlines()[-1].startswith(expected.top(1)[0][0])
        with pytest.raises(urllib.error.HTTPError) as refused:
            names["post"](json.dumps({"instances": [[1, 2, 3]]}), f"{address}/v1/models/res3d:predict")
    assert refused.value.code == 400 and "shape is (1, 3)" in json.load(refused.value)["error"]


def test_rows_columns_and_versions(exported, model, clips, tmp_path):
    exported_path, _ = exported("saved_model")
    for version in (1, 2, 10):
        (tmp_path / str(version)).symlink_to(exported_path)
    served, batch = Model(tmp_path), clips[:3]
    assert served.version == 10
    expected = model.predict_on_batch(preprocess_input(batch))
    for request, key in (
        ({"instances": batch.tolist()}, "predictions"),
        ({"instances": [{"clip": clip.tolist()} for clip in batch]}, "predictions"),
        ({"inputs": batch.tolist()}, "outputs"),
        ({"inputs": {"clip": batch.tolist()}}, "outputs"),
    ):
        assert np.allclose(served.predict(json.dumps(request))[key], expected, atol=1e-5)


def test_float_clips(exported, model, clips, tmp_path):
    exported_path, _ = exported("saved_model", preprocessing=False)
    (tmp_path / "1").symlink_to(exported_path)
    batch = preprocess_input(clips[:2])
    found = Model(tmp_path).predict(json.dumps({"instances": batch.tolist()}))["predictions"]
    assert np.allclose(found, model.predict_on_batch(batch), atol=1e-5)


def test_what_serving_refuses(exported, clips, tmp_path):
    (tmp_path / "1").symlink_to(exported("saved_model")[0])
    served, clip = Model(tmp_path), clips[0]
    packed = {"b64": base64.b64encode(clip.tobytes()).decode()}
    for request, message in (
        ({"instances": [packed]}, "b64 is for string tensors"),
        ({"instances": [(clip / 255).tolist()]}, "not of the type uint8"),
        ({"instances": [clip[:2].tolist()]}, "shape is"),
        ({"instances": [clip.tolist()], "signature_name": "other"}, "not found"),
        ({"inputs": {"clips": [clip.tolist()]}}, r"expected \['clip'\]"),
        ({}, "exactly one"),
    ):
        with pytest.raises(Refused, match=message):
            served.predict(json.dumps(request))
