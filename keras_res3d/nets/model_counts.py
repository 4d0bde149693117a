"""Counts of any functional or sequential Keras model, layer by layer, by the rules of the walk's own counts.

Multiply-accumulates are those of convolutions and of dense layers. A layer that multiplies in another way is named
among what was skipped; its parameters are counted nevertheless.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keras_res3d.nets.padding import reads, same_pads

# Layers without multiply-accumulates as they are counted here: normalisation, activations, pooling, copying.
_FREE = frozenset({
    "Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average", "BatchNormalization", "CenterCrop",
    "Concatenate", "Cropping1D", "Cropping2D", "Cropping3D", "Dropout", "ELU", "Embedding", "Flatten",
    "GaussianDropout", "GaussianNoise", "GroupNormalization", "Identity", "InputLayer", "LayerNormalization",
    "LeakyReLU", "Maximum", "Minimum", "Multiply", "Normalization", "PReLU", "Permute", "RMSNormalization", "ReLU",
    "RepeatVector", "Rescaling", "Reshape", "Softmax", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
    "Subtract", "UnitNormalization", "UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D",
    "ZeroPadding3D", *(f"{kind}Pooling{axes}D" for kind in ("Max", "Average", "GlobalMax", "GlobalAverage")
                       for axes in (1, 2, 3)),
})  # fmt: skip
# Operations of `keras.ops` that multiply and add; the others work on single values, or move them.
_MULTIPLYING = frozenset({"Matmul", "Einsum", "Dot", "Tensordot", "Inner", "Outer", "Vdot", "Conv", "ConvTranspose",
                          "DepthwiseConv", "SeparableConv", "DotProductAttention"})  # fmt: skip


@dataclass(frozen=True)
class LayerCount:
    """One call of a layer.

    Attributes:
        name, kind: of the layer, and the name of its class.
        output_shape: without the batch.
        params, live_params: trainable ones, frozen or not; 0 from the second call of a shared layer on.
        macs, live_macs: of one example.
        skipped: whether its multiply-accumulates, if it has any, are not counted.
    """

    name: str
    kind: str
    output_shape: tuple
    params: int
    live_params: int
    macs: int
    live_macs: int
    skipped: bool


@dataclass(frozen=True)
class ModelCounts:
    """The counts of a model, in the order of its graph."""

    layers: tuple[LayerCount, ...]

    @property
    def skipped(self) -> list[str]:
        """Names of the layers whose multiply-accumulates are not counted."""
        return list(dict.fromkeys(each.name for each in self.layers if each.skipped))

    def params(self, live: bool = False) -> int:
        """Trainable parameters of all layers."""
        return sum(each.live_params if live else each.params for each in self.layers)

    def macs(self, live: bool = False) -> int:
        """Multiply-accumulates of all layers."""
        return sum(each.live_macs if live else each.macs for each in self.layers)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """A row for each layer that has parameters or multiply-accumulates, or was skipped, and one for the sum."""
        header = ["layer", "kind", "output", "params", "live params", "MMACs", "live MMACs"]
        rows = [
            [each.name, each.kind, "x".join(map(str, each.output_shape)), f"{each.params:,}", f"{each.live_params:,}",
             *(["skipped"] * 2 if each.skipped else [f"{each.macs / 1e6:.3f}", f"{each.live_macs / 1e6:.3f}"])]
            for each in self.layers if each.params or each.macs or each.skipped
        ]  # fmt: skip
        total = ["total", "", "", f"{self.params():,}", f"{self.params(True):,}", f"{self.macs() / 1e6:.3f}",
                 f"{self.macs(True) / 1e6:.3f}"]  # fmt: skip
        return header, [*rows, total]


def is_model(value) -> bool:
    """Whether a value is a Keras model; nothing is imported for it."""
    return hasattr(value, "layers") and hasattr(value, "weights")


def model_counts(model, input_shape: Sequence[int] | None = None) -> ModelCounts:
    """Counts any functional or sequential Keras model, models nested in it included.

    Live counts leave out kernel taps and, over time, products that meet nothing but zero padding, that of zero padding
    layers before a convolution too. The first axis of 1-D and 3-D convolutions counts as time.

    Args:
        model: the Keras model.
        input_shape: of one example, without the batch; None means the model's own, which must be known then.

    Returns:
        The counts by layer; `skipped` names what multiplies in a way that is not counted.

    Raises:
        ValueError: the model is neither functional nor sequential, or has a `call` of its own, or a size of its input
            is not known.
    """
    graph = graph_of(model)
    if graph is None:
        raise ValueError(f"{model.name} is neither functional nor sequential, or has a call of its own, so that its "
                         "layers cannot be followed")  # fmt: skip
    shapes = [tuple(x.shape[1:]) for x in graph.inputs]
    if input_shape is not None:
        if len(shapes) != 1:
            raise ValueError(f"{model.name} has {len(shapes)} inputs; input_shape is for models of one")
        shapes = [tuple(input_shape)]
    if any(None in shape for shape in shapes):
        raise ValueError(f"the input of {model.name} has shape {shapes[0]}; counting needs every size, as input_shape")
    import keras  # the model has it loaded; counts of a net by its name do without

    counter = _Counter()
    inputs = [keras.KerasTensor((None, *shape), dtype=x.dtype) for shape, x in zip(shapes, graph.inputs, strict=True)]
    counter.run(graph, inputs)
    return ModelCounts(tuple(counter.found))


def graph_of(model) -> object | None:
    """The functional graph that a Keras model is or holds; None where it has none, or has a `call` of its own."""
    import keras  # the model has it loaded

    graph = model._functional if isinstance(model, keras.Sequential) else model
    keras_own = type(model).call.__module__.partition(".")[0] == "keras"
    return graph if keras_own and hasattr(graph, "_run_through_graph") and graph.inputs else None


class _Counter:
    """Follows a graph on shapes alone, and counts every call."""

    def __init__(self):
        self.found: list[LayerCount] = []
        self._seen: set[int] = set()
        # Zeros before and after each axis of what a padding layer gave; the tensors are kept, so that ids stay theirs.
        self._pads: dict[int, tuple] = {}
        self._kept: list = []

    def run(self, graph, inputs):
        return graph._run_through_graph(inputs, operation_fn=self._called)

    def _called(self, operation) -> Callable:
        def call(*args, **kwargs):
            inner = graph_of(operation) if hasattr(operation, "layers") else None
            if inner is not None:
                return self.run(inner, args[0])
            output = operation.compute_output_spec(*args, **kwargs)
            self._count(operation, args, output)
            return output

        return call

    def _count(self, operation, args: tuple, output) -> None:
        source, result = _first(args), _first(output)
        pads = self._pads.get(id(source))
        kind = type(operation).__name__
        if kind.startswith("ZeroPadding"):
            self._pads[id(result)] = _sides(operation)
            self._kept.append(result)
        shapes = (tuple(source.shape[1:]), tuple(result.shape[1:])) if source is not None else ((), ())
        rule = _rule(operation)
        macs, live_macs, dead = rule(operation, *shapes, pads) if rule else (0, 0, 0)
        params = 0 if id(operation) in self._seen else _parameters(operation)
        self._seen.add(id(operation))
        free = kind in _FREE if hasattr(operation, "weights") else kind not in _MULTIPLYING
        self.found.append(
            LayerCount(operation.name, kind, shapes[1], params, params - dead if params else 0, macs, live_macs,
                       skipped=rule is None and not free)
        )  # fmt: skip


def _first(value):
    """The first tensor of a structure; None where there is none."""
    if hasattr(value, "shape"):
        return value
    values = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return next((found for part in values if (found := _first(part)) is not None), None)


def _parameters(layer) -> int:
    """Parameters that training may change, also where the layer is frozen now."""
    parts = layer._flatten_layers() if hasattr(layer, "_flatten_layers") else ()
    found = {id(variable): variable for part in parts for variable in part._trainable_variables}
    return sum(math.prod(variable.shape) for variable in found.values())


def _sides(layer) -> tuple:
    """(before, after) along each axis of a zero padding layer."""
    padding = layer.padding
    if isinstance(padding, int):
        padding = (padding, padding)
    return tuple(padding) if isinstance(padding[0], (tuple, list)) else (tuple(padding),)


def _axes(layer, shape: tuple) -> tuple:
    """The sizes of a map's axes, without its channels."""
    return shape[1:] if layer.data_format == "channels_first" else shape[:-1]


