"""Exact counts of parameters and multiply-accumulates, and the width that meets a budget. No TensorFlow."""

from __future__ import annotations

import math
import numbers
import operator
import warnings
from collections.abc import Callable
from dataclasses import replace

from keras_res3d.nets.architecture import LARGEST, Architecture, Layer, for_input, layer_shapes, walk
from keras_res3d.nets.model_counts import ModelCounts, is_model, model_counts
from keras_res3d.nets.taps import live_taps
from keras_res3d.nets.zoo import get_architecture

# Above this width a count exceeds 10^14 parameters for every net: a larger budget is a mistake.
MAX_WIDTH = LARGEST["width"]
# What a budget may count, and what it is called.
COUNTED = {"all": "parameters", "live": "live parameters", "macs": "live multiply-accumulates"}


def _layer_params(layer: Layer, shape_in: tuple, live: bool) -> int:
    if layer.op == "norm":
        return 2 * layer.channels_out
    if layer.op == "dense":
        return (shape_in[0] + layer.bias) * layer.channels_out
    if layer.op != "conv":
        return 0
    taps = layer.kernel
    if live:
        axes = zip(shape_in, layer.kernel, layer.strides, strict=False)
        taps = [sum(1 for count in live_taps(*axis) if count) for axis in axes]
    return (math.prod(taps) * layer.channels_in + layer.bias) * layer.channels_out


def _layer_macs(layer: Layer, shape_in: tuple, shape_out: tuple, live: bool) -> int:
    if layer.op == "dense":
        return shape_in[0] * layer.channels_out
    if layer.op != "conv":
        return 0
    time = shape_out[0] * layer.kernel[0]
    if live:
        time = sum(live_taps(shape_in[0], layer.kernel[0], layer.strides[0]))
    return time * math.prod(shape_out[1:3]) * math.prod(layer.kernel[1:]) * layer.channels_in * layer.channels_out


def layer_counts(net, classes=None, input_shape=None, live=False) -> list[tuple[Layer, tuple, int, int]]:
    """Each layer of the walk with its output shape, its parameters and its multiply-accumulates.

    Arguments as of `count_params`.
    """
    architecture, shape = for_input(get_architecture(net), input_shape)
    if None in shape:
        raise ValueError(f"input_shape is {shape}; counting needs every size")
    layers = walk(architecture, classes)
    shapes = layer_shapes(layers, shape)
    rows = []
    for layer in layers:
        shape_in, shape_out = shapes[layer.inputs[0]], shapes[layer.name]
        macs = _layer_macs(layer, shape_in, shape_out, live)
        rows.append((layer, shape_out, _layer_params(layer, shape_in, live), macs))
    return rows


def count_params(net, classes: int | None = None, input_shape=None, live: bool = False) -> int:
    """Trainable parameters: kernels, biases, batch-norm gamma and beta; equal to Keras' own trainable count.

    Args:
        net: a name of the zoo or an `Architecture`; or any functional or sequential Keras model, whose counts by layer
            `model_counts` gives.
        classes: outputs of the classifier; None means the row's own. A Keras model has its own.
        input_shape: `(frames, height, width, channels)`; None means the row's own. Its channels matter for the first
            convolution, its sizes for `live` and for a flattening head.
        live: count only kernel taps that at least one output position applies to real input. The others meet zero
            padding alone, so that they never change an output and never get a gradient.

    Raises:
        ValueError: an unknown net, `classes` below 1, or a clip that is too small.
    """
    if is_model(net):
        return _counts_of(net, classes, input_shape).params(live)
    return sum(params for _, _, params, _ in layer_counts(net, classes, input_shape, live))


def count_macs(net, input_shape=None, classes: int | None = None, live: bool = False) -> int:
    """Multiply-accumulates of the convolutions and the classifier for one clip.

    Arguments as of `count_params`; with `live`, products with temporal zero padding are left out. Of a Keras model,
    layers that multiply in a way that is not counted are named in a warning.
    """
    if is_model(net):
        counts = _counts_of(net, classes, input_shape)
        if counts.skipped:
            some = ", ".join(counts.skipped[:10]) + (" and others" if len(counts.skipped) > 10 else "")
            warnings.warn(f"{net.name}: multiply-accumulates of {some} are not counted", stacklevel=2)
        return counts.macs(live)
    return sum(macs for *_, macs in layer_counts(net, classes, input_shape, live))


