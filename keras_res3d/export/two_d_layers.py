"""What becomes of each kind of Keras layer in the 2-D form: a table of rules. A new kind is a function and a row."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
from keras import layers, ops

from keras_res3d.export.maps import Maps, repeat_frames, windows
from keras_res3d.export.two_d_convs import conv, conv_transpose, stock_norm
from keras_res3d.export.two_d_writer import Writer, channels_last, is_channels_last
from keras_res3d.nets.batch_norm import FusedBatchNormalization


def _pool_windows(writer: Writer, layer, x: Maps):
    x = writer.settled(x)
    frames, inside = windows(x, layer.pool_size[0], layer.strides[0], layer.padding == "same")
    return x, frames, inside


def _spatial_pool(layer, pool, maps: Maps) -> Maps:
    size, strides = layer.pool_size[1:], layer.strides[1:]
    if size == strides == (1, 1):
        return maps
    return replace(maps, x=pool(maps.x, size, strides, layer.padding, "channels_last"))


@channels_last
def _max_pool(writer: Writer, layer, x: Maps):
    x, frames, _ = _pool_windows(writer, layer, x)
    if len(frames) > 1 or layer.strides[0] > 1:
        most = functools.reduce(ops.maximum, frames)
        x = x.with_frames(most, int(most.shape[1]))
    return _spatial_pool(layer, ops.max_pool, x)


@channels_last
def _average_pool(writer: Writer, layer, x: Maps):
    x, frames, inside = _pool_windows(writer, layer, x)
    if len(frames) > 1 or layer.strides[0] > 1:
        # Frames outside the clip do not count, neither in the sum nor in the number that it is divided by.
        shares = (inside / inside.sum(0)).astype(np.float32)[..., None, None]
        total = functools.reduce(ops.add, [each * share for each, share in zip(frames, shares, strict=True)])
        x = x.with_frames(total, int(total.shape[1]))
    return _spatial_pool(layer, ops.average_pool, x)


def _global_pool(reduce: Callable) -> Callable:
    @channels_last
    def rule(writer: Writer, layer, x: Maps):
        pooled = reduce(writer.settled(x).rows(), (1, 2), keepdims=layer.keepdims)
        return Maps(pooled, 1) if layer.keepdims else pooled

    return rule


@channels_last
def _zero_padding(writer: Writer, layer, x: Maps):
    return replace(x, pads=tuple((a + c, b + d) for (a, b), (c, d) in zip(x.pads, layer.padding, strict=True)))


@channels_last
def _cropping(writer: Writer, layer, x: Maps):
    x = writer.settled(x)
    (first, last), (top, bottom), (left, right) = layer.cropping
    frames, height, width, _ = x.stored
    if top or bottom or left or right:
        x = replace(x, x=x.x[:, top : height - bottom, left : width - right])
    if first or last:
        x = x.with_frames(x.by_time()[:, first : frames - last], frames - first - last)
    return x


@channels_last
def _up_sampling(writer: Writer, layer, x: Maps):
    x = writer.settled(x)
    times, *size = layer.size
    if tuple(size) != (1, 1):
        x = replace(x, x=layers.UpSampling2D(tuple(size), data_format="channels_last")(x.x))
    return repeat_frames(x, times)


def _pointwise(writer: Writer, layer, x: Maps, **kwargs):
    """Layers that work on each pixel by itself, or on its channels."""
    x = writer.settled(x)
    return replace(x, x=writer.copy(layer)(x.x, **kwargs))


def _only_last_axis(axes: Callable) -> Callable:
    """The rule of layers that work on each pixel's channels where their axis is the last one."""

    def rule(writer: Writer, layer, x: Maps, **kwargs):
        found = axes(layer)
        found = list(found) if isinstance(found, (list, tuple)) else [found]
        if found not in ([-1], [4]):
            return writer.as_it_is(layer, (x,), kwargs)
        x = writer.settled(x)
        copy = writer.copy(layer)
        if hasattr(layer, "axis"):
            copy.layer.axis = [-1] if isinstance(layer.axis, (list, tuple)) else -1
        return replace(x, x=copy(x.x, **kwargs))

    return rule


