"""The 2-D form of each kind of layer equals the layer, with every option that changes what it computes."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_res3d.export.two_d import THREE_D_OPERATIONS, NoTwoDFormError, _operations, to_2d

SHAPE = (5, 9, 8, 6)


def randomised(model, seed=0):
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        low, high = (0.5, 1.5) if "variance" in variable.path else (-1, 1)
        if variable.dtype == "float32":
            variable.assign(rng.uniform(low, high, variable.shape))
    return model


def check(model, shapes=None, bound=1e-5):
    """The form gives the model's outputs, and has no 3-D operation."""
    import tensorflow as tf

    form = to_2d(randomised(model), shapes)
    rng = np.random.default_rng(1)
    clips = [rng.normal(size=(2, *x.shape[1:])).astype(np.float32) for x in form.inputs]
    given = keras.tree.pack_sequence_as(
        model._functional._inputs_struct if isinstance(model, keras.Sequential) else model._inputs_struct, clips
    )
    expected = keras.tree.flatten(model(given, training=False))
    found = keras.tree.flatten(form(given, training=False))
    assert len(expected) == len(found)
    for theirs, ours in zip(expected, found, strict=True):
        assert theirs.shape == ours.shape
        np.testing.assert_allclose(ours, theirs, atol=bound * max(1e-3, float(np.abs(theirs).max())), rtol=0)
    specs = [tf.TensorSpec(x.shape, x.dtype) for x in form.inputs]
    used = _operations(lambda *xs: form(keras.tree.pack_sequence_as(given, xs), training=False), specs)
    assert not used & THREE_D_OPERATIONS
    return form


def sequential(*stack, shape=SHAPE):
    return keras.Sequential([keras.Input(shape), *stack])


CONVOLUTIONS = [
    {"kernel_size": size, "strides": strides, "padding": padding}
    for size, strides, padding in itertools.product(
        [3, (1, 3, 3), (4, 2, 5), (3, 1, 1), 1], [1, 2, (2, 1, 1), (1, 2, 3)], ["same", "valid"]
    )
] + [
    {"kernel_size": 3, "dilation_rate": 2, "padding": "same"},
    {"kernel_size": 3, "dilation_rate": (2, 1, 3), "padding": "valid"},
    {"kernel_size": 3, "groups": 2, "padding": "same"},
    {"kernel_size": (3, 1, 2), "groups": 3, "strides": 2, "filters": 9},
    {"kernel_size": 3, "groups": 6, "filters": 6, "padding": "same"},
    {"kernel_size": 3, "groups": 6, "filters": 12, "padding": "same", "strides": (1, 2, 2)},
    {"kernel_size": 3, "use_bias": False, "activation": "relu"},
    {"kernel_size": (5, 5, 5), "padding": "same", "activation": "softmax"},
]


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_convolutions(options):
    check(sequential(layers.Conv3D(**{"filters": 4, "groups": 1, "bias_initializer": "normal"} | options)))


