"""Everything that does not fit is listed in one error."""

import dataclasses
import pathlib
import re

import numpy as np
import pytest

from keras_res3d.weights.convert import convert, count_classes
from keras_res3d.weights.names import torchvision_names
from keras_res3d.weights.source import Source, WeightsError
from tests.weights import formula, nets


def caffe_source(architecture, change=None, **options):
    layers = formula.caffe_layers(architecture, **options)
    if change:
        change(layers)
    tensors = {f"{name}/{i}": blob for name, blobs in layers.items() for i, blob in enumerate(blobs)}
    return Source(pathlib.Path("net.caffemodel"), "caffe", tensors)


def torch_source(architecture=nets.R3D, **changes):
    tensors = {**nets.torch_tensors(architecture), **changes}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    return Source(pathlib.Path("net.pth"), "torch", tensors)


@pytest.mark.parametrize("architecture", [nets.RES3D, nets.FACTORIZED, nets.C3D], ids=lambda a: a.name)
def test_every_variable_is_made_in_keras_order(architecture):
    converted = convert(caffe_source(architecture), architecture)
    model = nets.build(architecture)
    shapes = {layer.name: [tuple(v.shape) for v in layer.weights] for layer in model.layers if layer.weights}
    assert {name: [array.shape for array in arrays] for name, arrays in converted.layers.items()} == shapes
    assert converted.notices == []


def test_layouts():
    layers = formula.caffe_layers(nets.RES3D)
    made = convert(caffe_source(nets.RES3D), nets.RES3D).layers
    assert made["conv1"][0][1, 2, 3, 1, 2] == layers["conv1"][0][2, 1, 1, 2, 3]
    assert made["fc8"][0][3, 1] == layers["fc8"][0][1, 3]
    mean, variance, factor = layers["bn2a_branch1"]
    gamma, beta, moving_mean, moving_variance = made["bn2a_branch1"]
    np.testing.assert_array_equal(gamma, layers["scale2a_branch1"][0])
    np.testing.assert_array_equal(beta, layers["scale2a_branch1"][1])
    np.testing.assert_allclose(moving_mean, mean / factor, rtol=1e-6)
    np.testing.assert_allclose(moving_variance, variance / factor, rtol=1e-6)


def test_inner_product_after_a_flattened_map_is_reordered():
    fc6 = formula.caffe_layers(nets.C3D)["fc6-1"][0]
    made = convert(caffe_source(nets.C3D), nets.C3D).layers["fc6-1"][0]
    channels = nets.C3D.width * 8
    t, h, w, c = 0, 2, 3, 5
    assert made[(t * 4 + h) * 4 * channels + w * channels + c, 7] == fc6[7, c * 16 + t * 16 + h * 4 + w]


def test_scale_factor_zero_stays_zero_and_is_told():
    def zero(layers):
        layers["bn_conv1"][2][:] = 0

    converted = convert(caffe_source(nets.RES3D, zero), nets.RES3D)
    assert not converted.layers["bn_conv1"][2].any()
    assert not converted.layers["bn_conv1"][3].any()
    assert "bn_conv1 have scale factor 0" in converted.notices[0]


@pytest.mark.parametrize("factor", [1e-40, -1e-39])
def test_a_scale_factor_near_zero_is_refused_by_name(factor):
    def tiny(layers):
        layers["bn_conv1"][2][:] = factor

    with pytest.raises(WeightsError, match=r"bn_conv1 becomes NaN or infinite; its scale factor is -?[\d.]+e-(39|4\d)"):
        convert(caffe_source(nets.RES3D, tiny), nets.RES3D)


def test_the_classifier_may_be_called_fc8_new():
    def rename(layers):
        layers["fc8-new"] = layers.pop("fc8")

    source = caffe_source(nets.RES3D, rename)
    expected = convert(caffe_source(nets.RES3D), nets.RES3D).layers["fc8"]
    np.testing.assert_array_equal(convert(source, nets.RES3D).layers["fc8"][0], expected[0])
    assert count_classes(source, nets.RES3D) == 5


