"""What holds for every format: threads may share its runner, and it holds its card."""

import json
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_res3d import export_model, read_card
from keras_res3d.cards import ModelCard, save_model
from keras_res3d.data.clips import Sampling
from keras_res3d.export.formats import FORMATS, load_runner
from keras_res3d.export.formats.base import Request
from keras_res3d.export.graph import ServingGraph

CARD = ModelCard("tiny", ("a", "b", "c"), Sampling(2, 1, (8, 8), (8, 8)))
# Names that XML and JSON have to escape.
NAMED = replace(CARD, labels=("ä <b>", 'a "quoted" & \n broken', "\u4e2d"), licence="CC0")


@pytest.fixture(scope="module")
def tiny():
    keras.utils.set_random_seed(0)
    clip = keras.Input((2, 8, 8, 3))
    x = keras.layers.Conv3D(4, 3, padding="same", activation="relu")(clip)
    x = keras.layers.GlobalAveragePooling3D()(x)
    return keras.Model(clip, keras.layers.Dense(3)(x), name="tiny")


def written(model, format, folder, **changes):
    """The path of an export, written without the checks of `export_model`."""
    row, path = FORMATS[format], folder / f"net{FORMATS[format].suffix}"
    request = Request(**{"quantize": "none", "calibration": None, "integer_io": False, "card": CARD} | changes)
    try:
        row.write(ServingGraph(model, (2, 8, 8, 3), row.form), path, request)
    except ImportError as error:
        pytest.skip(str(error))
    return path


@pytest.mark.parametrize("format", FORMATS)
def test_threads_share_a_runner(format, tiny, tmp_path):
    try:
        runner = load_runner(written(tiny, format, tmp_path))
    except ImportError as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 256, (1 + n % 3, 2, 8, 8, 3), np.uint8) for n in range(20)]
    kept = [batch.copy() for batch in batches]
    alone = [runner(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda n: runner(batches[n % 20]), range(400)))
    wrong = [n for n, scores in enumerate(together) if not np.allclose(scores, alone[n % 20], rtol=1e-5, atol=1e-5)]
    assert not wrong
    assert len({scores.tobytes() for scores in alone}) == 20  # answers that could be mixed up
    for batch, before in zip(batches, kept, strict=True):
        np.testing.assert_array_equal(batch, before)


@pytest.mark.parametrize("format", FORMATS)
def test_every_export_holds_its_card(format, tiny, tmp_path):
    try:
        path = written(tiny, format, tmp_path, card=NAMED)
        assert load_runner(path).card == NAMED == read_card(path)
    except ImportError as error:
        pytest.skip(str(error))
    assert not list(tmp_path.glob("*.json"))
    # A card beside it is another model's.
    (tmp_path / "net.json").write_text(CARD.to_json())
    assert read_card(path) == NAMED


def test_exports_leave_the_cards_of_other_models_alone(tiny, tmp_path):
    save_model(tiny, tmp_path / "net.keras", CARD)
    before = (tmp_path / "net.json").read_bytes()
    export_model(tiny, tmp_path / "net.tflite", "litert", card=NAMED, check_clips=np.zeros((1, 2, 8, 8, 3), np.uint8))
    assert sorted(os.listdir(tmp_path)) == ["net.json", "net.keras", "net.tflite"]
    assert (tmp_path / "net.json").read_bytes() == before
    assert read_card(tmp_path / "net.keras").labels == CARD.labels and read_card(tmp_path / "net.tflite") == NAMED


def test_old_cards_beside_a_file_are_read_where_they_fit(tiny, tmp_path):
    path = written(tiny, "litert", tmp_path)
    with open(path, "r+b") as file:  # an export of an older version has no archive at its end
        file.truncate(file.read().rindex(b"PK\x03\x04"))
    assert load_runner(path).card is None and read_card(path) is None
    beside = tmp_path / "net.json"
    beside.write_text(NAMED.to_json())
    assert load_runner(path).card == NAMED
    for other in (replace(NAMED, labels=("a", "b")), replace(NAMED, sampling=Sampling(4, 1, (8, 8), (8, 8)))):
        beside.write_text(other.to_json())
        assert load_runner(path).card is None
    beside.write_text("[]")
    assert load_runner(path).card is None


@pytest.mark.parametrize("format", FORMATS)
def test_a_card_inside_that_is_of_another_net_is_refused(format, tiny, tmp_path):
    for card in (replace(CARD, labels=("a", "b")), replace(CARD, sampling=Sampling(4, 1, (8, 8), (8, 8)))):
        path = written(tiny, format, tmp_path, card=card)
        try:
            load_runner(path)
        except ImportError as error:
            pytest.skip(str(error))
        except ValueError as error:
            assert str(error).startswith(f"{path} cannot be read as a") and "its card says" in str(error)
        else:
            pytest.fail(f"{card} was taken")


@pytest.mark.parametrize("format", ["litert", "onnx", "openvino"])
def test_changed_bytes_are_refused_and_an_export_without_a_digest_is_read(format, tiny, tmp_path):
    """Wherever a bit of the weights, the graph or the card flips, nothing is predicted from it."""
    try:
        path = written(tiny, format, tmp_path)
        load_runner(path)
    except ImportError as error:
        pytest.skip(str(error))
    place = path.with_suffix(".bin") if format == "openvino" else path
    data = place.read_bytes()
    weights = data.index(np.asarray(tiny.layers[-1].kernel).tobytes()[:4])  # written so by all, rows or columns first
    card = data.find(b'"labels"')
    for at in (weights, len(data) // 3, card if card >= 0 else 0):
        place.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(ValueError, match=f"^{path} cannot be read as a"):
            load_runner(path)
    if format != "openvino":  # as earlier releases wrote it
        place.write_bytes(data.replace(b"model_sha256", b"model_sha255"))
        assert load_runner(path).card == CARD


def test_a_card_is_read_without_this_package(tiny, tmp_path):
    path = written(tiny, "litert", tmp_path, card=NAMED)
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("model.json"))["labels"] == list(NAMED.labels)
    with open(path, "rb") as file:
        interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(model_content=file.read())
    interpreter.allocate_tensors()
    assert interpreter.get_input_details()[0]["shape_signature"].tolist() == [-1, 2, 8, 8, 3]


@pytest.mark.parametrize("format", FORMATS)
def test_what_a_runtime_raises_is_one_line_that_names_the_file(format, tiny, tmp_path, monkeypatch):
    try:
        path = written(tiny, format, tmp_path)
        runner = load_runner(path)
    except ImportError as error:
        pytest.skip(str(error))

    def fails(clips):
        raise RuntimeError("\npad.cc:163 2 != 1.\nNode 94")

    monkeypatch.setattr(runner, "_run", fails)
    with pytest.raises(ValueError, match=rf"^{path} cannot be run by \w+.*: pad\.cc:163 2 != 1; export it again$"):
        runner(np.zeros((1, 2, 8, 8, 3), np.uint8))
