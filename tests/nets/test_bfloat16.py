"""Convolutions that train right in bfloat16 where oneDNN's "same" padding does not."""

import json
import os
import pathlib
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d.nets.bfloat16 import guard_bfloat16, is_unsafe
from keras_res3d.nets.recognise import architecture_of
from keras_res3d.nets.zoo import ZOO

ROOT = pathlib.Path(__file__).resolve().parents[2]
NET = replace(ZOO["res3d18"], width=4, crop=32, blocks=(1, 1, 1, 1), classes=5)
# bfloat16 has 8 bits of precision: right gradients differ from float32's by 0.002 to 0.005, wrong ones by 0.7 and more.
TOLERANCE = 0.01


def run_cases(part):
    """Relative errors by case, computed by the kernels of processors without AMX; None where the process died."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.nets.bfloat16_cases", part]
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode < 0:
        return None
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.slow
def test_every_convolution_of_the_zoo_gets_right_gradients():
    errors = run_cases("zoo")
    assert {name.split()[0] for name in errors} >= {"res3d18", "sr18", "c3d", "2.5d", "r3d_18", "r2plus1d_18"}
    assert {"res3d18 8 res4a_branch2b", "res3d18 16 res5a_branch2b"} <= set(errors)
    assert len(errors) > 100
    assert {name: error for name, error in errors.items() if error > TOLERANCE} == {}


@pytest.mark.slow
def test_a_users_own_convolutions_and_nets_switched_later_get_right_gradients():
    for part in ("users", "switched"):
        errors = run_cases(part)
        assert errors and {name: error for name, error in errors.items() if error > TOLERANCE} == {}


def test_the_fault_is_there_and_is_unsafe_knows_where():
    """With this the two tests above are known to test something; skipped where the processor has other kernels."""
    errors = run_cases("unguarded")
    if errors is None:
        return  # the fault, at its worst
    wrong = {name for name, error in errors.items() if error > TOLERANCE}
    if not wrong:
        pytest.skip("this processor or this TensorFlow computes all of them right")
    lengths = {"3 taps over 2 frames": (2, 3), "5 taps over 2 frames": (2, 5), "5 taps over 4 frames": (4, 5),
               "4 taps over 3 frames": (3, 4), "3 x 1 x 1 taps": (2, 3), "strided in space": (2, 3),
               "strided in time": (3, 5), "longer than the kernel": (6, 3)}  # fmt: skip
    assert {name.rsplit(", ", 1)[0] for name in wrong} == {name for name in lengths if is_unsafe(*lengths[name])}


@pytest.fixture
def mixed_bfloat16():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def explicit(model):
    """The convolutions of stride 1 that are padded explicitly."""
    padded = {layer.name.removesuffix("_pad") for layer in model.layers if layer.name.endswith("_pad")}
    return {name for name in padded if model.get_layer(name).strides == (1, 1, 1)}


def test_only_a_net_that_computes_in_bfloat16_is_built_otherwise(request):
    net = ZOO["res3d18"]
    short = {"res4a_branch2b", "res4b_branch2a", "res4b_branch2b"}
    plain = keras_res3d.build_model(net, width=4)
    request.getfixturevalue("mixed_bfloat16")
    model = keras_res3d.build_model(net, width=4)
    assert explicit(plain) == set() and explicit(model) == short
    shapes = [[(v.path, tuple(v.shape)) for v in each.variables] for each in (plain, model)]
    assert shapes[0] == shapes[1] and architecture_of(plain) == architecture_of(model)
    assert explicit(keras_res3d.build_model(net, width=4, input_shape=(32, 112, 112, 3))) == set()
    unknown = keras_res3d.build_model(net, width=4, input_shape=(None, 112, 112, 3))
    assert explicit(unknown) > short and "res2a_branch2a" in explicit(unknown)
    # Nothing is left to guard where no kernel reads more than one frame.
    assert explicit(keras_res3d.build_model("mc1", width=4)) == set()


def test_a_net_built_in_bfloat16_is_stock_keras_and_takes_weights_of_either(mixed_bfloat16, tmp_path):
    model = keras_res3d.build_model(NET)
    model.save(tmp_path / "a.keras")
    loaded = keras.models.load_model(tmp_path / "a.keras", safe_mode=True)
    keras.config.set_dtype_policy("float32")
    plain = keras_res3d.build_model(NET, weights=tmp_path / "a.keras")
    clips = np.random.default_rng(0).normal(size=(2, *NET.input_shape)).astype("float32")
    assert np.array_equal(loaded(clips), model(clips))
    np.testing.assert_allclose(plain(clips), model(clips), atol=2e-3)
    assert explicit(loaded) == explicit(model) == {"res4a_branch2b"}


def test_the_guard_changes_neither_outputs_nor_files(tmp_path):
    model = keras_res3d.build_model(NET)
    clips = np.random.default_rng(0).normal(size=(2, *NET.input_shape)).astype("float32")
    expected, config = np.asarray(model(clips)), model.get_config()
    assert guard_bfloat16(model) is model
    assert np.array_equal(model(clips), expected) and model.get_config() == config
    guard_bfloat16(model).save(tmp_path / "a.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "a.keras")(clips), expected)
    assert architecture_of(model) == replace(NET)


@pytest.mark.parametrize("size, options", [(3, {}), ((5, 3, 4), {"strides": (2, 3, 1)}), (4, {"dilation_rate": 2})])
def test_guarded_outputs_are_those_of_same_padding(size, options):
    """Odd and even kernels, strides, dilation; sizes known and open."""
    x = np.random.default_rng(0).normal(size=(2, 2, 7, 8, 4)).astype("float32")
    for shape in (x.shape[1:], (None, None, None, 4)):
        conv = keras.layers.Conv3D(6, size, padding="same", dtype="mixed_bfloat16", **options)
        model = keras.Sequential([keras.Input(shape), conv])
        expected = np.asarray(model.predict(x, verbose=0), "float32")
        guarded = keras.models.clone_model(model, clone_function=lambda layer: layer)
        guard_bfloat16(guarded)
        guarded.predict_function = None
        np.testing.assert_allclose(np.asarray(guarded.predict(x, verbose=0), "float32"), expected, rtol=0.02, atol=0.02)


def test_a_convolution_that_computes_otherwise_is_left_alone():
    class Mine(keras.layers.Conv3D):
        def convolution_op(self, inputs, kernel):
            return super().convolution_op(inputs, kernel) * 2

    conv = Mine(4, 3, padding="same")
    x = np.ones((1, 2, 4, 4, 2), "float32")
    expected = np.asarray(conv(x))
    guard_bfloat16(keras.Sequential([keras.Input((2, 4, 4, 2)), conv]))
    assert np.array_equal(conv(x), expected) and "convolution_op" not in vars(conv)
