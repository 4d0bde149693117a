"""Weights by name: the original is fetched and converted at first use, the converted file read from then on."""

from __future__ import annotations

import json
import os
import pathlib
import random
import sys

import keras
import numpy as np

from keras_res3d import __version__
from keras_res3d.io import write_atomically
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.build import build_graph
from keras_res3d.nets.zoo import get_architecture
from keras_res3d.weights.cache import converted_path, expected_digest, fetch, locked, reject, sha256_of
from keras_res3d.weights.catalog import WeightsEntry, resolve
from keras_res3d.weights.convert import CONVERTER_VERSION
from keras_res3d.weights.download import Patience
from keras_res3d.weights.load import load_weights
from keras_res3d.weights.source import WeightsError

_SUFFIX = ".weights.h5"


def sidecar_path(weights_path) -> pathlib.Path:
    """The JSON beside converted weights: `NAME.json` of `NAME.weights.h5`."""
    path = pathlib.Path(weights_path)
    return path.with_name(f"{path.name.removesuffix(_SUFFIX)}.json")


def read_sidecar(weights_path) -> dict | None:
    """What is recorded beside converted weights, or None where there is nothing of the kind."""
    try:
        fields = json.loads(sidecar_path(weights_path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return fields if isinstance(fields, dict) and "source_sha256" in fields else None


def _load_original(entry: WeightsEntry, architecture: Architecture, original: pathlib.Path) -> keras.Model:
    """The net at the source's own classes and clip length, every one of its weights read from the original."""
    policy, state = keras.config.dtype_policy(), random.getstate()
    try:
        # The file must not depend on the caller's precision, nor his random numbers on whether it was there already.
        keras.config.set_dtype_policy("float32")
        shape = (entry.frames, *entry.crop, 3)
        model = build_graph(architecture, input_shape=shape, classes=entry.classes, classifier_activation=None)
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(state)
    for variable in model.weights:
        variable.assign(np.full(variable.shape, np.nan, np.float32))
    load_weights(model, original, source_frames=entry.frames)
    unread = [variable.path for variable in model.weights if np.isnan(np.asarray(variable)).any()]
    if unread:
        raise WeightsError(f"{original} has nothing for {', '.join(unread)}; {entry.name} must fill every weight")
    return model


def _write(model: keras.Model, target: pathlib.Path, fields: dict) -> None:
    """Weights and JSON, each atomically. A kill between the two leaves digests that disagree, and a new conversion."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        model.save_weights(aside)
        with open(aside, "rb+") as file:
            os.fsync(file.fileno())
        fields = {**fields, "sha256": sha256_of(aside)}
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)
    write_atomically(sidecar_path(target), json.dumps(fields, indent=2, ensure_ascii=False) + "\n")


def _describe(entry: WeightsEntry, original: pathlib.Path) -> dict:
    names = ("net", "tag", "classes", "labels", "licence", "trained_on", "contaminated_for", "remark")
    return {
        "format": 1,
        "converter": CONVERTER_VERSION,
        "package": f"keras_res3d {__version__}",
        "source": entry.url,
        "source_sha256": sha256_of(original),
        **{name: getattr(entry, name) for name in names},
        **entry.sampling_fields(),
        "metrics": dict(entry.metrics),
        "metrics_source": entry.metrics_source,
    }


def _is_current(entry: WeightsEntry, target: pathlib.Path) -> bool:
    """Whether the converted file is whole, of this source, and such as this version would make it."""
    fields = read_sidecar(target)
    return (
        fields is not None
        and target.exists()
        and fields.get("source") == entry.url
        and fields.get("converter") == CONVERTER_VERSION
        and expected_digest(entry) in (None, fields["source_sha256"])
        and fields.get("sha256") == sha256_of(target)
    )


def converted(entry: WeightsEntry, architecture: Architecture | None = None, patience: Patience | None = None,
              stream=None) -> pathlib.Path:  # fmt: skip
    """The Keras weights of `entry`, made of the original where they are not there, damaged or of another version.

    Args:
        entry: a row of the catalog.
        architecture: the net; None: the zoo's row of that name.
        patience, stream: of the download, see `fetch`.

    Returns:
        Path of a `.weights.h5` file whose digest was just verified; its JSON has source, licence and sampling.

    Raises:
        DownloadError: the original cannot be had.
        WeightsError: the original does not hold this net's weights.
    """
    target = converted_path(entry)
    with locked(target, f"{entry.name}: waiting for another process that is converting it"):
        if _is_current(entry, target):
            return target
        original = fetch(entry, patience, stream)
        print(f"{entry.name}: converting {original}\n{entry.name}: licence {entry.licence}", file=sys.stderr)
        try:
            model = _load_original(entry, architecture or get_architecture(entry.net), original)
        except WeightsError as error:
            raise WeightsError(f"{entry.name}: {error} ({reject(entry, original)})") from error
        _write(model, target, _describe(entry, original))
    return target


def _recorded_frames(path: pathlib.Path) -> int | None:
    """The clip length in the record beside a converted file, whose digest must be the recorded one; None without."""
    fields = read_sidecar(path) if path.name.endswith(_SUFFIX) else None
    if fields is None:
        return None
    if "sha256" in fields and fields["sha256"] != sha256_of(path):
        raise WeightsError(
            f"{path} is not the file that {sidecar_path(path)} records (its SHA-256 differs): damaged, or written "
            "over. Convert it again, or remove the record if the file is meant to be another"
        )
    return fields.get("frames")


def load_pretrained(model: keras.Model, net: str | Architecture, weights, untrained_taps: str = "zero") -> None:
    """Published weights, or those of a file, into a built model, layer by layer by name.

    Args:
        model: of this package's builders; another number of classes keeps its own classifier, with a notice.
        net: what `model` was built from.
        weights: see `resolve`; a path may be `.weights.h5`, `.keras`, `.caffemodel`, `.pth` or `.safetensors`.
        untrained_taps: "zero" or "keep": what becomes of kernel taps that met nothing but zero padding at the source's
            clip length and would come alive at the model's.

    Raises:
        ValueError: `weights` is not known.
        FileNotFoundError: the path does not exist.
        DownloadError: the original cannot be had.
        WeightsError: the file does not fit; the model is left as it was.
    """
    entry = resolve(net, weights)
    if entry is not None:
        load_weights(model, converted(entry), source_frames=entry.frames, untrained_taps=untrained_taps)
    elif weights is not None:
        path = pathlib.Path(weights)
        if not path.exists():
            raise FileNotFoundError(f"no weights file {path}")
        load_weights(model, path, source_frames=_recorded_frames(path), untrained_taps=untrained_taps)
