"""What the OpenVINO writer does beside calling the converter: dead taps go."""

import keras
import numpy as np
import pytest

from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import Sampling
from keras_res3d.export.formats import FORMATS, load_runner
from keras_res3d.export.formats.base import Request
from keras_res3d.export.graph import ServingGraph

openvino = pytest.importorskip("openvino")


@pytest.mark.parametrize(
    ("frames", "options", "taps"),
    [
        (1, {"kernel_size": 3, "padding": "same"}, 1),
        (2, {"kernel_size": 3, "padding": "same"}, 3),
        (2, {"kernel_size": 3, "padding": "same", "strides": 2}, 2),
        (3, {"kernel_size": 3, "padding": "same", "strides": 2}, 3),
        (2, {"kernel_size": (7, 3, 3), "padding": "same"}, 3),
        (3, {"kernel_size": (3, 3, 3), "padding": "same", "dilation_rate": (2, 1, 1)}, 3),
        (2, {"kernel_size": (3, 3, 3), "padding": "same", "dilation_rate": (2, 1, 1)}, 1),
        (3, {"kernel_size": 3, "padding": "valid"}, 3),
    ],
)
def test_taps_that_meet_only_padding_are_left_out(frames, options, taps, tmp_path):
    keras.utils.set_random_seed(0)
    clip = keras.Input((frames, 9, 8, 3))
    x = keras.layers.Conv3D(4, **options)(clip)
    model = keras.Model(clip, keras.layers.GlobalMaxPooling3D()(x))
    card = ModelCard("one", (), Sampling(frames, 1, (9, 8), (9, 8)))
    path = tmp_path / "net.xml"
    graph = ServingGraph(model, (frames, 9, 8, 3), "3d", None)
    FORMATS["openvino"].write(graph, path, Request("none", None, False, card))
    nodes = openvino.Core().read_model(path).get_ordered_ops()
    (conv,) = (node for node in nodes if node.get_type_name() == "Convolution")
    assert conv.input(1).get_partial_shape()[2].get_length() == taps
    clips = np.random.default_rng(0).normal(0, 1, (3, frames, 9, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(load_runner(path)(clips), model.predict_on_batch(clips), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("quantize", ["none", "float16", "int8"])
def test_the_file_is_smaller_and_the_same_net(exported, model, quantize):
    if quantize == "int8":
        pytest.importorskip("nncf")
    _, report = exported("openvino", quantize)
    assert report.fault() is None and report.top1_agreement == 1 and report.form == "3d"
    assert report.size_bytes < {"none": 2, "float16": 1, "int8": 0.5}[quantize] * 1e6 < 2 * 4 * model.count_params()


def test_layers_stay_in_float_until_the_drop_is_small_enough(tmp_path):
    """One kernel so large that int8 leaves nothing of the others: with a bound, it stays in float."""
    nncf = pytest.importorskip("nncf")
    assert hasattr(nncf, "quantize_with_accuracy_control")
    keras.utils.set_random_seed(0)
    clip = keras.Input((2, 12, 12, 3))
    x = keras.layers.Conv3D(8, (1, 3, 3), name="first")(clip)
    x = keras.layers.Conv3D(8, (1, 3, 3), name="second")(x)
    model = keras.Model(clip, keras.layers.Dense(6, name="scores")(keras.layers.GlobalAveragePooling3D()(x)))
    kernel, bias = model.get_layer("first").get_weights()
    kernel[..., 0] *= 3000
    model.get_layer("first").set_weights([kernel, bias])
    kernel, bias = model.get_layer("second").get_weights()
    kernel[..., 0, :] = 0
    model.get_layer("second").set_weights([kernel, bias])
    clips = np.random.default_rng(0).normal(0, 60, (24, 2, 12, 12, 3)).astype(np.float32)
    expected = model.predict_on_batch(clips).argmax(-1)
    card = ModelCard("one", (), Sampling(2, 1, (12, 12), (12, 12)))
    agreement = []
    for max_drop in (None, 0.05):
        path = tmp_path / "net.xml"
        graph = ServingGraph(model, (2, 12, 12, 3), "3d", None)
        FORMATS["openvino"].write(graph, path, Request("int8", clips, False, card, max_drop))
        agreement.append((load_runner(path)(clips).argmax(-1) == expected).mean())
    assert agreement[0] < 0.9 and agreement[1] >= 0.95
