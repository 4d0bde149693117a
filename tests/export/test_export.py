"""`export_model`: what it writes, what it refuses, and that a bad export leaves nothing behind."""

import dataclasses
import os

import numpy as np
import pytest

from keras_res3d import read_card
from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import Sampling
from keras_res3d.export import export, report
from keras_res3d.export.export import export_model
from keras_res3d.export.formats import FORMATS
from keras_res3d.export.report import ExportError
from keras_res3d.io import atomic_group

from .nets import narrow_net, small_net


@pytest.mark.parametrize(
    ("format", "quantize", "options"),
    [
        ("saved_model", "none", {}),
        ("litert", "none", {}),
        ("litert", "none", {"form": "3d"}),
        pytest.param("litert", "float16", {}, marks=pytest.mark.slow),
        ("litert", "int8", {}),
        pytest.param("litert", "int8", {"preprocessing": False, "integer_io": True}, marks=pytest.mark.slow),
    ],
)
def test_each_export_is_the_keras_model(exported, format, quantize, options):
    path, found = exported(format, quantize, **options)
    assert found.fault() is None
    assert found.path == str(path)
    assert found.clips == 24
    assert found.largest_difference < {"none": 1e-5, "float16": 5e-3}.get(quantize, 0.1)
    assert found.top1_agreement == 1
    assert 0 < found.size_bytes < 4e6 and found.latency_seconds > 0 and found.peak_memory_bytes > 1e7
    assert [len(row) for row in found.rows()] == [6, 6, 6]


def test_only_the_export_and_its_card_are_left(exported, card):
    path, _ = exported("litert")
    assert sorted(os.listdir(path.parent)) == ["net.tflite"]
    assert read_card(path) == card
    path, _ = exported("saved_model")
    assert os.listdir(path.parent) == ["net"]


def test_integers_are_smaller(exported):
    sizes = [exported("litert", quantize)[1].size_bytes for quantize in ("none", "float16", "int8")]
    assert sizes[0] > 1.5 * sizes[1] > 1.5 * sizes[2]


def test_an_export_above_its_bound_leaves_nothing_and_what_was_there(model, clips, tmp_path, monkeypatch):
    path = tmp_path / "net.tflite"
    path.write_bytes(b"before")
    monkeypatch.setitem(report.DIFFERENCE_BOUNDS, "none", 0.0)
    monkeypatch.setattr(export, "largest_difference", lambda *_: 1e-3)
    with pytest.raises(ExportError, match=r"not written to .*net\.tflite: it differs by 1\.0e-03"):
        export_model(model, path, "litert", check_clips=clips)
    assert os.listdir(tmp_path) == ["net.tflite"] and path.read_bytes() == b"before"


def test_an_export_of_other_weights_is_found_out(clips, tmp_path, monkeypatch):
    model, other = small_net(), small_net(seed=7)
    made = export.ServingGraph
    monkeypatch.setattr(export, "ServingGraph", lambda _, *rest, **sizes: made(other, *rest, **sizes))
    with pytest.raises(ExportError, match="of the largest output; at most 1e-04"):
        export_model(model, tmp_path / "net.tflite", "litert", check_clips=clips)
    assert os.listdir(tmp_path) == []


def test_a_runtime_that_crashes_is_an_export_error(model, clips, tmp_path, monkeypatch):
    row = dataclasses.replace(export.FORMATS["litert"], write=lambda graph, path, request: path.write_bytes(b"bad"))
    monkeypatch.setitem(export.FORMATS, "litert", row)
    with pytest.raises(ExportError, match="exit code"):
        export_model(model, tmp_path / "net.tflite", "litert", check_clips=clips)
    assert os.listdir(tmp_path) == []


def test_a_failed_conversion_says_why(tmp_path):
    model = narrow_net("c3d", frames=16)
    with pytest.raises(ExportError, match=r"conversion failed .*MaxPool3D.*form='2d'"):
        export_model(model, tmp_path / "c3d.tflite", "litert", form="3d")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "saved_model.pb").write_bytes(b"before")
    replace, calls = os.replace, []

    def fails_once(source, target):
        calls.append(target)
        if len(calls) == 2:  # the old folder is aside, the new one is to come
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails_once)
    with pytest.raises(OSError, match="No space"), atomic_group(tmp_path / "net") as stage:
        stage.mkdir()
    assert os.listdir(tmp_path) == ["net"] and (tmp_path / "net" / "saved_model.pb").read_bytes() == b"before"


