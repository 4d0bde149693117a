"""Loads weights of any known file into a Keras net by layer name, either all of them or none."""

from __future__ import annotations

import warnings

from keras_res3d.nets.architecture import Architecture, check_input_shape, walk
from keras_res3d.nets.recognise import architecture_of, taps_of
from keras_res3d.nets.taps import newly_live_taps
from keras_res3d.weights.about import describe_source, refuse_other_net, weights_file
from keras_res3d.weights.convert import ADAPT, Converted, convert, first_few
from keras_res3d.weights.formats.registry import read_tensors
from keras_res3d.weights.source import WeightsError
from keras_res3d.weights.trim import UNTRAINED_TAPS, only_taps, whole_tensors


def silence_untrained_taps(converted: Converted, architecture, source_frames: int, frames: int | None) -> None:
    """Sets to zero, in place, what training at `source_frames` never touched and `frames` would bring alive.

    Such taps met zero padding alone in training, so they hold initial values that weight decay has shrunk. In a longer
    net they would add noise.
    """
    taps = newly_live_taps(architecture, source_frames, frames)
    for layer, indices in taps.items():
        kernel, *rest = converted.layers[layer]
        kernel = kernel.copy()
        kernel[indices] = 0
        converted.layers[layer] = [kernel, *rest]
    if taps:
        told = ", ".join(f"{layer} (taps {', '.join(map(str, indices))})" for layer, indices in taps.items())
        converted.notices.append(
            f"the weights were trained at {source_frames} frames and are loaded for {frames or 'any number of'}: "
            f'taps that training never reached are set to zero: {told}; untrained_taps="keep" leaves them'
        )


def assign(model, converted: Converted, path) -> None:
    """Sets the variables of the layers named in `converted`, after all of them have been found to fit.

    Raises:
        WeightsError: a layer or shape of `converted` is not the model's; nothing has been changed.
    """
    layers = {layer.name: layer for layer in model.layers}
    faults = []
    for name, arrays in converted.layers.items():
        expected = [tuple(variable.shape) for variable in layers[name].weights] if name in layers else None
        found = [array.shape for array in arrays]
        if found != expected:
            faults.append(f"{name} is {expected or 'absent'} in {model.name}, {found} in the file")
    if faults:
        raise WeightsError(f"{path} does not fit {model.name}, {len(faults)} layers differ: {first_few(faults)}")
    for name, arrays in converted.layers.items():
        layers[name].set_weights(arrays)


def _check_options(architecture: Architecture, source_frames, untrained_taps, channels) -> None:
    if untrained_taps not in UNTRAINED_TAPS:
        raise ValueError(f"untrained_taps is {untrained_taps!r}; expected 'zero' or 'keep'")
    if channels not in (None, ADAPT):
        raise ValueError(f"channels is {channels!r}; expected None or {ADAPT!r}")
    if source_frames is not None:
        try:
            check_input_shape(architecture, (source_frames, *architecture.input_shape[1:]))
        except ValueError as error:
            raise ValueError(f"source_frames is {source_frames!r}: {error}") from None


def load_weights(
    model,
    weights_path,
    source_frames: int | None = None,
    untrained_taps: str = "zero",
    channels: str | None = None,
    check_net: bool = True,
) -> list[str]:
    """Loads weights into `model` by layer name; on any error the model is left as it was.

    A model with another number of classes keeps its classifier, with a notice; a model without its top takes the body
    alone. A trimmed net takes its live taps from a whole net's file. A trimmed net's file fits the whole net too, and
    the taps that it lacks become zero.

    Args:
        model: a net of this package's builders.
        weights_path: a file that Keras 3 wrote (`.weights.h5`, `.keras`), Caffe (C3D v1.0 and v1.1), or PyTorch and
            safetensors with torchvision's names, whatever its suffix; or a folder of `keras-res3d train`.
        source_frames: clip length that the weights were trained at. None takes what the card, the JSON beside the file
            or the file itself says; the length is unknown where none of them says it.
        untrained_taps: what becomes of temporal taps that met only padding at `source_frames` and meet data in `model`:
            "zero", with a notice that names them, or "keep".
        channels: "adapt" makes the first kernel for the model's input channels from the file's (see `adapt_channels`);
            None refuses a file with another number of input channels.
        check_net: refuse weights whose card or JSON names a net that differs in what no shape shows (strides). False
            loads such weights.

    Returns:
        The notices, each of which has been given as a warning too.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: the file is damaged or hostile, holds NaN or infinities, does not fit, or is of another net.
        ValueError: an unknown option, or a model that is not of this family.
    """
    architecture = architecture_of(model)
    _check_options(architecture, source_frames, untrained_taps, channels)
    read = read_tensors(weights_file(weights_path))
    described = describe_source(read)
    if check_net:
        refuse_other_net(described, architecture)
    source = whole_tensors(read, architecture)
    input_shape = tuple(model.input_shape[1:])
    include_top = walk(architecture)[-1].name in {layer.name for layer in model.layers}
    converted = convert(source, architecture, include_top, input_shape, channels=channels)
    source_frames = source_frames or described.frames or source.frames
    if source_frames and untrained_taps == "zero":
        silence_untrained_taps(converted, architecture, source_frames, input_shape[0])
    converted.layers = only_taps(converted.layers, taps_of(model))
    assign(model, converted, source.path)
    for notice in converted.notices:
        warnings.warn(notice, stacklevel=2)
    return converted.notices
