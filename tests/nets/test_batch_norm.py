"""The fused batch norm against stock Keras: outputs, gradients, statistics, precision, sharing, saving."""

import contextlib
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_res3d
from keras_res3d.nets.batch_norm import FusedBatchNormalization, fuse_batch_norm
from keras_res3d.nets.recognise import architecture_of
from keras_res3d.nets.zoo import ZOO

# Of one and two samples per channel too, where stock Keras loses digits: it adds x / sigma and -mean / sigma.
SHAPES = [(2, 3, 5, 4, 6), (1, 1, 1, 1, 6), (1, 2, 1, 1, 6), (7, 5, 4, 6), (5, 4, 6), (9, 6)]
NARROW = replace(ZOO["sr18"], width=4)
NARROW_INPUT = (4, 32, 32, 3)


@contextlib.contextmanager
def _policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _pair(shape, **options):
    """A stock layer and the fused one around a copy of it, with statistics and parameters away from 0 and 1."""
    layers = []
    for _ in range(2):
        rng = np.random.default_rng(1)
        layer = keras.layers.BatchNormalization(**{"momentum": 0.9, "epsilon": 1e-5, **options})
        layer.build(shape)
        for variable in layer.variables:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        layers.append(layer)
    return layers[0], FusedBatchNormalization(layers[1])


