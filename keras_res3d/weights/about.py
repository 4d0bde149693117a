"""What a weights file holds, as far as its card, the JSON beside it and the file itself tell; no net is built."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

from keras_res3d.cards import ModelCard, read_card
from keras_res3d.data.clips import Sampling
from keras_res3d.data.labels import LABEL_SETS, label_names
from keras_res3d.io import digest
from keras_res3d.nets.architecture import LARGEST, Architecture
from keras_res3d.nets.zoo import get_architecture
from keras_res3d.remote import as_path, local_copy
from keras_res3d.untrusted import Range, read_json
from keras_res3d.weights.catalog import RUN_MODEL, WeightsEntry
from keras_res3d.weights.sketch import sketch
from keras_res3d.weights.source import Source, WeightsError

CONVERTED = ".weights.h5"
# Of the JSON beside converted weights.
_RECORD = {"source_sha256": str, "sha256?": str, "net?": (str, None), "labels?": (str, None), "licence?": (str, None),
           "classes?": (Range(1, LARGEST["classes"]), None), "frames?": (Range(1, LARGEST["frames"]), None),
           "trained_on?": (str, None)}  # fmt: skip


@dataclass(frozen=True)
class Described:
    """What a `weights=` argument holds. A field is None or empty where nothing tells it.

    Attributes:
        path: the file; None for published weights, which need not be here yet.
        entry: the catalog's row, of published weights.
        card: the model's card, of a `.keras` file or a run that has one.
        net: name of the net that the weights were saved from.
        architecture: that net.
        classes: outputs of its classifier.
        channels: of its input.
        frames: clip length in training.
        labels: class names in the order of the outputs.
        sampling: how clips are taken and preprocessed; `sampling.preprocessing` is the mode of `preprocess_input`.
        licence, trained_on: as of `ModelCard`.
    """

    path: pathlib.Path | None = None
    entry: WeightsEntry | None = None
    card: ModelCard | None = None
    net: str | None = None
    architecture: Architecture | None = None
    classes: int | None = None
    channels: int | None = None
    frames: int | None = None
    labels: tuple[str, ...] = ()
    sampling: Sampling | None = None
    licence: str = ""
    trained_on: str = ""


def sidecar_path(weights_path) -> pathlib.Path:
    """The JSON beside converted weights: `NAME.json` of `NAME.weights.h5`, `NAME.keras.json` of `NAME.keras`."""
    path = pathlib.Path(weights_path)
    return path.with_name(f"{path.name.removesuffix(CONVERTED)}.json")


def read_sidecar(weights_path) -> dict | None:
    """What is recorded beside converted weights, or None where there is nothing of the kind."""
    try:
        return read_json(sidecar_path(weights_path), _RECORD)
    except (OSError, ValueError):
        return None


def weights_file(path) -> pathlib.Path:
    """The file of weights that a path means: itself, or of a folder of `keras-res3d train` its `model.keras`.

    One in a store is fetched.

    Raises:
        FileNotFoundError: there is no such file, or the folder holds no model.
    """
    path = as_path(path)
    if path.is_dir():
        if not (path / RUN_MODEL).is_file():
            raise FileNotFoundError(f"the folder {path} holds no {RUN_MODEL}; expected one that a finished run wrote")
        return local_copy(path / RUN_MODEL)
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}")
    return local_copy(path)


def _card(path: pathlib.Path) -> ModelCard | None:
    """The card of a `.keras` file; None where the JSON beside it is something else."""
    try:
        return read_card(path) if path.suffix == ".keras" else None
    except ValueError:
        return None


def _known(net: str | None) -> Architecture | None:
    try:
        return get_architecture(net)
    except (ValueError, TypeError):
        return None


def _labels(name: str | None, classes: int | None) -> tuple[str, ...]:
    """The class names of a public data set, where there are as many as outputs."""
    return label_names(name) if name in LABEL_SETS and LABEL_SETS[name] == classes else ()


def _from_record(record: dict) -> dict:
    """The fields of `Described` in the JSON beside converted weights."""
    names = Sampling.__dataclass_fields__
    whole = names.keys() <= record.keys()
    return {
        "net": record.get("net"),
        "architecture": _known(record.get("net")),
        "labels": _labels(record.get("labels"), record.get("classes")),
        "sampling": Sampling.from_dict({name: record[name] for name in names}) if whole else None,
        "licence": record.get("licence") or "",
        "trained_on": record.get("trained_on") or "",
    }


def describe_entry(entry: WeightsEntry) -> Described:
    """What published weights hold, from their row alone."""
    sampling = Sampling(**entry.sampling_fields())
    return Described(
        None, entry, None, entry.net, _known(entry.net), entry.classes, 3, entry.frames,
        _labels(entry.labels, entry.classes), sampling, entry.licence, entry.trained_on,
    )  # fmt: skip


def describe_source(source: Source) -> Described:
    """What a file holds whose tensors have been read.

    Raises:
        WeightsError: the JSON beside a converted file records another file's digest.
    """
    path, told = source.path, {}
    found = sketch({name: tensor.shape for name, tensor in source.tensors.items()}, source.family)
    frames = source.frames
    if (card := _card(path)) is not None:
        names = ("net", "architecture", "labels", "sampling", "licence", "trained_on")
        told = {name: getattr(card, name) for name in names}
        frames = card.frames or card.sampling.frames
        told["architecture"] = card.architecture or _known(card.net)
    elif (record := read_sidecar(path)) is not None:
        if "sha256" in record and record["sha256"] != digest(path):
            raise WeightsError(
                f"{path} is not the file that {sidecar_path(path)} records (its SHA-256 differs): it is damaged, or "
                "was written over. Convert it again, or remove the record if the file is meant to be another"
            )
        try:
            told = _from_record(record)
        except ValueError as error:
            raise WeightsError(f"{sidecar_path(path)}: {error}") from error
        frames = record.get("frames") or frames
    return Described(path, None, card, classes=found.classes, channels=found.channels, frames=frames, **told)


def refuse_other_net(described: Described, architecture: Architecture) -> None:
    """Refuses weights whose card or JSON names a net that differs from `architecture` in what no shape shows.

    Strides and pools leave no trace in tensors: the weights of sr18 fit res3d18 completely, and score badly there.
    Differences that shapes show are found when the tensors are compared.

    Raises:
        WeightsError: names both nets and what differs.
    """
    theirs = described.architecture
    if theirs is None:
        return
    told = [
        f"{name} {getattr(theirs, name)} there, {getattr(architecture, name)} here"
        for name in ("strides", "pools")
        if getattr(theirs, name) != getattr(architecture, name)
    ]
    if told:
        raise WeightsError(
            f"{described.path} holds weights of {described.net}, and this net is {architecture.name}: they differ in "
            f"{'; '.join(told)}. The shapes do not show it, but the scores would. Build {described.net} for these "
            "weights; to load them here nevertheless, build without weights and call load_pretrained(model, net, "
            "weights, check_net=False)"
        )
