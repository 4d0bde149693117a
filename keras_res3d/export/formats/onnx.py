"""ONNX: an .onnx file, written by tf2onnx and run by ONNX Runtime; int8 comes from NNCF."""

from __future__ import annotations

import hashlib
import math
import pathlib
import re

import numpy as np

from keras_res3d.export.formats.base import (
    CARD_NAME,
    DIGEST_NAME,
    UNKNOWN_DIGEST,
    Format,
    Request,
    Runner,
    check_digest,
    missing_extra,
    threads_or_all,
)
from keras_res3d.export.formats.nncf import quantized
from keras_res3d.export.report import ExportError

# Values of a weight that is kept from the converter.
LARGE = 4096


def write(graph, path, request: Request) -> None:
    """The .onnx file."""
    try:
        import onnx
        import tf2onnx
        from keras.src.export.tf2onnx_lib import patch_tf2onnx
    except ImportError as error:
        raise missing_extra("onnx", error) from error
    # tf2onnx's last release does not know NumPy 2; Keras carries the repair.
    patch_tf2onnx()
    function, weights = _with_open_weights(graph)
    model, _ = tf2onnx.convert.from_function(function, function.input_signature, opset=17)
    _put_weights(model, weights)
    if request.quantize == "int8":
        model = quantized(model, request.calibration, "onnx", model.graph.input[0].name)
    model.metadata_props.add(key=CARD_NAME, value=request.card.to_json())
    model.metadata_props.add(key=DIGEST_NAME, value=UNKNOWN_DIGEST)
    onnx.save(model, str(path))
    _put_digest(pathlib.Path(path))


# Where the digest stands in the file, whose own bytes it is of with `UNKNOWN_DIGEST` in its place: an entry of the
# metadata, which Protocol Buffers write as the name, a tag and the length.
_PLACE = re.compile(DIGEST_NAME.encode() + rb"\x12\x40([0-9a-f]{64})")


def _put_digest(path: pathlib.Path) -> None:
    """Writes the digest into the file, in the place that waits for it."""
    data = path.read_bytes()
    found = list(_PLACE.finditer(data))
    if len(found) != 1:
        raise ExportError(f"ONNX wrote the place of the digest {len(found)} times; expected once")
    with path.open("r+b") as file:
        file.seek(found[0].start(1))
        file.write(hashlib.sha256(data).hexdigest().encode())


def _check_bytes(path) -> None:
    """Raises ValueError where the bytes of the file are not those that were written."""
    data = pathlib.Path(path).read_bytes()
    if found := _PLACE.search(data):  # earlier releases wrote no digest
        whole, view = hashlib.sha256(), memoryview(data)
        for part in (view[: found.start(1)], UNKNOWN_DIGEST.encode(), view[found.end(1) :]):
            whole.update(part)
        check_digest(found[1].decode(), whole.hexdigest())


def _with_open_weights(graph) -> tuple:
    """The graph's function with its large weights as further inputs, and these by name.

    The converter copies what it has many times: with the weights inside it, it takes more than 6 GB for 72 MB of them.
    """
    import keras
    import tensorflow as tf

    net = graph.model
    variables = [*net.trainable_variables, *net.non_trainable_variables]
    open_ones = [number for number, variable in enumerate(variables) if math.prod(variable.shape) >= LARGE]
    names = {number: f"keras_weight_{number}" for number in open_ones}
    (clip,) = graph.function.input_signature

    def serve(clip, *large):
        values = [variable.value for variable in variables]
        for number, value in zip(open_ones, large, strict=True):
            values[number] = value
        trainable = len(net.trainable_variables)
        outputs, _ = net.stateless_call(values[:trainable], values[trainable:], graph.prepare(clip), training=False)
        return {"output": keras.tree.flatten(outputs)[0]}

    specs = [tf.TensorSpec(variables[number].shape, tf.float32, name=names[number]) for number in open_ones]
    function = tf.function(serve, input_signature=[clip, *specs])
    return function, {names[number]: variables[number] for number in open_ones}


def _put_weights(model, weights: dict) -> None:
    """Turns the inputs that stand for weights into constants, transposed where the model transposes them; in place."""
    from onnx import numpy_helper

    known = {each.name: np.asarray(weights[each.name]) for each in model.graph.input if each.name in weights}
    kept = [each for each in model.graph.input if each.name not in known]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    for node in [node for node in model.graph.node if node.op_type == "Transpose" and node.input[0] in known]:
        (order,) = (attribute.ints for attribute in node.attribute if attribute.name == "perm")
        known[node.output[0]] = known[node.input[0]].transpose(list(order))
        model.graph.node.remove(node)
    used = {name for node in model.graph.node for name in node.input}
    for name, value in known.items():
        if name in used:
            model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))


class OnnxRunner(Runner):
    """Through ONNX Runtime on the CPU."""

    runtime = "ONNX Runtime"

    def __init__(self, path, threads: int | None = None):
        try:
            import onnxruntime
        except ImportError as error:
            raise missing_extra("onnx", error) from error
        super().__init__(path)
        _check_bytes(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads_or_all(threads)
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (details,) = self._session.get_inputs()
        self._name, self.input_shape = details.name, tuple(details.shape[1:])
        self.dtype = np.dtype({"tensor(uint8)": "uint8", "tensor(float)": "float32"}[details.type])
        sizes = self._session.get_outputs()[0].shape
        self.classes = sizes[-1] if isinstance(sizes[-1], int) else None
        self.card_text = self._session.get_modelmeta().custom_metadata_map.get(CARD_NAME)

    def _run(self, clips: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._name: clips})[0]


ONNX = Format(
    "onnx",
    suffix=".onnx",
    form="2d",
    quantizations={"2d": ("none", "int8"), "3d": ("none", "int8")},
    write=write,
    runner=OnnxRunner,
)