def _step(layer, x, training):
    """Output, gradients by the input and the parameters of a weighted sum, and the statistics after the call."""
    weights = tf.cast(tf.random.stateless_normal(x.shape, (3, 4)), x.dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
        loss = tf.reduce_sum(tf.cast(y * weights, "float32"))
    parameters = [variable.value for variable in layer.trainable_variables]
    gradients = tape.gradient(loss, [x, *parameters])
    return [y, *gradients, *(variable.value for variable in layer.non_trainable_variables)]


def _assert_equal(stock, fused, tolerance):
    assert len(stock) == len(fused)
    for a, b in zip(stock, fused, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        a, b = (np.asarray(tf.cast(value, "float32")) for value in (a, b))
        assert np.abs(a - b).max() <= tolerance * max(1, np.abs(a).max())


def _batch(shape, dtype="float32", step=0):
    x = np.random.default_rng(step).normal(2, 3, shape)
    return tf.cast(x, dtype)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_stock(shape, training):
    stock, fused = _pair(shape)
    for step in range(3):
        x = _batch(shape, step=step)
        tolerance = 1e-4 if np.prod(shape[:-1]) <= 2 else 1e-5
        _assert_equal(_step(stock, x, training), _step(fused, x, training), tolerance)


OPTIONS = [{"scale": False}, {"center": False}, {"epsilon": 1e-3}, {"momentum": 0.999}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_are_the_stock_layers(options):
    stock, fused = _pair(SHAPES[0], **options)
    x = _batch(SHAPES[0])
    _assert_equal(_step(stock, x, True), _step(fused, x, True), 1e-5)
    assert fused.momentum == stock.momentum


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("policy, tolerance", [("mixed_bfloat16", 2e-2), ("mixed_float16", 3e-3), ("float64", 1e-6)])
@pytest.mark.parametrize("channels", [6, 16])  # computed in float32, and in the inputs' own type
def test_mixed_precision(policy, tolerance, training, channels):
    shape = (2, 3, 5, 4, channels)
    stock, fused = _pair(shape, dtype=policy)
    dtype = stock.compute_dtype
    x = _batch(shape, dtype)
    expected, found = _step(stock, x, training), _step(fused, x, training)
    assert fused.compute_dtype == dtype and found[0].dtype == dtype
    _assert_equal(expected, found, tolerance)
    # Statistics are float32's whatever the policy.
    _assert_equal(expected[-2:], found[-2:], 1e-5)


def test_a_frozen_layer_runs_in_inference_mode():
    stock, fused = _pair(SHAPES[0])
    x = _batch(SHAPES[0])
    inference = stock(x, training=False)
    stock.trainable = fused.layer.trainable = False
    _assert_equal(_step(stock, x, True), _step(fused, x, True), 1e-5)
    _assert_equal([inference], [fused(x, training=True)], 1e-5)
    fused.trainable = True
    assert fused.layer.trainable and len(fused.trainable_variables) == 2
    assert not np.allclose(inference, fused(x, training=True))


@pytest.mark.parametrize("options", [{"axis": 1}, {"synchronized": True}, {"renorm": True}], ids=str)
def test_what_the_kernel_cannot_do_is_left_to_stock(options):
    stock, fused = _pair(SHAPES[0], **options)
    x = _batch(SHAPES[0])
    for expected, found in zip(_step(stock, x, True), _step(fused, x, True), strict=True):
        assert np.array_equal(expected, found)


def test_masks_are_left_to_stock():
    stock, fused = _pair((2, 3, 6))
    x, mask = _batch((2, 3, 6)), tf.constant([[True, True, False], [True, False, False]])
    assert np.array_equal(stock(x, training=True, mask=mask), fused(x, training=True, mask=mask))


def test_wraps_batch_norm_alone():
    with pytest.raises(TypeError, match="layer is a ReLU"):
        FusedBatchNormalization(keras.layers.ReLU())


def _smooth_net():
    """Two convolutions with batch norms, without ReLU: one rounding error in a kink would grow from step to step."""
    clip = x = keras.Input((4, 8, 8, 3))
    for name in "ab":
        x = keras.layers.Conv3D(6, 3, padding="same", use_bias=False, name=f"conv_{name}")(x)
        x = keras.layers.BatchNormalization(momentum=0.7, epsilon=1e-5, name=f"bn_{name}")(x)
        x = keras.layers.Activation("swish")(x)
    x = keras.layers.GlobalAveragePooling3D()(x)
    return keras.Model(clip, keras.layers.Dense(5)(x))


def test_training_the_twin_is_training_the_model():
    keras.utils.set_random_seed(0)
    model, stock = _smooth_net(), _smooth_net()
    stock.set_weights(model.get_weights())
    twin = fuse_batch_norm(model)
    for net in (stock, twin):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    rng = np.random.default_rng(0)
    for _ in range(5):
        clips, labels = rng.normal(size=(4, 4, 8, 8, 3)).astype("float32"), rng.integers(0, 5, 4)
        assert stock.train_on_batch(clips, labels) == pytest.approx(twin.train_on_batch(clips, labels), rel=1e-4)
    for expected, found in zip(stock.variables, model.variables, strict=True):
        assert np.allclose(expected, found, rtol=1e-4, atol=1e-5), found.path


def _gradients(model, clips, labels):
    with tf.GradientTape() as tape:
        scores = model(clips, training=True)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, scores, from_logits=True))
    return tape.gradient(loss, [variable.value for variable in model.trainable_variables])


def test_gradients_of_a_whole_net_are_as_exact_as_stock():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    clips, labels = rng.normal(size=(8, 4, 48, 48, 3)), rng.integers(0, 5, 8)
    gradients, weights = {}, None
    for kind in ("exact", "stock", "fused"):
        with _policy("float64" if kind == "exact" else "float32"):
            model = keras_res3d.build_model(NARROW, input_shape=(4, 48, 48, 3), classes=5, classifier_activation=None)
        weights = weights or model.get_weights()
        model.set_weights(weights)
        gradients[kind] = _gradients(fuse_batch_norm(model) if kind == "fused" else model, clips, labels)
    for kind in ("stock", "fused"):
        pairs = zip(gradients[kind], gradients["exact"], strict=True)
        errors = [np.linalg.norm(a.numpy() - b.numpy()) / np.linalg.norm(b) for a, b in pairs]
        # The median: rounding may push a place over the kink of a ReLU, and then some gradients differ by more.
        assert np.median(errors) < 5e-5, kind


def test_after_training_the_twin_the_saved_model_is_stock(tmp_path):
    model = keras_res3d.build_model(NARROW, input_shape=NARROW_INPUT, classes=5)
    before = [np.array(variable) for variable in model.variables]
    twin = fuse_batch_norm(model)
    twin.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    clips = np.random.default_rng(0).normal(size=(4, *NARROW_INPUT)).astype("float32")
    twin.fit(clips, np.arange(4), verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.variables, strict=True)]
    assert np.mean(changed) > 0.9
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert {type(layer).__module__.split(".")[0] for layer in loaded.layers} == {"keras"}
    assert np.allclose(loaded(clips), twin(clips), atol=1e-5)