def test_a_saved_model_is_replaced(model, clips, tmp_path, monkeypatch):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "saved_model.pb").write_bytes(b"before")
    fields = [field.name for field in dataclasses.fields(report.ExportReport)][5:-1]
    monkeypatch.setattr(export, "_compare", lambda *_: dict.fromkeys(fields, 0))
    export_model(model, tmp_path / "net", form="2d", preprocessing=False, check_clips=clips)
    assert os.listdir(tmp_path) == ["net"]
    assert (tmp_path / "net" / "saved_model.pb").stat().st_size > 1000


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("net.tflite", {"format": "coreml"}, "expected one of saved_model, litert, onnx, openvino"),
        ("net.tflite", {"format": "litert", "quantize": "int4"}, "litert has none, float16, dynamic, int8"),
        ("net", {"quantize": "int8"}, "saved_model has none"),
        ("net.tflite", {"format": "litert", "form": "4d"}, "'2d' or '3d'"),
        ("net.tflite", {"format": "litert", "form": "3d", "quantize": "int8"}, "CONV_3D has float kernels only"),
        ("net.tflite", {"format": "litert", "form": "3d", "quantize": "dynamic"}, "CONV_3D has float kernels only"),
        ("net.tflite", {"format": "litert", "integer_io": True}, "'int8'"),
        ("net.bin", {"format": "litert"}, r"ends in \.tflite"),
        ("net", {"batch": 1}, "'litert'; saved_model takes any batch size"),
        ("net.tflite", {"format": "litert", "batch": 0}, "batch is 0; expected a number of clips from 1"),
        ("net.tflite", {"format": "litert", "form": "3d", "rank4": True}, "five axes"),
        ("net.xml", {"format": "openvino", "max_drop": 0.1}, "given 'openvino' and 'none'"),
        ("net", {"layer_report": "layers.csv"}, "'litert', whose files"),
        (".", {}, "not a SavedModel"),
        ("file", {}, "is a folder"),
    ],
)
def test_what_cannot_be_made_is_refused(model, tmp_path, path, options, message):
    (tmp_path / "file").write_text("something")
    with pytest.raises(ValueError, match=message):
        export_model(model, tmp_path / path, **options)


def test_a_card_that_does_not_fit_is_refused(model, tmp_path, card):
    with pytest.raises(ValueError, match="2 class names, the model 3 outputs"):
        export_model(model, tmp_path / "net", card=dataclasses.replace(card, labels=("a", "b")))
    with pytest.raises(ValueError, match=r"sampling gives \(8, 32, 32, 3\)"):
        export_model(model, tmp_path / "net", card=ModelCard("sr18", (), Sampling(8, 2, (36, 48), (32, 32))))
    with pytest.raises(ValueError, match="pass a card"):
        export_model(narrow_net("sr18", input_shape=(None, None, None, 3)), tmp_path / "net")


def test_an_open_input_size_is_the_cards(card):
    model = narrow_net("sr18", classes=3, input_shape=(None, None, 32, 3))
    assert export._input_shape(model, card) == (4, 32, 32, 3)


def test_the_card_of_what_is_replaced_is_kept_where_it_fits(exported, model, card, tmp_path):
    path, _ = exported("litert")
    assert export._checked_card(model, path, None, model.input_shape[1:]) == card
    other = narrow_net("sr18", classes=2)
    assert export._checked_card(other, path, None, other.input_shape[1:]).labels == ()
    damaged = tmp_path / "net.tflite"
    damaged.write_bytes(b"damaged")
    assert export._checked_card(model, damaged, None, model.input_shape[1:]).labels == ()


def test_features_are_judged_by_their_difference(clips, tmp_path):
    model = narrow_net("sr18", include_top=False, pooling="avg")
    found = export_model(model, tmp_path / "net.tflite", "litert", "int8", calibration=clips[:4], check_clips=clips)
    assert found.top1_agreement is None
    assert 0 < found.largest_difference < 0.25


def test_int8_without_calibration_warns(card, monkeypatch):
    monkeypatch.setattr(export, "default_count", lambda sampling: 2)
    with pytest.warns(UserWarning, match="embedded data set; pass calibration"):
        assert export._calibration(None, "int8", card, preprocessing=True)[0].shape == (2, 4, 32, 32, 3)
    assert export._calibration(None, "dynamic", card, preprocessing=True) == (None, None)


def test_a_net_trained_on_the_embedded_data_is_calibrated_on_it(card, recwarn):
    card = dataclasses.replace(card, trained_on="motion/train")
    assert len(export._calibration(None, "int8", card, preprocessing=True)[0]) == 128
    assert not recwarn


@pytest.mark.parametrize("place", [b"a\xff.tflite", b"\xff/a.tflite"])
def test_a_name_that_runtimes_cannot_open_is_refused_before_any_work(tmp_path, place):
    with pytest.raises(ValueError, match="is not UTF-8; runtimes do not open such files"):
        export_model(narrow_net(), tmp_path / os.fsdecode(place), "litert")


def test_int8_is_checked_on_clips_held_out_of_the_calibration(model, card, clips, tmp_path, monkeypatch):
    seen = {}
    row = FORMATS["litert"]

    def write(graph, path, request):
        seen["calibration"] = request.calibration
        return row.write(graph, path, request)

    compare = export._compare
    monkeypatch.setitem(export.FORMATS, "litert", dataclasses.replace(row, write=write))
    monkeypatch.setattr(export, "_compare", lambda *given: seen.update(check=given[2]) or compare(*given))
    found = export_model(model, tmp_path / "net.tflite", "litert", "int8", calibration=clips, card=card)
    assert found.clips == 8 and found.decided_agreement == 1 and found.min_agreement == 0.99
    np.testing.assert_array_equal(np.concatenate([seen["calibration"], seen["check"]]), clips)
    with pytest.raises(ValueError, match=r"min_agreement is 95; expected a share from 0 to 1"):
        export_model(model, tmp_path / "net.tflite", "litert", "int8", card=card, min_agreement=95)
