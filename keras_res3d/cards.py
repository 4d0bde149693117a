"""What a saved model needs beside its weights to be used: class names, sampling, architecture, where it comes from."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import warnings
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field

from keras_res3d.data.clips import Sampling, for_crop
from keras_res3d.io import atomic_path, digest, write_atomically
from keras_res3d.nets.architecture import LARGEST, Architecture
from keras_res3d.nets.recognise import architecture_of, convolutions_of
from keras_res3d.nets.taps import is_trimmed
from keras_res3d.remote import StoreError, StorePath, as_path, readable, text_of
from keras_res3d.tables import as_json
from keras_res3d.untrusted import Range, check, parse_json, read_json

_SCHEMA = {
    "format": Range(1, 2), "net": str, "labels": [str], "sampling": dict, "licence?": str, "trained_on?": str,
    "training?": dict, "architecture?": (dict, None), "frames?": (Range(1, LARGEST["frames"]), None), "trim?": bool,
    "seen?": {"name?": str, "videos?": int, "hashes?": [str], "groups?": [str]}, "multi_label?": bool,
}  # fmt: skip

# Bytes; a card with a sketch of a million training videos has some megabytes.
LARGEST_CARD = 64 * 2**20


@dataclass(frozen=True)
class ModelCard:
    """What a model file cannot say about itself, stored as JSON beside it: `mine.json` of `mine.keras`.

    A model that was trained with `model.fit` gets its card in one line,
    `save_model(model, "mine.keras", labels=data.classes, sampling=sampling)`, and everything that takes a model file
    takes its settings from there: `evaluate`, `predict_video`, `export_model`, `load_model`, the commands of the same
    names, and training from its weights. `read_card` reads it; `dataclasses.replace` makes another.

    Attributes:
        net: the architecture's name, or the Keras model's name where it holds no net of this family.
        labels: class names in the order of the outputs.
        sampling: how clips are taken from a video and preprocessed.
        licence: of the weights; "" where they are the user's own.
        trained_on: what the weights were trained on, data set and split, e.g. "ucf101 split 1".
        training: what `keras-res3d train` used, for the record.
        architecture: of the net, or of the net inside a user's model; None where the model holds no net of this family.
        frames: clip length that the model was built for; None means any.
        trim: whether kernel taps that are dead at `frames` were left out (docs/trimmed.md).
        seen: sketch of the training videos (`data.seen`), by which `evaluate` notices videos that were trained on.
        multi_label: whether a video may have several labels: each output is then the probability of a class by itself,
            and they need not sum to one.
    """

    net: str
    labels: tuple[str, ...]
    sampling: Sampling
    licence: str = ""
    trained_on: str = ""
    training: dict = field(default_factory=dict)
    architecture: Architecture | None = None
    frames: int | None = None
    trim: bool = False
    seen: dict = field(default_factory=dict)
    multi_label: bool = False

    def __post_init__(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            twice = sorted({name for name in self.labels if self.labels.count(name) > 1})
            raise ValueError(f"labels has {', '.join(map(repr, twice[:5]))} more than once; expected a name for each "
                             "output")  # fmt: skip

    def to_json(self) -> str:
        fields = {
            **dataclasses.asdict(self),
            "sampling": self.sampling.to_dict(),
            "architecture": None if self.architecture is None else self.architecture.to_dict(),
            "format": 2,
        }
        if not self.multi_label:  # said only where it is so: earlier releases refuse fields that they do not know
            del fields["multi_label"]
        return as_json(fields)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """The card of what `to_json` wrote; cards of format 1 had no architecture. Raises ValueError on other text."""
        try:
            return cls._from_fields(parse_json(text, nan=True))
        except ValueError as error:
            raise ValueError(f"not a model card ({error})") from error

    @classmethod
    def _from_fields(cls, given: object) -> ModelCard:
        check(given, _SCHEMA)
        fields = {name: value for name, value in given.items() if name != "format"}
        fields |= {"labels": tuple(fields["labels"]), "sampling": Sampling.from_dict(fields["sampling"])}
        try:
            if fields.get("architecture") is not None:
                fields["architecture"] = Architecture(**fields["architecture"])
            return cls(**fields)
        except TypeError as error:  # an unknown field, or a number where the architecture has a list
            raise ValueError(str(error)) from error


def card_path(model_path) -> pathlib.Path | StorePath:
    """Where the card of a model file lies: the same name with .json."""
    path = as_path(model_path)
    return path / "model.json" if path.is_dir() else path.with_suffix(".json")


def read_card(model_path) -> ModelCard | None:
    """The card beside a Keras model or in its folder, or None where there is none; `export.formats` reads exports' too.

    A process that was killed after `save_model` had written the model leaves the card of the model before beside it, or
    none. Such a card is told by its digest, and the copy inside the model is read in its place.
    """
    path = card_path(model_path)
    copy = _copy_that_counts(as_path(model_path), path)
    if copy is None and not path.exists():
        return None
    try:
        return ModelCard._from_fields(read_json(path, nan=True) if copy is None else parse_json(copy, nan=True))
    except ValueError as error:
        raise ValueError(f"{path}: not a model card ({error})") from error


# The files inside a .keras archive, which Keras passes over: a copy of the card, and the digest of the card that lay
# beside the model when it was written.
_INSIDE, _REPLACES = "keras_res3d/model.json", "keras_res3d/replaces.txt"


def _digest(card: pathlib.Path | StorePath) -> str:
    return digest(card) if card.exists() else "nothing"


def _copy_that_counts(model: pathlib.Path | StorePath, card: pathlib.Path | StorePath) -> str | None:
    """The copy of its card in a Keras model, where the card beside it is that of the model before, or missing."""
    model = model / "model.keras" if model.is_dir() else model
    if model.suffix != ".keras" or not model.is_file():
        return None
    try:
        with zipfile.ZipFile(readable(model)) as archive:
            if archive.getinfo(_INSIDE).file_size > LARGEST_CARD or archive.getinfo(_REPLACES).file_size > 64:
                return None
            if archive.read(_REPLACES).decode("ascii") != _digest(card):
                return None
            copy = archive.read(_INSIDE).decode("utf-8")
    except StoreError:
        raise
    except Exception:  # models of Keras' own hold none; damage shows in many ways, and whoever opens the model says so
        return None
    if card.exists():
        if text_of(card, "utf-8", "surrogateescape") == copy:
            return None
        warnings.warn(f"{card} is the card of the model before, as a kill leaves it; the copy inside is read",
                      stacklevel=3)  # fmt: skip
    return copy


def write_card(model_path, card: ModelCard) -> None:
    """Writes a card beside a model file; what was there is replaced."""
    write_atomically(card_path(model_path), card.to_json())


def clip_shape_of(model) -> tuple[int | None, ...]:
    """What a Keras model takes: `(frames, height, width, channels)`, None where a size is open.

    Raises:
        ValueError: the model has not one input of clips, which are numbers.
    """
    name = getattr(model, "name", type(model).__name__)
    try:
        inputs = list(model.inputs or ())
    except (AttributeError, ValueError):
        inputs = []
    if not inputs:
        raise ValueError(f"{name} has no known input; build it with keras.Input, as a functional or sequential model")
    if len(inputs) != 1:
        raise ValueError(f"{name} has {len(inputs)} inputs; expected one, of clips")
    shape = tuple(inputs[0].shape[1:])
    if len(shape) != 4:
        raise ValueError(
            f"{name} takes inputs of shape {shape}; expected clips, (frames, height, width, channels) beside the batch"
        )
    if not re.fullmatch(r"(bfloat|float|int|uint)\d+", kind := str(inputs[0].dtype)):
        raise ValueError(f"{name} takes inputs of type {kind}; expected clips of numbers, such as float32")
    return shape


def classes_of(model) -> int | None:
    """How many values a Keras model gives for each clip: the size of the last axis of its one output."""
    if len(model.outputs) != 1:
        raise ValueError(f"{model.name} has {len(model.outputs)} outputs; expected one")
    return model.outputs[0].shape[-1]


def card_of(
    model,
    labels: Iterable[str] = (),
    sampling: Sampling | None = None,
    licence: str = "",
    trained_on: str = "",
    multi_label: bool = False,
) -> ModelCard:
    """A card for a Keras model that has none.

    Args:
        model: any Keras model of clips `(batch, frames, height, width, channels)`.
        labels: class names in the order of its outputs; none where it is no classifier.
        sampling: how clips are taken and preprocessed. None means the paper's way, at the model's own clip size, with
            every second frame.
        licence, trained_on, multi_label: as of `ModelCard`.

    Raises:
        ValueError: the labels are not as many as the outputs, the sampling's clips do not fit the model, or there is
            no sampling and the model takes clips of any size; as of `check_multi_label`.
    """
    if multi_label:
        check_multi_label(model)
    labels, size = tuple(labels), clip_shape_of(model)
    if labels and len(labels) != classes_of(model):
        raise ValueError(f"labels has {len(labels)} names, {model.name} has {classes_of(model)} outputs")
    if sampling is None:
        if None in size[:3]:
            raise ValueError(f"{model.name} takes inputs of {size}; pass sampling, which says what its clips are")
        sampling = for_crop(size[0], 2, size[1:3])
    check_sampling(model, sampling)
    inside = _net_inside(model)
    if inside is None:
        return ModelCard(
            model.name, labels, sampling, licence, trained_on, frames=size[0], multi_label=multi_label
        )
    net, architecture = inside
    return ModelCard(
        architecture.name, labels, sampling, licence, trained_on, {}, architecture, size[0], is_trimmed(net),
        multi_label=multi_label,
    )  # fmt: skip


def check_multi_label(model) -> None:
    """Raises ValueError where the outputs of a Keras model are no probabilities of each class by itself.

    A last layer of somebody else's, which has no activation of Keras, is taken for right.
    """
    last = model.layers[-1]
    if hasattr(last, "layers"):
        return check_multi_label(last)
    name = "softmax" if type(last).__name__ == "Softmax" else getattr(getattr(last, "activation", None), "__name__", "")
    if name in ("softmax", "linear"):
        end = "logits" if name == "linear" else "a softmax, whose outputs sum to one"
        raise ValueError(
            f"{model.name} ends in {end}, and videos with several labels need a sigmoid: build_model(..., "
            "classifier_activation='sigmoid'), prepare_net(..., multi_label=True), or activation='sigmoid' in your own "
            "last layer"
        )


def check_card(model, card: ModelCard) -> None:
    """Raises ValueError where a card cannot be that of a Keras model: other clips, outputs or layers than it says."""
    check_sampling(model, card.sampling)
    if card.labels and len(card.labels) != classes_of(model):
        raise ValueError(f"the model has {classes_of(model)} outputs, its card names {len(card.labels)} classes")
    frames = clip_shape_of(model)[0]
    if None not in (frames, card.frames) and frames != card.frames:
        raise ValueError(f"the model takes clips of {frames} frames, its card says {card.frames}")
    if card.multi_label:
        check_multi_label(model)
    inside = None if card.architecture is None else _net_inside(model)
    if inside is None:
        return
    own, said = convolutions_of(inside[1]), convolutions_of(card.architecture)
    if own != said:
        name = next(name for name in [*own, *said] if own.get(name) != said.get(name))
        raise ValueError(f"its card describes {card.architecture.name}, whose convolutions are not those of the model: "
                         f"(channels, kernel, strides, bias) of {name} are {said.get(name, 'missing')} in the card, "
                         f"{own.get(name, 'missing')} in the model")  # fmt: skip


def check_sampling(model, sampling: Sampling) -> None:
    """Raises ValueError where a Keras model cannot take the clips of a sampling; the message has the model's size."""
    size, wanted = clip_shape_of(model)[:3], (sampling.frames, *sampling.crop)
    if any(own not in (None, given) for own, given in zip(size, wanted, strict=True)):
        raise ValueError(f"{model.name} takes clips of {_size(size)}, the sampling gives {_size(wanted)}")


