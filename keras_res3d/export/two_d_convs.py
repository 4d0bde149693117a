"""3-D convolutions in the 2-D form: all live taps side by side in one 2-D convolution, batch norm folded in."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
from keras import layers, ops

from keras_res3d.export.maps import NO_PADS, Maps, read_frames, spread_frames
from keras_res3d.export.two_d_writer import Writer, channels_last
from keras_res3d.nets.batch_norm import FusedBatchNormalization
from keras_res3d.nets.padding import reads, same_pads


def _weights_of(layer) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias in float64."""
    kernel = np.asarray(layer.kernel, np.float64)
    return kernel, np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros(layer.filters)


def stock_norm(layer) -> layers.BatchNormalization | None:
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


@channels_last
def conv(writer: Writer, layer, x: Maps, norm=None) -> Maps:
    extents = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    pads = x.pads
    if layer.padding == "same":
        more = [same_pads(*each) for each in zip(x.shape[:3], extents, layer.strides, strict=True)]
        pads = tuple((a + c, b + d) for (a, b), (c, d) in zip(pads, more, strict=True))
    elif layer.padding != "valid":
        return writer.as_it_is(layer, (x,), {})
    if layer.groups > 1:
        x = replace(writer.settled(replace(x, pads=NO_PADS)), pads=pads)
    positions = (x.frames + sum(pads[0]) - extents[0]) // layer.strides[0] + 1
    offsets = [tap * layer.dilation_rate[0] - pads[0][0] for tap in range(layer.kernel_size[0])]
    counts = reads(x.frames, offsets, layer.strides[0], positions)
    live = [tap for tap, count in enumerate(counts) if count] or [0]
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
    same = tuple(same_pads(*each) for each in zip(maps.shape[1:3], extents, strides, strict=True))
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


@channels_last
def conv_transpose(writer: Writer, layer, x: Maps) -> Maps:
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
