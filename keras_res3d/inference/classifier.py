"""A trained net and its card, opened for use: clips of pixels in, probabilities out."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import keras
import numpy as np

from keras_res3d.applications import build_model
from keras_res3d.cards import ModelCard, read_card
from keras_res3d.data.clips import Sampling, even_clips, for_crop, sliding_clips
from keras_res3d.data.labels import LABEL_SETS, label_names
from keras_res3d.data.sources.video_file import Video
from keras_res3d.data.transform import centre_crop, preprocess_input
from keras_res3d.export.formats import load_runner
from keras_res3d.weights.catalog import entries, find_name


@dataclass(frozen=True)
class Classifier:
    """What scores clips.

    Attributes:
        predict: uint8 RGB clips `(batch, frames, height, width, 3)` to probabilities `(batch, classes)`.
        card: class names and sampling.
    """

    predict: Callable[[np.ndarray], np.ndarray]
    card: ModelCard

    def scores_of(self, clips: Iterator[np.ndarray], batch_size: int = 16) -> np.ndarray:
        """Probabilities `(clips, classes)` of resized uint8 clips, cropped in the centre; a batch is held at a time."""
        crop, parts, waiting = self.card.sampling.crop, [], []
        for clip in clips:
            waiting.append(centre_crop(clip, crop))
            if len(waiting) == batch_size:
                parts.append(self.predict(np.stack(waiting)))
                waiting = []
        if waiting:
            parts.append(self.predict(np.stack(waiting)))
        return np.concatenate(parts)


@dataclass(frozen=True)
class VideoPrediction:
    """One video's scores.

    Attributes:
        path: of the video.
        seconds: centre of each clip, `(clips,)`.
        probabilities: of each clip, `(clips, classes)`.
    """

    path: str
    seconds: np.ndarray
    probabilities: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """The clips' average, `(classes,)`: the paper's score of a video."""
        return self.probabilities.mean(axis=0)


def _assumed_card(model: keras.Model, path) -> ModelCard:
    """For a model without a card: what its shapes tell, said aloud."""
    _, frames, height, width, _ = model.input_shape
    if None in (frames, height, width):
        raise ValueError(f"{path} has no card ({pathlib.Path(path).with_suffix('.json').name}) and an open input size")
    classes = model.output_shape[-1]
    sets = [name for name in LABEL_SETS if len(label_names(name)) == classes]
    labels = label_names(sets[0]) if sets else tuple(f"class {i}" for i in range(classes))
    sampling = for_crop(frames, 2, (height, width))
    warnings.warn(
        f"{path} has no card beside it; assumed {sets[0] if sets else 'numbered'} labels and {sampling}", stacklevel=3
    )
    return ModelCard(model.name, labels, sampling)


def _model_file(path) -> pathlib.Path:
    path = pathlib.Path(path)
    file = path / "model.keras" if path.is_dir() and not (path / "saved_model.pb").exists() else path
    if not file.exists():
        raise FileNotFoundError(
            f"{file} does not exist; expected a folder of keras-res3d train, a model file, an export, or the name of "
            "published weights (keras-res3d weights)"
        )
    return file


def _published(name: str) -> Classifier:
    """Published weights by their catalog name, e.g. "res3d18/sports1m"."""
    entry = find_name(name)
    model = build_model(entry.net, weights=entry.tag, input_shape=(entry.frames, *entry.crop, 3))
    sampling = Sampling(**entry.sampling_fields())
    labels = label_names(entry.labels)
    return _keras_classifier(model, ModelCard(entry.net, labels, sampling, entry.licence, entry.trained_on))


def _keras_classifier(model: keras.Model, card: ModelCard) -> Classifier:
    mode = card.sampling.preprocessing
    return Classifier(lambda clips: model.predict_on_batch(preprocess_input(clips, mode)), card)


def _exported(path: pathlib.Path) -> Classifier:
    """An export with its card; one without preprocessing inside gets it here."""
    runner = load_runner(path)
    if runner.card is None or not runner.card.labels:
        raise ValueError(f"{path} has no card with class names; export it from a trained model, whose card has them")
    if runner.dtype == np.uint8:
        return Classifier(runner, runner.card)
    mode = runner.card.sampling.preprocessing
    return Classifier(lambda clips: runner(preprocess_input(clips, mode)), runner.card)


def load_classifier(path) -> Classifier:
    """Opens what can classify videos, whatever its format.

    Args:
        path: a folder of `keras-res3d train`; a `.keras` file, its card beside it (the same name with .json); an
            export; or the catalog name of published weights, e.g. "res3d18/sports1m".

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: it cannot be read, or its outputs do not fit the card's labels.
    """
    if str(path) in {entry.name for entry in entries()} and not pathlib.Path(path).exists():
        return _published(str(path))
    file = _model_file(path)
    if file.suffix != ".keras":
        return _exported(file)
    model = keras.models.load_model(file, compile=False)
    card = read_card(file) or _assumed_card(model, file)
    if model.output_shape[-1] != len(card.labels):
        raise ValueError(f"{file} has {model.output_shape[-1]} outputs, its card names {len(card.labels)} classes")
    return _keras_classifier(model, card)


def with_sampling(classifier: Classifier, **changes) -> Classifier:
    """The classifier with parts of its sampling replaced, e.g. `stride=1`."""
    sampling: Sampling = replace(classifier.card.sampling, **changes)
    return replace(classifier, card=replace(classifier.card, sampling=sampling))


def predict_video(classifier: Classifier, path, clips: int = 10, step: int | None = None) -> VideoPrediction:
    """Scores one video.

    Args:
        classifier: from `load_classifier`.
        path: a video file.
        clips: evenly spread clips; short videos have fewer.
        step: with a number, a clip every `step` frames instead (for a timeline).

    Raises:
        VideoError: the file cannot be read; names it.
    """
    sampling = classifier.card.sampling
    with Video(path, size=sampling.resize, fps=sampling.fps) as video:
        if step is None:
            places = even_clips(video.num_frames, sampling.frames, sampling.stride, clips)
        else:
            places = sliding_clips(video.num_frames, sampling.frames, sampling.stride, step)
        seconds = np.array([video.seconds[place].mean() for place in places])
        return VideoPrediction(str(path), seconds, classifier.scores_of(video.clips(places)))
