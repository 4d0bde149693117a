"""`export_model`: write, run, compare, and only then put in place."""

from __future__ import annotations

import errno
import os
import pathlib
import time
import warnings

import numpy as np
import tensorflow as tf

from keras_res3d.cards import ModelCard, card_of, classes_of, clip_shape_of
from keras_res3d.export.formats import FORMATS, FORMS, read_card
from keras_res3d.export.formats.base import Format, Request, fits
from keras_res3d.export.graph import ServingGraph, all_layers, float32_model, output_of
from keras_res3d.export.layer_report import CLIPS, layer_errors, write_layer_report
from keras_res3d.export.measure import in_batches, median_seconds, run_export
from keras_res3d.export.report import (
    AGREEMENT_BOUND,
    ExportError,
    ExportReport,
    decided,
    labels_given,
    largest_difference,
    top1_agreement,
)
from keras_res3d.export.samples import calibration_and_check, clips_from, default_count, embedded_input
from keras_res3d.export.two_d import NoTwoDFormError, has_two_d_form
from keras_res3d.io import atomic_group, only_one, silenced
from keras_res3d.remote import StorePath, as_path, local_copy
from keras_res3d.tables import is_utf8

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
    *,
    min_agreement: float = AGREEMENT_BOUND,
    batch: int | None = None,
    rank4: bool = False,
    layer_report=None,
    max_drop: float | None = None,
) -> ExportReport:
    """Writes `model` for deployment, and runs what was written against `model` before it is put at `path`.

    Args:
        model: any Keras model, functional or sequential, of one clip `(batch, frames, height, width, channels)` with
            one output: from this package's builders, with layers of the user's own, or somebody else's.
        path: a folder for "saved_model", else a file: .tflite, .onnx, or .xml with its .bin for "openvino". The card
            is stored inside. What is there is replaced, after the check. It may be an address in a store.
        format: "saved_model", "litert", "onnx" or "openvino". Any batch size goes in.
        quantize: "none" keeps float32. "float16" stores the weights in float16 (litert, openvino), "dynamic" in int8
            (litert). "int8" computes with int8 weights and activations (litert, onnx, openvino).
        form: "2d" writes the exact 2-D form for this one clip size; `to_2d` says which models have one. "3d" writes
            the layers as they are. None takes what the runtime runs faster: "2d" for onnx and for litert, which can
            quantise no other form, and "3d" for saved_model and openvino. A model without a 2-D form is then written
            in "3d", with a warning.
        preprocessing: with True the export takes uint8 RGB frames at the net's size and preprocesses them itself. With
            False it takes float32 clips that are preprocessed already. A model whose clips do not have three
            channels needs False.
        calibration: clips for "int8": an array `(clips, frames, height, width, channels)` of uint8 RGB pixels or
            preprocessed float32; batches of such clips (a tf.data.Dataset); or a data set's path. None takes the
            embedded data set.
        card: class names, sampling and licence to store. None takes the card of the export that is at `path`, where it
            fits the model, or else a card without class names, with the paper's sampling at the model's clip size.
        check_clips: clips to compare on, given like `calibration`. None holds a third of the calibration's clips out
            of it and takes these; without calibration it takes 32 of the embedded data set.
        integer_io: for int8 LiteRT alone: the output is int8, and so is the input where it would be float32.
        min_agreement: of the clips on which the Keras model's best class leads by more than an int8 step, the share
            that must have the same best class in a "dynamic" or "int8" export. Where the clips are too few to show
            that share (fewer than 100 for 0.99), one of 10 or more may differ. Where the card is a multi-label one,
            it is the share of the labels that either model gives to a clip, at a probability above a half, which both
            give.
        batch: for LiteRT, the number of clips that go in at a time, for runtimes that take no open size; None leaves
            it open. The runner still takes any number.
        rank4: for LiteRT in the 2-D form, whether clips go in as `(batch * frames, height, width, channels)`, so that
            no tensor has more than four axes; `batch` is then 1 where it is not given. For GPU delegates and NNAPI.
        layer_report: a file, .csv or text, for the signal to noise of each layer's output in the LiteRT file against
            Keras', the worst first; it is also written where the export misses its bound.
        max_drop: for int8 OpenVINO, the largest share of the calibration's clips that may get another best class: the
            layers that cost most stay in float until that holds (NNCF's accuracy control, which takes long).

    Returns:
        Differences, top-1 agreement, size, latency and memory; `print(report.table())`.

    Raises:
        ValueError: a combination that does not exist (the message says why), clips that do not fit, or another
            process exports to `path`.
        ExportError: the conversion failed, or the export differs too much from the model. The bound is 1e-4 of the
            largest output for float32 and 1e-2 for float16; for dynamic and int8 the best class must agree as
            `min_agreement` says. Nothing is written.
        ImportError: an optional package is missing; the message has the extra to install.
        OSError: it cannot be written, for example because the disk is full; what was there is left.
    """
    start = time.perf_counter()
    path = as_path(path)
    _check_combination(path, format, quantize, form, integer_io)
    _check_sizes(format, form, batch, rank4)
    if max_drop is not None and ((format, quantize) != ("openvino", "int8") or not 0 <= max_drop <= 1):
        raise ValueError(f"max_drop is {max_drop}; expected a share from 0 to 1, for format 'openvino' with quantize "
                         f"'int8'; given {format!r} and {quantize!r}")  # fmt: skip
    if layer_report is not None and format != "litert":
        raise ValueError(f"layer_report is for format 'litert', whose files say what every layer gives; not {format}")
    if not 0 <= min_agreement <= 1:
        raise ValueError(f"min_agreement is {min_agreement}; expected a share from 0 to 1")
    row = FORMATS[format]
    input_shape = _input_shape(model, card, preprocessing)
    channels = input_shape[-1]
    card = _checked_card(model, path, card, input_shape)
    _check_not_quantized(model, format, form)
    if max_drop is not None and card.multi_label:
        raise ValueError(f"max_drop is {max_drop}: accuracy control compares best classes, and a clip of {card.net} "
                         "may have several labels; leave it out, min_agreement judges the export")  # fmt: skip
    model = float32_model(model)
    sizes = {"batch": batch, "rank4": rank4}
    graph = _graph(model, row, "2d" if rank4 else form, quantize, input_shape, card, preprocessing, **sizes)
    ranges, held_out = _calibration(calibration, quantize, card, preprocessing, channels, check_clips is None)
    request = Request(quantize, ranges, integer_io, card, max_drop)
    clips = held_out if held_out is not None else _check_clips(check_clips, card, channels)
    with only_one(path, "exports to"), atomic_group(path) as stage:
        _write(row, graph, stage, request, model)
        measured = _compare(model, stage, clips, card, preprocessing)
        if layer_report is not None:
            some = clips_from(clips[:CLIPS], card.sampling, preprocessing, channels=channels)
            write_layer_report(layer_report, layer_errors(stage, graph, some))
        measured |= {"seconds": time.perf_counter() - start, "min_agreement": min_agreement}
        report = ExportReport(str(path), format, quantize, graph.form, clips=len(clips), **measured)
        if fault := report.fault():
            raise ExportError(f"the {format} export of {model.name} was not written to {path}: {fault}")
    return report


