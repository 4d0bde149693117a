"""What becomes of each kind of Keras layer in the 2-D form: a table of rules. A new kind is a function and a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
from keras import layers, ops

from keras_res3d.export.maps import (
    NO_PADS,
    Maps,
    as_maps,
    read_frames,
    repeat_frames,
    spread_frames,
    windows,
    zero_padded,
)
from keras_res3d.nets.batch_norm import FusedBatchNormalization


class Writer:
    """Makes the layers of a 2-D form, each once however often it is called, under names that do not repeat.

    Attributes:
        taken_over: (name, function, specs of its tensors) of every layer and operation that no rule is known for.
    """

    def __init__(self):
        self.taken_over: list[tuple] = []
        self._made: dict[tuple, tuple] = {}
        self._names: set[str] = set()

    def rule_for(self, operation) -> Callable | None:
        """The rule for a layer, unless it is of a class of its own that computes something else."""
        for kind in type(operation).__mro__:
            if kind in RULES:
                return RULES[kind] if type(operation).call is kind.call else None
        return None if isinstance(operation, layers.Layer) else OPERATIONS.get(type(operation).__name__)

    def name(self, wanted: str) -> str:
        """A name that no other layer has."""
        name, number = wanted, 1
        while name in self._names:
            name, number = f"{wanted}_{number}", number + 1
        self._names.add(name)
        return name

    def make(self, source, kind, weights: Callable, key=(), **config):
        """A layer that stands for `source`; it takes its weights at its first call.

        Args:
            source: the layer of the model.
            kind: class of the new layer.
            weights: called at first use; gives its arrays.
            key: what else the new layer depends on, where `source` is called several times.
            config: of the new layer.
        """
        key = (id(source), kind, *key)
        if key not in self._made:
            layer = kind(name=self.name(source.name), dtype="float32", **config)
            self._made[key] = (_WithWeights(layer, weights), source)  # the source is kept, so that its id stays its own
        return self._made[key][0]

    def copy(self, source):
        """A layer like `source`, in float32, with its weights."""
        key = (id(source), "copy")
        if key not in self._made:
            self._made[key] = (_WithWeights(_like(source, self.name(source.name)), source.get_weights), source)
        return self._made[key][0]

    def plain(self, value):
        """An ordinary tensor, `(batch, frames, height, width, channels)` for maps."""
        return self.settled(value).clip() if isinstance(value, Maps) else value

    def settled(self, maps: Maps) -> Maps:
        """Maps with nothing left to be done to their pixels, and no zeros to be put around."""
        if maps.order is not None or maps.scale is not None:
            channels = maps.stored[-1]
            kernel = np.eye(channels)[list(maps.order or range(channels))].T * _scale_of(maps)[:, None]
            layer = self.make(_CHANNELS, layers.Conv2D, lambda: [kernel[None, None]], (id(maps),), filters=channels,
                              kernel_size=1, use_bias=False)  # fmt: skip
            maps = replace(maps, x=layer(maps.x), order=None, scale=None)
        return zero_padded(maps)

    def as_it_is(self, operation, args, kwargs):
        """The results of a layer that no rule is known for, on ordinary tensors."""
        args, kwargs = keras.tree.map_structure(self.plain, (args, kwargs))
        run = self.copy(operation) if isinstance(operation, layers.Layer) else operation
        results = run(*args, **kwargs)
        tensors = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
        if any(len(x.shape) == 5 for x in [*tensors, *keras.tree.flatten(results)]):
            self._note(operation, run, args, kwargs)
        return keras.tree.map_structure(_maps_of_clips, results)

    def _note(self, operation, run, args, kwargs) -> None:
        import tensorflow as tf

        flat = keras.tree.flatten((args, kwargs))
        places = [number for number, x in enumerate(flat) if isinstance(x, keras.KerasTensor)]
        specs = [tf.TensorSpec(flat[place].shape, flat[place].dtype) for place in places]

        def call(*tensors):
            filled = list(flat)
            for place, tensor in zip(places, tensors, strict=True):
                filled[place] = tensor
            args, kwargs = keras.tree.pack_sequence_as((given_args, given_kwargs), filled)
            return run(*args, **kwargs)

        given_args, given_kwargs = args, kwargs
        self.taken_over.append((f"{operation.name} ({type(operation).__name__})", call, specs))


class _WithWeights:
    """A layer that is given its weights after its first call has made them."""

    def __init__(self, layer, weights: Callable):
        self.layer, self._weights = layer, weights

    def __call__(self, *args, **kwargs):
        result = self.layer(*args, **kwargs)
        if self._weights is not None:
            self.layer.set_weights(self._weights())
            self._weights = None
        return result


def _like(source, name: str):
    """A layer of the same configuration in float32, not called yet."""
    if isinstance(source, keras.Model):
        return keras.models.clone_model(source)
    if type(source) is layers.Lambda:  # Keras does not make one from a configuration, which could be anybody's
        return layers.Lambda(source.function, source._output_shape, source.mask, source.arguments, name=name)
    config = source.get_config() | {"name": name}
    if "dtype" in config and source.compute_dtype in ("bfloat16", "float16"):
        config["dtype"] = "float32"
    return type(source).from_config(config)


class _Named:
    name = "input_channels"


_CHANNELS = _Named()


def _maps_of_clips(value):
    known = isinstance(value, keras.KerasTensor) and len(value.shape) == 5 and None not in value.shape[1:]
    return as_maps(value) if known else value


def _scale_of(maps: Maps) -> np.ndarray:
    return np.ones(maps.stored[-1]) if maps.scale is None else maps.scale


def _weights_of(layer) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias in float64."""
    kernel = np.asarray(layer.kernel, np.float64)
    return kernel, np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros(layer.filters)


