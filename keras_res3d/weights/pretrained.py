"""Weights by name or path: what they hold, and how they get into a net."""

from __future__ import annotations

from keras_res3d.nets.architecture import Architecture
from keras_res3d.weights.about import Described, describe_entry, describe_source, weights_file
from keras_res3d.weights.catalog import resolve
from keras_res3d.weights.formats.registry import read_tensors
from keras_res3d.weights.load import load_weights
from keras_res3d.weights.store import converted


def describe(net: str | Architecture | None, weights) -> Described:
    """What a `weights=` argument holds, without building a net: classes, clip length, sampling, the net's name.

    Args:
        net: what the weights are for; None where it is not known yet (a run or file then tells `net` itself).
        weights: None, the name of published weights, a file, or a folder of `keras-res3d train`.

    Returns:
        A `Described`, whose fields are None where nothing tells them; for `weights=None` all of them are. Published
        weights are described from the catalog and not downloaded.

    Raises:
        ValueError: `weights` is not known.
        FileNotFoundError: the path does not exist, or the folder holds no model.
        WeightsError: the file cannot be read.
    """
    entry = resolve(net, weights)
    if entry is not None:
        return describe_entry(entry)
    return Described() if weights is None else describe_source(read_tensors(weights_file(weights)))


def load_pretrained(
    model,
    net: str | Architecture,
    weights,
    untrained_taps: str = "zero",
    channels: str | None = None,
    check_net: bool = True,
) -> None:
    """Published weights, or those of a file, into a built model, layer by layer by name.

    Args:
        model: a Keras model of this package's builders. With another number of classes it keeps its own classifier,
            with a notice.
        net: what `model` was built from.
        weights: see `resolve`; a path may be of any format in docs/weights.md, or a folder of `keras-res3d train`.
        untrained_taps: "zero" or "keep": what becomes of kernel taps that met nothing but zero padding at the source's
            clip length and would come alive at the model's.
        channels: "adapt" makes the first kernel for any number n of input channels: each is given the mean over the
            source's channels, times their number over n (3 / n from RGB). The input is expected on the scale of the
            source's (docs/weights.md). None refuses another number of channels.
        check_net: refuse weights whose card or JSON names a net that differs in what no shape shows (strides). False
            loads such weights.

    Raises:
        ValueError: `weights` is not known.
        FileNotFoundError: the path does not exist.
        DownloadError: the original cannot be downloaded.
        WeightsError: the file does not fit; the model is left as it was.
    """
    entry = resolve(net, weights)
    if weights is None:
        return
    path, frames = (weights, None) if entry is None else (converted(entry), entry.frames)
    load_weights(model, path, frames, untrained_taps, channels, check_net)