@pytest.mark.parametrize("strides", [1, 2, (3, 1, 2)])
@pytest.mark.parametrize("size", [2, 3, (1, 3, 4)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_transposed_convolutions(size, strides, padding):
    check(sequential(layers.Conv3DTranspose(4, size, strides, padding, activation="relu")))


@pytest.mark.parametrize("kind", [layers.MaxPooling3D, layers.AveragePooling3D])
@pytest.mark.parametrize(
    ("size", "strides"), [(2, None), (3, 2), (3, 1), ((1, 2, 2), None), ((4, 1, 1), (1, 1, 1)), ((5, 9, 8), None)]
)
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_pools(kind, size, strides, padding):
    check(sequential(kind(size, strides, padding)))


@pytest.mark.parametrize(
    "layer",
    [
        layers.GlobalAveragePooling3D(),
        layers.GlobalMaxPooling3D(),
        layers.GlobalAveragePooling3D(keepdims=True),
        layers.ZeroPadding3D(1),
        layers.ZeroPadding3D(((2, 0), (0, 1), (3, 2))),
        layers.Cropping3D(((1, 0), (2, 1), (0, 3))),
        layers.UpSampling3D((2, 3, 1)),
        layers.Dense(7, activation="gelu"),
        layers.Flatten(),
        layers.ReLU(max_value=0.5),
        layers.LeakyReLU(),
        layers.ELU(),
        layers.PReLU(),
        layers.PReLU(shared_axes=[1, 2, 3]),
        layers.Softmax(),
        layers.Softmax(axis=2),
        layers.Activation("swish"),
        layers.Rescaling(2.0, -1.0),
        layers.Normalization(mean=[1.0] * 6, variance=[2.0] * 6),
        layers.BatchNormalization(),
        layers.BatchNormalization(axis=1),
        layers.BatchNormalization(scale=False, center=False),
        layers.LayerNormalization(),
        layers.LayerNormalization(axis=[2, 3]),
        layers.GroupNormalization(3),
        layers.UnitNormalization(),
        layers.Dropout(0.5),
        layers.SpatialDropout3D(0.5),
        layers.GaussianNoise(1.0),
        layers.Reshape((5, 9, 4, 12)),
        layers.Reshape((-1, 6)),
        layers.Reshape((45, -1)),
        layers.Permute((2, 1, 3, 4)),
        layers.TimeDistributed(layers.Conv2D(3, 3)),
        layers.TimeDistributed(layers.GlobalAveragePooling2D()),
        layers.TimeDistributed(keras.Sequential([layers.Conv2D(2, 2), layers.Flatten()])),
        layers.Lambda(lambda x: x * 2),
    ],
    ids=lambda layer: layer.name,
)
def test_other_layers(layer):
    check(sequential(layer))
    if len(layer.output.shape) == 5:
        check(sequential(layers.Conv3D(6, 3, padding="same"), layer, layers.Conv3D(2, 1)))


def two(kind, a=SHAPE, b=SHAPE):
    x, y = keras.Input(a), keras.Input(b)
    return keras.Model([x, y], kind(x, y))


@pytest.mark.parametrize(
    "kind",
    [
        lambda x, y: layers.Add()([x, y]),
        lambda x, y: layers.Subtract()([x, y]),
        lambda x, y: layers.Multiply()([x, y, x]),
        lambda x, y: layers.Average()([x, y, y]),
        lambda x, y: layers.Maximum()([x, y]),
        lambda x, y: layers.Minimum()([x, y]),
        lambda x, y: x + y,
        lambda x, y: x - y * 2.0,
        lambda x, y: ops.relu(1.0 - x) / (2.0 + ops.abs(y)),
        lambda x, y: ops.mean(x, axis=1) + ops.max(y, axis=1),
        *(lambda x, y, axis=axis: layers.Concatenate(axis)([x, y]) for axis in (-1, 1, 2, 3)),
    ],
)
def test_two_values(kind):
    check(two(kind))


@pytest.mark.parametrize("b", [(1, 1, 1, 6), (5, 1, 1, 6), (1, 9, 8, 6), (1, 9, 8, 1)])
def test_one_of_two_values_is_stretched(b):
    check(two(lambda x, y: layers.Multiply()([x, y]), b=b))
    check(two(lambda x, y: y - x, b=b))


def test_a_channel_attention_block():
    x = keras.Input(SHAPE)
    y = layers.GlobalAveragePooling3D()(x)
    y = layers.Reshape((1, 1, 1, 6))(layers.Dense(6, activation="sigmoid")(layers.Dense(3, activation="relu")(y)))
    check(keras.Model(x, layers.Conv3D(3, 3)(layers.Multiply()([x, y]))))


def test_batch_norm_is_folded_where_it_alone_follows():
    form = check(sequential(layers.Conv3D(4, 3), layers.BatchNormalization(), layers.ReLU()))
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in form.layers)
    form = check(sequential(layers.Conv3D(4, 3, activation="relu"), layers.BatchNormalization()))
    assert any(isinstance(layer, layers.BatchNormalization) for layer in form.layers)
    x = keras.Input(SHAPE)
    y = layers.Conv3D(4, 3)(x)
    check(keras.Model(x, layers.Add()([y, layers.BatchNormalization()(y)])))
    check(keras.Model(x, [y, layers.BatchNormalization()(y)]))
    shared = layers.BatchNormalization()
    check(keras.Model(x, layers.Add()([shared(layers.Conv3D(4, 3)(x)), shared(y)])))


def test_a_layer_called_twice_has_its_weights_once():
    x, conv = keras.Input(SHAPE), layers.Conv3D(6, 3, padding="same")
    form = check(keras.Model(x, conv(conv(x))))
    assert form.count_params() == conv.count_params()
    x, conv = keras.Input((2, 9, 9, 6)), layers.Conv3D(6, 3, padding="same")
    check(keras.Model(x, conv(layers.ZeroPadding3D(((1, 1), (0, 0), (0, 0)))(conv(x)))))  # other taps are live


def test_taps_that_read_only_zeros_are_left_out():
    form = check(sequential(layers.Conv3D(4, 3, padding="same", strides=2), shape=(2, 8, 8, 6)))
    assert form.count_params() == 2 * 9 * 6 * 4 + 4
    form = check(sequential(layers.ZeroPadding3D((1, 0, 0)), layers.Conv3D(4, (3, 1, 1)), shape=(1, 8, 8, 6)))
    assert form.count_params() == 6 * 4 + 4


def test_models_inside_models_and_several_outputs():
    inner = sequential(layers.Conv3D(4, 3, padding="same"), layers.BatchNormalization(), layers.ReLU())
    x = keras.Input(SHAPE)
    y = inner(layers.Rescaling(1 / 255)(x))
    z = keras.Model(inner.inputs, {"a": inner.outputs[0], "b": layers.GlobalMaxPooling3D()(inner.outputs[0])})(x)
    form = check(
        keras.Model(x, {"first": y, "second": [layers.Dense(3)(layers.Flatten()(y)), z["b"]], "third": z["a"]})
    )
    assert set(form.output) == {"first", "second", "third"}


def test_inputs_by_name_and_of_other_kinds():
    clip, vector = keras.Input(SHAPE, name="clip"), keras.Input((3,), name="vector")
    pooled = layers.GlobalAveragePooling3D()(layers.Conv3D(3, 3)(clip))
    check(keras.Model({"clip": clip, "vector": vector}, layers.Concatenate()([pooled, vector])))


def test_a_recurrent_net_over_pooled_frames():
    check(sequential(layers.Conv3D(4, 3), layers.TimeDistributed(layers.Flatten()), layers.LSTM(5)))


def test_sizes_may_be_given():
    model = sequential(
        layers.Conv3D(4, 3, padding="same"), layers.GlobalAveragePooling3D(), shape=(None, None, None, 3)
    )
    check(model, (3, 6, 7, 3))
    with pytest.raises(ValueError, match="one known clip size"):
        to_2d(model)
    with pytest.raises(ValueError, match=r"the model's is \(None, None, None, 3\)"):
        to_2d(model, (3, 6, 7, 4))


def test_channels_first_is_taken_over_and_named():
    model = sequential(
        layers.Conv3D(4, 3, data_format="channels_first"), layers.MaxPooling3D(data_format="channels_first")
    )
    with pytest.raises(NoTwoDFormError, match=r"conv3d\w* \(Conv3D\), max_pooling3d\w* \(MaxPooling3D\)"):
        to_2d(model)


@keras.saving.register_keras_serializable(package="tests")
class Odd(layers.Layer):
    """A user's layer with a 3-D convolution inside, or without one."""

    def __init__(self, deep=True, **kwargs):
        super().__init__(**kwargs)
        self.deep = deep

    def get_config(self):
        return super().get_config() | {"deep": self.deep}

    def call(self, x):
        return ops.conv(x, ops.ones((3, 3, 3, x.shape[-1], 2))) if self.deep else ops.flip(x, axis=1)


class OddConv(layers.Conv3D):
    """A class of Conv3D that computes something else."""

    def call(self, x):
        return super().call(x) * 2


def test_unknown_layers_are_taken_over_where_that_is_right():
    check(sequential(layers.Conv3D(4, 3), Odd(deep=False), layers.Conv3D(4, 3)))
    with pytest.raises(NoTwoDFormError, match=r"odd\w* \(Odd\), odd_conv\w* \(OddConv\)"):
        to_2d(sequential(Odd(), layers.ReLU(), OddConv(2, 1)))


def test_a_model_that_is_no_graph_is_refused():
    class Mine(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(NoTwoDFormError, match="neither a functional nor a sequential"):
        to_2d(Mine())


def test_the_form_is_saved_without_this_package(tmp_path):
    model = sequential(
        layers.ZeroPadding3D(1),
        layers.Conv3D(4, 3, strides=2),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling3D(2),
        layers.GlobalAveragePooling3D(),
        layers.Dense(3, activation="softmax"),
    )
    form = check(model)
    form.save(tmp_path / "form.keras")
    again = keras.models.load_model(tmp_path / "form.keras")
    clips = np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)
    np.testing.assert_array_equal(again.predict(clips, verbose=0), form.predict(clips, verbose=0))
    assert not any(type(layer).__module__.startswith("keras_res3d") for layer in again.layers)
    assert model.layers[0].output is not None  # the model's own graph is as it was


def unet(shape=(8, 16, 16, 2)):
    """A small 3-D U-Net, as medical imaging has it."""

    def block(x, filters):
        for _ in range(2):
            x = layers.ReLU()(layers.BatchNormalization()(layers.Conv3D(filters, 3, padding="same")(x)))
        return x

    x = keras.Input(shape)
    a = block(x, 4)
    b = block(layers.MaxPooling3D(2)(a), 8)
    c = block(layers.MaxPooling3D(2)(b), 16)
    up = layers.Concatenate()([layers.Conv3DTranspose(8, 2, strides=2, padding="same")(c), b])
    up = layers.Concatenate()([layers.UpSampling3D(2)(block(up, 8)), a])
    return keras.Model(x, layers.Conv3D(3, 1, activation="softmax")(block(up, 4)))


def test_a_unet():
    check(unet())


def test_mixed_precision_gives_a_float32_form():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = sequential(layers.Conv3D(4, 3), layers.BatchNormalization(), layers.Dense(3))
    finally:
        keras.config.set_dtype_policy("float32")
    form = to_2d(randomised(model))
    assert {layer.compute_dtype for layer in form.layers} == {"float32"}
    clips = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(form(clips), np.asarray(model(clips), np.float32), atol=0.2)
