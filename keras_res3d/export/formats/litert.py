"""LiteRT (TensorFlow Lite): a .tflite file of built-in operations alone, for `ai_edge_litert` and mobile runtimes."""

from __future__ import annotations

import hashlib
import pathlib
import warnings
import zipfile

import numpy as np

from keras_res3d.cards import LARGEST_CARD, ModelCard
from keras_res3d.export.formats.base import (
    CARD_NAME,
    DIGEST_NAME,
    Format,
    Request,
    Runner,
    check_digest,
    fixed_batches,
    threads_or_all,
)
from keras_res3d.export.report import ExportError
from keras_res3d.io import digest


def write(graph, path, request: Request) -> None:
    """The .tflite file. This is the one place that calls the converter."""
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf.lite is deprecated as an interpreter; the converter has no successor yet
        function = graph.function.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], graph)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if request.quantize != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if request.quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if request.quantize == "int8":
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.representative_dataset = lambda: ([clips] for clips in graph.fed(request.calibration))
            if graph.dtype == np.uint8:
                converter.inference_input_type = tf.uint8
            if request.integer_io:
                converter.inference_input_type = tf.uint8 if graph.dtype == np.uint8 else tf.int8
                converter.inference_output_type = tf.int8
        pathlib.Path(path).write_bytes(converter.convert())
    if graph.rank4:
        _check_axes(path)
    # LiteRT keeps label files as a zip archive at the end of the model, which its runtimes pass over.
    found = digest(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(CARD_NAME), request.card.to_json())
        archive.writestr(zipfile.ZipInfo(DIGEST_NAME), found)


def _check_axes(path) -> None:
    """Raises an error that names what has more than four axes: layers without a rule keep those of the clip."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # a delegate would hide what it takes over
    details = Interpreter(str(path), experimental_op_resolver_type=resolver).get_tensor_details()
    found = [f"{each['name']} {tuple(each['shape'].tolist())}" for each in details if len(each["shape"]) > 4]
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise ExportError(
            f"rank4: the file would hold tensors of more than four axes: {', '.join(found[:3])}{more}. They come from "
            "layers that the 2-D form takes over as they are: put a layer that it knows in their place (stand_ins), or "
            "leave rank4 out"
        )


def _card_text(path) -> str | None:
    """The card in the archive at the file's end, after what is before the archive was compared with its digest.

    Raises:
        ValueError: the bytes of the model are not those that were written, or the archive is damaged.
    """
    if not zipfile.is_zipfile(path):  # of earlier releases, or of somebody else
        return None
    with zipfile.ZipFile(path) as archive:
        parts = {each.filename: each for each in archive.infolist()}
        if any(each.file_size > LARGEST_CARD for each in parts.values()):
            raise ValueError(f"a part of the archive at its end has more than {LARGEST_CARD // 2**20} MB")
        if DIGEST_NAME in parts:  # earlier releases wrote none
            size = min(each.header_offset for each in parts.values())
            check_digest(archive.read(DIGEST_NAME).decode("ascii"), _digest_of_first(path, size))
        return archive.read(CARD_NAME).decode("utf-8") if CARD_NAME in parts else None


def _digest_of_first(path, size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(size)).hexdigest()


class LiteRTRunner(Runner):
    """Through `ai_edge_litert`; quantised inputs and outputs are converted here.

    A file of a fixed batch size is called as often as it takes, and one whose clips enter as frames gets frames.
    """

    runtime = "LiteRT"

    def __init__(self, path, threads: int | None = None):
        from ai_edge_litert.interpreter import Interpreter

        super().__init__(path)
        self.card_text = _card_text(path)
        self._interpreter = Interpreter(str(path), num_threads=threads_or_all(threads))
        (self._input,) = self._interpreter.get_input_details()
        first, *rest = (int(n) for n in self._input["shape_signature"])
        self._fixed = first if first > 0 else None
        self.input_shape = tuple(rest)
        # An int8 input stands for preprocessed floats, a uint8 one for the pixels themselves.
        self.dtype = np.dtype("uint8" if self._input["dtype"] == np.uint8 else "float32")
        self._batch = None
        self.classes = int(self._interpreter.get_output_details()[0]["shape"][-1])
        self._rank4 = len(rest) == 3
        if self._rank4:
            if self.card_text is None:
                raise ValueError("its clips enter as frames, and it holds no card that says how many make a clip")
            frames = ModelCard.from_json(self.card_text).sampling.frames
            self.input_shape, self._fixed = (frames, *rest), first // frames

    def _run(self, clips: np.ndarray) -> np.ndarray:
        if self._input["dtype"] == np.int8:
            clips = as_integers(clips, self._input)
        with self._one_call:
            if self._fixed is None:
                scores, output = self._invoke(clips)
            else:
                calls = [self._invoke(part) for part in fixed_batches(clips, self._fixed, self._rank4)]
                scores, output = np.concatenate([scores for scores, _ in calls])[: len(clips)], calls[0][1]
        if scores.dtype == np.float32:
            return scores
        scale, zero = output["quantization"]
        return (scores.astype(np.float32) - zero) * np.float32(scale)

    def _invoke(self, clips: np.ndarray) -> tuple[np.ndarray, dict]:
        """The output's own numbers, and what the file says of them."""
        if len(clips) != self._batch:
            self._batch = None
            self._interpreter.resize_tensor_input(self._input["index"], clips.shape)
            self._interpreter.allocate_tensors()
            self._batch = len(clips)
        self._interpreter.set_tensor(self._input["index"], clips)
        self._interpreter.invoke()
        (output,) = self._interpreter.get_output_details()
        return self._interpreter.get_tensor(output["index"]), output


def as_integers(clips: np.ndarray, details: dict) -> np.ndarray:
    """Floats as the integers that a quantised input takes.

    Args:
        clips: of any shape.
        details: of the input, as the interpreter gives them.
    """
    scale, zero = details["quantization"]
    limits = np.iinfo(details["dtype"])
    return np.clip(np.rint(clips / scale) + zero, limits.min, limits.max).astype(details["dtype"])


LITERT = Format(
    "litert",
    suffix=".tflite",
    form="2d",
    quantizations={"2d": ("none", "float16", "dynamic", "int8"), "3d": ("none", "float16")},
    write=write,
    runner=LiteRTRunner,
    limit="LiteRT's CONV_3D has float kernels only, so the weights of the 3-D form would stay in float32",
)