def _taps(layer, source: tuple, result: tuple, pads) -> list[list[int]]:
    """For each axis of a convolution and each tap of its kernel, at how many positions it reads what is not zero."""
    sizes, outputs = _axes(layer, source), _axes(layer, result)
    found = []
    for axis, (size, count) in enumerate(zip(sizes, outputs, strict=True)):
        kernel, stride, step = layer.kernel_size[axis], layer.strides[axis], layer.dilation_rate[axis]
        extent = (kernel - 1) * step + 1
        before = {"same": same_pads(size, extent, stride)[0], "causal": extent - 1}.get(layer.padding, 0)
        zeros = pads[axis] if pads and len(pads) == len(sizes) else (0, 0)
        offsets = [tap * step - before - zeros[0] for tap in range(kernel)]
        found.append(reads(size - sum(zeros), offsets, stride, count))
    return found


def _products(layer, kernel, taps: list[list[int]], positions: tuple) -> tuple[int, int, int]:
    """Multiply-accumulates, live ones, and dead parameters of a kernel that is laid at every one of some positions."""
    channels, space = math.prod(kernel.shape[-2:]), math.prod(layer.kernel_size)
    macs = math.prod(positions) * space * channels
    live = macs
    if len(positions) != 2:  # the first axis is time
        live = sum(taps[0]) * math.prod(positions[1:]) * math.prod(layer.kernel_size[1:]) * channels
    alive = math.prod(sum(1 for count in axis if count) for axis in taps)
    return macs, live, (space - alive) * channels


