"""Exported files as functions of a batch, one wrapper per runtime; each refuses clips that do not fit.

Runtimes are imported when a file is loaded: running LiteRT needs no TensorFlow.
"""

from __future__ import annotations

import os
import pathlib

import numpy as np

from keras_res3d.cards import ModelCard, read_card

SAVED_MODEL_CARD = "assets/model.json"


def missing_extra(format: str, error: ImportError) -> ImportError:
    """The error to raise where an optional runtime is not installed."""
    return ImportError(f"{format} needs {error.name}, which is not installed: pip install 'keras-res3d[{format}]'")


def check_batch(clips, input_shape: tuple, dtype) -> np.ndarray:
    """`clips` as an array, if they are what an export takes.

    Args:
        clips: `(batch, frames, height, width, 3)`, batch from 1.
        input_shape: of the export, `(frames, height, width, 3)`.
        dtype: of the export.

    Raises:
        ValueError: another rank, size or dtype, an empty batch; the message has what is expected.
    """
    clips = np.asarray(clips)
    sizes = ", ".join(str(n) for n in input_shape)
    meaning = "RGB pixels" if np.dtype(dtype) == np.uint8 else "preprocessed clips"
    expected = f"expected {np.dtype(dtype).name} ({meaning}) of shape (batch, {sizes})"
    if clips.ndim != 5 or clips.shape[1:] != tuple(input_shape):
        raise ValueError(f"clips have shape {clips.shape}; {expected}")
    if not len(clips):
        raise ValueError(f"clips are an empty batch; {expected}, batch from 1")
    if clips.dtype != np.dtype(dtype):
        raise ValueError(f"clips are {clips.dtype}; {expected}")
    return clips


class Runner:
    """An exported net: call it with a batch of clips.

    Attributes:
        path: of the export.
        input_shape: of one clip, `(frames, height, width, 3)`.
        dtype: of clips: uint8 for RGB pixels, float32 for preprocessed clips.
        card: the `ModelCard` stored with the export (class names, sampling), or None.
    """

    input_shape: tuple[int, ...]
    dtype: np.dtype

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.card = self._read_card()

    def _read_card(self) -> ModelCard | None:
        return read_card(self.path)

    def __call__(self, clips) -> np.ndarray:
        """Scores `(batch, classes)`, float32, of `(batch, *input_shape)`; ValueError where a clip does not fit."""
        return self._run(check_batch(clips, self.input_shape, self.dtype))

    def _run(self, clips: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class SavedModelRunner(Runner):
    """Through `tf.saved_model.load`; `threads` is TensorFlow's own business."""

    def __init__(self, path, threads: int | None = None):
        import tensorflow as tf

        super().__init__(path)
        self._keep_alive = tf.saved_model.load(str(path))
        self._serve = self._keep_alive.signatures["serving_default"]
        spec = next(iter(self._serve.structured_input_signature[1].values()))
        self._name, self.input_shape, self.dtype = spec.name, tuple(spec.shape[1:]), np.dtype(spec.dtype.as_numpy_dtype)

    def _read_card(self):
        path = self.path / SAVED_MODEL_CARD
        return ModelCard.from_json(path.read_text(encoding="utf-8")) if path.exists() else None

    def _run(self, clips):
        import tensorflow as tf

        return next(iter(self._serve(**{self._name: tf.constant(clips)}).values())).numpy()


class LiteRTRunner(Runner):
    """Through `ai_edge_litert`; quantised inputs and outputs are converted here."""

    def __init__(self, path, threads: int | None = None):
        from ai_edge_litert.interpreter import Interpreter

        super().__init__(path)
        self._interpreter = Interpreter(str(path), num_threads=threads or os.cpu_count())
        (self._input,) = self._interpreter.get_input_details()
        self.input_shape = tuple(int(n) for n in self._input["shape_signature"][1:])
        # An int8 input stands for preprocessed floats, a uint8 one for the pixels themselves.
        self.dtype = np.dtype("uint8" if self._input["dtype"] == np.uint8 else "float32")
        self._batch = None

    def _run(self, clips):
        if self._input["dtype"] == np.int8:
            clips = _quantized(clips, self._input)
        if len(clips) != self._batch:
            self._interpreter.resize_tensor_input(self._input["index"], clips.shape)
            self._interpreter.allocate_tensors()
            self._batch = len(clips)
        self._interpreter.set_tensor(self._input["index"], clips)
        self._interpreter.invoke()
        (output,) = self._interpreter.get_output_details()
        scores = self._interpreter.get_tensor(output["index"])
        if scores.dtype == np.float32:
            return scores
        scale, zero = output["quantization"]
        return (scores.astype(np.float32) - zero) * np.float32(scale)


def _quantized(clips, details) -> np.ndarray:
    scale, zero = details["quantization"]
    limits = np.iinfo(details["dtype"])
    return np.clip(np.rint(clips / scale) + zero, limits.min, limits.max).astype(details["dtype"])


class OnnxRunner(Runner):
    """Through ONNX Runtime."""

    def __init__(self, path, threads: int | None = None):
        try:
            import onnxruntime
        except ImportError as error:
            raise missing_extra("onnx", error) from error
        super().__init__(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or os.cpu_count()
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (details,) = self._session.get_inputs()
        self._name, self.input_shape = details.name, tuple(details.shape[1:])
        self.dtype = np.dtype({"tensor(uint8)": "uint8", "tensor(float)": "float32"}[details.type])

    def _run(self, clips):
        return self._session.run(None, {self._name: clips})[0]


class OpenVINORunner(Runner):
    """Through OpenVINO on the CPU, tuned for one clip at a time.

    Args:
        path: the .xml file; its .bin lies beside.
        threads: of the CPU; None: all.
        precision: what float32 layers compute in: "f32", or "bf16" where the CPU has it (twice as fast there).
    """

    def __init__(self, path, threads: int | None = None, precision: str = "f32"):
        try:
            import openvino
        except ImportError as error:
            raise missing_extra("openvino", error) from error
        super().__init__(path)
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads or os.cpu_count(),
        }
        self._compiled = openvino.Core().compile_model(str(path), "CPU", config)
        self.input_shape = tuple(n.get_length() for n in list(self._compiled.input(0).partial_shape)[1:])
        self.dtype = np.dtype(self._compiled.input(0).element_type.to_dtype())

    def _run(self, clips):
        return np.array(self._compiled([clips])[self._compiled.output(0)], np.float32)