def _size(shape) -> str:
    frames, height, width = ("any" if n is None else n for n in shape)
    return f"{frames} frames of {height} x {width}"


def _net_inside(model) -> tuple | None:
    """The net of this family that a model is, has layers added to, or holds as one of its layers, and its architecture;
    None where there is none."""
    try:
        return model, architecture_of(model)
    except (ValueError, KeyError, AttributeError, TypeError):  # a net of somebody else's
        inner = (layer for layer in model.layers if hasattr(layer, "layers"))
        return next((net for net in map(_net_inside, inner) if net is not None), None)


def save_model(
    model,
    path,
    card: ModelCard | None = None,
    *,
    labels: Iterable[str] | None = None,
    sampling: Sampling | None = None,
    licence: str | None = None,
    trained_on: str | None = None,
    multi_label: bool | None = None,
) -> ModelCard:
    """Writes a Keras model as `path` and its card beside it, each in one step; what was there is replaced.

    `save_model(model, "mine.keras", labels=data.classes, sampling=sampling)` is all that a model trained with
    `model.fit` needs to be scored, exported and used by this package.

    Args:
        model: a Keras model, of this package's builders or not.
        path: a file that ends in .keras; it may be an address in a store.
        card: its card; None makes one from the model. The arguments below replace its fields where they are given.
        labels: class names in the order of the outputs, such as `classes` of the data set it was trained on.
        sampling: how clips are taken from a video and preprocessed, as in training.
        licence: of the weights.
        trained_on: the data set and split, by which scoring the same videos is refused.
        multi_label: whether a video may have several labels; the model then ends in a sigmoid.

    Returns:
        The card as written.

    Raises:
        ValueError: another suffix than .keras, or as of `card_of`.
        OSError: a file cannot be written; what was there is left.
    """
    path = as_path(path)
    if path.suffix != ".keras":
        raise ValueError(f"path is {path}; expected a file name that ends in .keras")
    given = {"labels": labels, "sampling": sampling, "licence": licence, "trained_on": trained_on,
             "multi_label": multi_label}  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    if card is None:
        card = card_of(model, **given)
    else:
        found = card_of(model, given.get("labels", card.labels), given.get("sampling", card.sampling),
                        multi_label=given.get("multi_label", card.multi_label))  # fmt: skip
        given |= {"labels": found.labels}
        if card.architecture is None:
            given |= {"architecture": found.architecture, "frames": found.frames, "trim": found.trim}
        card = dataclasses.replace(card, **given)
    text = card.to_json()  # the copy inside counts as the card's own only where it is the same to the byte
    with atomic_path(path) as aside:
        model.save(aside)
        with zipfile.ZipFile(aside, "a") as archive:
            archive.writestr(zipfile.ZipInfo(_INSIDE), text)
            archive.writestr(zipfile.ZipInfo(_REPLACES), _digest(card_path(path)))
    write_atomically(card_path(path), text)
    return card
