"""The 2-D form is the 3-D net: for every row of the zoo, every odd size, every way of pooling."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from keras_res3d import ZOO, Architecture, build_model, count_params, walk
from keras_res3d.export.two_d import to_2d
from keras_res3d.nets.batch_norm import fuse_batch_norm

from .nets import narrow_net, randomise


def difference(model, net, shape, seed=1):
    """Of the outputs on random clips, relative to the largest."""
    clips = np.random.default_rng(seed).uniform(-128, 127, (2, *shape)).astype(np.float32)
    expected, found = model(clips, training=False).numpy(), net(tf.constant(clips)).numpy()
    assert expected.shape == found.shape
    return np.abs(expected - found).max() / np.abs(expected).max()


@pytest.mark.parametrize("name", ZOO)
def test_every_row_of_the_zoo_equals_its_3d_net(name):
    model = narrow_net(name, crop=32, classifier_activation=None)
    assert difference(model, to_2d(model), model.input_shape[1:]) < 1e-5


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 7, 9])
def test_odd_clip_lengths_and_sizes(frames):
    model = narrow_net("sr18", classifier_activation=None, input_shape=(None, None, None, 3))
    if frames < 4:
        model = randomise(build_model(dataclasses.replace(ZOO["sr18"], width=4, strides=((1, 2, 2),) * 5),
                                      classifier_activation=None, input_shape=(None, None, None, 3)))  # fmt: skip
    shape = (frames, 35, 42, 3)
    assert difference(model, to_2d(model, shape), shape) < 1e-5


@pytest.mark.parametrize("pools", [((2, 2, 2),) * 5, ((3, 1, 3), (2, 2, 2), (1, 2, 1), (1, 1, 1), (2, 1, 2))])
def test_pooling_rounds_up_as_keras_does(pools):
    net = Architecture("plain", width=4, blocks=(1, 1, 1, 1, 1), strides=((1, 1, 1),) * 5, conv1=3, shortcut=None,
                       pools=pools, dense=(7, 6), frames=35, crop=33, batch_norm_momentum=None)  # fmt: skip
    model = randomise(build_model(net, classes=3, classifier_activation=None))
    assert difference(model, to_2d(model), model.input_shape[1:]) < 1e-5


@pytest.mark.parametrize("options", [{"pooling": None}, {"pooling": "avg"}, {"pooling": "max"}])
@pytest.mark.parametrize("name", ["res3d18", "c3d"])
def test_nets_without_their_top(name, options):
    model = narrow_net(name, include_top=False, **options)
    assert difference(model, to_2d(model), model.input_shape[1:]) < 1e-5


@pytest.mark.parametrize("name", ["sr18", "res3d18", "2.5d"])
def test_trimmed_nets_and_fused_twins(name):
    model = narrow_net(name, classifier_activation=None, trim=True)
    assert any(layer.kernel_size[0] == 1 for layer in model.layers if layer.name.startswith("res5b_branch2"))
    assert difference(model, to_2d(model), model.input_shape[1:]) < 1e-5
    assert difference(model, to_2d(fuse_batch_norm(model)), model.input_shape[1:]) < 1e-5


def test_the_output_activation_is_kept():
    model = narrow_net("sr18", classifier_activation="sigmoid")
    assert difference(model, to_2d(model), model.input_shape[1:]) < 1e-5


def test_channel_order_and_scale_are_folded_into_the_first_kernel():
    model = narrow_net("sr18", classifier_activation=None)
    net = to_2d(model, pixel_scale=[2.0, 0.5, 4.0], reverse_channels=True)
    clips = np.random.default_rng(0).normal(0, 50, (1, *model.input_shape[1:])).astype(np.float32)
    given = (clips[..., ::-1] / np.float32([2.0, 0.5, 4.0])).astype(np.float32)
    np.testing.assert_allclose(net(tf.constant(given)), model(clips), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "frames"), [("res3d18", 8), ("res3d18", 16), ("sr18", 4), ("mc5", 4), ("res2d18", 1)])
def test_dead_taps_are_dropped(name, frames):
    """What is left is what `count_params(live=True)` counts, batch norm folded into one bias a channel."""
    net = dataclasses.replace(ZOO[name], width=4, frames=frames, crop=64)
    two_d = to_2d(build_model(net))
    convs = sum(layer.channels_out for layer in walk(net) if layer.op == "conv")
    assert two_d.count_params() == count_params(net, live=True) - convs


def test_what_has_no_2d_form_is_refused():
    model = narrow_net("sr18", input_shape=(None, 32, 32, 3))
    with pytest.raises(ValueError, match="one known clip size"):
        to_2d(model)
    with pytest.raises(ValueError, match=r"\(4, 48, 48, 3\)"):
        to_2d(model, (4, 48, 48, 3))
