"""torchvision's three nets, from .pth to Keras, against outputs that torchvision itself gave for the same weights."""

import json
import pathlib

import keras
import numpy as np
import pytest

from keras_res3d.nets.build import build_graph
from keras_res3d.nets.zoo import ZOO
from keras_res3d.weights.formats.registry import read_tensors
from keras_res3d.weights.load import load_weights
from keras_res3d.weights.names import wanted_tensors
from keras_res3d.weights.parity import parity_report, parity_table
from tests.weights import formula
from tests.weights.writers import write_pth

GOLDENS = json.loads((pathlib.Path(__file__).parent / "goldens.json").read_text())
STAGES = {"layer1": "res2b", "layer2": "res3b", "layer3": "res4b", "layer4": "res5b", "avgpool": "pool5", "fc": "fc8"}


def golden_pth(net, path):
    shapes = GOLDENS["nets"][net]["tensors"]
    return write_pth(path, {name: formula.tensor(name, tuple(shape)) for name, shape in shapes.items()})


def outputs(model):
    names = {layer.name for layer in model.layers}
    stem = next(name for name in ("conv1_temporal_relu", "conv1_relu") if name in names)
    stages = {"stem": stem, **STAGES}
    taps = keras.Model(model.inputs, {stage: model.get_layer(name).output for stage, name in stages.items()})
    found = taps([formula.uniform("clip", tuple(GOLDENS["clip"]))[None]], training=False)
    return {stage: np.moveaxis(np.asarray(value)[0], -1, 0).ravel() for stage, value in found.items()}


def assert_golden(net, model):
    found = outputs(model)
    for stage, golden in GOLDENS["nets"][net]["outputs"].items():
        difference = np.abs(found[stage][golden["places"]] - golden["values"]).max()
        assert difference < 1e-4 * golden["largest"], stage
        assert np.isclose(np.abs(found[stage]).max(), golden["largest"], rtol=1e-4), stage


@pytest.mark.parametrize("net", list(GOLDENS["nets"]))
def test_torchvision_weights_give_torchvision_outputs(net, tmp_path):
    model = build_graph(ZOO[net], input_shape=tuple(GOLDENS["clip"]), classifier_activation=None)
    path = golden_pth(net, tmp_path / "net.pth")
    assert load_weights(model, path) == []
    assert_golden(net, model)
    if net != "r2plus1d_18":  # the NumPy reference is held to whole convolutions in test_parity
        return
    report = parity_report(read_tensors(path), ZOO[net], model, formula.clip(tuple(GOLDENS["clip"])))
    assert report["agrees"], parity_table(report)
    weighted = {layer.name for layer in model.layers if layer.weights}
    assert weighted <= {row["layer"] for row in report["layers"]}


def test_r3d_18_fits_res3d18_with_an_identity_projection(tmp_path):
    model = build_graph(ZOO["res3d18"], input_shape=tuple(GOLDENS["clip"]), classes=400, classifier_activation=None)
    with pytest.warns(UserWarning, match="identity"):
        load_weights(model, golden_pth("r3d_18", tmp_path / "net.pth"))
    assert_golden("r3d_18", model)
    block = keras.Model(model.inputs, [model.get_layer("conv1_relu").output, model.get_layer("bn2a_branch1").output])
    before, after = block([formula.uniform("clip", tuple(GOLDENS["clip"]))[None]], training=False)
    assert np.abs(np.asarray(before) - np.asarray(after)).max() < 1e-6


@pytest.mark.parametrize("net", list(GOLDENS["nets"]))
def test_names_and_shapes_are_torchvisions(net, tmp_path):
    """Every tensor of the real state dict is wanted in its real shape, and no other."""
    source = read_tensors(write_pth(tmp_path / "one.pth", {"fc.bias": np.zeros(400, np.float32)}))
    wanted = wanted_tensors(source, ZOO[net], ZOO[net].input_shape)
    found = {key: list(shape) for entry in wanted for key, shape in zip(entry.keys, entry.shapes, strict=True)}
    tensors = GOLDENS["nets"][net]["tensors"]
    assert found == {name: shape for name, shape in tensors.items() if "num_batches_tracked" not in name}


def test_goldens_are_small():
    assert (pathlib.Path(__file__).parent / "goldens.json").stat().st_size < 100_000
