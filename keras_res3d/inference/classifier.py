"""A trained net and its card, opened for use: clips of pixels in, scores out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

import keras
import numpy as np

from keras_res3d.applications import build_model
from keras_res3d.cards import ModelCard, card_of, card_path, check_card, classes_of, clip_shape_of, read_card
from keras_res3d.data.clips import Sampling, clips_at_once, for_crop
from keras_res3d.data.labels import LABEL_SETS, label_names
from keras_res3d.data.transform import preprocess_input
from keras_res3d.export.formats import load_runner
from keras_res3d.export.formats.base import Runner, check_batch, check_scores, first_line, run_by
from keras_res3d.inference.model_file import is_published, model_file
from keras_res3d.nets.architecture import check_input_shape
from keras_res3d.weights.catalog import find_name

Item = TypeVar("Item")


@dataclass(frozen=True)
class Classifier:
    """What scores clips, whatever it was loaded from.

    Attributes:
        predict: uint8 RGB clips `(batch, frames, height, width, 3)`, resized and cropped as the card's sampling says,
            to scores `(batch, classes)`: the model's own outputs, which are probabilities where it ends in a softmax.
            Clips of a size that the model does not take, and an empty batch, are a ValueError at every call, and so are
            scores that are NaN or infinite.
        card: class names and sampling.
        model: the Keras model, or None where it is an export.
        input_shape: `(frames, height, width, channels)` that it takes, None where a size is open.
        name: what messages call it: its file, or what a model without one is called.
    """

    predict: Callable[[np.ndarray], np.ndarray]
    card: ModelCard
    model: keras.Model | None = None
    input_shape: tuple[int | None, ...] = (None, None, None, 3)
    name: str = ""
    dtype: ClassVar[np.dtype] = np.dtype("uint8")  # of clips, as a runner tells its own

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        """The same as `predict`."""
        return self.predict(clips)

    def scores_of(self, clips: Iterable[np.ndarray], batch_size: int = 16) -> np.ndarray:
        """Scores `(clips, classes)` of uint8 clips as `evaluation_clips` gives them; a batch is held at a time.

        Of large clips a batch has fewer than `batch_size`, as of `clips_at_once`.
        """
        batch_size = clips_at_once(self.card.sampling, batch_size)
        found = [self.predict(np.stack(batch)) for batch in batched(clips, batch_size)]
        if not found:
            raise ValueError("there are no clips; expected one or more")
        return np.concatenate(found)


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yields `size` items at a time, and at last those that are left."""
    waiting: list[Item] = []
    for item in items:
        waiting.append(item)
        if len(waiting) == size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def load_model(path) -> Classifier:
    """Opens what can classify videos, whatever its format.

    Args:
        path: a folder of `keras-res3d train`; a `.keras` file, its card beside it (the same name with .json); an
            export; or the catalog name of published weights, e.g. "res3d18/sports1m".

    Returns:
        An object with `.predict(clips)` of uint8 pixels, `.card`, and `.model` where it is a Keras model.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: it is damaged, no model of clips, or its outputs do not fit the card's labels; names the file.
    """
    if is_published(path):
        return _published(str(path))
    file = model_file(path)
    if file.suffix != ".keras":
        return _exported(load_runner(file))
    model, card = read_keras(file)
    return _keras_classifier(model, card or _assumed_card(model, file), file)


# The name before `load_model`.
load_classifier = load_model


def read_keras(file) -> tuple[keras.Model, ModelCard | None]:
    """The Keras model of a `.keras` file, uncompiled, and the card beside it, None where there is none.

    Raises:
        ValueError: the file cannot be read, is no model of clips, or does not fit its card; names the file.
    """
    model = keras_model(file)
    return model, fitting_card(model, file)


def keras_model(file) -> keras.Model:
    """The Keras model of a `.keras` file, uncompiled. Raises ValueError, which names it, where it cannot be read."""
    try:
        return keras.models.load_model(file, compile=False)
    except Exception as error:  # damage shows as KeyError, TypeError and others, wherever Keras meets it
        raise ValueError(f"{file} cannot be read by Keras: it is damaged, or needs code that is not loaded "
                         f"({type(error).__name__}: {first_line(error)})") from error  # fmt: skip


def fitting_card(model: keras.Model, file) -> ModelCard | None:
    """The card beside the file that a Keras model was read from, None where there is none.

    Raises:
        ValueError: the model is no model of clips, or the card cannot be its card; names both.
    """
    card = read_card(file)
    try:
        clip_shape_of(model)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if card is not None:
        try:
            check_card(model, card)
        except ValueError as error:
            raise ValueError(f"{file} and its card {card_path(file).name} do not fit: {error}") from error
    return card


def as_classifier(
    model,
    labels: Iterable[str] | None = None,
    sampling: Sampling | None = None,
    card: ModelCard | None = None,
) -> Classifier:
    """What a caller names as a model, ready to score clips.

    Args:
        model: a path or name as of `load_model`; what `load_model` or `load_runner` returned; or a Keras model.
        labels: class names, in place of the card's. A Keras model that has neither gets numbered ones.
        sampling: how clips are taken and preprocessed, in place of the card's. A Keras model that has neither takes
            the paper's at its own clip size, with a warning.
        card: of a Keras model.

    Raises:
        TypeError: `model` is none of these.
        ValueError: as of `load_model`; labels or sampling do not fit the model.
    """
    if isinstance(model, (str, os.PathLike)):
        found = load_model(model)
    elif isinstance(model, Classifier):
        found = model
    elif isinstance(model, Runner):
        found = _exported(model)
    elif isinstance(model, keras.Model):
        own = card or _assumed_card(model, model.name, labels, sampling)
        check_card(model, replace(own, labels=tuple(labels or own.labels), sampling=sampling or own.sampling))
        found = _keras_classifier(model, own, model.name)
    else:
        raise TypeError(
            f"model is {type(model).__name__}; expected a path, what load_model returns, or a Keras model"
        )
    if sampling is not None:
        found = _with(found, sampling)
    if labels is not None:
        found = replace(found, card=replace(found.card, labels=tuple(labels)))
    return found


