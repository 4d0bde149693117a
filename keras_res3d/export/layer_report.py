"""Where a quantised LiteRT file loses precision: the signal to noise of each layer's output against Keras'."""

from __future__ import annotations

import csv
import io
import pathlib
import re
import warnings
from dataclasses import dataclass

import keras
import numpy as np

from keras_res3d.export.formats.litert import as_integers
from keras_res3d.io import write_atomically
from keras_res3d.tables import as_text

# As many as show a layer's error, and as few as their outputs fit into memory.
CLIPS = 8
HEADER = ("layer", "kind", "shape", "signal to noise in dB")


@dataclass(frozen=True)
class LayerError:
    """One layer of an export.

    Attributes:
        layer: its name in the Keras model of the export's form.
        kind: of Keras layer.
        shape: of its output, without the batch.
        signal_to_noise: of its output against Keras', in dB: 10 log10 of the mean square of Keras' output over that of
            the difference. 40 dB are an error of 1 % of the output, 20 dB of 10 %; infinite where there is none.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    signal_to_noise: float

    def row(self) -> list[str]:
        """For a table."""
        return [self.layer, self.kind, " x ".join(map(str, self.shape)), f"{self.signal_to_noise:.1f}"]


def layer_errors(path, graph, clips: np.ndarray) -> list[LayerError]:
    """The layers of a LiteRT file, the worst first.

    A layer that the converter has merged with the next (a convolution with its ReLU) is compared after both, under the
    name of the last. Layers that leave nothing of their own in the file are left out.

    Args:
        path: the file.
        graph: the `ServingGraph` that it was written from.
        clips: as the export takes them, `(clips, frames, height, width, channels)`.
    """
    # A layer that is called several times has several outputs, which their names do not tell apart.
    layers = {layer.name: layer for layer in graph.model.layers
              if not isinstance(layer, keras.layers.InputLayer) and len(layer._inbound_nodes) == 1}  # fmt: skip
    file = _File(path, layers, graph.model.outputs[0]._keras_history.operation.name)
    reached = [layers[name] for name in file.tensors]
    net = keras.Model(graph.model.inputs, [layer.output for layer in reached])
    signal, noise = np.zeros(len(reached)), np.zeros(len(reached))
    for fed in graph.fed(clips):
        batch = fed.reshape(-1, *graph.input_shape)
        outputs = keras.tree.flatten(net(graph.prepare(batch), training=False))
        for number, (expected, found) in enumerate(zip(outputs, file.outputs(fed), strict=True)):
            expected = np.asarray(expected, np.float64)
            if expected.size != found.size:
                signal[number] = np.nan
                continue
            signal[number] += np.square(expected).sum()
            noise[number] += np.square(found.reshape(expected.shape) - expected).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = np.where(noise > 0, 10 * np.log10(signal / noise), np.inf)
    found = [LayerError(layer.name, type(layer).__name__, tuple(layer.output.shape[1:]), float(db))
             for layer, db in zip(reached, decibels, strict=True) if not np.isnan(db)]  # fmt: skip
    return sorted(found, key=lambda each: each.signal_to_noise)


class _File:
    """A LiteRT file that keeps the output of every operation.

    Attributes:
        tensors: for each layer that has one, the number of the tensor that holds its output.
    """

    def __init__(self, path, layers: dict, last: str):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "for debugging purposes only", which this is
            self._interpreter = Interpreter(
                str(path),
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
        details = {each["index"]: each for each in self._interpreter.get_tensor_details()}
        self.tensors: dict[str, int] = {}
        for operation in self._interpreter._get_ops_details():
            for index in operation["outputs"]:
                layer = _layer_of(details[index]["name"], layers)
                if layer is not None:  # the last operation of a layer gives its output
                    self.tensors[layer] = index
        if last in layers:  # its tensor has the output's name
            self.tensors[last] = self._interpreter.get_output_details()[0]["index"]
        self._details = details

    def outputs(self, fed: np.ndarray):
        """The layers' outputs for one call's clips, as floats, in the order of `tensors`."""
        (given,) = self._interpreter.get_input_details()
        if given["dtype"] == np.int8:
            fed = as_integers(fed, given)
        if tuple(given["shape"]) != fed.shape:
            self._interpreter.resize_tensor_input(given["index"], fed.shape)
        self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(given["index"], fed)
        self._interpreter.invoke()
        for index in self.tensors.values():
            yield _floats(self._interpreter.get_tensor(index), self._details[index]["quantization_parameters"])


def _floats(values: np.ndarray, quantization: dict) -> np.ndarray:
    if np.issubdtype(values.dtype, np.floating) or not len(quantization["scales"]):
        return values.astype(np.float64)
    return (values.astype(np.float64) - quantization["zero_points"][0]) * quantization["scales"][0]


def _layer_of(tensor: str, layers: dict) -> str | None:
    """The layer whose output a tensor holds, by its name: `net_2d_1/relu_1/Relu;net_2d_1/conv_1/BiasAdd` is `relu`'s.
    """
    for part in reversed(tensor.split(";")[0].split("/")[:-1]):
        # TensorFlow numbers the second call of a layer, which the export's is.
        for name in (re.sub(r"_\d+$", "", part), part):
            if name in layers:
                return name
    return None


def write_layer_report(path, errors: list[LayerError]) -> None:
    """The layers as a CSV file where `path` ends in .csv, else as an aligned table."""
    rows = [error.row() for error in errors]
    if pathlib.Path(path).suffix.lower() == ".csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
        write_atomically(path, text.getvalue())
    else:
        write_atomically(path, as_text(list(HEADER), rows) + "\n")
