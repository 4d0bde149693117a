"""Nets without dead temporal taps against the whole ones: function, training, weights, files."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_res3d import build_model, count_params
from keras_res3d.export.two_d import to_2d
from keras_res3d.nets.architecture import convolutions
from keras_res3d.nets.recognise import architecture_of
from keras_res3d.nets.taps import is_trimmed, kernel_taps, live_indices, live_taps, newly_live_taps
from keras_res3d.nets.zoo import ZOO
from keras_res3d.weights.load import load_weights
from keras_res3d.weights.trim import trim_weights, untrim_weights
from tests.export.nets import randomise

SMALL = {"width": 4, "crop": 32, "classes": 5}
NARROW = replace(ZOO["res3d18"], name="narrow", blocks=(1, 1, 1, 1), **SMALL)
# Short clips of whole kernels, factorized ones, two sorts, a net without batch norm, and sizes unlike the zoo's.
SHORT = {
    "sr18": replace(ZOO["sr18"], blocks=(1, 1, 1, 1), **SMALL),
    "res3d18": NARROW,
    "2.5d": replace(ZOO["2.5d"], blocks=(1, 1, 1, 1), **SMALL),
    "r2plus1d_18": replace(ZOO["r2plus1d_18"], blocks=(1, 1, 1, 1), frames=8, factorized_stem=6, **SMALL),
    "mc5": replace(ZOO["mc5"], blocks=(1, 1, 1, 1), **SMALL),
    "c3d": replace(ZOO["c3d"], frames=16, dense=(8, 8), **SMALL),
    "wide_in_time": replace(
        NARROW,
        frames=24,
        temporal_kernels=(5, 3, 7, 5, 7),
        strides=((1, 2, 2), (2, 1, 1), (3, 2, 2), (2, 2, 2), (2, 2, 2)),
    ),
}


def clips_for(net, count=2, seed=0, dtype="float32"):
    return np.random.default_rng(seed).normal(size=(count, *net.input_shape)).astype(dtype)


def whole_and_trimmed(net, **options):
    """Both with the same weights, statistics unlike a fresh net's."""
    whole, trimmed = (build_model(net, trim=trim, **options) for trim in (False, True))
    randomise(whole)
    trim_weights(whole, trimmed)
    return whole, trimmed


def assert_live_weights_agree(whole, trimmed, **tolerance):
    live = kernel_taps(architecture_of(trimmed), trimmed.input_shape[1])
    for layer in (layer for layer in whole.layers if layer.weights):
        pairs = zip(layer.get_weights(), trimmed.get_layer(layer.name).get_weights(), strict=True)
        for index, (a, b) in enumerate(pairs):
            a = a[live[layer.name].kept] if layer.name in live and not index else a
            np.testing.assert_allclose(b, a, **tolerance, err_msg=f"{layer.name}/{index}")


