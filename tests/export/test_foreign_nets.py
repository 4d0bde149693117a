"""The 2-D form of nets that nobody of this package wrote: classification_models_3D's, and a small 3-D U-Net."""

import importlib.util

import keras
import numpy as np
import pytest
from keras import layers

from keras_res3d import export_model, load_runner, to_2d
from keras_res3d.cards import card_of
from keras_res3d.export.formats import FORMATS
from keras_res3d.export.formats.base import Request
from keras_res3d.export.graph import ServingGraph, all_layers
from keras_res3d.export.stand_ins import depthwise
from keras_res3d.export.two_d import NoTwoDFormError

NETS = ["resnet18", "seresnet18", "vgg16"]
SLOW = [
    "densenet121",
    "inceptionresnetv2",
    "inceptionv3",
    "mobilenet",
    "mobilenetv2",
    "resnet50",
    "resnext50",
    "seresnext50",
]
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("classification_models_3D") is None, reason="classification-models-3D is not installed"
)


def net_of(name, size=32, frames=32):
    """The features of one of classification_models_3D's nets, with statistics unlike those of a fresh net."""
    from classification_models_3D.kkeras import Classifiers

    keras.utils.set_random_seed(0)
    model = Classifiers.get(name)[0](input_shape=(frames, size, size, 3), weights=None, include_top=False)
    with_statistics(model)
    x = layers.GlobalAveragePooling3D()(model.output)
    return keras.Model(model.input, layers.Dense(5)(x), name=name)


def with_statistics(model):
    rng = np.random.default_rng(0)
    for layer in all_layers(model):
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 0.2, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, layer.moving_variance.shape))


def u_net():
    """A 3-D U-Net: two levels down and up, joined by concatenation, one score for every voxel."""
    keras.utils.set_random_seed(0)

    def block(x, width):
        for _ in range(2):
            x = layers.Conv3D(width, 3, padding="same", use_bias=False)(x)
            x = layers.Activation("relu")(layers.BatchNormalization()(x))
        return x

    scan = keras.Input((8, 32, 32, 1))
    top = block(scan, 4)
    middle = block(layers.MaxPooling3D(2)(top), 8)
    x = block(layers.MaxPooling3D(2)(middle), 16)
    x = block(layers.Concatenate()([layers.Conv3DTranspose(8, 2, strides=2)(x), middle]), 8)
    x = block(layers.Concatenate()([layers.UpSampling3D(2)(x), top]), 4)
    model = keras.Model(scan, layers.Conv3D(1, 1, activation="sigmoid")(x), name="u_net")
    with_statistics(model)
    return model


def check(model, clips=2):
    form = to_2d(model)
    clip = np.random.default_rng(1).normal(0, 1, (clips, *model.input_shape[1:])).astype(np.float32)
    expected = model(clip, training=False).numpy()
    np.testing.assert_allclose(form(clip, training=False).numpy(), expected, atol=1e-5 * np.abs(expected).max())
    kinds = {type(layer).__module__.split(".")[0] for layer in all_layers(form)}
    assert kinds == {"keras"}, "stock layers alone"


@needs_package
@pytest.mark.parametrize("name", [*NETS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_nets_of_classification_models_3d(name):
    check(net_of(name))


def test_a_u_net(tmp_path):
    model = u_net()
    check(model)
    clips = np.random.default_rng(2).normal(0, 1, (4, *model.input_shape[1:])).astype(np.float32)
    expected = model(clips, training=False).numpy()
    for name, quantize, bound in (("litert", "none", 1e-5), ("litert", "int8", 0.1), ("onnx", "none", 1e-5)):
        if name == "onnx" and not all(map(importlib.util.find_spec, ("onnx", "tf2onnx", "onnxruntime"))):
            continue
        path = tmp_path / f"net{FORMATS[name].suffix}"
        request = Request(quantize, clips if quantize == "int8" else None, False, card_of(model))
        FORMATS[name].write(ServingGraph(model, clips.shape[1:], "2d", None), path, request)
        np.testing.assert_allclose(load_runner(path)(clips), expected, atol=bound)


@needs_package
@pytest.mark.slow
def test_a_net_with_depthwise_convolutions_is_exported(tmp_path):
    model = net_of("mobilenet")
    report = export_model(model, tmp_path / "net.tflite", "litert", preprocessing=False)
    assert report.form == "2d" and report.largest_difference < 1e-5


class Twice(layers.Conv3D):
    """A convolution of the user's own."""

    def call(self, inputs):
        return super().call(2 * inputs)


def doubled(layer):
    stock = layers.Conv3D.from_config(layer.get_config())
    stock.build(layer._build_shapes_dict["input_shape"])
    kernel, bias = layer.get_weights()
    stock.set_weights([2 * kernel, bias])
    return stock


def test_stand_ins_for_ones_own_layers():
    clip = keras.Input((4, 8, 8, 3))
    model = keras.Model(clip, layers.BatchNormalization()(Twice(5, 3, name="twice", bias_initializer="normal")(clip)))
    with pytest.raises(NoTwoDFormError, match=r"twice \(Twice\)"):
        to_2d(model)
    form = to_2d(model, stand_ins={Twice: doubled})
    pixels = np.random.default_rng(0).normal(0, 1, (2, 4, 8, 8, 3)).astype(np.float32)
    expected = model(pixels, training=False).numpy()
    np.testing.assert_allclose(form(pixels).numpy(), expected, atol=1e-5)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in form.layers), "folded"
    wrong = lambda layer: layers.Conv3D.from_config(layer.get_config())  # noqa: E731
    with pytest.raises(ValueError, match=r"the stand-in for twice \(Twice\) computes something else"):
        to_2d(model, stand_ins={Twice: wrong})


@needs_package
@pytest.mark.parametrize("groups", [None, 2])
def test_groups_of_a_depthwise_convolution(groups):
    from classification_models_3D.models._DepthwiseConv3D import DepthwiseConv3D

    layer = DepthwiseConv3D((3, 3, 3), depth_multiplier=3, groups=groups, padding="same", use_bias=False)
    pixels = np.random.default_rng(0).normal(0, 1, (2, 4, 8, 8, 6)).astype(np.float32)
    expected = np.asarray(layer(pixels))
    np.testing.assert_allclose(np.asarray(depthwise(layer)(pixels)), expected, atol=1e-5)