def _conv(layer, source: tuple, result: tuple, pads) -> tuple[int, int, int]:
    return _products(layer, layer.kernel, _taps(layer, source, result, pads), _axes(layer, result))


def _separable(layer, source: tuple, result: tuple, pads) -> tuple[int, int, int]:
    positions = _axes(layer, result)
    macs, live, dead = _products(layer, layer.depthwise_kernel, _taps(layer, source, result, pads), positions)
    pointwise = math.prod(positions) * math.prod(layer.pointwise_kernel.shape)
    return macs + pointwise, live + pointwise, dead


def _transposed(layer, source: tuple, result: tuple, pads) -> tuple[int, int, int]:
    """The gradient of a convolution from the result to the source: a tap is dead where it writes beyond the result."""
    return _products(layer, layer.kernel, _taps(layer, result, source, None), _axes(layer, source))


def _dense(layer, source: tuple, result: tuple, pads) -> tuple[int, int, int]:
    macs = math.prod(result[:-1]) * math.prod(layer.kernel.shape)
    return macs, macs, 0


def _distributed(layer, source: tuple, result: tuple, pads) -> tuple[int, int, int]:
    """A layer that is called on every step."""
    rule = _rule(layer.layer)
    macs, live, dead = rule(layer.layer, source[1:], result[1:], None) if rule else (0, 0, 0)
    return source[0] * macs, source[0] * live, dead


def _rule(layer) -> Callable | None:
    """How a layer's multiply-accumulates are counted; None where it has none, or they are not counted."""
    kind = type(layer).__name__
    if kind == "TimeDistributed":
        inside = type(layer.layer).__name__
        return _distributed if _rule(layer.layer) or inside in _FREE else None
    return _RULES.get(kind)


_RULES: dict[str, Callable] = {
    **{f"Conv{axes}D": _conv for axes in (1, 2, 3)},
    **{f"Conv{axes}DTranspose": _transposed for axes in (1, 2, 3)},
    **{f"DepthwiseConv{axes}D": _conv for axes in (1, 2)},
    **{f"SeparableConv{axes}D": _separable for axes in (1, 2)},
    "Dense": _dense,
}