def _batch_norm(writer: Writer, layer, x: Maps):
    norm = stock_norm(layer)
    if norm is None or norm.axis not in (-1, 4):
        return writer.as_it_is(layer, (x,), {})
    x = writer.settled(x)
    config = {"epsilon": norm.epsilon, "center": norm.center, "scale": norm.scale, "momentum": norm.momentum}
    return replace(x, x=writer.make(layer, layers.BatchNormalization, norm.get_weights, **config)(x.x))


def _normalization(writer: Writer, layer, x: Maps):
    mean, variance = np.asarray(layer.mean, np.float64).ravel(), np.asarray(layer.variance, np.float64).ravel()
    if mean.size not in (1, x.stored[-1]) or layer.invert:
        return writer.as_it_is(layer, (x,), {})
    deviation = np.maximum(np.sqrt(variance), keras.backend.epsilon())
    scale, offset = (1 / deviation).tolist(), (-mean / deviation).tolist()
    x = writer.settled(x)
    return replace(x, x=layers.Rescaling(scale, offset, name=writer.name(layer.name))(x.x))


def _group_norm(writer: Writer, layer, x: Maps):
    if layer.axis not in (-1, 4):
        return writer.as_it_is(layer, (x,), {})
    x = writer.settled(x)
    copy = writer.copy(layer)
    copy.layer.axis = -1
    return replace(x, x=ops.reshape(copy(x.rows()), (-1, *x.stored[1:])))


def _dense(writer: Writer, layer, x: Maps):
    """On maps a dense layer is a convolution of one pixel."""
    x = writer.settled(x)

    def weights() -> list[np.ndarray]:
        kernel = np.asarray(layer.kernel)[None, None]
        return [kernel, np.asarray(layer.bias)] if layer.use_bias else [kernel]

    made = writer.make(layer, layers.Conv2D, weights, filters=layer.units, kernel_size=1, use_bias=layer.use_bias,
                       activation=layer.activation, data_format="channels_last")  # fmt: skip
    return replace(x, x=made(x.x))


def _identity(writer: Writer, layer, x, **kwargs):
    return x


def _flatten(writer: Writer, layer, x: Maps):
    if not is_channels_last(layer):
        return writer.as_it_is(layer, (x,), {})
    x = writer.settled(x)
    return ops.reshape(x.x, (-1, int(np.prod(x.stored))))


def _reshape(writer: Writer, layer, x: Maps):
    x = writer.settled(x)
    sizes = list(layer.target_shape)
    if -1 in sizes:
        sizes[sizes.index(-1)] = int(np.prod(x.stored)) // -int(np.prod(sizes))
    if len(sizes) == 4:
        return Maps(ops.reshape(x.x, (-1, *sizes[1:])), sizes[0])
    return ops.reshape(x.x, (-1, *sizes))


def _binary(function: Callable) -> Callable:
    """The rule of an operation on two values of the same shape, or one of which is stretched."""

    def pair(writer: Writer, operation, a, b):
        if not (isinstance(a, Maps) and isinstance(b, Maps)):
            return _with_constant(writer, operation, function, a, b)
        a, b = writer.settled(a), writer.settled(b)
        if a.frames == b.frames:
            return replace(a, x=function(a.x, b.x))
        long, short = (a, b) if a.frames > b.frames else (b, a)
        if short.stored[:3] == (1, 1, 1):  # one number a channel for the whole clip: as attention to channels has it
            left, right = (a.rows(), b.x) if long is a else (a.x, b.rows())
            return replace(long, x=ops.reshape(function(left, right), (-1, *long.stored[1:])))
        short = repeat_frames(short, long.frames)
        return replace(long, x=function(a.x, short.x) if long is a else function(short.x, b.x))

    return pair


def _with_constant(writer: Writer, operation, function: Callable, a, b):
    maps, other = (a, b) if isinstance(a, Maps) else (b, a)
    if isinstance(other, keras.KerasTensor) or np.ndim(other) > 1:
        return writer.as_it_is(operation, (a, b), {})
    maps = writer.settled(maps)
    return replace(maps, x=function(maps.x, other) if maps is not b else function(other, maps.x))


def _merge(function: Callable, mean: bool = False) -> Callable:
    """The rule of a merging layer, which takes a list."""
    rule = _binary(function)

    def merged(writer: Writer, layer, values, **kwargs):
        total = values[0]
        if not all(isinstance(value, Maps) for value in values):
            return writer.as_it_is(layer, (values,), kwargs)
        for value in values[1:]:
            total = rule(writer, layer, total, value)
        return replace(total, x=total.x * (1 / len(values))) if mean else total

    return merged


