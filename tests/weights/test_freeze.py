import keras
import numpy as np
import pytest

from keras_res3d.nets.batch_norm import fuse_batch_norm
from keras_res3d.weights.freeze import freeze, unfreeze
from tests.weights import nets


@pytest.mark.parametrize("architecture", [nets.RES3D, nets.C3D, nets.FACTORIZED], ids=lambda a: a.name)
def test_groups_up_to_the_named_one_are_frozen(architecture):
    model = nets.build(architecture)
    frozen = freeze(model, through="conv3")
    groups = {"1": True, "2": True, "3": True, "4": False, "5": False}
    for layer in model.layers:
        if layer.weights and not layer.name.startswith("fc"):
            group = next(letter for letter in layer.name if letter.isdigit())
            assert layer.trainable != groups[group], layer.name
            assert (layer.name in frozen) == groups[group]
        else:
            assert layer.name not in frozen


def test_frozen_groups_do_not_move_while_the_rest_trains():
    model = nets.build(nets.RES3D)
    frozen = set(freeze(model))
    before = {layer.name: [np.array(v) for v in layer.weights] for layer in model.layers}
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    clips = np.random.default_rng(0).normal(size=(2, *nets.RES3D.input_shape)).astype(np.float32)
    model.fit(clips, np.array([0, 1]), verbose=0)
    for layer in model.layers:
        moved = any(not np.array_equal(a, b) for a, b in zip(before[layer.name], layer.weights, strict=True))
        assert moved == (bool(layer.weights) and layer.name not in frozen), layer.name


def test_a_frozen_batch_norm_uses_its_stored_statistics_in_training():
    model = nets.build(nets.RES3D, include_top=False)
    freeze(model, through="conv5")
    clip = np.random.default_rng(0).normal(size=(2, *nets.RES3D.input_shape)).astype(np.float32)
    np.testing.assert_array_equal(model(clip, training=True), model(clip, training=False))


def test_an_unknown_group_lists_the_known_ones():
    with pytest.raises(ValueError, match="through is 'fc8'; expected one of conv1, conv2, conv3, conv4, conv5"):
        freeze(nets.build(nets.RES3D), through="fc8")


def _extended():
    net = nets.build(nets.RES3D, include_top=False, pooling="avg")
    return keras.Model(net.input, keras.layers.Dense(3, name="mine")(net.output)), net


def _nested():
    net = nets.build(nets.RES3D, include_top=False, pooling="avg")
    clip = keras.Input(nets.RES3D.input_shape)
    x = keras.layers.Conv3D(3, 3, padding="same", name="front")(clip)
    return keras.Model(clip, keras.layers.Dense(3, name="mine")(net(x))), net


def _nested_in_sequential():
    net = nets.build(nets.RES3D, include_top=False, pooling="avg")
    inner = keras.Sequential([keras.Input(nets.RES3D.input_shape), net])
    return keras.Sequential([keras.Input(nets.RES3D.input_shape), inner, keras.layers.Dense(3, name="mine")]), net


@pytest.mark.parametrize("make", [_extended, _nested, _nested_in_sequential])
def test_a_net_inside_a_users_model_is_frozen_and_the_users_layers_are_not(make):
    model, net = make()
    names = freeze(model, through="conv4")
    before = {variable.path: np.array(variable) for variable in model.variables}
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    clips = np.random.default_rng(0).normal(size=(2, *nets.RES3D.input_shape)).astype(np.float32)
    model.fit(clips, np.array([0, 1]), verbose=0)
    moved = {v.path for v in model.variables if not np.array_equal(before[v.path], v)}
    frozen = {variable.path for name in names for variable in net.get_layer(name).variables}
    assert names[0] == "conv1" and not moved & frozen
    assert moved >= {v.path for v in net.get_layer("res5a_branch2a").variables}
    assert any("mine/kernel" in path for path in moved)
    assert any("front/" in path for path in moved) == (make is _nested)


@pytest.mark.parametrize("make", [_extended, _nested, _nested_in_sequential])
def test_unfreezing_reaches_every_layer_and_batch_norm_learns_again(make):
    model, net = make()
    trained = len(model.trainable_variables)
    freeze(model, through="conv5")
    assert len(model.trainable_variables) < trained
    unfreeze(model)
    assert len(model.trainable_variables) == trained and all(layer.trainable for layer in net.layers)
    clip = np.random.default_rng(0).normal(size=(2, *nets.RES3D.input_shape)).astype(np.float32)
    assert not np.allclose(net(clip, training=True), net(clip, training=False))
    # Freezing fewer groups than before takes both.
    freeze(model, through="conv1")
    assert not net.get_layer("conv1").trainable and net.get_layer("res2a_branch2a").trainable


def test_setting_the_flag_that_a_model_has_already_does_nothing_as_the_docstring_says():
    model = nets.build(nets.RES3D)
    freeze(model)
    frozen = len(model.trainable_variables)
    model.trainable = True
    assert len(model.trainable_variables) == frozen


def test_a_fused_twin_is_frozen_with_its_model():
    model = nets.build(nets.RES3D)
    twin = fuse_batch_norm(model)
    freeze(twin, through="conv3")
    assert not model.get_layer("bn3a_branch2a").trainable and not twin.get_layer("bn3a_branch2a").trainable
    unfreeze(twin)
    assert model.get_layer("bn3a_branch2a").trainable


def test_a_model_of_two_nets_asks_for_one():
    clip = keras.Input(nets.RES3D.input_shape)
    streams = [nets.build(nets.RES3D, include_top=False, pooling="avg", name=name) for name in ("rgb", "flow")]
    model = keras.Model(clip, keras.layers.Concatenate()([net(clip) for net in streams]))
    with pytest.raises(ValueError, match=r"holds several nets \(rgb, flow\)"):
        freeze(model)
    assert freeze(model.get_layer("flow")) and model.get_layer("rgb").get_layer("conv1").trainable