def _compare(model, stage: pathlib.Path, clips: np.ndarray, card: ModelCard, preprocessing: bool) -> dict:
    """The measured fields of the report: the staged export and the Keras model, both run on `clips`."""
    try:
        found = run_export(stage, clips_from(clips, card.sampling, preprocessing, channels=clips.shape[-1]))
    except RuntimeError as error:
        raise ExportError(str(error)) from error
    expected, keras_latency = _keras_scores(model, clips_from(clips, card.sampling, False, channels=clips.shape[-1]))
    classifier, several = _is_classifier(model, card), card.multi_label
    wanted, given = labels_given(expected, found.scores) if several else (expected, found.scores)
    classifier = classifier and len(wanted) > 0
    sure = decided(wanted) if classifier else np.ones(len(wanted), bool)
    judged = classifier and sure.any()
    return {
        "largest_difference": largest_difference(expected, found.scores),
        "top1_agreement": top1_agreement(wanted, given) if classifier else None,
        "close_clips": int((~sure).sum()),
        "decided_agreement": top1_agreement(wanted[sure], given[sure]) if judged else None,
        "labels": len(wanted) if several else None,
        "size_bytes": sum(file.stat().st_size for file in stage.parent.rglob("*") if file.is_file()),
        "latency_seconds": found.latency_seconds,
        "peak_memory_bytes": found.peak_memory_bytes,
        "keras_size_bytes": 4 * model.count_params(),
        "keras_latency_seconds": keras_latency,
    }


