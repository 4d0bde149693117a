"""How each format is written. One function a format: `write(graph, path, request)`; the file is checked elsewhere."""

from __future__ import annotations

import pathlib
import tempfile
import warnings
from dataclasses import dataclass

import numpy as np

from keras_res3d.cards import ModelCard
from keras_res3d.export.runners import missing_extra


@dataclass(frozen=True)
class Request:
    """What a writer is asked for.

    Attributes:
        quantize: "none", "float16", "dynamic" or "int8".
        calibration: clips as the export takes them, `(clips, frames, height, width, 3)`; None where nothing needs them.
        integer_io: whether an int8 LiteRT file has integer input and output.
        card: stored inside formats that can hold it.
    """

    quantize: str
    calibration: np.ndarray | None
    integer_io: bool
    card: ModelCard


def write_saved_model(graph, path, request: Request | None = None) -> None:
    """A TensorFlow SavedModel folder with the signature "serving_default" and the card as an asset."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        if request is not None:
            card = pathlib.Path(folder, "model.json")
            card.write_text(request.card.to_json(), encoding="utf-8")
            graph.card = tf.saved_model.Asset(str(card))
        try:
            tf.saved_model.save(graph, str(path), signatures={"serving_default": graph.function})
        finally:
            if request is not None:
                del graph.card


def write_litert(graph, path, request: Request) -> None:
    """A .tflite file of built-in operations alone. The one place that calls the converter."""
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
            converter.representative_dataset = lambda: ([clip[None]] for clip in request.calibration)
            if graph.dtype == np.uint8:
                converter.inference_input_type = tf.uint8
            if request.integer_io:
                converter.inference_input_type = tf.uint8 if graph.dtype == np.uint8 else tf.int8
                converter.inference_output_type = tf.int8
        pathlib.Path(path).write_bytes(converter.convert())


def write_onnx(graph, path, request: Request) -> None:
    """An .onnx file, through tf2onnx; int8 through NNCF."""
    try:
        import onnx
        import tf2onnx
        from keras.src.export.tf2onnx_lib import patch_tf2onnx
    except ImportError as error:
        raise missing_extra("onnx", error) from error
    # tf2onnx's last release does not know NumPy 2; Keras carries the repair.
    patch_tf2onnx()
    model, _ = tf2onnx.convert.from_function(graph.function, graph.function.input_signature, opset=17)
    if request.quantize == "int8":
        model = _quantized_by_nncf(model, request.calibration, "onnx", model.graph.input[0].name)
    onnx.save(model, str(path))


def write_openvino(graph, path, request: Request) -> None:
    """An .xml file with its .bin, from a SavedModel; int8 through NNCF."""
    try:
        import openvino
    except ImportError as error:
        raise missing_extra("openvino", error) from error
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(graph, folder)
        model = openvino.convert_model(folder)
        if request.quantize == "int8":
            model = _quantized_by_nncf(model, request.calibration, "openvino")
        openvino.save_model(model, str(path), compress_to_fp16=request.quantize == "float16")


def _quantized_by_nncf(model, calibration, format: str, input_name: str | None = None):
    try:
        import nncf
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet
    except ImportError as error:
        raise missing_extra(format, error) from error
    clips = [clip[None] for clip in calibration]
    items = clips if input_name is None else [{input_name: clip} for clip in clips]
    # The whole range seen, as LiteRT's converter takes it: with so few clips the default, a mean of ranges, clips more
    # than it gains (twice the largest error on a narrow net).
    options = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX)
    return nncf.quantize(model, nncf.Dataset(items), subset_size=len(items), advanced_parameters=options)
