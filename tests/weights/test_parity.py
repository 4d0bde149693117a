"""Converted nets against NumPy evaluations of the originals, and that a wrong conversion shows."""

import json

import numpy as np
import pytest

from keras_res3d.data.transform import preprocess_input
from keras_res3d.nets.zoo import ZOO
from keras_res3d.weights.formats.registry import read_tensors
from keras_res3d.weights.load import load_weights
from keras_res3d.weights.parity import parity_report, parity_table
from keras_res3d.weights.reference import conv3d, max_pool
from keras_res3d.weights.source import WeightsError
from tests.weights import formula, nets


def compared(path, architecture, mode=None, **options):
    model = nets.build(architecture, **options)
    load_weights(model, path)
    clip = formula.clip(tuple(model.input_shape[1:]))
    preprocess = (lambda pixels: preprocess_input(pixels, mode)) if mode else None
    return model, parity_report(read_tensors(path), architecture, model, clip, preprocess)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        (nets.RES3D, {}),
        (nets.RES3D, {"packed": False}),
        (nets.RES3D, {"double": True}),
        pytest.param(nets.FACTORIZED, {}, marks=pytest.mark.slow),
        (nets.C3D, {}),
    ],
    ids=["res3d", "unpacked", "double", "factorized", "c3d-v1.0"],
)
def test_caffe_nets_agree_layer_by_layer(tmp_path, architecture, options):
    path = nets.caffemodel(tmp_path / "a.caffemodel", architecture, **options)
    model, report = compared(path, architecture, "res3d")
    assert report["agrees"], parity_table(report)
    assert report["worst"]["relative"] < 1e-5
    assert report["preprocessing"]["largest_difference"] == 0
    assert report["not_compared"] == ["prob"]  # the nets here give logits
    weighted = {layer.name for layer in model.layers if layer.weights}
    assert weighted <= {row["layer"] for row in report["layers"]}
    assert json.loads(json.dumps(report)) == report


def test_torchvisions_net_agrees_layer_by_layer(tmp_path):
    _, report = compared(nets.pth(tmp_path / "a.pth"), nets.R3D, "torchvision")
    assert report["agrees"], parity_table(report)
    assert report["preprocessing"]["relative"] < 1e-6


def test_res3d_with_an_identity_projection_agrees_with_torchvisions_net(tmp_path):
    with pytest.warns(UserWarning, match="identity"):
        _, report = compared(nets.pth(tmp_path / "a.pth"), nets.RES3D)
    assert report["agrees"], parity_table(report)
    assert report["preprocessing"] is None


def test_a_full_size_res3d18_agrees(tmp_path):
    path = nets.caffemodel(tmp_path / "full.caffemodel", ZOO["res3d18"], raw=True)
    _, report = compared(path, ZOO["res3d18"], input_shape=(8, 32, 32, 3))
    assert report["agrees"], parity_table(report)


def test_a_classifier_of_its_own_is_not_compared(tmp_path):
    path = nets.caffemodel(tmp_path / "a.caffemodel", nets.RES3D)
    with pytest.warns(UserWarning, match="fc8 is left"):
        _, report = compared(path, nets.RES3D, classes=9)
    assert report["agrees"]
    assert report["not_compared"] == ["fc8", "prob"]
    assert "not compared: fc8, prob" in parity_table(report)


@pytest.mark.parametrize("layer", ["conv1", "bn3a_branch2b", "fc8"])
def test_a_fault_shows_in_the_layer_that_has_it(tmp_path, layer):
    path = nets.caffemodel(tmp_path / "a.caffemodel", nets.RES3D)
    model, _ = compared(path, nets.RES3D)
    variable = model.get_layer(layer).weights[0]
    variable.assign(variable + 0.01)
    report = parity_report(read_tensors(path), nets.RES3D, model, formula.clip(nets.RES3D.input_shape))
    assert not report["agrees"]
    assert next(row["layer"] for row in report["layers"] if row["relative"] > 1e-4) == layer
    assert "DIFFERS" in parity_table(report)


def test_a_preprocessing_fault_shows_apart_from_the_model(tmp_path):
    path = nets.caffemodel(tmp_path / "a.caffemodel", nets.RES3D)
    _, report = compared(path, nets.RES3D, "torchvision")
    assert report["agrees"]
    assert report["preprocessing"]["relative"] > 0.5


def test_a_keras_file_has_no_graph_of_its_own(tmp_path):
    model = nets.build(nets.RES3D)
    model.save_weights(tmp_path / "a.weights.h5")
    source = read_tensors(tmp_path / "a.weights.h5")
    with pytest.raises(WeightsError, match="expected an original"):
        parity_report(source, nets.RES3D, model, formula.clip(nets.RES3D.input_shape))


def test_reference_convolution_is_the_definition():
    rng = np.random.default_rng(0)
    x, weights, bias = rng.normal(size=(2, 4, 5, 6)), rng.normal(size=(3, 2, 3, 3, 1)), rng.normal(size=3)
    found = conv3d(x, weights, (2, 2, 1), bias)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    assert found.shape == (3, 2, 3, 6)
    for t, h, w in np.ndindex(2, 3, 6):
        window = padded[:, 2 * t : 2 * t + 3, 2 * h : 2 * h + 3, w : w + 1]
        np.testing.assert_allclose(found[:, t, h, w], np.einsum("octhw,cthw->o", weights, window) + bias)


def test_reference_pooling_rounds_up_and_clips():
    x = np.arange(7 * 7, dtype=float).reshape(1, 1, 7, 7)
    found = max_pool(x, (2, 2, 2))
    assert found.shape == (1, 1, 4, 4)
    np.testing.assert_array_equal(found[0, 0, 3], [43, 45, 47, 48])
