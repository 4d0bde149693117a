"""Keras models against the walk, the counts and a plain evaluation."""

import inspect
import math
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d import applications
from keras_res3d.nets.recognise import architecture_of, taps_of
from keras_res3d.nets.taps import is_trimmed, kernel_taps
from keras_res3d.nets.zoo import ZOO
from keras_res3d.weights.trim import trim_weights


@pytest.mark.parametrize("net", ZOO)
def test_counts_equal_keras_and_the_model_tells_its_architecture(net):
    model = keras_res3d.build_model(net)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == keras_res3d.count_params(net)
    assert model.input_shape == (None, *ZOO[net].input_shape)
    assert architecture_of(model) == ZOO[net]


def test_builders_share_one_signature():
    shared = [
        "include_top", "weights", "input_tensor", "input_shape", "pooling", "classes", "classifier_activation", "name",
        "trim",
    ]  # fmt: skip
    by_name = ["width", "target_params", "channels"]
    for name, first in (("build_model", ["net"]), ("Res3D18", []), ("Res3D34", []), ("SR18", []), ("C3D", [])):
        parameters = inspect.signature(getattr(keras_res3d, name)).parameters
        assert list(parameters) == [*first, *shared, *by_name]
        assert all((parameters[key].kind is inspect.Parameter.KEYWORD_ONLY) == (key in by_name) for key in parameters)
    mixed = list(inspect.signature(keras_res3d.MixedConv3D).parameters)
    assert mixed == ["first_2d_group", "width", "target_params", *shared, "channels"]


def test_every_builder_takes_a_width_or_a_budget():
    width = keras_res3d.solve_width("res3d18", 1.5e6)
    model = keras_res3d.Res3D18(width=width)
    assert model.get_layer("conv1").filters == width
    assert model.count_params() == pytest.approx(1.5e6, rel=0.1)
    assert keras_res3d.Res3D18(width=np.int64(8)).get_layer("conv1").filters == 8
    for build, net in ((keras_res3d.Res3D34, "res3d34"), (keras_res3d.SR18, "sr18"), (keras_res3d.C3D, "c3d")):
        if net == "c3d":  # its dense layers are most of it, and stay
            assert keras_res3d.C3D(include_top=False, width=2).get_layer("conv5a").filters == 16
            continue
        model = build(target_params=400_000)
        assert model.get_layer("conv1").filters == keras_res3d.solve_width(net, 400_000)
    model = keras_res3d.build_model("r3d_18", target_params=400_000)
    assert model.get_layer("conv1").filters == keras_res3d.solve_width("r3d_18", 400_000, classes=400)
    assert model.output_shape == (None, 400)
    with pytest.raises(TypeError, match=r"width is 2\.5; expected a whole number"):
        keras_res3d.SR18(width=2.5)
    with pytest.raises(TypeError, match="target_params is '5e6'; expected a number"):
        keras_res3d.SR18(target_params="5e6")


def test_a_budget_of_a_flattening_head_is_counted_at_the_clip_given():
    options = {"dense": (64, 64), "crop": 112}
    net, shape = replace(ZOO["c3d"], **options), (16, 224, 224, 3)
    model = keras_res3d.build_model(net, input_shape=shape, target_params=300_000, classes=5)
    width = keras_res3d.solve_width(net, 300_000, classes=5, input_shape=shape)
    assert model.get_layer("conv1a").filters == width != keras_res3d.solve_width(net, 300_000, classes=5)
    open_sizes = keras_res3d.build_model("sr18", input_shape=(None, None, None, 3), target_params=300_000)
    assert open_sizes.get_layer("conv1").filters == keras_res3d.solve_width("sr18", 300_000)


def test_mixed_widths():
    assert keras_res3d.MixedConv3D(3, include_top=False).get_layer("conv1").filters == 108
    assert keras_res3d.MixedConv3D(3, width=8).get_layer("conv1").filters == 8
    model = keras_res3d.MixedConv3D(3, target_params=300_000, classes=8)
    width = keras_res3d.solve_width("mc3", 300_000, classes=8)
    assert model.get_layer("conv1").filters == width
    with pytest.raises(ValueError, match="one of them"):
        keras_res3d.MixedConv3D(3, width=8, target_params=300_000)


