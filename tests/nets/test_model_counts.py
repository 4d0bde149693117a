"""Counts of Keras models: those of the walk for every row of the zoo, and worked examples of other people's nets."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_res3d import build_model, count_macs, count_params, model_counts
from keras_res3d.nets.zoo import ZOO
from tests.users_models import NARROW, foreign, nested, sequential, transfer


def narrow(name):
    """A row of the zoo with two channels in its first group, and small hidden layers where it has some."""
    net = ZOO[name]
    return dataclasses.replace(net, width=2, classes=5, dense=(6,) * len(net.dense))


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("live", [False, True])
def test_every_row_of_the_zoo_counts_as_its_walk(name, live):
    model = build_model(narrow(name))
    assert count_params(model, live=live) == count_params(narrow(name), live=live)
    assert count_macs(model, live=live) == count_macs(narrow(name), live=live)
    assert model_counts(model).skipped == []
    if not live:
        assert count_params(model) == sum(int(np.prod(v.shape)) for v in model.trainable_variables)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_every_row_of_the_zoo_at_its_own_size(name):
    model = build_model(name)
    for live in (False, True):
        assert count_params(model, live=live) == count_params(name, live=live)
        assert count_macs(model, live=live) == count_macs(name, live=live)
    keras.utils.clear_session()


@pytest.mark.parametrize("frames", [8, 11, 16])
def test_open_sizes_and_trimmed_nets(frames):
    net = dataclasses.replace(ZOO["r3d_18"], width=2, classes=5)
    shape = (frames, 24, 40, 3)
    model = build_model(net, input_shape=(None, None, None, 3))
    with pytest.raises(ValueError, match="needs every size"):
        count_macs(model)
    assert count_macs(model, input_shape=shape, live=True) == count_macs(net, shape, live=True)
    trimmed = build_model(net, input_shape=shape, trim=True)
    assert count_params(trimmed, live=True) == count_params(net, input_shape=shape, live=True)


def test_frozen_layers_count():
    model = build_model(narrow("sr18"))
    whole = count_params(model)
    model.trainable = False
    assert count_params(model) == whole


def test_users_models():
    net, shape = NARROW, (4, 32, 32, 3)
    for model in (transfer(), nested(), sequential()):
        assert count_macs(model) == count_macs(net, shape, 3), model.name
        assert count_params(model, live=True) == count_params(net, 3, shape, live=True), model.name


def test_a_foreign_net_by_hand():
    counts = model_counts(foreign())
    first = 4 * 16 * 16 * 27 * 3 * 6
    second = 2 * 8 * 8 * 3 * 6 * 8
    assert [each.macs for each in counts.layers if each.macs] == [first, second, 8 * 3]
    # "same" with stride 1 over 4 frames: the outer taps miss one of four. With stride 2 all but the last one are in.
    assert counts.layers[0 if counts.layers[0].macs else 1].live_macs == first * 10 // 12
    assert counts.params() == (27 * 3 + 1) * 6 + 12 + (3 * 6 + 1) * 8 + (8 + 1) * 3


def test_other_kinds_of_layers():
    x = keras.Input((5, 8, 8, 4))
    y = keras.layers.TimeDistributed(keras.layers.Conv2D(6, 3, groups=2), name="steps")(x)
    y = keras.layers.Conv3DTranspose(2, 2, strides=2, name="up")(y)
    z = keras.layers.Dense(3, name="everywhere")(y)
    counts = {each.name: each.macs for each in model_counts(keras.Model(x, z)).layers}
    assert counts["steps"] == 5 * 6 * 6 * 9 * 2 * 6
    assert counts["up"] == 5 * 6 * 6 * 8 * 6 * 2
    assert counts["everywhere"] == 10 * 12 * 12 * 2 * 3
    image = keras.Input((9, 9, 4))
    y = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="deep")(image)
    y = keras.layers.SeparableConv2D(5, 3, name="apart")(y)
    counts = {each.name: each.macs for each in model_counts(keras.Model(image, y)).layers}
    assert counts["deep"] == 49 * 9 * 4 * 2 and counts["apart"] == 25 * (9 * 8 + 8 * 5)


@pytest.mark.parametrize(("layer", "shape"), [
    (keras.layers.DepthwiseConv1D(5, padding="same", depth_multiplier=2), (2, 3)),
    (keras.layers.Conv1D(3, 5, padding="same", dilation_rate=2), (3, 2)),
    (keras.layers.DepthwiseConv2D(5, padding="same"), (2, 3, 2)),
    (keras.layers.SeparableConv1D(4, 5, padding="same"), (2, 3)),
    (keras.layers.Conv1DTranspose(2, 5, padding="same"), (2, 3)),
    (keras.layers.Conv3DTranspose(2, (5, 3, 3), strides=(1, 2, 2), padding="same"), (2, 2, 1, 2)),
    (keras.layers.Conv1DTranspose(2, 7, strides=2, padding="same"), (1, 3)),
    (keras.layers.TimeDistributed(keras.layers.Conv1D(2, 5, padding="same")), (3, 2, 2)),
], ids=lambda value: getattr(value, "name", None))  # fmt: skip
def test_live_parameters_are_those_that_have_a_gradient(layer, shape):
    model = keras.Sequential([keras.Input(shape), layer])
    kernels = [variable for variable in model.trainable_variables if "kernel" in variable.name]
    clips = tf.constant(np.random.default_rng(0).uniform(1, 2, (2, *shape)), tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(model(clips)))
    gradients = tape.gradient(loss, [variable.value for variable in kernels])
    dead = sum(int(np.sum(gradient.numpy() == 0)) for gradient in gradients)
    assert dead > 0 and count_params(model) - count_params(model, live=True) == dead
    if len(shape) != 3:  # the taps of a kernel on images are not followed in its multiply-accumulates
        assert count_macs(model, live=True) < count_macs(model)


def test_a_shared_layer_counts_its_parameters_once():
    layer = keras.layers.Dense(4, name="twice")
    x = keras.Input((4,))
    counts = model_counts(keras.Model(x, layer(layer(x))))
    assert counts.params() == 20 and counts.macs() == 32


def test_what_is_skipped_is_named():
    x = keras.Input((6, 8))
    y = keras.layers.LSTM(4, name="memory")(x)
    y = keras.layers.Dense(2)(y) + keras.ops.matmul(y, keras.ops.transpose(keras.ops.ones((2, 4))))
    model = keras.Model(x, y)
    counts = model_counts(model)
    assert counts.skipped[0] == "memory" and len(counts.skipped) == 2
    assert counts.params() == 4 * 4 * (8 + 4 + 1) + 10
    with pytest.warns(UserWarning, match="memory"):
        assert count_macs(model) == 8
    _, rows = counts.table()
    assert [row[0] for row in rows][-1] == "total" and "skipped" in rows[0]


def test_what_cannot_be_counted_is_refused():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    class Doubled(keras.Model):
        def call(self, x):
            return 2 * super().call(x)

    x = keras.Input((4,))
    for model in (Subclassed(), Doubled(x, keras.layers.Dense(3)(x))):
        with pytest.raises(ValueError, match="neither functional nor sequential, or has a call of its own"):
            count_macs(model)
    with pytest.raises(ValueError, match="leave classes out"):
        count_params(foreign(), classes=4)
