"""Grad-CAM against what it is by hand, and on the models that users have."""

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d import grad_cam
from keras_res3d.cards import ModelCard
from keras_res3d.inference.classifier import as_classifier

from ..users_models import MODELS, SAMPLING, SHAPE


def tiny(activation, data=(2, 4, 4, 1)):
    """Two channels: the pixels as they are and their negative plus one; mean of each; a matrix to two scores."""
    clip = keras.Input(data)
    x = keras.layers.Conv3D(2, 1, name="maps")(clip)
    x = keras.layers.GlobalAveragePooling3D()(x)
    model = keras.Model(clip, keras.layers.Dense(2, activation=activation, name="head")(x), name="tiny")
    model.get_layer("maps").set_weights([np.array([[[[[1.0, -1.0]]]]]), np.array([0.0, 1.0])])
    model.get_layer("head").set_weights([np.array([[3.0, 0.0], [1.0, 2.0]]), np.zeros(2)])
    return model


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_by_hand(activation):
    clips = np.random.default_rng(0).random((2, 2, 4, 4, 1)).astype(np.float32)
    clips[1] += 0.5
    # The gradient of a class's score by each of the 32 places of a channel is its entry of the matrix / 32, so that the
    # map of class 0 is (3 x + (1 - x)) / 32 and that of class 1 is 2 (1 - x) / 32, where it is not negative.
    pixels = clips[..., 0]
    for number, expected in ((0, 2 * pixels + 1), (1, np.maximum(1 - pixels, 0))):
        heat = grad_cam(tiny(activation), clips, number)
        assert heat.shape == (2, 2, 4, 4) and heat.dtype == np.float32
        assert np.allclose(heat, expected / expected.max(axis=(1, 2, 3), keepdims=True), atol=1e-5)
    best = tiny(activation).predict_on_batch(clips).argmax(axis=1)
    assert np.array_equal(grad_cam(tiny(activation), clips), grad_cam(tiny(activation), clips, best))


def test_a_score_near_one_still_has_a_gradient():
    model = tiny("softmax")
    model.get_layer("head").set_weights([np.array([[300.0, 0.0], [0.0, -300.0]]), np.zeros(2)])
    clips = np.random.default_rng(0).random((1, 2, 4, 4, 1)).astype(np.float32)
    assert model.predict_on_batch(clips)[0, 0] == 1 and grad_cam(model, clips, 0).max() == 1


def test_coarse_maps_are_spread_over_the_clip():
    clip = keras.Input((4, 8, 8, 1))
    x = keras.layers.AveragePooling3D(2, name="coarse")(clip)
    x = keras.layers.AveragePooling3D((2, 4, 4), name="one_place")(x)
    model = keras.Model(clip, keras.layers.Dense(1)(keras.layers.Flatten()(x)))
    model.layers[-1].set_weights([np.ones((1, 1)), np.zeros(1)])
    clips = np.zeros((1, 4, 8, 8, 1), np.float32)
    clips[0, :2, :2, :2] = 1
    heat = grad_cam(model, clips)[0]
    # Cells are two frames long: their middles lie between frames, and linear interpolation mixes the two neighbours.
    assert np.allclose(heat[:, 0, 0], [1, 0.75, 0.25, 0]) and np.allclose(heat[0, 0, :4], [1, 0.75, 0.25, 0])
    assert heat[0, 1, 1] == 0.75 * 0.75


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_users_models(build):
    model = build()
    clips = np.random.default_rng(0).normal(0, 50, (2, *SHAPE)).astype(np.float32)
    before = model.predict_on_batch(clips)
    heat = grad_cam(model, clips, [0, 2])
    assert heat.shape == (2, *SHAPE[:3]) and np.isfinite(heat).all() and heat.min() >= 0 and heat.max() <= 1
    assert np.array_equal(model.predict_on_batch(clips), before)


def test_a_nested_net_gives_what_the_same_net_gives_alone():
    keras.utils.set_random_seed(1)
    flat = MODELS["transfer"]()
    clip = keras.Input(SHAPE)
    inner = keras.Model(flat.input, flat.layers[-2].output, name="inner")
    nested = keras.Model(clip, flat.layers[-1](inner(clip)))
    inner.trainable = False
    clips = np.random.default_rng(0).normal(0, 50, (2, *SHAPE)).astype(np.float32)
    assert np.allclose(grad_cam(nested, clips, 1), grad_cam(flat, clips, 1), atol=1e-5)
    assert grad_cam(flat, clips, 1).max() == 1


def test_pixels_and_refusals(tmp_path):
    model = MODELS["foreign"]()
    opened = as_classifier(model, card=ModelCard("foreign", ("a", "b", "c"), SAMPLING))
    pixels = np.random.default_rng(0).integers(0, 255, (1, *SHAPE), np.uint8)
    assert np.array_equal(grad_cam(opened, pixels, 1), grad_cam(model, keras_res3d.preprocess_input(pixels), 1))
    keras_res3d.export_model(model, tmp_path / "saved", card=opened.card)
    with pytest.raises(ValueError, match="export, which has no gradients"):
        grad_cam(keras_res3d.load_model(tmp_path / "saved"), pixels)
    floats = pixels.astype(np.float32)
    for options, message in (({"classes": 3}, "from 0 to 2"), ({"layer": "nothing"}, "no layer 'nothing'")):
        with pytest.raises(ValueError, match=message):
            grad_cam(model, floats, **options)
    flat = keras.Sequential([keras.Input((2, 4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="no layer whose output has frames"):
        grad_cam(flat, np.zeros((1, 2, 4, 4, 3), np.float32))
