"""Models that are no net of this package's builders, or more than one: every format takes them, or says why not."""

import keras
import numpy as np
import pytest

from keras_res3d import export_model, load_runner
from keras_res3d.cards import card_of
from keras_res3d.data.transform import preprocess_input
from keras_res3d.export.formats import FORMATS
from keras_res3d.export.formats.base import Request
from keras_res3d.export.graph import ServingGraph, float32_model
from keras_res3d.export.samples import clips_from, embedded_clips, embedded_input

from ..users_models import MODELS, SAMPLING, foreign, own_layer


@pytest.fixture(scope="module")
def clips():
    return embedded_clips(SAMPLING, 4, "test")


def but_slow(*names):
    """All models; those of the names in the slow tests alone."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in names else name for name in MODELS]


@pytest.mark.parametrize("name", but_slow("rescaled", "sequential", "nested"))
def test_a_saved_model_of_any_model(name, clips, tmp_path):
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    card = card_of(model, "abc", SAMPLING)
    report = export_model(model, tmp_path / "net", card=card, check_clips=clips)
    assert (report.form, report.format) == ("3d", "saved_model") and report.largest_difference < 1e-5
    assert report.top1_agreement == 1
    runner = load_runner(tmp_path / "net")
    assert runner.card == card and runner.input_shape == (4, 32, 32, 3)
    expected = model.predict_on_batch(preprocess_input(clips))
    np.testing.assert_allclose(runner(clips), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", but_slow("rescaled", "sequential"))
def test_litert_takes_the_two_d_form_of_any_model(name, clips, tmp_path):
    keras.utils.set_random_seed(0)
    model, path = MODELS[name](), tmp_path / "net.tflite"
    report = export_model(model, path, "litert", check_clips=clips)
    assert report.form == "2d" and report.largest_difference < 1e-5
    expected = model.predict_on_batch(preprocess_input(clips))
    np.testing.assert_allclose(load_runner(path)(clips), expected, atol=1e-5 * np.abs(expected).max())
    # An untrained net's classes are so close that the best one says nothing of int8; its scores do.
    row, request = FORMATS["litert"], Request("int8", clips, False, card_of(model))
    row.write(ServingGraph(model, clips.shape[1:], "2d", "res3d"), path, request)
    np.testing.assert_allclose(load_runner(path)(clips), expected, atol=0.1 * np.abs(expected).max())


@pytest.mark.parametrize("name", MODELS)
def test_onnx_takes_the_two_d_form_of_any_model(name, clips, tmp_path):
    for package in ("onnx", "tf2onnx", "onnxruntime"):
        pytest.importorskip(package)
    report = export_model(MODELS[name](), tmp_path / "net.onnx", "onnx", check_clips=clips)
    assert report.form == "2d" and report.largest_difference < 1e-5


def test_a_layer_of_ones_own_falls_back_to_three_dimensions(clips, tmp_path):
    for package in ("onnx", "tf2onnx", "onnxruntime"):
        pytest.importorskip(package)
    model = own_layer()
    with pytest.warns(UserWarning, match=r"is written in the 3-D form, as it has no 2-D form: .*smoothing") as caught:
        report = export_model(model, tmp_path / "net.onnx", "onnx", check_clips=clips)
    assert len([w for w in caught if "3-D form" in str(w.message)]) == 1
    assert report.form == "3d" and report.largest_difference < 1e-5
    expected = model.predict_on_batch(preprocess_input(clips))
    np.testing.assert_allclose(load_runner(tmp_path / "net.onnx")(clips), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (own_layer, {"quantize": "int8"}, r"CONV_3D has float kernels only.*no 2-D form.*smoothing \(Smoothing\)"),
        (own_layer, {"quantize": "dynamic"}, "no 2-D form, which could be quantised"),
        (own_layer, {"form": "2d"}, "form is '2d', and own_layer has no 2-D form"),
        (lambda: foreign(channels=2), {}, r"2 channels.*preprocessing=False"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(build, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export_model(build(), tmp_path / "net.tflite", "litert", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("channels", "format"), [
    (1, "saved_model"), (2, "litert"), pytest.param(4, "saved_model", marks=pytest.mark.slow)
])  # fmt: skip
def test_any_number_of_channels(channels, format, tmp_path):
    model, path = foreign(channels), tmp_path / {"saved_model": "net", "litert": "net.tflite"}[format]
    report = export_model(model, path, format, preprocessing=False)
    assert report.largest_difference < 1e-5 and report.clips == 32
    runner = load_runner(path)
    assert runner.input_shape == (4, 32, 32, channels) and runner.dtype == np.float32
    clips = np.random.default_rng(0).normal(0, 1, (3, *runner.input_shape)).astype(np.float32)
    np.testing.assert_allclose(runner(clips), model.predict_on_batch(clips), atol=1e-5)


def test_clips_of_other_channels_are_the_users_floats():
    clips = np.random.default_rng(0).normal(0, 1, (3, 4, 32, 32, 2)).astype(np.float32)
    np.testing.assert_array_equal(clips_from(clips, SAMPLING, preprocessing=False, channels=2), clips)
    for wrong, message in ((clips.astype(np.uint8), "expected preprocessed float32"), (clips * np.inf, "NaN"),
                           (clips[..., :1], r"expected \(clips, 4, 32, 32, 2\)")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            clips_from(wrong, SAMPLING, preprocessing=False, channels=2)
    assert embedded_input(SAMPLING, 2, "test", 4).shape == (2, 4, 32, 32, 4)


def test_models_that_have_not_one_clip_and_one_output_are_refused(tmp_path):
    clip, other = keras.Input((4, 8, 8, 3)), keras.Input((4, 8, 8, 3))
    mean = keras.layers.GlobalAveragePooling3D()
    several = keras.Model([clip, other], keras.layers.Add()([mean(clip), mean(other)]), name="several")
    with pytest.raises(ValueError, match="several has 2 inputs; expected one"):
        export_model(several, tmp_path / "net")
    with pytest.raises(ValueError, match="branches has 2 outputs; expected one"):
        export_model(keras.Model(clip, [mean(clip), clip], name="branches"), tmp_path / "net")
    picture = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match=r"flat takes inputs of shape \(8, 8, 3\); expected clips"):
        export_model(keras.Model(picture, keras.layers.Flatten()(picture), name="flat"), tmp_path / "net")
    with pytest.raises(ValueError, match="no known input"):
        export_model(keras.Sequential([keras.layers.Conv3D(2, 3)]), tmp_path / "net")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["nested", "rescaled", "sequential"])
def test_mixed_precision_of_any_model_becomes_float32(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = MODELS[name]()
    finally:
        keras.config.set_dtype_policy("float32")
    plain = MODELS[name]()
    plain.set_weights(mixed.get_weights())
    found = float32_model(mixed)
    clips = np.random.default_rng(0).normal(0, 50, (1, 4, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(found(clips, training=False), plain(clips, training=False))


def test_wrapped_layers_become_float32():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        clip = keras.Input((4, 8, 8, 3))
        x = keras.layers.TimeDistributed(keras.layers.Conv2D(2, 3))(clip)
        mixed = keras.Model(clip, keras.layers.GlobalAveragePooling3D()(x))
    finally:
        keras.config.set_dtype_policy("float32")
    found = float32_model(mixed)
    assert found.layers[1].layer.compute_dtype == found.layers[1].compute_dtype == "float32"
    assert found.output.dtype == "float32"
