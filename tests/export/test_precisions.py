"""Models in other precisions than float32, quantised by Keras, or compiled by XLA: right, or refused in a line."""

import keras
import numpy as np
import pytest

from keras_res3d.export.export import export_model

from .nets import small_net


@pytest.mark.parametrize("mode", ["int8", pytest.param("float8", marks=pytest.mark.slow)])
def test_what_keras_quantised_stays_with_tensorflow(mode, card, clips, tmp_path):
    model = small_net()
    model.quantize(mode)
    assert export_model(model, tmp_path / "net", card=card, check_clips=clips).largest_difference < 1e-5
    for name, options in (("net.tflite", {"format": "litert"}),
                          ("net.tflite", {"format": "litert", "quantize": "int8"}),
                          ("net.onnx", {"format": "onnx"}), ("net.xml", {"format": "openvino"}),
                          ("net", {"form": "2d"})):  # fmt: skip
        with pytest.raises(ValueError, match=r"sr18 was quantised by Keras \(fc8\), .*before quantize\(\)"):
            export_model(model, tmp_path / name, card=card, **options)


@pytest.mark.parametrize("policy", [
    "mixed_bfloat16", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mixed_float16", "float16")),
])  # fmt: skip
def test_other_float_types_are_exported_in_float32(policy, card, clips, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        model = small_net()
    finally:
        keras.config.set_dtype_policy("float32")
    for name, format in (("net", "saved_model"), ("net.tflite", "litert")):
        assert export_model(model, tmp_path / name, format, card=card, check_clips=clips).largest_difference < 1e-5


@pytest.mark.slow
def test_a_model_compiled_by_xla_is_exported(card, clips, tmp_path):
    model = small_net()
    model.compile("sgd", "mse", jit_compile=True)
    model.predict_on_batch(np.zeros((1, 4, 32, 32, 3), np.float32))
    for name, format in (("net", "saved_model"), ("net.tflite", "litert")):
        assert export_model(model, tmp_path / name, format, card=card, check_clips=clips).largest_difference < 1e-5