NARROW = replace(ZOO["sr18"], width=4)


@pytest.fixture
def channels_first():
    """What a user's keras.json may say."""
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


FORMATS = {
    "strided": {"net": replace(ZOO["res3d18"], width=2, crop=16)},
    "halves": {"net": replace(ZOO["r2plus1d_18"], width=2, crop=16, frames=8, factorized_stem=3)},
    "pools and a flattened map": {"net": replace(ZOO["c3d"], width=2, crop=64, dense=(6, 5))},
    "average": {"net": NARROW, "include_top": False, "pooling": "avg", "input_shape": (4, 32, 32, 3)},
    "maximum": {"net": NARROW, "include_top": False, "pooling": "max", "input_shape": (4, 32, 32, 3)},
    "trimmed": {"net": NARROW, "trim": True, "input_shape": (4, 32, 32, 2)},
}


@pytest.mark.parametrize("options", FORMATS.values(), ids=FORMATS)
def test_nets_read_channels_last_whatever_keras_json_says(options, request, tmp_path):
    expected = keras_res3d.build_model(**options)
    request.getfixturevalue("channels_first")
    model = keras_res3d.build_model(**options)
    formats = {layer.data_format for layer in model.layers if hasattr(layer, "data_format")}
    assert formats == {"channels_last"} and model.input_shape == expected.input_shape
    model.set_weights(expected.get_weights())
    clips = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    assert np.array_equal(model(clips), expected(clips))
    expected.save(tmp_path / "model.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "model.keras")(clips), expected(clips))


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
@pytest.mark.parametrize("net", ["res3d18", "c3d", "r2plus1d_18", "sr18_56"])
def test_any_number_of_channels(net, channels):
    net = replace(ZOO[net], width=2, dense=(4,) if ZOO[net].dense else (), crop=32)
    shape = (*net.input_shape[:3], channels)
    model = keras_res3d.build_model(net, input_shape=shape)
    expected = replace(net, channels=channels)
    assert model.input_shape == (None, *shape) == (None, *expected.input_shape)
    assert architecture_of(model) == expected == architecture_of(keras_res3d.build_model(expected))
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert trainable == keras_res3d.count_params(net, input_shape=shape) == keras_res3d.count_params(expected)
    # Nothing but the first convolution differs.
    rgb, more = (keras_res3d.count_macs(each) for each in (net, expected))
    conv1 = next(layer for layer in keras_res3d.walk(net) if layer.op == "conv")
    outputs = math.prod(model.get_layer(conv1.name).output.shape[1:])
    assert more - rgb == (channels - 3) * math.prod(conv1.kernel) * outputs
    clip = np.random.default_rng(0).normal(size=(1, *shape)).astype("float32")
    assert np.isfinite(model(clip)).all()
    trimmed = keras_res3d.build_model(net, input_shape=shape, trim=True)
    assert architecture_of(trimmed) == expected
    trim_weights(model, trimmed)
    np.testing.assert_allclose(trimmed(clip), model(clip), rtol=1e-4, atol=1e-6)


def test_a_budget_counts_the_channels_it_is_given():
    net = replace(ZOO["sr18"], conv1=31)  # a first kernel that weighs
    rgb, gray = (keras_res3d.solve_width(net, 200_000, input_shape=(4, 112, 112, n)) for n in (3, 1))
    assert rgb < gray
    model = keras_res3d.build_model(net, input_shape=(4, 112, 112, 1), target_params=200_000, classes=101)
    assert model.get_layer("conv1").filters == gray


def test_published_weights_say_what_cannot_fit_before_they_are_fetched():
    options = {"weights": "sports1m", "input_shape": (8, 112, 112, 1)}
    with pytest.raises(ValueError, match=r'are of an RGB net, the input has 1 channels: channels="adapt"'):
        keras_res3d.Res3D18(**options)
    with pytest.raises(ValueError, match="are of width 64, the net has width 32"):
        keras_res3d.Res3D18(weights="sports1m", width=32)
    with pytest.raises(ValueError, match="channels is 'mean'; expected None or 'adapt'"):
        keras_res3d.Res3D18(**options, channels="mean")


def test_adapted_weights_are_asked_of_the_loader(monkeypatch):
    asked = []
    monkeypatch.setattr(applications, "load_pretrained", lambda *given, **options: asked.append((given, options)))
    model = keras_res3d.Res3D18(weights="sports1m", input_shape=(8, 112, 112, 2), channels="adapt")
    keras_res3d.Res3D18(weights="sports1m")
    assert model.output_shape == (None, 487) and asked[0][0][0] is model
    assert asked[0][1] == {"channels": "adapt"} and asked[1][1] == {"channels": None}


def test_without_top_and_open_sizes():
    shape = (None, None, None, 3)
    for pooling, rank in ((None, 5), ("avg", 2), ("max", 2)):
        model = keras_res3d.build_model(NARROW, include_top=False, pooling=pooling, input_shape=shape)
        assert len(model.output_shape) == rank and model.output_shape[-1] == 32
    model = keras_res3d.build_model(NARROW, input_shape=shape)
    assert model(np.zeros((2, 8, 48, 64, 3), "float32")).shape == (2, 101)
    with pytest.raises(ValueError, match="every size must be known"):
        keras_res3d.C3D(input_shape=shape)
    assert keras_res3d.C3D(include_top=False, input_shape=shape).output_shape[-1] == 512


@pytest.mark.parametrize(
    "options, match",
    [
        ({"input_shape": (2, 32, 32, 3)}, r"\(2, 32, 32, 3\); sr18 needs .* at least 4x16x16"),
        ({"input_shape": (4, 112, 112, None)}, "their number known"),
        ({"input_shape": (4, 112, 112, 0)}, "their number known"),
        ({"width": 8, "target_params": 10**6}, "width is 8 and target_params is 1000000; expected one"),
        ({"width": 0}, "integers from 1"),
        ({"input_shape": (112, 112, 3)}, "sr18 needs"),
        ({"pooling": "sum"}, "'avg' or 'max'"),
        ({"classes": 0}, "integer from 1"),
        ({"input_tensor": keras.Input((4, 16, 16, 3)), "input_shape": (4, 32, 32, 3)}, "expected them to agree"),
    ],
)
def test_refusals(options, match):
    with pytest.raises(ValueError, match=match):
        keras_res3d.build_model(NARROW, **options)


def test_input_tensor_continues_a_graph():
    clip = keras.Input((4, 32, 32, 3))
    model = keras_res3d.build_model(NARROW, input_tensor=keras.layers.Rescaling(1 / 255)(clip), name="mine")
    assert model.name == "mine" and model.input_shape == (None, 4, 32, 32, 3)
    with pytest.raises(TypeError, match="Keras tensor"):
        keras_res3d.build_model(NARROW, input_tensor=np.zeros((4, 32, 32, 3)))


def test_logits_and_activation():
    model = keras_res3d.build_model(NARROW, classifier_activation=None, input_shape=(4, 16, 16, 3))
    assert model.layers[-1].name == "fc8"
    model = keras_res3d.build_model(NARROW, input_shape=(4, 16, 16, 3))
    assert model.layers[-1].name == "prob"
    assert np.allclose(model(np.ones((1, 4, 16, 16, 3), "float32")).numpy().sum(), 1, atol=1e-6)


def test_batch_norm_and_initialisers_are_the_released_ones():
    model = keras_res3d.SR18(include_top=True)
    norm = model.get_layer("bn5b_branch2b")
    assert (norm.momentum, norm.epsilon) == (0.999, 1e-5)
    kernel = model.get_layer("res5a_branch2b").kernel.numpy()
    assert kernel.std() == pytest.approx(np.sqrt(2 / (27 * 512)), rel=0.01)
    first, second = (model.get_layer(name).kernel.numpy() for name in ("res5a_branch2b", "res5b_branch2a"))
    assert not np.array_equal(first, second)
    assert model.get_layer("fc8").kernel.numpy().std() == pytest.approx(0.01, rel=0.05)
    assert not model.get_layer("fc8").bias.numpy().any()


def _convolve(x, kernel, strides):
    """Direct convolution under symmetric zero padding, one tap after the other."""
    pads = [size // 2 for size in kernel.shape[:3]]
    padded = np.pad(x, [(p, p) for p in pads] + [(0, 0)])
    sizes = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(x.shape, pads, kernel.shape, strides, strict=False)]
    out = np.zeros((*sizes, kernel.shape[-1]))
    for t, i, j in np.ndindex(*kernel.shape[:3]):
        window = padded[t:, i:, j:][:: strides[0], :: strides[1], :: strides[2]]
        out += window[: sizes[0], : sizes[1], : sizes[2]] @ kernel[t, i, j].astype("float64")
    return out


@pytest.mark.parametrize("name", ["conv1", "res3a_branch2a", "res5a_branch2a", "res4b_branch2b", "res4a_branch1"])
def test_padding_is_symmetric(name):
    net = replace(NARROW, strides=ZOO["res3d18"].strides)
    model = keras_res3d.build_model(net, input_shape=(8, 34, 36, 3))
    layer = model.get_layer(name)
    origin = layer.input._keras_history.operation
    source = origin.input if isinstance(origin, keras.layers.ZeroPadding3D) else layer.input
    clip = np.random.default_rng(0).normal(size=(1, 8, 34, 36, 3)).astype("float32")
    x, y = (v.numpy()[0] for v in keras.Model(model.input, [source, layer.output])(clip))
    expected = _convolve(x, layer.kernel.numpy(), layer.strides)
    assert y.shape == expected.shape
    assert np.abs(y - expected).max() < 1e-4 * np.abs(expected).max()


def test_saved_models_open_in_safe_mode_with_nothing_registered(tmp_path):
    model = keras_res3d.build_model(NARROW, input_shape=(4, 16, 16, 3))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    clip = np.random.default_rng(0).normal(size=(1, 4, 16, 16, 3)).astype("float32")
    assert np.array_equal(model(clip), loaded(clip))
    assert architecture_of(loaded) == replace(NARROW, crop=16)


def test_a_net_inside_a_users_model_is_recognised():
    net = replace(NARROW, crop=32)
    body = keras_res3d.build_model(net, include_top=False, pooling="avg")
    extended = keras.Model(body.input, keras.layers.Dense(3, name="mine")(body.output))
    clip = keras.Input((8, 64, 64, 1))
    x = keras.layers.Conv3D(3, 3, strides=2, padding="same", name="front")(clip)
    x = keras.layers.BatchNormalization(momentum=0.5)(x)
    nested = keras.Model(clip, keras.layers.Dense(3)(body(x)))
    on_tensor = keras_res3d.build_model(net, input_tensor=x, trim=True, input_shape=(4, 32, 32, 3))
    for model in (extended, nested, keras.Sequential([keras.Input(net.input_shape), body]), on_tensor):
        assert replace(architecture_of(model), name=net.name) == net
    assert is_trimmed(on_tensor) and not is_trimmed(nested)
    assert taps_of(on_tensor) == kernel_taps(net, 4) and taps_of(nested) == kernel_taps(net)
    # A user's convolution with an initialiser of its own is no sign of a trimmed net; Keras calls the first one conv3d.
    scaled = keras.initializers.VarianceScaling(1.0, "fan_out")
    front = keras.layers.Conv3D(3, 3, padding="same", kernel_initializer=scaled, name="conv3d")
    other = keras_res3d.build_model(net, input_tensor=front(keras.Input(net.input_shape)))
    assert not is_trimmed(other) and architecture_of(other) == net


def test_other_models_are_not_recognised():
    stranger = keras.Sequential([keras.Input((4, 16, 16, 3)), keras.layers.Conv3D(2, 3)])
    with pytest.raises(ValueError, match="not a net of this family"):
        architecture_of(stranger)


@pytest.mark.parametrize("dense", [(8,), (8, 7), (8, 7, 6)])
def test_any_number_of_hidden_layers_is_recognised(dense):
    net = replace(ZOO["c3d"], width=2, dense=dense, crop=32)
    assert architecture_of(keras_res3d.build_model(net)) == net