def _is_classifier(model, card: ModelCard) -> bool:
    """Whether the outputs are scores of classes: they have names, or end in a softmax or sigmoid."""
    if len(model.outputs[0].shape) != 2:
        return False
    activation = getattr(getattr(model.layers[-1], "activation", None), "__name__", "")
    return bool(card.labels) or activation in ("softmax", "sigmoid")


def _check_combination(path: pathlib.Path, format: str, quantize: str, form: str | None, integer_io: bool) -> None:
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; expected one of {', '.join(FORMATS)}")
    row = FORMATS[format]
    if form not in (None, *FORMS):
        raise ValueError(f"form is {form!r}; expected '2d' or '3d'")
    if quantize not in row.quantizations["2d"]:
        raise ValueError(f"quantize is {quantize!r}; {format} has {', '.join(row.quantizations['2d'])}")
    if form == "3d" and quantize not in row.quantizations["3d"]:
        raise ValueError(f"quantize is {quantize!r} and form is '3d': {row.limit}; form='2d' quantises")
    if integer_io and (format, quantize) != ("litert", "int8"):
        raise ValueError(f"integer_io is for format 'litert' with quantize 'int8'; given {format!r} and {quantize!r}")
    if not is_utf8(str(path.absolute())):
        raise ValueError(f"path is {path}, which is not UTF-8; runtimes do not open such files: choose another name")
    if path.suffix != row.suffix and row.suffix:
        raise ValueError(f"path is {path}; a {format} export ends in {row.suffix}")
    if path.is_dir() and (row.suffix or (any(path.iterdir()) and not (path / "saved_model.pb").exists())):
        raise ValueError(f"path is {path}, a folder that is not a SavedModel, so it is not replaced")
    if path.is_file() and not row.suffix:
        raise ValueError(f"path is {path}, a file; a {format} export is a folder")


def _check_not_quantized(model, format: str, form: str | None) -> None:
    """Keras' integer layers are TensorFlow's own: no other runtime computes them as Keras does."""
    names = [layer.name for layer in all_layers(model) if getattr(layer, "quantization_mode", None)]
    if names and (format, form or "3d") != ("saved_model", "3d"):
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise ValueError(
            f"{model.name} was quantised by Keras ({', '.join(names[:3])}{more}), which only a saved_model in the 3-D "
            "form can hold: export the model as it was before quantize(), with quantize='int8' for integers in "
            f"{format}"
        )


def _check_sizes(format: str, form: str | None, batch: int | None, rank4: bool) -> None:
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
        raise ValueError(f"batch is {batch!r}; expected a number of clips from 1, or None for any")
    if format != "litert" and (batch is not None or rank4):
        raise ValueError(f"batch and rank4 are for format 'litert'; {format} takes any batch size")
    if rank4 and form == "3d":
        raise ValueError("rank4 is for the 2-D form; the 3-D form has tensors of five axes")


def _input_shape(model, card: ModelCard | None, preprocessing: bool = True) -> tuple[int, int, int, int]:
    """The clip size of the export: the model's, and the card's where the model takes any."""
    own = clip_shape_of(model)
    channels = own[-1]
    if preprocessing and channels != 3:
        raise ValueError(
            f"{model.name} takes clips of {channels} channels, and preprocessing is for RGB frames, which have three: "
            "pass preprocessing=False (--no_preprocessing), and give the export clips that are preprocessed already"
        )
    if card is None:
        if None in own:
            raise ValueError(f"the model takes clips of {own}; pass a card, whose sampling has frames and crop")
        return own
    wanted = (card.sampling.frames, *card.sampling.crop, channels)
    if any(a not in (None, b) for a, b in zip(own, wanted, strict=True)):
        raise ValueError(f"the model takes clips of {own}, the card's sampling gives {wanted}; expected them to agree")
    return wanted