def trainable(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


@pytest.mark.parametrize("net", ZOO)
def test_the_trimmed_net_has_the_live_parameters_and_tells_the_whole_architecture(net, monkeypatch):
    # Random numbers by the hundred million would take most of the time.
    monkeypatch.setattr(
        keras.initializers.VarianceScaling, "__call__", lambda self, shape, dtype: np.zeros(shape, dtype)
    )
    model = build_model(net, trim=True)
    assert trainable(model) == count_params(net, live=True)
    assert architecture_of(model) == ZOO[net]
    assert is_trimmed(model) == (count_params(net, live=True) < count_params(net))
    if net == "res3d18":
        assert trainable(model) == 17_886_885


@pytest.mark.parametrize("net", [SHORT[name] for name in ("res3d18", "c3d", "wide_in_time")], ids=lambda net: net.name)
def test_same_function_and_exact_weights_both_ways(net):
    whole, trimmed = whole_and_trimmed(net)
    assert is_trimmed(trimmed) == (net.name != "c3d") and trainable(trimmed) <= trainable(whole)
    assert architecture_of(trimmed) == architecture_of(whole) == net
    clips = clips_for(net)
    np.testing.assert_allclose(trimmed(clips), whole(clips), rtol=1e-4, atol=1e-6)
    assert_live_weights_agree(whole, trimmed, rtol=0)

    other = build_model(net)
    former = other.get_weights()
    untrim_weights(trimmed, other, untrained_taps="keep")
    assert_live_weights_agree(other, trimmed, rtol=0)
    np.testing.assert_allclose(other(clips), whole(clips), rtol=1e-4, atol=1e-6)
    untrim_weights(trimmed, other)
    live = kernel_taps(net, net.frames)
    for variable, before in zip(other.weights, former, strict=True):
        name, part = variable.path.split("/")
        if name in live and part == "kernel":
            dead = np.delete(np.asarray(variable), np.r_[live[name].kept], 0)
            assert not dead.any() and before.any()
    taken = trimmed.get_weights()
    randomise(trimmed, seed=1)
    trim_weights(other, trimmed)
    assert all(np.array_equal(a, b) for a, b in zip(taken, trimmed.get_weights(), strict=True))


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_kept_taps_read_what_the_whole_kernel_reads(kernel, stride):
    """One convolution after the other, against a plain evaluation, at every short length."""
    net = replace(NARROW, temporal_kernels=(kernel,) * 5, strides=((stride, 1, 1),) * 5)
    values = np.arange(1.0, kernel + 1)
    for length in range(1, 12):
        taps = kernel_taps(net, length)["conv1"]
        clip = np.arange(1.0, length + 1)
        whole = np.convolve(np.pad(clip, kernel // 2), values[::-1], "valid")[::stride]
        trimmed = np.convolve(np.pad(clip, (taps.before, taps.after)), values[taps.kept][::-1], "valid")[::stride]
        np.testing.assert_array_equal(whole, trimmed)
        assert taps.first <= kernel // 2 < taps.first + taps.count


def test_newly_live_taps_of_the_released_net():
    """At 8 frames res5a's first convolution never uses its first tap, the others of conv5 neither outer one."""
    expected = {"res5a_branch2a": [0], "res5a_branch2b": [0, 2], "res5b_branch2a": [0, 2], "res5b_branch2b": [0, 2]}
    assert newly_live_taps(ZOO["res3d18"], 8, 16) == expected
    assert newly_live_taps(ZOO["res3d18"], 8, None) == expected
    assert newly_live_taps(ZOO["res3d18"], 8, 8) == {}
    assert newly_live_taps(ZOO["res3d18"], 16, 8) == {}
    assert newly_live_taps(ZOO["mc1"], 4, 16) == {}


@given(st.integers(1, 12), st.sampled_from([1, 3, 5, 7]), st.integers(1, 4))
def test_live_taps_equal_enumeration(size, kernel, stride):
    pad = kernel // 2
    positions = range(0, size + 2 * pad - kernel + 1, stride)
    expected = [sum(pad <= p + tap < pad + size for p in positions) for tap in range(kernel)]
    assert live_taps(size, kernel, stride) == expected
    assert live_indices(size, kernel, stride) == [tap for tap in range(kernel) if expected[tap]]


@pytest.fixture
def float64():
    """Batch norm of a few values magnifies rounding; where there is hardly any, equal updates are seen to be equal."""
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


def ten_steps(model, clips, labels):
    """SGD with momentum and L2 decay on kernels, as the recipes have it; returns the losses without the decay."""
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            layer.kernel.regularizer = keras.regularizers.L2(0.01)
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    # Ten steps take less time than tracing one.
    model.compile(optimizer, crossentropy, metrics=[crossentropy], run_eagerly=True)
    return [model.train_on_batch(clips, labels, return_dict=True)["sparse_categorical_crossentropy"] for _ in range(10)]


@pytest.mark.parametrize("name", ["sr18", "res3d18", "2.5d", "r2plus1d_18", "mc5"])
def test_ten_training_steps_agree_on_the_live_parameters(name, float64):
    net = replace(SHORT[name], width=2, crop=16, conv1=3, batch_norm_momentum=0.9)
    whole, trimmed = whole_and_trimmed(net, classifier_activation=None)
    before = [np.array(variable) for variable in whole.weights]
    clips, labels = clips_for(net, 4, dtype="float64"), np.arange(4) % 5
    losses = [ten_steps(model, clips, labels) for model in (whole, trimmed)]
    np.testing.assert_allclose(*losses, rtol=1e-6)
    np.testing.assert_allclose(trimmed(clips), whole(clips), rtol=1e-6, atol=1e-9)
    assert architecture_of(trimmed) == architecture_of(whole) == net
    assert losses[0][-1] < losses[0][0]
    assert_live_weights_agree(whole, trimmed, rtol=1e-7, atol=1e-9)

    dead, live = 0, kernel_taps(net, net.frames)
    decay = np.prod(list(_decay_of_ten_steps(0.01 * 2 * 0.01)))
    for variable, former in zip(whole.weights, before, strict=True):
        conv = variable.path.split("/")[0]
        if conv in live and variable.path.endswith("kernel"):
            a, b = (np.delete(np.asarray(v), np.r_[live[conv].kept], 0) for v in (variable, former))
            np.testing.assert_allclose(a, b * decay, rtol=1e-6)  # decay alone has reached them
            dead += a.size
    assert dead == trainable(whole) - trainable(trimmed) > 0


def _decay_of_ten_steps(rate, momentum=0.9):
    """The factors by which a parameter without gradient shrinks, step by step."""
    value, velocity = 1.0, 0.0
    for _ in range(10):
        velocity = momentum * velocity - rate * value
        yield 1 + velocity / value
        value += velocity


def test_kernels_are_drawn_with_the_variance_of_the_whole_ones():
    net = replace(ZOO["res3d18"], width=16)
    keras.utils.set_random_seed(0)
    model = build_model(net, trim=True)
    for layer in convolutions(net):
        kernel = np.asarray(model.get_layer(layer.name).kernel)
        expected = np.sqrt(2 / (np.prod(layer.kernel) * layer.channels_out))
        assert kernel.std() == pytest.approx(expected, rel=5 / np.sqrt(kernel.size)), layer.name


def test_saved_trimmed_models_open_in_safe_mode_and_are_recognised(tmp_path):
    _, model = whole_and_trimmed(SHORT["sr18"])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    clips = clips_for(SHORT["sr18"])
    assert np.array_equal(model(clips), loaded(clips))
    assert architecture_of(loaded) == SHORT["sr18"]
    assert architecture_of(keras.models.clone_model(model)) == SHORT["sr18"]


@pytest.mark.parametrize("saved, suffix", [("whole", "weights.h5"), ("trimmed", "weights.h5"), ("trimmed", "keras")])
def test_files_of_either_load_into_either(tmp_path, saved, suffix):
    models = dict(zip(("whole", "trimmed"), whole_and_trimmed(NARROW), strict=True))
    path = tmp_path / f"a.{suffix}"
    (models[saved].save if suffix == "keras" else models[saved].save_weights)(path)
    clips = clips_for(NARROW)
    for trim in (False, True):
        model = build_model(NARROW, trim=trim, weights=path)
        assert is_trimmed(model) == trim
        np.testing.assert_allclose(model(clips), models["whole"](clips), rtol=1e-4, atol=1e-6)
        assert_live_weights_agree(models["whole"], model, rtol=0) if trim else None
    headless = build_model(NARROW, trim=True, include_top=False, weights=path)
    kernels = [model.get_layer("res5a_branch2a").kernel for model in (headless, models["trimmed"])]
    assert np.array_equal(*kernels)
    if saved == "trimmed":
        told = r"trained at 8 frames and are loaded for 16.* res5a_branch2b \(taps 0, 2\)"
        with pytest.warns(UserWarning, match=told):
            model = build_model(NARROW, input_shape=(16, 32, 32, 3), weights=path)
        kernel = np.asarray(model.get_layer("res5a_branch2b").kernel)
        assert not kernel[[0, 2]].any() and kernel[1].any()


def test_files_of_other_nets_are_refused_as_before(tmp_path):
    flat = replace(NARROW, temporal_kernels=(3, 3, 3, 3, 1))
    build_model(flat).save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match="misshapen"):
        load_weights(build_model(NARROW, trim=True), tmp_path / "a.weights.h5")


def test_the_2d_form_of_a_trimmed_net():
    whole, trimmed = whole_and_trimmed(NARROW)
    clips = clips_for(NARROW)
    for model in (whole, trimmed):
        np.testing.assert_allclose(to_2d(model)(clips), trimmed(clips), rtol=1e-4, atol=1e-6)


def test_refusals():
    with pytest.raises(ValueError, match="number of frames is open"):
        build_model(NARROW, input_shape=(None, 32, 32, 3), trim=True)
    assert is_trimmed(build_model(NARROW, input_shape=(8, None, None, 3), trim=True))
    whole, trimmed = (build_model(NARROW, trim=trim) for trim in (False, True))
    with pytest.raises(ValueError, match="is trimmed"):
        trim_weights(trimmed, trimmed)
    with pytest.raises(ValueError, match="differ in their convolutions"):
        trim_weights(build_model(replace(NARROW, width=6)), trimmed)
    with pytest.raises(ValueError, match=r"differ in their heads: fc8 is \(32, 7\) and \(32, 5\)"):
        untrim_weights(trimmed, build_model(NARROW, classes=7))
    with pytest.raises(ValueError, match="untrained_taps is 'drop'"):
        untrim_weights(trimmed, whole, untrained_taps="drop")
