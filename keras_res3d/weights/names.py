"""What a net's tensors are called in a weights file, derived from the walk, and how Keras takes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from keras_res3d.nets.architecture import Architecture, Layer, layer_shapes, walk
from keras_res3d.weights.source import Source, WeightsError

_BLOCK = re.compile(r"res(\d)([a-z])_branch(1|2a|2b)(?:_(spatial|temporal))?")
_HALVES = {None: "0", "spatial": "0.0", "temporal": "0.3"}
_NORM_AFTER = {None: "1", "spatial": "0.1", "temporal": "1"}
_STEM = {None: ("0", "1"), "spatial": ("0", "1"), "temporal": ("3", "4")}

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Wanted:
    """The variables of one Keras layer and where a source has them.

    Attributes:
        layer: the Keras layer's name.
        keys: names of the source's tensors.
        shapes: their shapes there, in the same order.
        make: from these tensors to the layer's variables in Keras' order and layout.
        channels_axis: the axis of `shapes[0]` that counts the input's channels, for the layer that reads the clip; None
            elsewhere.
        classes_axis: the axis of `shapes[0]` that counts classes, for the classifier; None elsewhere.
        top: whether the layer belongs to the head.
    """

    layer: str
    keys: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    make: Callable[[Arrays], Arrays]
    channels_axis: int | None = None
    classes_axis: int | None = None
    top: bool = False


def torchvision_names(layer: str) -> tuple[str, str]:
    """torchvision's names of a convolution and of the batch norm after it; the classifier is `fc`.

    Raises:
        KeyError: a layer that torchvision's nets do not have.
    """
    if layer == "fc8":
        return "fc", ""
    stem, _, half = layer.partition("_")
    if stem == "conv1":
        return tuple(f"stem.{index}" for index in _STEM[half or None])
    match = _BLOCK.fullmatch(layer)
    if match is None:
        raise KeyError(layer)
    group, letter, branch, half = match.groups()
    block = f"layer{int(group) - 1}.{ord(letter) - ord('a')}"
    if branch == "1":
        return f"{block}.downsample.0", f"{block}.downsample.1"
    prefix = f"{block}.conv{'1' if branch == '2a' else '2'}"
    return f"{prefix}.{_HALVES[half]}", f"{prefix}.{_NORM_AFTER[half]}"


def _kernel(arrays: Arrays) -> Arrays:
    """(out, in, T, H, W) to (T, H, W, in, out); a bias stays."""
    return [arrays[0].transpose(2, 3, 4, 1, 0), *arrays[1:]]


def _matrix(flattened: tuple | None) -> Callable[[Arrays], Arrays]:
    """(out, in) to (in, out); `flattened`: the (T, H, W, C) map that `in` runs over, in C, T, H, W order there."""

    def make(arrays: Arrays) -> Arrays:
        weights = arrays[0]
        if flattened:
            t, h, w, c = flattened
            weights = weights.reshape(-1, c, t, h, w).transpose(0, 2, 3, 4, 1).reshape(len(weights), -1)
        return [weights.T, *arrays[1:]]

    return make


def _caffe_norm(arrays: Arrays) -> Arrays:
    """Gamma, beta, mean, variance from Caffe's sums, their scale factor and the Scale layer; 0 / 0 is 0 there."""
    mean, variance, (factor,), gamma, beta = arrays
    with np.errstate(all="ignore"):  # a factor near 0 makes them infinite, which `convert` refuses by name
        scale = np.float32(0 if factor == 0 else 1 / factor)
        return [gamma, beta, mean * scale, variance * scale]


def _keep(arrays: Arrays) -> Arrays:
    return arrays


class _Names:
    """The layout of one family of sources: tensor names and how to turn tensors into Keras' variables."""

    def __init__(self, source: Source):
        self.family, self.tensors = source.family, source.tensors

    def weights(self, layer: Layer) -> tuple[str, ...]:
        """Kernel, and bias where there is one, of a convolution or dense layer."""
        if self.family == "torch":
            name = torchvision_names(layer.name)[0]
            return (f"{name}.weight", f"{name}.bias")[: 1 + layer.bias]
        name = layer.name
        if self.family == "caffe" and name == "fc8" and "fc8/0" not in self.tensors and "fc8-new/0" in self.tensors:
            name = "fc8-new"  # as the released UCF101 net calls it
        return (f"{name}/0", f"{name}/1")[: 1 + layer.bias]

    def norm(self, layer: Layer) -> tuple[str, ...]:
        """The tensors of a batch norm, in the order of its `make`."""
        if self.family == "torch":
            name = torchvision_names(layer.inputs[0])[1]
            return tuple(f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
        if self.family == "keras":
            return tuple(f"{layer.name}/{index}" for index in range(4))
        scale = layer.name.replace("bn", "scale", 1)
        return (*(f"{layer.name}/{index}" for index in range(3)), f"{scale}/0", f"{scale}/1")

    def wanted_norm(self, layer: Layer) -> Wanted:
        vector = (layer.channels_out,)
        if self.family == "caffe":
            shapes = (vector, vector, (1,), vector, vector)
            return Wanted(layer.name, self.norm(layer), shapes, _caffe_norm)
        return Wanted(layer.name, self.norm(layer), (vector,) * 4, _keep)

    def wanted_conv(self, layer: Layer, channels_in: int) -> Wanted:
        shape, make, axis = (layer.channels_out, channels_in, *layer.kernel), _kernel, 1
        if self.family == "keras":
            shape, make, axis = (*layer.kernel, channels_in, layer.channels_out), _keep, 3
        shapes = (shape, (layer.channels_out,))[: 1 + layer.bias]
        first = layer.inputs == ("input",)
        return Wanted(layer.name, self.weights(layer), shapes, make, axis if first else None)

    def wanted_dense(self, layer: Layer, units_in: int, flattened: tuple | None, last: bool) -> Wanted:
        shape, make = (layer.channels_out, units_in), _matrix(flattened)
        if self.family == "keras":
            shape, make = shape[::-1], _keep
        axis = 1 if self.family == "keras" else 0
        shapes = (shape, (layer.channels_out,))
        return Wanted(layer.name, self.weights(layer), shapes, make, None, axis if last else None, top=True)


def wanted_tensors(source: Source, architecture: Architecture, input_shape: tuple) -> Iterator[Wanted]:
    """Every layer of `architecture` that has weights, head included, with its tensors in `source`, in order.

    Args:
        source: the file; its family says how tensors are named.
        architecture: the net.
        input_shape: `(frames, height, width, channels)`, all known: a flattening head reads a map of that size.

    Raises:
        WeightsError: the family has no names for such a net (PyTorch's for C3D).
    """
    names, layers = _Names(source), walk(architecture)
    shapes = layer_shapes(layers, input_shape)
    shapes_in = {layer.name: shapes[layer.inputs[0]] for layer in layers}
    by_name = {layer.name: layer for layer in layers}
    try:
        for layer in layers:
            if layer.op == "conv":
                yield names.wanted_conv(layer, shapes_in[layer.name][-1])
            elif layer.op == "norm":
                yield names.wanted_norm(layer)
            elif layer.op == "dense":
                before = by_name[layer.inputs[0]]
                flattened = shapes_in[before.name] if before.op == "flatten" else None
                yield names.wanted_dense(layer, shapes_in[layer.name][-1], flattened, last=layer is layers[-1])
    except KeyError as error:
        raise WeightsError(
            f"{source.path} has PyTorch's names, and torchvision has no layer for {architecture.name}'s {error.args[0]}"
        ) from None
