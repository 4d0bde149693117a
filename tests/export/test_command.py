"""`keras-res3d export`."""

import json

import pytest

from keras_res3d import read_card
from keras_res3d.cards import card_path
from keras_res3d.commands.main import main
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
