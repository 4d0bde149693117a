"""Weights between a whole net and one without its dead temporal taps: copies of the live taps, exact both ways."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from keras_res3d.nets.architecture import Architecture, convolutions, walk
from keras_res3d.nets.recognise import architecture_of, taps_of
from keras_res3d.nets.taps import Taps, is_trimmed, kernel_taps
from keras_res3d.weights.names import Arrays
from keras_res3d.weights.source import Source

UNTRAINED_TAPS = ("zero", "keep")


def _widened(kernel: np.ndarray, taps: Taps, whole: np.ndarray) -> np.ndarray:
    """`whole` (t, d, d, n, m) with the trimmed `kernel` in its place."""
    whole = whole.copy()
    whole[taps.kept] = kernel
    return whole


def only_taps(layers: dict[str, Arrays], taps: dict[str, Taps]) -> dict[str, Arrays]:
    """The variables of a whole net's layers, by name, with these taps of its kernels alone."""
    kernels = {name: [layers[name][0][taps[name].kept], *layers[name][1:]] for name in taps if name in layers}
    return {**layers, **kernels}


def _length_of(counts: dict[str, int], architecture: Architecture) -> int | None:
    """The shortest clip length at which the convolutions of `architecture` have so many live taps, or None."""
    whole = {layer.name: layer.kernel[0] for layer in convolutions(architecture)}
    for frames in itertools.count(architecture.smallest_input[0]):
        live = {name: taps.count for name, taps in kernel_taps(architecture, frames).items()}
        if live == counts:
            return frames
        if live == whole:
            return None


def whole_tensors(source: Source, architecture: Architecture) -> Source:
    """A trimmed net's Keras file as a file of the whole net, its dead taps zero; any other source stays as it is.

    The clip length, where the file does not say it, is the shortest that leaves just these taps alive.
    """
    keys = {layer.name: f"{layer.name}/0" for layer in convolutions(architecture)}
    kernels = {name: source.tensors[key] for name, key in keys.items() if np.ndim(source.tensors.get(key)) == 5}
    if source.family != "keras" or kernels.keys() != keys.keys():
        return source
    frames = _length_of({name: len(kernel) for name, kernel in kernels.items()}, architecture)
    if frames is None:
        return source
    whole, live = kernel_taps(architecture), kernel_taps(architecture, frames)
    widened = {
        keys[name]: _widened(kernel, live[name], np.zeros((whole[name].count, *kernel.shape[1:]), kernel.dtype))
        for name, kernel in kernels.items()
        if live[name] != whole[name]
    }
    if not widened:
        return source
    return replace(source, tensors={**source.tensors, **widened}, frames=source.frames or frames)


def _pairs(whole_model, trimmed_model) -> list[tuple]:
    """The walk's layers that have variables, as (name, layer of the whole net, layer of the trimmed one).

    Raises:
        ValueError: they are not the same net, whole and trimmed.
    """
    architecture, given = architecture_of(trimmed_model), f"{whole_model.name} and {trimmed_model.name}"
    if is_trimmed(whole_model):
        raise ValueError(f"whole_model ({whole_model.name}) is trimmed; expected a net built without trim=True")
    if convolutions(architecture_of(whole_model)) != convolutions(architecture):
        raise ValueError(f"{given} differ in their convolutions; expected one net, built without and with trim=True")
    whole, trimmed = ({layer.name: layer for layer in model.layers} for model in (whole_model, trimmed_model))
    pairs, faults = [], []
    for layer in walk(architecture):
        if layer.op not in ("conv", "norm", "dense"):
            continue
        pair = [layers.get(layer.name) for layers in (whole, trimmed)]
        units = [one and tuple(one.weights[0].shape) for one in pair if layer.op == "dense"]
        if len(set(units)) > 1:
            faults.append(f"{layer.name} is {units[0] or 'absent'} and {units[1] or 'absent'}")
        elif pair[0] is not None:
            pairs.append((layer.name, *pair))
    if faults:
        raise ValueError(f"{given} differ in their heads: {'; '.join(faults)}")
    return pairs


def trim_weights(whole_model, trimmed_model) -> None:
    """Sets the weights of a trimmed net to the live ones of the whole net, so that both compute the same function.

    Args:
        whole_model: a net of this package's builders, of any clip length.
        trimmed_model: the same net built with `trim=True`.

    Raises:
        ValueError: they are not the same net; nothing has been changed.
    """
    pairs, taps = _pairs(whole_model, trimmed_model), taps_of(trimmed_model)
    layers = only_taps({name: layer.get_weights() for name, layer, _ in pairs}, taps)
    for name, _, layer in pairs:
        layer.set_weights(layers[name])


def untrim_weights(trimmed_model, whole_model, untrained_taps: str = "zero") -> None:
    """Sets the weights of a whole net to those of a trimmed one; at the trimmed one's clip length both then agree.

    Args:
        trimmed_model: a net of this package's builders, built with `trim=True`.
        whole_model: the same net built without, for any clip length.
        untrained_taps: what becomes of the taps that the trimmed net lacks. "zero" sets them to zero, so that longer
            clips do not bring untrained values alive; "keep" leaves what `whole_model` has there.

    Raises:
        ValueError: an unknown option, or they are not the same net; nothing has been changed.
    """
    if untrained_taps not in UNTRAINED_TAPS:
        raise ValueError(f"untrained_taps is {untrained_taps!r}; expected 'zero' or 'keep'")
    pairs, taps = _pairs(whole_model, trimmed_model), taps_of(trimmed_model)
    for name, whole, trimmed in pairs:
        arrays = trimmed.get_weights()
        if name in taps:
            former = whole.get_weights()[0]
            ground = former if untrained_taps == "keep" else np.zeros_like(former)
            arrays[0] = _widened(arrays[0], taps[name], ground)
        whole.set_weights(arrays)