@pytest.mark.parametrize("make", [lambda: caffe_source(nets.RES3D), lambda: torch_source()], ids=["caffe", "torch"])
def test_another_number_of_classes_drops_the_head_with_a_notice(make):
    converted = convert(make(), nets.RES3D, classes=11)
    assert "fc8" not in converted.layers
    assert "fc8 is left as it was" in converted.notices[0]
    assert "5 classes, and the model has 11" in converted.notices[0]


def test_without_the_top_its_tensors_are_left_alone():
    converted = convert(caffe_source(nets.C3D), nets.C3D, include_top=False, input_shape=(16, 32, 32, 3))
    assert converted.notices == []
    assert "conv5b" in converted.layers
    assert not [name for name in converted.layers if name.startswith("fc")]


def test_all_faults_are_in_one_error():
    def spoil(layers):
        del layers["conv1"], layers["scale3a_branch2b"]
        layers["bn2a_branch1"].pop()
        layers["res2a_branch2a"][0] = np.zeros((4, 4, 3, 3), np.float32)
        layers["fc8"][1] = np.zeros((2, 2), np.float32)
        layers["bn5a_branch1"][1][:] = -1
        layers["extra"] = [np.zeros(3, np.float32)]

    with pytest.raises(WeightsError) as caught:
        convert(caffe_source(nets.RES3D, spoil), nets.RES3D)
    told = str(caught.value)
    for part in (
        "net.caffemodel does not fit narrow",
        "missing (4): conv1/0, bn2a_branch1/2, scale3a_branch2b/0, scale3a_branch2b/1",
        "res2a_branch2a/0 is (4, 4, 3, 3), expected (4, 4, 3, 3, 3)",
        "fc8/1 is (2, 2), expected (5,)",
        "bn5a_branch1 has negative variances",
        "unused (1): extra/0",
    ):
        assert part in told


def test_torch_faults_are_named_in_torchs_names():
    source = torch_source(**{"stem.0.weight": None, "layer2.0.downsample.1.bias": np.zeros(3, np.float32)})
    with pytest.raises(WeightsError, match=r"missing \(1\): stem.0.weight. .* layer2.0.downsample.1.bias is \(3,\)"):
        convert(source, nets.R3D)
    with pytest.raises(WeightsError, match="torchvision has no layer for narrow_c3d's conv1a"):
        convert(torch_source(), nets.C3D)


def test_the_identity_projection_is_for_res2a_of_torchs_files_alone():
    converted = convert(torch_source(), nets.RES3D)
    np.testing.assert_array_equal(converted.layers["res2a_branch1"][0][0, 0, 0], np.eye(4, dtype=np.float32))
    assert "identity" in converted.notices[0]

    def without(layers):
        for name in ("res2a_branch1", "bn2a_branch1", "scale2a_branch1"):
            del layers[name]

    with pytest.raises(WeightsError, match=r"missing \(6\): res2a_branch1/0"):
        convert(caffe_source(nets.RES3D, without), nets.RES3D)
    half = torch_source(**{"layer1.0.downsample.0.weight": np.zeros((4, 4, 1, 1, 1), np.float32)})
    with pytest.raises(WeightsError, match=r"missing .*downsample.1.weight"):
        convert(half, nets.RES3D)
    strided = dataclasses.replace(nets.RES3D, strides=((1, 2, 2), (1, 2, 2), *nets.RES3D.strides[2:]))
    with pytest.raises(WeightsError, match=r"missing .*downsample"):
        convert(torch_source(), strided)


def other(**changes):
    return dataclasses.replace(nets.RES3D, **changes)


