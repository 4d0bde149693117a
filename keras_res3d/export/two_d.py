"""The exact 2-D form of a net: 3-D convolutions written as 2-D ones, for runtimes that are only fast in two dimensions.

A t x d x d convolution over a clip is one d x d convolution over its frames, where the input channels of a frame are
those of the t frames that its taps read, side by side. Batch norm is folded into the kernels, and taps that meet
nothing but zero padding at this number of frames are left out. The walk of the architecture is all this module reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_res3d.nets.architecture import Architecture, Layer, check_input_shape, layer_shapes, walk
from keras_res3d.nets.recognise import architecture_of
from keras_res3d.nets.taps import live_indices

Shape = tuple[int, ...]


class NoTwoDFormError(ValueError):
    """The model is not one that this module can write in 2-D; the message says why."""


def temporal_taps(frames: int, layer: Layer) -> list[int]:
    """The temporal taps of a convolution that read at least one real frame of a clip of `frames`."""
    return live_indices(frames, layer.kernel[0], layer.strides[0])


def _as_numpy(variable) -> np.ndarray:
    return np.asarray(variable, np.float64)


def _folded(conv, norm) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (t, d, d, n, m) and bias (m,) of a convolution with its batch norm, if any, folded in; float64."""
    kernel = _as_numpy(conv.kernel)
    bias = _as_numpy(conv.bias) if conv.use_bias else np.zeros(kernel.shape[-1])
    if norm is None:
        return kernel, bias
    norm = getattr(norm, "layer", norm)  # of a fused twin, the stock layer inside
    gain = _as_numpy(norm.gamma) / np.sqrt(_as_numpy(norm.moving_variance) + norm.epsilon)
    return kernel * gain, (bias - _as_numpy(norm.moving_mean)) * gain + _as_numpy(norm.beta)


def _side_by_side(kernel: np.ndarray, taps: list[int]) -> np.ndarray:
    """(t, d, d, n, m) to (d, d, taps * n, m): the kernel that reads the taps' frames as channels."""
    extent, height, width, n, m = kernel.shape
    # A trimmed net's kernel holds the live taps alone.
    kernel = kernel if extent == len(taps) else kernel[taps]
    return kernel.transpose(1, 2, 0, 3, 4).reshape(height, width, len(taps) * n, m)