def _counts_of(model, classes, input_shape) -> ModelCounts:
    if classes is not None:
        raise ValueError(f"classes is {classes} with a Keras model, whose classifier is built; leave classes out")
    return model_counts(model, input_shape)


def _smallest_width(reaches: Callable[[int], bool]) -> int:
    """The smallest width from 1 for which the monotone predicate holds."""
    high = 1
    while not reaches(high):
        high *= 2
        if high > MAX_WIDTH:
            raise ValueError(f"target_params is too large: a width of {MAX_WIDTH} is still below it")
    low = high // 2 + 1 if high > 1 else 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle + 1, high)
    return low


def solve_width(net, target_params: int, rule: str = "nearest", count: str = "all", classes: int | None = 101,
                input_shape=None) -> int:  # fmt: skip
    """The width k at which `net` has `target_params` parameters, as exactly as whole widths allow.

    Args:
        net: a name of the zoo or an `Architecture`; its own width is ignored.
        target_params: the budget, a number of parameters (not millions).
        rule: "nearest" gives the width whose count is nearest (the smaller one of two that are equally near). "at_most"
            gives the largest width that stays within the budget.
        count: what the budget counts: "all" parameters, or "live" ones (see `count_params`); or "macs", live
            multiply-accumulates of one clip (see `count_macs`), of which `target_params` is then a number.
        classes: outputs of the classifier, 101 as in the paper's search on UCF101.
        input_shape: `(frames, height, width, channels)` to count at; None means the net's own.

    Raises:
        ValueError: unknown rule or count, or a budget that no width meets.
        TypeError: `target_params` is no number.
    """
    if rule not in ("nearest", "at_most") or count not in COUNTED:
        raise ValueError(
            f"rule is {rule!r}, count is {count!r}; expected 'nearest' or 'at_most', and one of {', '.join(COUNTED)}"
        )
    if not isinstance(target_params, numbers.Real):
        raise TypeError(f"target_params is {target_params!r}; expected a number of parameters")
    architecture: Architecture = get_architecture(net)

    def params(width):
        net = replace(architecture, width=width)
        if count == "macs":
            return count_macs(net, input_shape, classes, live=True)
        return count_params(net, classes, input_shape, live=count == "live")

    if not target_params >= (1 if rule == "nearest" else params(1)):
        what = COUNTED[count]
        raise ValueError(
            f"target_params is {target_params}; {architecture.name} has {params(1):,} {what} at width 1 already"
        )
    above = _smallest_width(lambda width: params(width) > target_params)
    below = above - 1
    if rule == "at_most" or below < 1:
        return max(below, 1)
    return below if target_params - params(below) <= params(above) - target_params else above


def with_budget(
    net,
    width: int | None = None,
    target_params: int | None = None,
    classes: int | None = None,
    input_shape: tuple | None = None,
) -> Architecture:
    """`net` at its own width, at `width`, or at the width nearest to `target_params`.

    Args:
        net: a name of the zoo or an `Architecture`.
        width: k; at most one of `width` and `target_params` is given.
        target_params: a budget of parameters of the whole net, classifier included.
        classes: outputs of the classifier; None means the net's own.
        input_shape: `(frames, height, width, channels)` to count at; sizes of None are the net's own.

    Raises:
        ValueError: both are given, or as of `solve_width`.
        TypeError: `width` is no whole number.
    """
    architecture = get_architecture(net)
    if width is not None and target_params is not None:
        raise ValueError(f"width is {width} and target_params is {target_params}; expected one of them at most")
    if target_params is not None:
        if input_shape is not None:
            input_shape = [size or own for size, own in zip(input_shape, architecture.input_shape, strict=True)]
        width = solve_width(architecture, target_params, classes=classes, input_shape=input_shape)
    if width is None:
        return architecture
    try:
        return replace(architecture, width=operator.index(width))
    except TypeError:
        raise TypeError(f"width is {width!r}; expected a whole number, as solve_width gives") from None
