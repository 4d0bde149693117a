"""The exported function: pixels in, any batch, both forms, both preprocessings, any precision policy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_res3d.data.transform import preprocess_input
from keras_res3d.export.graph import ServingGraph, float32_model

from .nets import narrow_net


@pytest.mark.parametrize("form", ["2d", "3d"])
@pytest.mark.parametrize("mode", ["res3d", "torchvision", None])
def test_graph_equals_preprocessing_and_net(form, mode):
    model = narrow_net("sr18", classifier_activation=None)
    graph = ServingGraph(model, model.input_shape[1:], form, mode)
    pixels = np.random.default_rng(0).integers(0, 256, (3, *model.input_shape[1:]), np.uint8)
    floats = preprocess_input(pixels, mode or "res3d")
    expected = model(floats, training=False).numpy()
    assert graph.dtype == ("float32" if mode is None else "uint8")
    for batch in (1, 3):
        clips = (floats if mode is None else pixels)[:batch]
        found = graph.function(tf.constant(clips))["output"].numpy()
        assert np.abs(found - expected[:batch]).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(("name", "options"), [("sr18", {}), ("c3d", {"classifier_activation": None}),
                                               ("mc3", {"include_top": False, "pooling": "max"})])  # fmt: skip
def test_a_model_in_mixed_precision_is_exported_in_float32(name, options):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = narrow_net(name, **options)
    finally:
        keras.config.set_dtype_policy("float32")
    model = float32_model(mixed)
    plain = narrow_net(name, **options)
    plain.set_weights(mixed.get_weights())
    clips = np.random.default_rng(0).normal(0, 50, (1, *model.input_shape[1:])).astype(np.float32)
    np.testing.assert_array_equal(model(clips, training=False), plain(clips, training=False))
    assert float32_model(plain) is plain