@pytest.mark.parametrize("make", ["caffe", "keras"])
@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        (other(width=8), "does not fit narrow: width 8 there, 4 here. misshapen"),
        (other(blocks=(1, 2, 1, 1)), r"narrow: blocks \(1, 2, 1, 1\) there, \(1, 1, 1, 1\) here. unused"),
        (other(temporal_kernels=(3, 3, 1, 1, 1)), r"temporal kernels \(3, 3, 1, 1, 1\) there, \(3, 3, 3, 3, 3\) here"),
        (nets.FACTORIZED, "convolutions split into spatial and temporal halves there, whole convolutions here"),
        (dataclasses.replace(nets.C3D, crop=32), "a plain net like C3D there, a residual net here"),
    ],
    ids=["width", "blocks", "kernels", "split", "c3d"],
)
def test_mismatched_nets_are_explained_before_tensors_are_listed(theirs, told, make):
    source = caffe_source(theirs)
    if make == "keras":
        layers = convert(source, theirs).layers
        tensors = {f"{name}/{i}": array for name, arrays in layers.items() for i, array in enumerate(arrays)}
        source = Source(pathlib.Path("net.weights.h5"), "keras", tensors)
    with pytest.raises(WeightsError, match=told) as caught:
        convert(source, nets.RES3D)
    assert len(str(caught.value)) < 1200 and re.search(r" and \d+ more", str(caught.value))


def test_a_torch_file_of_another_net_is_explained_too():
    wide = dataclasses.replace(nets.R3D, width=8)
    with pytest.raises(WeightsError, match="does not fit narrow_r3d: width 8 there, 4 here"):
        convert(torch_source(wide), nets.R3D)
    with pytest.raises(WeightsError, match=r"no classifier there, one here \(include_top=False"):
        convert(torch_source(**{"fc.weight": None, "fc.bias": None}), nets.R3D)
    stray = Source(pathlib.Path("net.pth"), "torch", {"encoder.weight": np.zeros((3, 3), np.float32)})
    with pytest.raises(WeightsError, match="none of its tensors is of a net of this family"):
        convert(stray, nets.R3D)


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("family", ["caffe", "torch"])
def test_the_first_kernel_is_adapted_to_other_input_channels(channels, family):
    source = caffe_source(nets.RES3D) if family == "caffe" else torch_source()
    architecture = nets.RES3D if family == "caffe" else nets.R3D
    shape = (8, 32, 32, channels)
    refused = rf'input channels 3 there, {channels} here \(channels="adapt" makes'
    with pytest.raises(WeightsError, match=refused):
        convert(source, architecture, input_shape=shape)
    rgb, adapted = convert(source, architecture), convert(source, architecture, input_shape=shape, channels="adapt")
    before, after = rgb.layers["conv1"][0], adapted.layers["conv1"][0]
    assert after.shape == (*before.shape[:3], channels, before.shape[4]) and after.dtype == np.float32
    # The mean over RGB times 3 / n: a clip that is the same in every channel is answered as before.
    np.testing.assert_allclose(after, np.repeat(before.mean(3, keepdims=True) * 3 / channels, channels, 3), rtol=1e-5)
    np.testing.assert_allclose(after.sum(3), before.sum(3), atol=1e-6)
    assert adapted.notices == [
        f"input channels of conv1: {channels} here, 3 in {source.path.name}; each is given the mean of the file's "
        f"kernels times 3 / {channels}"
    ]
    np.testing.assert_array_equal(adapted.layers["fc8"][0], rgb.layers["fc8"][0])


def test_adapting_to_the_same_channels_changes_nothing():
    converted = convert(caffe_source(nets.RES3D), nets.RES3D, channels="adapt")
    assert converted.notices == []
    expected = convert(caffe_source(nets.RES3D), nets.RES3D).layers["conv1"][0]
    np.testing.assert_array_equal(converted.layers["conv1"][0], expected)


def test_torchvision_names():
    assert torchvision_names("res4b_branch2a") == ("layer3.1.conv1.0", "layer3.1.conv1.1")
    assert torchvision_names("res2a_branch2b_spatial") == ("layer1.0.conv2.0.0", "layer1.0.conv2.0.1")
    assert torchvision_names("res2a_branch2b_temporal") == ("layer1.0.conv2.0.3", "layer1.0.conv2.1")
    assert torchvision_names("conv1_temporal") == ("stem.3", "stem.4")
    assert torchvision_names("res5a_branch1") == ("layer4.0.downsample.0", "layer4.0.downsample.1")
