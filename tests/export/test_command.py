"""`keras-res3d export`."""

import json
import os
import subprocess
import sys

import pytest

from keras_res3d import read_card
from keras_res3d.cards import card_path
from keras_res3d.commands.main import main
from keras_res3d.export.formats import FORMATS
from keras_res3d.io import write_atomically


@pytest.fixture
def folder(model, card, tmp_path):
    model.save(tmp_path / "model.keras")
    write_atomically(card_path(tmp_path / "model.keras"), card.to_json())
    return tmp_path


def test_export_of_a_training_folder(folder, card, capsys):
    output = folder / "small.tflite"
    assert main(["export", str(folder), "--format", "litert", "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert "largest difference" in said and f"wrote {output}" in said
    assert output.exists() and read_card(output) == card


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}/other.keras", "--output", "{folder}/net"], "other.keras does not exist"),
        (["{folder}", "--format", "litert", "--output", "{folder}/net"], "ends in .tflite"),
        (["{folder}", "--format", "litert", "--form", "3d", "--quantize", "int8", "--output", "{folder}/net.tflite"],
         "CONV_3D has float kernels only"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(folder, arguments, message, capsys):
    before = sorted(folder.iterdir())
    assert main(["export", *(argument.format(folder=folder) for argument in arguments)]) == 1
    assert message in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before
    assert json.loads(card_path(folder).read_text())["net"] == "sr18"


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize("format", FORMATS)
def test_converters_say_nothing(folder, format, quantize):
    if quantize not in FORMATS[format].quantizations["2d"]:
        pytest.skip("the format has no such files")
    needs = {"onnx": ("onnx", "tf2onnx", "onnxruntime", "nncf"), "openvino": ("openvino", "nncf")}
    for package in needs.get(format, ()):
        pytest.importorskip(package)
    output = folder / f"out{FORMATS[format].suffix}"
    words = [str(folder), "--format", format, "--quantize", quantize, "--output", str(output), "--min_agreement", "0"]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-m", "keras_res3d.commands.main", "export", *words], env=environment,
                          capture_output=True, text=True, check=True)  # fmt: skip
    first, blank, _, _, _, _, *rest = done.stdout.splitlines()
    assert first.startswith("exporting ") and not blank
    assert [line for line in rest if line and not line.startswith(("wrote", "On "))] == []
    expected = 1 if quantize == "int8" else 0  # that it is calibrated on the embedded data set
    assert len(done.stderr.splitlines()) == expected, done.stderr
