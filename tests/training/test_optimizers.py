"""The optimiser does what Caffe's solver does, checked against NumPy; decay and multipliers land where they belong."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_res3d.training.optimizers import decays_and_multipliers, make_optimizer
from keras_res3d.training.recipes import TrainingOptions, recipe


def small_net():
    keras.utils.set_random_seed(0)
    return keras.Sequential([
        keras.Input((4, 6, 6, 3)),
        keras.layers.Conv3D(4, 3, name="conv"),
        keras.layers.BatchNormalization(name="bn"),
        keras.layers.GlobalAveragePooling3D(),
        keras.layers.Dense(3, name="fc"),
    ])  # fmt: skip


def test_decay_on_kernels_alone_and_multipliers_by_part():
    net = small_net()
    options = recipe("scnn_proposal", bias_multiplier=3.0)
    decays, multipliers = decays_and_multipliers(net, options)
    found = {v.path: pair for v, *pair in zip(net.trainable_variables, decays, multipliers, strict=True)}
    found = {"/".join(path.split("/")[-2:]): tuple(pair) for path, pair in found.items()}
    assert found == {
        "conv/kernel": (5e-5, 1), "conv/bias": (0, 3), "bn/gamma": (0, 1), "bn/beta": (0, 1),
        "fc/kernel": (5e-5, 10), "fc/bias": (0, 20),
    }  # fmt: skip


def test_sgd_equals_caffes_by_numpy():
    net = small_net()
    options = TrainingOptions(
        schedule="step", warmup=0.0, divide_every=3, divide_by=10.0, learning_rate=0.1, weight_decay=0.05,
        bias_multiplier=2.0, head_multiplier=10.0, head_bias_multiplier=20.0,
    )  # fmt: skip
    optimizer = make_optimizer(net, options, 8)
    decays, multipliers = decays_and_multipliers(net, options)
    weights = [v.numpy().astype("float64") for v in net.trainable_variables]
    momenta = [np.zeros_like(w) for w in weights]
    rng = np.random.default_rng(0)
    for step in range(8):
        gradients = [rng.normal(size=w.shape).astype("float32") for w in weights]
        optimizer.apply([tf.constant(g) for g in gradients], net.trainable_variables)
        rate = 0.1 / 10 ** (step // 3)
        for i, gradient in enumerate(gradients):
            momenta[i] = 0.9 * momenta[i] + rate * multipliers[i] * (gradient + decays[i] * weights[i])
            weights[i] = weights[i] - momenta[i]
    for variable, expected in zip(net.trainable_variables, weights, strict=True):
        np.testing.assert_allclose(variable.numpy(), expected, rtol=2e-5, atol=2e-6)


def test_gradients_are_clipped_together_before_the_decay():
    net = small_net()
    optimizer = make_optimizer(net, TrainingOptions(warmup=0.0, schedule="constant", learning_rate=1.0,
                                                    momentum=0.0, weight_decay=0.0, clip_norm=2.0), 5)  # fmt: skip
    before = [v.numpy() for v in net.trainable_variables]
    optimizer.apply([tf.ones(v.shape) for v in net.trainable_variables], net.trainable_variables)
    moved = sum(((a - v.numpy()) ** 2).sum() for a, v in zip(before, net.trainable_variables, strict=True))
    assert np.sqrt(moved) == pytest.approx(2.0, rel=1e-4)


def test_adamw_decays_kernels_alone_and_scales_the_head():
    net = small_net()
    options = TrainingOptions(optimizer="adamw", warmup=0.0, schedule="constant", learning_rate=0.01,
                              weight_decay=0.5, head_multiplier=3.0)  # fmt: skip
    optimizer = make_optimizer(net, options, 5)
    before = {v.path.split("/", 1)[-1]: v.numpy() for v in net.trainable_variables}
    optimizer.apply([tf.ones(v.shape) for v in net.trainable_variables], net.trainable_variables)
    after = {v.path.split("/", 1)[-1]: v.numpy() for v in net.trainable_variables}
    for name, weight in before.items():
        kernel, head = name.endswith("kernel"), name.startswith("fc/kernel")
        expected = weight * (1 - 0.01 * 0.5 * kernel) - 0.01 * (3 if head else 1)
        np.testing.assert_allclose(after[name], expected, atol=1e-5, err_msg=name)