def with_sampling(classifier: Classifier, **changes) -> Classifier:
    """The classifier with parts of its sampling replaced, e.g. `stride=1`.

    Raises:
        ValueError: the model does not take such clips; the message has the size that it takes.
    """
    return _with(classifier, replace(classifier.card.sampling, **changes))


def _with(classifier: Classifier, sampling: Sampling) -> Classifier:
    size, wanted = classifier.input_shape[:3], (sampling.frames, *sampling.crop)
    if any(own not in (None, given) for own, given in zip(size, wanted, strict=True)):
        frames, height, width = ("any number" if n is None else n for n in size)
        raise ValueError(
            f"{classifier.card.net} takes clips of {frames} frames of {height} x {width} pixels alone; {wanted[0]} "
            f"frames of {wanted[1]} x {wanted[2]} were asked for"
        )
    if classifier.card.architecture is not None:  # too small a clip would leave its last layers nothing to read
        check_input_shape(classifier.card.architecture, (*wanted, classifier.input_shape[-1]))
    card, inside = replace(classifier.card, sampling=sampling), classifier.card.sampling.preprocessing
    if classifier.model is not None:
        return _keras_classifier(classifier.model, card, classifier.name)
    if sampling.preprocessing != inside:
        raise ValueError(
            f"preprocessing is {sampling.preprocessing!r}, and the export of {card.net} was made for {inside!r}; "
            "export the model again to change it"
        )
    return replace(classifier, card=card)


def check_takes_videos(classifier: Classifier) -> None:
    """Raises ValueError where the net does not take RGB clips, which is what videos give."""
    channels = classifier.input_shape[-1]
    if channels not in (None, 3):
        raise ValueError(
            f"{classifier.card.net} takes clips of {channels} channels, and videos give three (RGB); make its clips "
            "yourself and score them with Keras' own predict or evaluate"
        )


def _assumed_card(
    model: keras.Model, name, labels: Iterable[str] | None = None, sampling: Sampling | None = None
) -> ModelCard:
    """The card of a model without one, as its shapes tell it; a warning names what is guessed."""
    frames, height, width, _ = clip_shape_of(model)
    assumed = []
    if labels is None:
        classes = classes_of(model)
        sets = [name for name in LABEL_SETS if len(label_names(name)) == classes]
        labels = label_names(sets[0]) if sets else tuple(f"class {i}" for i in range(classes))
        assumed.append(f"{sets[0] if sets else 'numbered'} labels")
    if sampling is None:
        if None in (frames, height, width):
            raise ValueError(f"{name} has no card and takes clips of any size; pass sampling, or write it with "
                             "keras_res3d.save_model, which makes a card")  # fmt: skip
        sampling = for_crop(frames, 2, (height, width))
        assumed.append(str(sampling))
    if assumed:
        warnings.warn(f"{name} has no card; assumed {' and '.join(assumed)}", stacklevel=4)
    return card_of(model, labels, sampling)


def _published(name: str) -> Classifier:
    """Published weights by their catalog name, e.g. "res3d18/sports1m"."""
    entry = find_name(name)
    model = build_model(entry.net, weights=entry.tag, input_shape=(entry.frames, *entry.crop, 3))
    sampling = Sampling(**entry.sampling_fields())
    labels = label_names(entry.labels)
    return _keras_classifier(model, ModelCard(entry.net, labels, sampling, entry.licence, entry.trained_on), name)


def _keras_classifier(model: keras.Model, card: ModelCard, name) -> Classifier:
    mode, shape = card.sampling.preprocessing, clip_shape_of(model)

    def predict(clips: np.ndarray) -> np.ndarray:
        # Keras compares sizes at its first call alone.
        clips = check_batch(clips, shape, np.uint8, any_type=True)
        if card.architecture is not None and None in shape:
            check_input_shape(card.architecture, clips.shape[1:])
        clips = preprocess_input(clips, mode)
        with run_by("Keras", name):
            scores = keras.tree.flatten(model.predict_on_batch(clips))[0]
        return check_scores(scores, name)

    return Classifier(predict, card, model, shape, str(name))


def _exported(runner: Runner) -> Classifier:
    """An export with its card; one without preprocessing inside gets it here."""
    card = runner.card
    if card is None:
        raise ValueError(f"{runner.path} has no card that fits it, which says how clips are taken; export it again")
    inside, mode = runner.dtype == np.uint8, card.sampling.preprocessing

    def predict(clips: np.ndarray) -> np.ndarray:
        if not inside:
            clips = preprocess_input(check_batch(clips, runner.input_shape, np.uint8, any_type=True), mode)
        return check_scores(runner(clips), runner.path)

    return Classifier(predict, card, None, runner.input_shape, str(runner.path))
