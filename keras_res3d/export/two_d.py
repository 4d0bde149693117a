"""The exact 2-D form of any 3-D Keras model: a Keras model whose convolutions and pools are all two-dimensional.

A t x d x d convolution over a clip is one d x d convolution over its frames, where the input channels of a frame are
those of the t frames that its taps read, side by side. Batch norm that follows a convolution is folded into its kernel,
and taps that meet nothing but zero padding at this number of frames are left out. Runtimes that are only fast, or only
able, in two dimensions can then run and quantise the net.

What becomes of each kind of layer is in `two_d_layers`; this module follows the model's graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import keras
import numpy as np

from keras_res3d.export.maps import Maps, as_maps
from keras_res3d.export.two_d_convs import folds_into
from keras_res3d.export.two_d_layers import RULES, rule_for
from keras_res3d.export.two_d_writer import Writer, unique_name
from keras_res3d.nets.model_counts import graph_of

Shape = tuple[int, ...]
# Operations of TensorFlow that a model in the 2-D form must not have.
THREE_D_OPERATIONS = frozenset({"AvgPool3D", "Conv3D", "Conv3DBackpropInputV2", "MaxPool3D", "DepthwiseConv3dNative"})


class NoTwoDFormError(ValueError):
    """The model cannot be written in 2-D; the message names every layer that is in the way."""


def to_2d(
    model: keras.Model,
    input_shape: Shape | Sequence[Shape] | None = None,
    *,
    pixel_scale=None,
    reverse_channels: bool = False,
    stand_ins: Mapping[type, Callable] | None = None,
) -> keras.Model:
    """A Keras model that computes the same from the same clips, without a 3-D convolution or pool.

    The result is a functional model of stock Keras layers: it is saved, exported and quantised as any other, and needs
    no line of this package. It is for inference, and for clips of one size. Weights are copies.

    Args:
        model: a functional or sequential Keras model, whatever its layers are called and wherever they come from;
            models inside it are followed. A layer that is not known is taken over as it is, which is right wherever it
            has no 3-D operation inside.
        input_shape: `(frames, height, width, channels)` of a clip, without the batch, or a list of such shapes for a
            model with several inputs; None takes the model's own. Every size must be known.
        pixel_scale: a factor, or one for each channel, that the input is multiplied by before anything else. It is
            folded into the first kernel.
        reverse_channels: whether the input's channels come in the reverse of the order that the model takes (RGB for a
            BGR net). It is folded into the first kernel too.
        stand_ins: for classes of layers with 3-D operations inside that are not Keras' own: a function of such a layer
            that gives a stock Keras layer, built and with weights, which computes the same. It is run against the layer
            before it is believed. `DepthwiseConv3D` as classification_models_3D has it is known.

    Returns:
        The model, called `NAME_2d`. Convolutions keep their names.

    Raises:
        NoTwoDFormError: the model is neither functional nor sequential, or has a `call` of its own, or layers with 3-D
            operations that this module does not know; all of them are named.
        ValueError: the size of a clip is unknown or not the model's, or a stand-in computes something else.
    """
    graph = graph_of(model)
    if graph is None:
        raise NoTwoDFormError(f"{model.name} is neither a functional nor a sequential model, or has a call of its own, "
                              "so its layers and how they hang together are not known")  # fmt: skip
    inputs = _inputs(model, graph, input_shape)
    writer = Writer(stand_ins)
    values = [as_maps(x) if len(x.shape) == 5 else x for x in inputs]
    values = [_scaled(value, pixel_scale, reverse_channels) for value in values]
    outputs = keras.tree.map_structure(writer.plain, _run(graph, values, writer))
    _name_apart(inputs, outputs)
    written = keras.Model(keras.tree.pack_sequence_as(graph._inputs_struct, inputs), outputs, name=f"{model.name}_2d")
    _check(written, writer)
    return written


def has_two_d_form(model: keras.Model, input_shape: Shape | None = None) -> bool:
    """Whether `to_2d` can write a model."""
    try:
        to_2d(model, input_shape)
    except ValueError:
        return False
    return True


def _inputs(model, graph, input_shape) -> list:
    """Symbolic inputs of the sizes asked for."""
    own = [tuple(x.shape[1:]) for x in graph.inputs]
    if input_shape is None:
        shapes = own
    else:
        one = not input_shape or not isinstance(input_shape[0], (tuple, list))
        shapes = [tuple(shape) for shape in ([input_shape] if one else input_shape)]
    for shape, mine in zip(shapes, own, strict=False):
        fits = len(shape) == len(mine) and all(a in (None, b) for a, b in zip(mine, shape, strict=True))
        if None in shape or not fits:
            raise ValueError(f"input_shape is {shape}, the model's is {mine}; the 2-D form is for one known clip size")
    if len(shapes) != len(own):
        raise ValueError(f"input_shape has {len(shapes)} shapes, and {model.name} has {len(own)} inputs: {own}")
    dtypes = [keras.backend.standardize_dtype(x.dtype) for x in graph.inputs]
    names = [x.name for x in graph.inputs]
    return [keras.Input(shape, dtype="float32" if dtype in ("bfloat16", "float16") else dtype, name=name)
            for shape, dtype, name in zip(shapes, dtypes, names, strict=True)]  # fmt: skip


def _scaled(value, scale, reverse: bool):
    """The input with what is to be done to its channels noted."""
    if not isinstance(value, Maps) or (scale is None and not reverse):
        return value
    channels = value.stored[-1]
    return replace(
        value,
        scale=None if scale is None else np.broadcast_to(np.asarray(scale, np.float64), (channels,)),
        order=tuple(range(channels))[::-1] if reverse else None,
    )


def _run(graph, values: list, writer: Writer):
    """The outputs of a functional model in the 2-D form, structured as its own."""
    known = {id(tensor): value for tensor, value in zip(graph.inputs, values, strict=True)}
    nodes = [node for depth in sorted(graph._nodes_by_depth, reverse=True) for node in graph._nodes_by_depth[depth]
             if node.operation and not node.is_input]  # fmt: skip
    norms = _foldable(graph, nodes, writer)
    folded = {id(norm) for norm in norms.values()}
    for node in nodes:
        if any(id(tensor) not in known for tensor in node.input_tensors):
            continue
        args, kwargs = node.arguments.fill_in(known)
        if id(node) in folded:
            results = args[0]
        else:
            norm = norms.get(id(node))
            norm = None if norm is None else norm.operation
            results = _apply(writer.stand_in(node.operation), writer, args, kwargs, norm)
        for tensor, value in zip(node.outputs, keras.tree.flatten(results), strict=True):
            known[id(tensor)] = value
    return keras.tree.pack_sequence_as(graph._outputs_struct, [known[id(tensor)] for tensor in graph.outputs])


def _apply(operation, writer: Writer, args, kwargs, norm):
    """One node's results."""
    inner = graph_of(operation) if isinstance(operation, keras.Model) else None
    kwargs = {name: value for name, value in kwargs.items() if name not in ("training", "mask")}
    if inner is not None:
        return _run(inner, keras.tree.flatten((args, kwargs)), writer)
    rule = rule_for(operation)
    maps = any(isinstance(value, Maps) for value in keras.tree.flatten((args, kwargs)))
    if rule is None or not maps:
        return writer.as_it_is(operation, args, kwargs)
    if norm is not None:
        return rule(writer, operation, *args, norm=norm, **kwargs)
    return rule(writer, operation, *args, **kwargs)


