"""Each layer of a LiteRT file beside Keras'."""

import csv

import keras
import numpy as np
import pytest

from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import Sampling
from keras_res3d.export.export import export_model
from keras_res3d.export.formats import FORMATS
from keras_res3d.export.formats.base import Request
from keras_res3d.export.graph import ServingGraph
from keras_res3d.export.layer_report import layer_errors

pytest.importorskip("ai_edge_litert")
CARD = ModelCard("three", (), Sampling(4, 1, (12, 12), (12, 12)))


@pytest.fixture(scope="module")
def three():
    """Three convolutions, of which the second has one kernel a thousand times as large as the others."""
    keras.utils.set_random_seed(0)
    clip = keras.Input((4, 12, 12, 3))
    x = keras.layers.Conv3D(8, 3, padding="same", name="first")(clip)
    x = keras.layers.ReLU(name="first_relu")(x)
    x = keras.layers.Conv3D(8, 3, padding="same", name="second")(x)
    x = keras.layers.Conv3D(8, (1, 3, 3), name="third")(x)
    x = keras.layers.GlobalAveragePooling3D(name="mean")(x)
    model = keras.Model(clip, keras.layers.Dense(3, name="scores")(x), name="three")
    kernel, bias = model.get_layer("second").get_weights()
    kernel[..., 0] *= 1000
    model.get_layer("second").set_weights([kernel, bias])
    kernel, bias = model.get_layer("third").get_weights()
    kernel[..., 0, :] = 0  # nothing of the large channel goes on
    model.get_layer("third").set_weights([kernel, bias])
    return model


def errors(model, folder, quantize, clips, **sizes):
    graph = ServingGraph(model, (4, 12, 12, 3), "2d", "res3d", **sizes)
    path = folder / "net.tflite"
    FORMATS["litert"].write(graph, path, Request(quantize, clips if quantize == "int8" else None, False, CARD))
    return layer_errors(path, graph, clips)


@pytest.mark.parametrize("sizes", [{}, {"rank4": True, "batch": 2}])
def test_the_layer_that_spoils_the_rest_is_seen(three, tmp_path, sizes):
    clips = np.random.default_rng(0).integers(0, 256, (6, 4, 12, 12, 3), np.uint8)
    exact = errors(three, tmp_path, "none", clips, **sizes)
    assert {error.layer for error in exact} >= {"first_relu", "second", "third", "scores"}
    assert min(error.signal_to_noise for error in exact) > 100
    found = errors(three, tmp_path, "int8", clips, **sizes)
    decibels = [error.signal_to_noise for error in found]
    assert decibels == sorted(decibels)
    by_name = {error.layer: error for error in found}
    # Seven of the eight channels of the second drown in the step that the eighth needs; the third reads only these.
    assert by_name["third"].signal_to_noise < 20 < 30 < by_name["first_relu"].signal_to_noise
    assert by_name["second"].shape == (12, 12, 8) and by_name["second"].kind == "Conv2D"


@pytest.mark.slow
def test_the_report_is_written(model, card, clips, tmp_path):
    for name in ("layers.csv", "layers.txt"):
        export_model(model, tmp_path / "net.tflite", "litert", "int8", calibration=clips, check_clips=clips, card=card,
                     layer_report=tmp_path / name)  # fmt: skip
    header, *rows = csv.reader((tmp_path / "layers.csv").read_text().splitlines())
    assert header == ["layer", "kind", "shape", "signal to noise in dB"]
    values = [float(row[-1]) for row in rows]
    assert values == sorted(values) and 10 < values[0] < 60 and {"conv1_relu", "fc8"} <= {row[0] for row in rows}
    assert (tmp_path / "layers.txt").read_text().splitlines()[2].split()[0] == rows[0][0]
