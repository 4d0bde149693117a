"""One video's scores, clip by clip."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import Sampling, last_shown
from keras_res3d.data.crashes import reading
from keras_res3d.data.evaluation import clips_at, evaluation_places
from keras_res3d.data.labels import decode_predictions
from keras_res3d.data.open import open_video
from keras_res3d.data.types import VideoSource
from keras_res3d.inference.classifier import as_classifier, check_takes_videos
from keras_res3d.multi_label import THRESHOLD


@dataclass(frozen=True)
class VideoPrediction:
    """One video's scores.

    Attributes:
        path: of the video, or what it was: "the array of 16 frames".
        labels: class names.
        seconds: centre of each clip, `(clips,)`.
        probabilities: of each clip, `(clips, classes)`: the model's own outputs, whatever its last layer is.
        extents: of each clip, `(clips, 2)`: when its first frame is shown and when its last one has been shown, in
            seconds; None where it is not known.
        multi_label: whether each output is the probability of a label by itself, so that they need not sum to one.
    """

    path: str
    labels: tuple[str, ...]
    seconds: np.ndarray
    probabilities: np.ndarray
    extents: np.ndarray | None = None
    multi_label: bool = False

    @property
    def mean(self) -> np.ndarray:
        """The clips' average, `(classes,)`: the paper's score of a video."""
        return self.probabilities.mean(axis=0)

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The best classes of the whole video, best first: `(name, score)` each."""
        return [(name, score) for _, name, score in decode_predictions(self.mean[None], count, self.labels)[0]]

    def given(self, threshold: float = THRESHOLD) -> list[tuple[str, float]]:
        """The labels of a multi-label prediction: those whose score is above the threshold, best first.

        Raises:
            ValueError: the model gives each video one label; `top` has the best.
        """
        if not self.multi_label:
            raise ValueError("the model gives each video one label, and its scores have no threshold; take top(1)")
        return [(name, score) for name, score in self.top(len(self.labels)) if score > threshold]


def clip_extents(video: VideoSource, places: Sequence[np.ndarray]) -> np.ndarray:
    """When clips begin and end, `(clips, 2)` in seconds.

    Args:
        video: an open video.
        places: frame numbers of each clip, ascending. A frame is shown until the next one of the video; the last one
            for the median distance of frames.
    """
    times = np.asarray(video.seconds)
    ends = np.append(times[1:], times[-1] + last_shown(times, 1 / video.frame_rate))
    return np.array([(times[place[0]], ends[place[-1]]) for place in places])


def predict_video(
    model,
    path,
    clips: int = 10,
    step: int | None = None,
    *,
    labels: Iterable[str] | None = None,
    sampling: Sampling | None = None,
    card: ModelCard | None = None,
    batch_size: int = 16,
    stream: int | None = None,
    frame_rate: float | None = None,
) -> VideoPrediction:
    """Scores one video: `predict_video("runs/mine", "video.mp4").top(5)`.

    Args:
        model: a path or name as of `load_model`; what `load_model` returned, which saves loading it for every video; or
            a Keras model. Its outputs are taken as scores, whether they are probabilities (after a softmax) or logits.
        path: whatever `open_video` takes: the path of a video file or of a folder of frames, a file's bytes, a binary
            file object, or an array of frames, uint8 RGB `(frames, height, width, 3)`.
        clips: evenly spread clips; short videos have fewer.
        step: with a number, a clip every `step` frames instead (for a timeline).
        labels, sampling, card: class names and how clips are taken, in place of the model's own card. For a Keras
            model they are the only source.
        batch_size: clips that are scored at a time.
        stream, frame_rate: as of `open_video`.

    Raises:
        VideoError: the file cannot be read; names it.
        ValueError: as of `load_model`; labels or sampling that do not fit the model.
    """
    classifier = as_classifier(model, labels, sampling, card)
    check_takes_videos(classifier)
    sampling = classifier.card.sampling
    what = path if isinstance(path, (str, os.PathLike)) else type(path).__name__
    with reading(what), open_video(path, fps=sampling.fps, stream=stream, frame_rate=frame_rate) as video:
        named = str(path) if isinstance(path, (str, os.PathLike)) else str(getattr(video, "path", type(path).__name__))
        places = evaluation_places(video, sampling, clips, step)
        seconds = np.array([video.seconds[place].mean() for place in places])
        extents = clip_extents(video, places)
        scores = classifier.scores_of(clips_at(video, sampling, places), batch_size)
    names = classifier.card.labels or tuple(f"class {number}" for number in range(scores.shape[-1]))
    return VideoPrediction(named, names, seconds, scores, extents, classifier.card.multi_label)