def stock_norm(layer):
    """The batch norm that a layer is or wraps, or None."""
    layer = layer.layer if isinstance(layer, FusedBatchNormalization) else layer
    return layer if type(layer) is layers.BatchNormalization else None


def folds_into(conv, norm) -> bool:
    """Whether a batch norm after a convolution can be part of its kernel."""
    norm = stock_norm(norm)
    linear = type(conv) is layers.Conv3D and conv.activation in (None, keras.activations.linear)
    return norm is not None and linear and norm.axis in (-1, 4)


def _folded(conv, norm) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a convolution with its batch norm, if any, folded in; float64."""
    kernel, bias = _weights_of(conv)
    if norm is None:
        return kernel, bias
    norm = stock_norm(norm)
    gain = 1 / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)
    gain = gain * np.asarray(norm.gamma, np.float64) if norm.scale else gain
    shift = np.asarray(norm.beta, np.float64) if norm.center else 0.0
    return kernel * gain, (bias - np.asarray(norm.moving_mean, np.float64)) * gain + shift


def _same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    missing = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return missing // 2, missing - missing // 2


def _last(layer) -> bool:
    return layer.data_format == "channels_last"


def _clips(rule: Callable) -> Callable:
    """A rule that holds for channels as the last axis alone; other layers are taken over as they are."""

    def checked(writer, layer, x, **kwargs):
        if not _last(layer):
            return writer.as_it_is(layer, (x,), {})
        return rule(writer, layer, x, **kwargs)

    return checked


@_clips
def _conv(writer: Writer, layer, x: Maps, norm=None):
    extents = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    pads = x.pads
    if layer.padding == "same":
        more = [_same_pads(*each) for each in zip(x.shape[:3], extents, layer.strides, strict=True)]
        pads = tuple((a + c, b + d) for (a, b), (c, d) in zip(pads, more, strict=True))
    elif layer.padding != "valid":
        return writer.as_it_is(layer, (x,), {})
    if layer.groups > 1:
        x = replace(writer.settled(replace(x, pads=NO_PADS)), pads=pads)
    positions = (x.frames + sum(pads[0]) - extents[0]) // layer.strides[0] + 1
    offsets = [tap * layer.dilation_rate[0] - pads[0][0] for tap in range(layer.kernel_size[0])]
    last = (positions - 1) * layer.strides[0]
    # A tap is live if some output reads a real frame by it: offset + stride * position for a position.
    live = [tap for tap, offset in enumerate(offsets)
            if any(0 <= offset + at < x.frames for at in range(0, last + 1, layer.strides[0]))] or [0]  # fmt: skip
    result = _convolved(writer, layer, norm, x, pads[1:], positions, live, [offsets[tap] for tap in live])
    return _activated(writer, layer, result)


def _convolved(writer: Writer, layer, norm, x: Maps, sides, positions: int, live, offsets) -> Maps:
    """The convolution of `live` taps by one 2-D convolution; one for each tap where channels are in groups."""
    stride, spatial = layer.strides[0], layer.strides[1:]
    key = (tuple(live), tuple(offsets), x.order, None if x.scale is None else tuple(x.scale), sides)
    pointwise = layer.kernel_size == (1, 1, 1) and stride > 1 and not any(map(any, sides)) and offsets == [0]
    # One tap that reads every frame needs no rearranging; nor does LiteRT's quantiser see through two reshapes.
    as_they_are = pointwise or (offsets == [0] and stride == 1 and positions == x.frames)
    frames = [x.by_time()] if as_they_are else read_frames(x, positions, offsets, stride)
    _, height, width, channels = x.stored
    grouped = layer.groups > 1
    parts = [[part] for part in frames] if grouped else [frames]
    total = None
    for number, part in enumerate(parts):
        taps = live[number : number + 1] if grouped else live
        maps = part[0] if len(part) == 1 else ops.concatenate(part, -1)
        maps = x.x if as_they_are else ops.reshape(maps, (-1, height, width, channels * len(part)))
        maps = _conv_2d(writer, layer, norm, maps, sides, spatial, taps, x, (*key, number))
        total = maps if total is None else layers.Add()([total, maps])
    result = Maps(total, positions if not pointwise else x.frames)
    if pointwise:
        # A strided shortcut is cheap, so all frames are computed and some kept. A convolution that reads chosen
        # frames would be left in float32 by LiteRT's quantiser.
        result = result.with_frames(read_frames(result, positions, [0], stride)[0], positions)
    return result


def _conv_2d(writer: Writer, layer, norm, maps, sides, strides, taps, x: Maps, key):
    size, dilation = layer.kernel_size[1:], layer.dilation_rate[1:]
    extents = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    same = tuple(_same_pads(*each) for each in zip(maps.shape[1:3], extents, strides, strict=True))
    padding = "valid"
    if any(map(any, sides)):
        if tuple(sides) == same:
            padding = "same"
        else:
            maps = ops.pad(maps, ((0, 0), *sides, (0, 0)))
    first = key[-1] == 0

    def weights() -> list[np.ndarray]:
        kernel, bias = _folded(layer, norm)
        kernel = kernel[taps]
        if x.order is not None:
            kernel = kernel[..., list(np.argsort(x.order)), :]
        kernel = kernel if x.scale is None else kernel * x.scale[:, None]
        t, h, w, n, m = kernel.shape
        kernel = kernel.transpose(1, 2, 0, 3, 4).reshape(h, w, t * n, m)
        if depthwise:
            kernel = kernel.reshape(h, w, layer.groups, m // layer.groups)
        return [kernel, bias] if first else [kernel]

    config = {"kernel_size": size, "padding": padding, "use_bias": first, "data_format": "channels_last"}
    depthwise = layer.groups == x.stored[-1] > 1 and strides[0] == strides[1] and 1 in (strides[0], *dilation)
    if depthwise:
        made = writer.make(layer, layers.DepthwiseConv2D, weights, key, strides=strides, dilation_rate=dilation,
                           depth_multiplier=layer.filters // layer.groups, **config)  # fmt: skip
    else:
        made = writer.make(layer, layers.Conv2D, weights, key, filters=layer.filters, groups=layer.groups,
                           strides=strides, dilation_rate=dilation, **config)  # fmt: skip
    return made(maps)


def _activated(writer: Writer, layer, maps: Maps) -> Maps:
    if layer.activation in (None, keras.activations.linear):
        return maps
    activation = layers.Activation(layer.activation, name=writer.name(f"{layer.name}_activation"), dtype="float32")
    return replace(maps, x=activation(maps.x))


@_clips
def _conv_transpose(writer: Writer, layer, x: Maps):
    """All taps in one 2-D convolution, side by side; then each is put where it belongs in time, and added."""
    if layer.dilation_rate != (1, 1, 1) or layer.output_padding is not None or layer.padding not in ("same", "valid"):
        return writer.as_it_is(layer, (x,), {})
    x, extent, stride = writer.settled(x), layer.kernel_size[0], layer.strides[0]
    same = layer.padding == "same"
    length = x.frames * stride if same else (x.frames - 1) * stride + max(extent, stride)
    before = max(0, extent - stride) // 2 if same else 0

    def weights() -> list[np.ndarray]:
        kernel = np.asarray(layer.kernel)
        t, h, w, m, n = kernel.shape
        return [kernel.transpose(1, 2, 0, 3, 4).reshape(h, w, t * m, n)]

    made = writer.make(layer, layers.Conv2DTranspose, weights, filters=layer.filters * extent, padding=layer.padding,
                       kernel_size=layer.kernel_size[1:], strides=layer.strides[1:], use_bias=False,
                       data_format="channels_last")  # fmt: skip
    maps = spread_frames(Maps(made(x.x), x.frames), stride)
    by_time, total = maps.by_time(), None
    for tap in range(extent):
        part = by_time[..., tap * layer.filters : (tap + 1) * layer.filters]
        start = tap - before
        part = ops.pad(part, ((0, 0), (max(0, start), max(0, length - start - maps.frames)), (0, 0), (0, 0)))
        part = part[:, max(0, -start) : max(0, -start) + length]
        total = part if total is None else layers.Add()([total, part])
    if layer.use_bias:
        bias = np.asarray(layer.bias, np.float64).tolist()
        total = layers.Rescaling(1.0, bias, name=writer.name(f"{layer.name}_bias"))(total)
    maps = Maps(ops.reshape(total, (-1, *made.layer.output.shape[1:3], layer.filters)), length)
    return _activated(writer, layer, maps)


def _pool_windows(writer: Writer, layer, x: Maps):
    x = writer.settled(x)
    frames, inside = windows(x, layer.pool_size[0], layer.strides[0], layer.padding == "same")
    return x, frames, inside


def _spatial_pool(layer, pool, maps: Maps) -> Maps:
    size, strides = layer.pool_size[1:], layer.strides[1:]
    if size == strides == (1, 1):
        return maps
    return replace(maps, x=pool(maps.x, size, strides, layer.padding, "channels_last"))


@_clips
def _max_pool(writer: Writer, layer, x: Maps):
    x, frames, _ = _pool_windows(writer, layer, x)
    if len(frames) > 1 or layer.strides[0] > 1:
        most = frames[0]
        for each in frames[1:]:
            most = ops.maximum(most, each)
        x = x.with_frames(most, int(most.shape[1]))
    return _spatial_pool(layer, ops.max_pool, x)


@_clips
def _average_pool(writer: Writer, layer, x: Maps):
    x, frames, inside = _pool_windows(writer, layer, x)
    if len(frames) > 1 or layer.strides[0] > 1:
        # Frames outside the clip do not count, neither in the sum nor in the number that it is divided by.
        shares = (inside / inside.sum(0)).astype(np.float32)[:, None, :, None, None]
        total = None
        for each, share in zip(frames, shares, strict=True):
            part = each * float(share.flat[0]) if (share == share.flat[0]).all() else each * share
            total = part if total is None else total + part
        x = x.with_frames(total, int(total.shape[1]))
    return _spatial_pool(layer, ops.average_pool, x)


def _global_pool(reduce: Callable) -> Callable:
    @_clips
    def rule(writer: Writer, layer, x: Maps):
        pooled = reduce(writer.settled(x).rows(), (1, 2), keepdims=layer.keepdims)
        return Maps(pooled, 1) if layer.keepdims else pooled

    return rule


@_clips
def _zero_padding(writer: Writer, layer, x: Maps):
    return replace(x, pads=tuple((a + c, b + d) for (a, b), (c, d) in zip(x.pads, layer.padding, strict=True)))


@_clips
def _cropping(writer: Writer, layer, x: Maps):
    x = writer.settled(x)
    (first, last), (top, bottom), (left, right) = layer.cropping
    frames, height, width, _ = x.stored
    if top or bottom or left or right:
        x = replace(x, x=x.x[:, top : height - bottom, left : width - right])
    if first or last:
        x = x.with_frames(x.by_time()[:, first : frames - last], frames - first - last)
    return x


@_clips
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
    if not _last(layer):
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
    layers.Conv3D: _conv,
    layers.Conv3DTranspose: _conv_transpose,
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
    **dict.fromkeys((layers.Dropout, layers.SpatialDropout3D, layers.GaussianDropout, layers.GaussianNoise,
                     layers.AlphaDropout, layers.ActivityRegularization, layers.Identity), _identity),  # fmt: skip
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
    **dict.fromkeys(("Relu", "Relu6", "Sigmoid", "HardSigmoid", "HardSilu", "Silu", "Tanh", "Softplus", "Elu", "Gelu",
                     "Exp", "Sqrt", "Square", "Absolute", "Negative"), _operation),  # fmt: skip
}
