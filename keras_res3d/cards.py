"""What a saved model needs beside its weights to be used: class names, sampling, where it comes from."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import tempfile
from dataclasses import dataclass, field

from keras_res3d.video.clips import Sampling
from keras_res3d.video.files import write_atomically

__all__ = ["ModelCard", "card_path", "read_card", "save_model", "write_atomically"]


@dataclass(frozen=True)
class ModelCard:
    """The JSON beside a model file.

    Attributes:
        net: the architecture's name.
        labels: class names in the order of the outputs.
        sampling: how clips are taken from a video and preprocessed.
        licence: of the weights; "" where they are the user's own.
        trained_on: what the weights were trained on, data set and split, e.g. "ucf101 split 1".
        training: what `keras-res3d train` used, for the record.
    """

    net: str
    labels: tuple[str, ...]
    sampling: Sampling
    licence: str = ""
    trained_on: str = ""
    training: dict = field(default_factory=dict)

    def to_json(self) -> str:
        fields = {**dataclasses.asdict(self), "sampling": self.sampling.to_dict(), "format": 1}
        return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Raises ValueError where `text` is not what `to_json` writes."""
        try:
            fields = json.loads(text)
            fields.pop("format")
            fields["labels"] = tuple(fields["labels"])
            fields["sampling"] = Sampling.from_dict(fields["sampling"])
            return cls(**fields)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"not a model card ({type(error).__name__}: {error})") from error


def card_path(model_path) -> pathlib.Path:
    """Where the card of a model file lies: the same name with .json."""
    path = pathlib.Path(model_path)
    return path / "model.json" if path.is_dir() else path.with_suffix(".json")


def read_card(model_path) -> ModelCard | None:
    """The card beside a model file or in its folder, or None where there is none."""
    path = card_path(model_path)
    if not path.exists():
        return None
    try:
        return ModelCard.from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def save_model(model, path, card: ModelCard) -> None:
    """Writes a Keras model as `path` (.keras) and its card beside it, each in one step."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=path.parent) as folder:
        aside = pathlib.Path(folder) / path.name
        model.save(aside)
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    write_atomically(path.with_suffix(".json"), card.to_json())