def _concatenate(writer: Writer, layer, values, **kwargs):
    if not all(isinstance(value, Maps) for value in values):
        return writer.as_it_is(layer, (values,), kwargs)
    values = [writer.settled(value) for value in values]
    axis = layer.axis % 5
    if axis == 1:
        frames = sum(value.frames for value in values)
        return values[0].with_frames(ops.concatenate([value.by_time() for value in values], 1), frames)
    return replace(values[0], x=ops.concatenate([value.x for value in values], axis - 1))


def _time_distributed(writer: Writer, layer, x: Maps, **kwargs):
    x = writer.settled(x)
    result = writer.copy(layer.layer)(x.x)
    if len(result.shape) == 4:
        return replace(x, x=result)
    return ops.reshape(result, (-1, x.frames, *result.shape[1:]))


_SOFTMAX = _only_last_axis(lambda layer: layer.axis)


def _activation(writer: Writer, layer, x: Maps):
    # Keras' softmax works on the last axis, all other activations on each number by itself.
    return _pointwise(writer, layer, x)


def _operation(writer: Writer, operation, x, *args, **kwargs):
    """An operation of `keras.ops` on each number by itself."""
    if not isinstance(x, Maps) or args or kwargs:
        return writer.as_it_is(operation, (x, *args), kwargs)
    x = writer.settled(x)
    return replace(x, x=operation(x.x))


RULES: dict[type, Callable] = {
    layers.Conv3D: conv,
    layers.Conv3DTranspose: conv_transpose,
    layers.MaxPooling3D: _max_pool,
    layers.AveragePooling3D: _average_pool,
    layers.GlobalAveragePooling3D: _global_pool(ops.mean),
    layers.GlobalMaxPooling3D: _global_pool(ops.max),
    layers.ZeroPadding3D: _zero_padding,
    layers.Cropping3D: _cropping,
    layers.UpSampling3D: _up_sampling,
    layers.BatchNormalization: _batch_norm,
    FusedBatchNormalization: _batch_norm,
    layers.Normalization: _normalization,
    layers.GroupNormalization: _group_norm,
    layers.LayerNormalization: _only_last_axis(lambda layer: layer.axis),
    layers.Softmax: _SOFTMAX,
    layers.Dense: _dense,
    layers.Flatten: _flatten,
    layers.Reshape: _reshape,
    layers.Add: _merge(ops.add),
    layers.Subtract: _merge(ops.subtract),
    layers.Multiply: _merge(ops.multiply),
    layers.Average: _merge(ops.add, mean=True),
    layers.Maximum: _merge(ops.maximum),
    layers.Minimum: _merge(ops.minimum),
    layers.Concatenate: _concatenate,
    layers.TimeDistributed: _time_distributed,
    **dict.fromkeys((layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU), _activation),
    layers.Rescaling: _pointwise,
    **dict.fromkeys(
        (
            layers.Dropout,
            layers.SpatialDropout3D,
            layers.GaussianDropout,
            layers.GaussianNoise,
            layers.AlphaDropout,
            layers.ActivityRegularization,
            layers.Identity,
        ),
        _identity,
    ),
}

# Operations of `keras.ops` that a functional model may hold (as `a + b` does), by the names of their classes.
OPERATIONS: dict[str, Callable] = {
    "Add": _binary(ops.add),
    "Subtract": _binary(ops.subtract),
    "Multiply": _binary(ops.multiply),
    "TrueDivide": _binary(ops.true_divide),
    "Divide": _binary(ops.divide),
    "Maximum": _binary(ops.maximum),
    "Minimum": _binary(ops.minimum),
    **dict.fromkeys(
        (
            "Relu",
            "Relu6",
            "Sigmoid",
            "HardSigmoid",
            "HardSilu",
            "Silu",
            "Tanh",
            "Softplus",
            "Elu",
            "Gelu",
            "Exp",
            "Sqrt",
            "Square",
            "Absolute",
            "Negative",
        ),
        _operation,
    ),
}


def rule_for(operation) -> Callable | None:
    """The rule for a layer, unless it is of a class of its own that computes something else."""
    for kind in type(operation).__mro__:
        if kind in RULES:
            return RULES[kind] if type(operation).call is kind.call else None
    return None if isinstance(operation, layers.Layer) else OPERATIONS.get(type(operation).__name__)