def gather_frames(x, frames: int, positions: int, taps: list[int], kernel: int, stride: int) -> tf.Tensor:
    """The frames that each output position reads, as channels.

    Args:
        x: `(batch, frames, pixels, n)`.
        frames: of the clip.
        positions: outputs in time.
        taps: which of the kernel's taps to take.
        kernel, stride: temporal extent and step of the convolution, padded symmetrically.

    Returns:
        `(batch, positions, pixels, len(taps) * n)`.
    """
    first = [tap - kernel // 2 for tap in taps]
    before = max(0, -min(first))
    after = max(0, max(first) + (positions - 1) * stride + 1 - frames)
    if before or after:
        x = tf.pad(x, [[0, 0], [before, after], [0, 0], [0, 0]])
    length = (positions - 1) * stride + 1
    shifted = [x[:, before + start : before + start + length : stride] for start in first]
    return tf.concat(shifted, -1) if len(shifted) > 1 else shifted[0]


def _max_over_time(x, frames: int, size: int):
    """Max-pooling of `(batch, frames, pixels, n)` in time, stride = `size`, rounding up as Keras' "same"."""
    missing = -frames % size
    before = missing // 2
    # Repeating a window's edge frame leaves its maximum as it is, and unlike a padding value it can be quantised.
    x = tf.concat([x[:, :1]] * before + [x] + [x[:, -1:]] * (missing - before), 1)
    return tf.reduce_max(tf.stack([x[:, offset::size] for offset in range(size)]), 0) if size > 1 else x


class TwoDNet(tf.Module):
    """A net of this family in its 2-D form, for clips of one size; a function of a batch.

    Args:
        model: a Keras model from this package's builders, with or without its top.
        input_shape: `(frames, height, width, channels)`; None means the model's own.
        pixel_scale: factor of each input channel, folded into the first kernel.
        reverse_channels: whether the input's channels come in the reverse of the order the net was trained on (RGB for
            a BGR net); folded into the first kernel too.
        architecture: of the model, where its card has it; None recognises it by its layers.

    Raises:
        NoTwoDFormError: not a net of this family, or one with layers of the user's own.
        ValueError: a clip size that is unknown, too small or not the model's.
    """

    def __init__(
        self,
        model,
        input_shape: Shape | None = None,
        pixel_scale=1.0,
        reverse_channels: bool = False,
        architecture: Architecture | None = None,
    ):
        super().__init__()
        architecture, self._layers, self._tail = _read(model, architecture)
        own = tuple(model.input_shape[1:])
        shape = check_input_shape(architecture, own if input_shape is None else input_shape)
        if None in shape or any(a not in (None, b) for a, b in zip(own, shape, strict=True)):
            raise ValueError(f"input_shape is {shape}, the model's is {own}; the 2-D form is for one known clip size")
        names = {layer.name: layer for layer in model.layers}
        self._shapes = layer_shapes(self._layers, shape)
        self._scale, self._reverse = np.asarray(pixel_scale, np.float64), reverse_channels
        self._weights: dict[str, list] = {}
        norms = {layer.inputs[0]: names[layer.name] for layer in self._layers if layer.op == "norm"}
        for layer in self._layers:
            if layer.op == "conv":
                self._add(layer.name, *self._conv_weights(layer, names[layer.name], norms.get(layer.name)))
            elif layer.op == "dense":
                self._add(layer.name, _as_numpy(names[layer.name].kernel), _as_numpy(names[layer.name].bias))

    def _add(self, name: str, kernel: np.ndarray, bias: np.ndarray) -> None:
        self._weights[name] = [tf.Variable(w.astype(np.float32), trainable=False) for w in (kernel, bias)]

    def _conv_weights(self, layer: Layer, conv, norm) -> tuple[np.ndarray, np.ndarray]:
        kernel, bias = _folded(conv, norm)
        if layer.inputs == ("input",):
            kernel = (kernel[..., ::-1, :] if self._reverse else kernel) * np.reshape(self._scale, (-1, 1))
        return _side_by_side(kernel, temporal_taps(self._shapes[layer.inputs[0]][0], layer)), bias

    def __call__(self, clips):
        """Outputs of a float32 batch `(batch, frames, height, width, 3)`; scaled and ordered as the arguments said."""
        # Between layers a batch is (batch * frames, height, width, channels), so that ReLU fuses with convolutions.
        tensors = {"input": _as_frames(clips, self._shapes["input"])}
        for layer in self._layers:
            x = tensors[layer.name] = self._apply(layer, [tensors[source] for source in layer.inputs])
        for tail in self._tail:
            x = _TAILS[type(tail).__name__](tail, x, self._shapes[self._layers[-1].name])
        last = self._shapes[self._layers[-1].name]
        return tf.reshape(x, (-1, *last)) if len(x.shape) == 4 else x

    def _apply(self, layer: Layer, sources: list):
        x, shape = sources[0], self._shapes[layer.inputs[0]]
        if layer.op == "conv":
            return self._conv(layer, x, shape)
        if layer.op == "dense":
            kernel, bias = self._weights[layer.name]
            return tf.matmul(x, kernel) + bias
        if layer.op == "pool":
            return _pool(layer, x, shape)
        simple: dict[str, Callable] = {
            "norm": lambda: x,
            "dropout": lambda: x,
            "relu": lambda: tf.nn.relu(x),
            "add": lambda: sources[0] + sources[1],
            "average": lambda: tf.reduce_mean(_rows(x, shape), (1, 2)),
            "flatten": lambda: tf.reshape(x, (-1, math.prod(shape))),
        }
        return simple[layer.op]()

    def _conv(self, layer: Layer, x, shape: Shape):
        if layer.kernel != (1, 1, 1) or layer.strides[0] == 1:
            return self._conv_frames(layer, self._stacked(layer, x, shape))
        # A strided shortcut is cheap, so all frames are computed and some kept. A convolution that reads chosen
        # frames would be left in float32 by LiteRT's quantiser.
        x = self._conv_frames(layer, x)
        positions, height, width, m = self._shapes[layer.name]
        x = tf.reshape(x, (-1, shape[0], height * width, m))
        x = gather_frames(x, shape[0], positions, [0], 1, layer.strides[0])
        return tf.reshape(x, (-1, height, width, m))

    def _stacked(self, layer: Layer, x, shape: Shape):
        """The frames that each output position of a convolution reads, as channels of a 2-D map."""
        if layer.kernel[0] == layer.strides[0] == 1:
            return x
        frames, height, width, n = shape
        taps = temporal_taps(frames, layer)
        x = tf.reshape(x, (-1, frames, height * width, n))
        x = gather_frames(x, frames, self._shapes[layer.name][0], taps, layer.kernel[0], layer.strides[0])
        return tf.reshape(x, (-1, height, width, len(taps) * n))

    def _conv_frames(self, layer: Layer, x):
        """The 2-D convolution itself, bias included."""
        pads = [size // 2 for size in layer.kernel[1:]]
        padding = "SAME"
        if layer.strides[1:] != (1, 1) and any(pads):
            # The padding is symmetric; "SAME" is not for these strides.
            x, padding = tf.pad(x, [[0, 0], [pads[0]] * 2, [pads[1]] * 2, [0, 0]]), "VALID"
        kernel, bias = self._weights[layer.name]
        return tf.nn.bias_add(tf.nn.conv2d(x, kernel, layer.strides[1:], padding), bias)


def _as_frames(x, shape: Shape):
    return tf.reshape(x, (-1, *shape[1:]))


def _rows(x, shape: Shape):
    """All frames of a clip above one another, `(batch, frames * height, width, channels)`: a 2-D map to pool."""
    return tf.reshape(x, (-1, shape[0] * shape[1], *shape[2:]))


def _pool(layer: Layer, x, shape: Shape):
    frames, height, width, n = shape
    if layer.kernel[0] > 1:
        x = _max_over_time(tf.reshape(x, (-1, frames, height * width, n)), frames, layer.kernel[0])
        x = _as_frames(x, shape)
    return tf.nn.max_pool2d(x, layer.kernel[1:], layer.strides[1:], "SAME")


_TAILS = {
    "Activation": lambda layer, x, shape: layer.activation(x),
    "GlobalAveragePooling3D": lambda layer, x, shape: tf.reduce_mean(_rows(x, shape), (1, 2)),
    "GlobalMaxPooling3D": lambda layer, x, shape: tf.reduce_max(_rows(x, shape), (1, 2)),
}


def _read(model, architecture: Architecture | None) -> tuple[Architecture, list[Layer], list]:
    """The model's architecture, its walk with or without the top, and the Keras layers that come after the walk."""
    if architecture is None or not _is_of(model, architecture):
        try:
            architecture = architecture_of(model)
        except ValueError as error:
            raise NoTwoDFormError(str(error)) from error
    names = [layer.name for layer in model.layers]
    top = walk(architecture)
    walked = top if top[-1].name in names else walk(architecture, include_top=False)
    known = {layer.name for layer in walked}
    others = [layer for layer in model.layers if layer.name not in known and not _is_wiring(layer, known)]
    # The output's activation, or the pooling of a net without its top.
    tail = [layer for layer in others if type(layer).__name__ in _TAILS]
    strange = [f"{layer.name} ({type(layer).__name__})" for layer in others if layer not in tail]
    if strange:
        raise NoTwoDFormError(f"it has layers besides those of {architecture.name}: {', '.join(strange)}")
    if tail and model.layers[-len(tail) :] != tail:
        raise NoTwoDFormError(f"{tail[0].name} ({type(tail[0]).__name__}) is not among its last layers")
    return architecture, walked, tail


def _is_of(model, architecture: Architecture) -> bool:
    """Whether the model's layers include the convolutions of an architecture, by name and by filters."""
    filters = {layer.name: getattr(layer, "filters", None) for layer in model.layers}
    convs = [layer for layer in walk(architecture, include_top=False) if layer.op == "conv"]
    return all(filters.get(layer.name) == layer.channels_out for layer in convs)


def _is_wiring(layer, known: set[str]) -> bool:
    """Whether a Keras layer is the input, or the explicit padding before a convolution of the walk."""
    kind = type(layer).__name__
    return kind == "InputLayer" or (kind == "ZeroPadding3D" and layer.name.removesuffix("_pad") in known)


def has_two_d_form(model, architecture: Architecture | None = None) -> bool:
    """Whether `TwoDNet` can write a Keras model."""
    try:
        _read(model, architecture)
    except NoTwoDFormError:
        return False
    return True
