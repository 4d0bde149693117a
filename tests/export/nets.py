"""Narrow nets with the statistics of trained ones, for the tests of this folder."""

import dataclasses

import keras
import numpy as np

from keras_res3d import build_model, get_architecture


def randomise(model, seed=0):
    """Gives batch norm and biases values that a mistake in folding would show; in place."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        name = variable.path.rsplit("/", 1)[-1]
        if name in ("moving_mean", "beta", "bias"):
            variable.assign(rng.normal(0, 0.2, variable.shape))
        elif name in ("moving_variance", "gamma"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return model


def narrow_net(name="res3d18", width=8, crop=32, classes=5, seed=0, frames=None, blocks=None, **options):
    """A row of the zoo with few channels and small frames, randomised. dense: few units where the row has any."""
    keras.utils.set_random_seed(seed)
    net = get_architecture(name)
    dense, blocks = tuple(16 for _ in net.dense), blocks or net.blocks
    net = dataclasses.replace(
        net, frames=frames or net.frames, width=width, crop=crop, blocks=blocks, dense=dense,
        factorized_stem=net.factorized_stem and 6,
    )
    return randomise(build_model(net, classes=classes, **options), seed)


def small_net(seed=0, **options):
    """SR18 for three classes with five of its eight blocks, of both kinds: with a projection, and with none."""
    return narrow_net("sr18", classes=3, seed=seed, blocks=(1, 1, 1, 2), **options)