def _foldable(graph, nodes: list, writer: Writer) -> dict:
    """For the nodes of convolutions whose output goes to one batch norm and nowhere else: the node of that norm."""
    readers, calls = {}, {}
    for node in nodes:
        calls[id(node.operation)] = calls.get(id(node.operation), 0) + 1
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor), []).append(node)
    outputs = {id(tensor) for tensor in graph.outputs}
    found = {}
    for node in nodes:
        after = readers.get(id(node.outputs[0]), []) if len(node.outputs) == 1 else []
        if len(after) != 1 or id(node.outputs[0]) in outputs:
            continue
        if not folds_into(writer.stand_in(node.operation), after[0].operation):
            continue
        if calls[id(node.operation)] == calls[id(after[0].operation)] == 1:
            found[id(node)] = after[0]
    return found


def _name_apart(inputs, outputs) -> None:
    """Renames operations that happen to be called as a layer of the model: Keras numbers both in the same way."""
    found, waiting = {}, [tensor._keras_history.operation for tensor in keras.tree.flatten(outputs)]
    while waiting:
        operation = waiting.pop()
        if id(operation) not in found:
            found[id(operation)] = operation
            waiting += [parent.operation for node in operation._inbound_nodes for parent in node.parent_nodes]
    taken = {operation.name for operation in found.values() if isinstance(operation, keras.layers.Layer)}
    for operation in found.values():
        if not isinstance(operation, keras.layers.Layer):
            operation.name = unique_name(operation.name, taken)


def _check(written: keras.Model, writer: Writer) -> None:
    """Raises an error that names the layers taken over as they are which hold 3-D operations."""
    faults = [name for name, run, specs in writer.taken_over if _operations(run, specs) & THREE_D_OPERATIONS]
    if faults:
        known = ", ".join(sorted({kind.__name__ for kind in RULES if isinstance(kind, type)}))
        raise NoTwoDFormError(f"no 2-D form is known of {', '.join(faults)}; known are models of {known} and of layers "
                              "without 3-D operations")  # fmt: skip


def _operations(run, specs) -> set[str]:
    """The kinds of operations that a layer runs, those of the functions inside it too."""
    import tensorflow as tf

    graph = tf.function(run).get_concrete_function(*specs).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return {node.op for node in nodes}
