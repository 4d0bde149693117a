"""`export_model`: write, run, compare, and only then put in place."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
import time
import warnings

import numpy as np
import tensorflow as tf

from keras_res3d.cards import ModelCard, card_path, read_card
from keras_res3d.data.clips import for_crop
from keras_res3d.export.formats import FORMATS, FORMS, Format
from keras_res3d.export.graph import ServingGraph, float32_model
from keras_res3d.export.measure import in_batches, median_seconds, run_export
from keras_res3d.export.report import ExportError, ExportReport, largest_difference, top1_agreement
from keras_res3d.export.samples import clips_from, default_count, embedded_clips
from keras_res3d.export.writers import Request
from keras_res3d.io import write_atomically

CHECK_CLIPS = 32


def export_model(
    model,
    path,
    format: str = "saved_model",
    quantize: str = "none",
    form: str | None = None,
    preprocessing: bool = True,
    calibration=None,
    card: ModelCard | None = None,
    check_clips=None,
    integer_io: bool = False,
) -> ExportReport:
    """Writes `model` for deployment, and runs what was written against `model` before it is put at `path`.

    Args:
        model: a Keras model from this package's builders, saved and loaded or not.
        path: a folder for "saved_model", else a file: .tflite, .onnx, or .xml with its .bin for "openvino". The card
            goes beside it as .json, or into a SavedModel's assets. What is there is replaced, after the check.
        format: "saved_model", "litert", "onnx" or "openvino". Any batch size goes in.
        quantize: "none" (float32); "float16" weights (litert, openvino); "dynamic": int8 weights (litert); "int8"
            weights and activations (litert, onnx, openvino).
        form: "2d": the exact 2-D form for this one clip size; "3d": the layers as they are. None: what the runtime runs
            faster: "2d" for litert (which can quantise no other) and onnx, "3d" for saved_model and openvino.
        preprocessing: True: the export takes uint8 RGB frames at the net's size, and preprocesses inside. False:
            float32 clips, already preprocessed.
        calibration: clips for "int8": an array `(clips, frames, height, width, 3)` of uint8 RGB pixels or preprocessed
            float32; batches of such (a tf.data set); or a data set's path. None: the embedded data set.
        card: class names, sampling and licence to store; None: the card beside `path` where it fits the model, or one
            without class names, with the paper's sampling at the model's clip size.
        check_clips: clips to compare on, as of `calibration`; None: 32 of the embedded data set.
        integer_io: int8 LiteRT alone: int8 output, and int8 instead of float32 input.

    Returns:
        Differences, top-1 agreement, size, latency and memory; `print(report.table())`.

    Raises:
        ValueError: a combination that does not exist (the message says why), or clips that do not fit.
        ExportError: the conversion failed, or its output differs from the model's by more than 1e-4 of the largest
            output (float16: 1e-2), or its best class on 1 % of the clips or more (dynamic, int8). Nothing is written.
        ImportError: an optional package is missing; the message has the extra to install.
    """
    start = time.perf_counter()
    path = pathlib.Path(path)
    form = form or (FORMATS[format].form if format in FORMATS else None)
    _check_combination(path, format, quantize, form, integer_io)
    input_shape = _input_shape(model, card)
    card = _checked_card(model, path, card, input_shape)
    model = float32_model(model)
    graph = ServingGraph(model, input_shape, form, card.sampling.preprocessing if preprocessing else None)
    request = Request(quantize, _calibration(calibration, quantize, card, preprocessing), integer_io, card)
    clips = _check_clips(check_clips, card)
    row = FORMATS[format]
    with _staged(path, row) as stage:
        _write(row, graph, stage, request)
        measured = _compare(model, stage, clips, card, preprocessing)
        report = ExportReport(
            str(path), format, quantize, form, clips=len(clips), **measured, seconds=time.perf_counter() - start
        )
        if fault := report.fault():
            raise ExportError(f"the {format} export of {model.name} was not written to {path}: {fault}")
        if row.suffix:
            write_atomically(card_path(stage), card.to_json())
    return report


def _compare(model, stage: pathlib.Path, clips: np.ndarray, card: ModelCard, preprocessing: bool) -> dict:
    """The measured fields of the report: the staged export and the Keras model, both run on `clips`."""
    try:
        found = run_export(stage, clips_from(clips, card.sampling, preprocessing))
    except RuntimeError as error:
        raise ExportError(str(error)) from error
    expected, keras_latency = _keras_scores(model, clips_from(clips, card.sampling, False))
    classifier = "prob" in {layer.name for layer in model.layers} or expected.shape[1:] == (len(card.labels),)
    return {
        "largest_difference": largest_difference(expected, found.scores),
        "top1_agreement": top1_agreement(expected, found.scores) if classifier else None,
        "size_bytes": sum(file.stat().st_size for file in stage.parent.rglob("*") if file.is_file()),
        "latency_seconds": found.latency_seconds,
        "peak_memory_bytes": found.peak_memory_bytes,
        "keras_size_bytes": 4 * model.count_params(),
        "keras_latency_seconds": keras_latency,
    }


def _check_combination(path: pathlib.Path, format: str, quantize: str, form: str, integer_io: bool) -> None:
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; expected one of {', '.join(FORMATS)}")
    row = FORMATS[format]
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; expected '2d' or '3d'")
    if quantize not in row.quantizations:
        raise ValueError(f"quantize is {quantize!r}; {format} has {', '.join(row.quantizations)}")
    if format == "litert" and form == "3d" and quantize in ("dynamic", "int8"):
        raise ValueError(
            f"quantize is {quantize!r} and form is '3d': LiteRT's CONV_3D has float kernels only, so its weights would "
            "stay float32; form='2d' quantises"
        )
    if integer_io and (format, quantize) != ("litert", "int8"):
        raise ValueError(f"integer_io is for format 'litert' with quantize 'int8'; given {format!r} and {quantize!r}")
    if path.suffix != row.suffix and row.suffix:
        raise ValueError(f"path is {path}; a {format} export ends in {row.suffix}")
    if path.is_dir() and (row.suffix or (any(path.iterdir()) and not (path / "saved_model.pb").exists())):
        raise ValueError(f"path is {path}, a folder that is no SavedModel; it is not replaced")
    if path.is_file() and not row.suffix:
        raise ValueError(f"path is {path}, a file; a {format} export is a folder")


def _input_shape(model, card: ModelCard | None) -> tuple[int, int, int, int]:
    """The clip size of the export: the model's, and the card's where the model takes any."""
    own = tuple(model.input_shape[1:])
    if card is None:
        if None in own:
            raise ValueError(f"the model takes clips of {own}; pass a card, whose sampling has frames and crop")
        return own
    wanted = (card.sampling.frames, *card.sampling.crop, 3)
    if len(own) != 4 or any(a not in (None, b) for a, b in zip(own, wanted, strict=True)):
        raise ValueError(f"the model takes clips of {own}, the card's sampling gives {wanted}; expected them to agree")
    return wanted


def _checked_card(model, path: pathlib.Path, card: ModelCard | None, input_shape) -> ModelCard:
    """`card`, else the one beside `path` if it fits, else one without class names."""
    classes = model.output_shape[-1]
    if card is None:
        card = read_card(path) if path.suffix else None
        if card and (card.sampling.frames, *card.sampling.crop, 3) == input_shape and len(card.labels) in (0, classes):
            return card
        return ModelCard(model.name, (), for_crop(input_shape[0], 2, input_shape[1:3]))
    if card.labels and len(card.labels) != classes:
        raise ValueError(f"the card has {len(card.labels)} class names, the model {classes} outputs")
    return card


def _calibration(source, quantize: str, card: ModelCard, preprocessing: bool) -> np.ndarray | None:
    if quantize != "int8":
        return None
    if source is None:
        if not card.trained_on.startswith("motion"):
            warnings.warn(
                "int8 is calibrated on the embedded data set; pass calibration, clips like those the net will see",
                stacklevel=3,
            )
        source = embedded_clips(card.sampling, default_count(card.sampling), "train")
    return clips_from(source, card.sampling, preprocessing)


def _check_clips(source, card: ModelCard) -> np.ndarray:
    """uint8 clips to compare on; floats are turned into pixels, so that both nets see the very same clip."""
    if source is None:
        return embedded_clips(card.sampling, CHECK_CLIPS, "test")
    return clips_from(source, card.sampling, True)


@contextlib.contextmanager
def _staged(path: pathlib.Path, row: Format):
    """Yields where to write: a hidden folder beside `path`. What it holds moves to `path` if nothing is raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder / path.name
        if row.suffix:
            # The file itself comes last: it never lies there without what it needs.
            for name in sorted(os.listdir(folder), key=lambda name: name == path.name):
                os.replace(folder / name, path.parent / name)
        else:
            if path.exists():
                os.replace(path, folder / "replaced")
            os.replace(folder / path.name, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(row: Format, graph, stage: pathlib.Path, request: Request) -> None:
    try:
        row.write(graph, stage, request)
    except ImportError:
        raise
    except Exception as error:  # converters raise whatever they like
        lines = str(error).strip().splitlines() or [""]
        reason = next((line for line in lines if "Flex" in line), lines[0])
        hint = "; form='2d' has no such operation" if graph.form == "3d" else ""
        raise ExportError(f"the conversion failed ({type(error).__name__}: {reason[:300]}){hint}") from error


def _keras_scores(model, clips: np.ndarray) -> tuple[np.ndarray, float]:
    """Scores of preprocessed clips and the latency of one, of the Keras model as a `tf.function`."""
    spec = tf.TensorSpec((None, *clips.shape[1:]), tf.float32)
    run = tf.function(lambda batch: model(batch, training=False), input_signature=[spec])
    return in_batches(run, clips), median_seconds(lambda: run(clips[:1]).numpy())