def test_the_twin_shares_everything():
    model = keras_res3d.build_model(NARROW, input_shape=NARROW_INPUT)
    shape = model.get_layer("bn_conv1").output.shape
    twin = fuse_batch_norm(model)
    assert [layer.name for layer in model.layers] == [layer.name for layer in twin.layers]
    for part in ("variables", "trainable_variables", "non_trainable_variables"):
        assert [id(v) for v in getattr(model, part)] == [id(v) for v in getattr(twin, part)]
    norms = [layer for layer in twin.layers if isinstance(layer, FusedBatchNormalization)]
    assert len(norms) == 21 and norms[0].layer is model.get_layer("bn_conv1")
    assert model.get_layer("bn_conv1").output.shape == shape
    assert not any(isinstance(layer, FusedBatchNormalization) for layer in model.layers)
    assert architecture_of(twin) == architecture_of(model) == replace(NARROW, crop=32)
    for frozen, left in ((False, 0), (True, 65)):
        model.trainable = frozen
        assert twin.get_layer("bn_conv1").trainable is frozen
        assert len(twin.trainable_variables) == len(model.trainable_variables) == left


def test_widths_that_the_kernel_is_slow_for_stay_stock(monkeypatch):
    model = keras_res3d.build_model(replace(NARROW, width=6), input_shape=NARROW_INPUT)

    def fused_widths():
        twin = fuse_batch_norm(model)
        return {layer.layer.gamma.shape[0] for layer in twin.layers if isinstance(layer, FusedBatchNormalization)}

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert fused_widths() == {12, 24, 48}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    assert fused_widths() == {6, 12, 24, 48}


def test_open_sizes_and_a_model_inside_a_model():
    base = keras_res3d.build_model(NARROW, include_top=False, pooling="avg", input_shape=(None, None, None, 3))
    model = keras.Sequential([keras.Input((None, None, None, 3)), base, keras.layers.Dense(2)])
    twin = fuse_batch_norm(model)
    assert len(twin.layers[0].layers) == len(base.layers)
    assert [id(v) for v in model.variables] == [id(v) for v in twin.variables]
    clips = np.random.default_rng(0).normal(size=(1, 4, 16, 24, 3)).astype("float32")
    assert np.allclose(model.predict(clips, verbose=0), twin.predict(clips, verbose=0), atol=1e-5)
    assert isinstance(twin.layers[0].get_layer("bn_conv1"), FusedBatchNormalization)


def test_the_twin_in_mixed_precision():
    model = keras_res3d.build_model(NARROW, input_shape=NARROW_INPUT, classes=5)
    with _policy("mixed_bfloat16"):
        mixed = keras_res3d.build_model(NARROW, input_shape=NARROW_INPUT, classes=5)
    mixed.set_weights(model.get_weights())
    twin = fuse_batch_norm(mixed)
    assert twin.get_layer("bn_conv1").compute_dtype == "bfloat16"
    clips = np.random.default_rng(0).normal(size=(2, *NARROW_INPUT)).astype("float32")
    assert np.allclose(model(clips, training=True), twin(clips, training=True), atol=2e-2)


def test_a_saved_twin_opens_where_the_layer_is_registered(tmp_path):
    twin = fuse_batch_norm(keras_res3d.build_model(NARROW, input_shape=NARROW_INPUT, classes=5))
    twin.save(tmp_path / "twin.keras")
    loaded = keras.models.load_model(tmp_path / "twin.keras")
    clips = np.random.default_rng(0).normal(size=(1, *NARROW_INPUT)).astype("float32")
    assert np.array_equal(twin(clips), loaded(clips))


def test_other_models_are_refused():
    class Subclassed(keras.Model):
        pass

    with pytest.raises(ValueError, match="only supported for Sequential"):
        fuse_batch_norm(Subclassed())
