import keras
import numpy as np
import pytest

from keras_res3d.weights.freeze import freeze
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