def _checked_card(model, path: pathlib.Path | StorePath, card: ModelCard | None, input_shape) -> ModelCard:
    """`card`, or that of what is to be replaced if it fits, or one without class names."""
    classes = classes_of(model)
    if card is None:
        card = _card_at(path)
        return card if card and fits(card, input_shape, classes) else card_of(model)
    if card.labels and len(card.labels) != classes:
        raise ValueError(f"the card has {len(card.labels)} class names, the model {classes} outputs")
    return card


def _card_at(path: pathlib.Path | StorePath) -> ModelCard | None:
    try:
        return read_card(local_copy(path)) if path.exists() else None
    except (ValueError, ImportError):  # it is replaced, whatever it is
        return None


def _graph(
    model, row: Format, form: str | None, quantize: str, input_shape, card: ModelCard, preprocessing: bool,
    **sizes,
) -> ServingGraph:  # fmt: skip
    """The function to write, in the form asked for or the format's own, or in 3-D if there is no 2-D form."""
    mode = card.sampling.preprocessing if preprocessing else None
    try:
        return ServingGraph(model, input_shape, form or row.form, mode, **sizes)
    except NoTwoDFormError as error:
        if form is not None:
            raise ValueError(f"form is '2d', and {model.name} has no 2-D form: {error}") from error
        if quantize not in row.quantizations["3d"]:
            raise ValueError(
                f"quantize is {quantize!r}: {row.limit}; and {model.name} has no 2-D form, which could be quantised: "
                f"{error}"
            ) from error
        warnings.warn(f"{model.name} is written in the 3-D form, as it has no 2-D form: {error}", stacklevel=3)
        return ServingGraph(model, input_shape, "3d", mode, **sizes)


def _calibration(
    source, quantize: str, card: ModelCard, preprocessing: bool, channels: int = 3, hold_out: bool = False
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Clips to calibrate int8 on, and those held out of the caller's own where `hold_out` asks for them."""
    if quantize != "int8":
        return None, None
    if source is not None and hold_out:
        return calibration_and_check(source, card.sampling, preprocessing, CHECK_CLIPS, channels, card.multi_label)
    if source is None:
        if not card.trained_on.startswith("motion"):
            warnings.warn(
                "int8 is calibrated on the embedded data set; pass calibration with clips like those the net will see",
                stacklevel=3,
            )
        source = embedded_input(card.sampling, default_count(card.sampling), "train", channels)
    more = {"channels": channels, "multi_label": card.multi_label}
    return clips_from(source, card.sampling, preprocessing, **more), None


def _check_clips(source, card: ModelCard, channels: int) -> np.ndarray:
    """uint8 clips to compare on; floats are turned into pixels, so that both nets see the very same clip."""
    if source is None:
        source = embedded_input(card.sampling, CHECK_CLIPS, "test", channels)
    more = {"channels": channels, "multi_label": card.multi_label}
    return clips_from(source, card.sampling, preprocessing=channels == 3, **more)


def _write(row: Format, graph: ServingGraph, stage: pathlib.Path, request: Request, model) -> None:
    # Progress bars are for a terminal alone; what converters print to stderr, and warn of in each other, is for nobody.
    try:
        with silenced(*([2] if os.isatty(1) else [1, 2])), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row.write(graph, stage, request)
    except (ImportError, ExportError):
        raise
    except Exception as error:  # converters raise whatever they like
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        lines = str(error).strip().splitlines() or [""]
        reason = next((line for line in lines if "Flex" in line), lines[0])
        other = graph.form == "3d" and has_two_d_form(model, graph.input_shape)
        hint = "; form='2d' has no such operation" if other else ""
        raise ExportError(f"the conversion failed ({type(error).__name__}: {reason[:300]}){hint}") from error


def _keras_scores(model, clips: np.ndarray) -> tuple[np.ndarray, float]:
    """Scores of preprocessed clips and the latency of one, of the Keras model as a `tf.function`."""
    spec = tf.TensorSpec((None, *clips.shape[1:]), tf.float32)
    run = tf.function(lambda batch: output_of(model, batch), input_signature=[spec])
    return in_batches(run, clips), median_seconds(lambda: run(clips[:1]).numpy())
