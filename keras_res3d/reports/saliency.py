"""Grad-CAM over space and time, laid over a video's clips."""

from __future__ import annotations

import fractions
import os
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_res3d.data.evaluation import evaluation_clips
from keras_res3d.data.images import resize
from keras_res3d.data.open import open_video
from keras_res3d.inference.classifier import as_classifier, check_takes_videos
from keras_res3d.inference.grad_cam import grad_cam
from keras_res3d.io import atomic_path
from keras_res3d.reports.filters import save_gif
from keras_res3d.reports.overlay import overlay
from keras_res3d.reports.pages import shown_rate

# Pixels of the longer side that small clips are enlarged to.
SIDE = 224


@dataclass(frozen=True)
class Saliency:
    """Where a model looks in a video.

    Attributes:
        pixels: of the clips as the model sees them, uint8 RGB `(clips, frames, height, width, 3)`.
        heat: from 0 to 1, `(clips, frames, height, width)`.
        class_number: whose score the heat speaks for.
        class_name: its name.
        score: the mean of that class's score over the clips.
        fps: frames a second at which the clips run as the video does.
    """

    pixels: np.ndarray
    heat: np.ndarray
    class_number: int
    class_name: str
    score: float
    fps: float

    def frames(self) -> list[np.ndarray]:
        """The clips one after another, plain on the left and with the heat on the right: uint8 RGB."""
        both = np.concatenate([np.concatenate([clip, overlay(clip, heat)], axis=2)
                               for clip, heat in zip(self.pixels, self.heat, strict=True)])  # fmt: skip
        scale = max(1.0, SIDE / max(self.pixels.shape[2:4]))
        height, width = (2 * round(side * scale / 2) for side in both.shape[1:3])
        return [frame if (height, width) == frame.shape[:2] else resize(frame, (height, width)) for frame in both]

    def save(self, path) -> pathlib.Path:
        """Writes the animation, as GIF or MP4 by the suffix of the path.

        Raises:
            ValueError: another suffix.
        """
        path = pathlib.Path(path)
        if path.suffix.lower() == ".gif":
            return save_gif(self.frames(), path, max(20, round(1000 / self.fps)))
        if path.suffix.lower() == ".mp4":
            return save_mp4(self.frames(), path, self.fps)
        raise ValueError(f"{path} ends in {path.suffix!r}; expected .gif or .mp4")


def saliency(
    model, video, *, layer: str | None = None, class_name: str | int | None = None, clips: int = 1
) -> Saliency:
    """Where a model looks in a video, by Grad-CAM on any layer.

    Args:
        model: a path or name as of `load_model`, or what it returned.
        video: whatever `open_video` takes.
        layer: name of the layer; None is the last one that has frames, rows and columns.
        class_name: name or number of the class; None is the one with the highest mean score.
        clips: evenly spread ones; 1 is the middle of the video.

    Raises:
        VideoError: the video cannot be read.
        ValueError: the model is an export; there is no such layer or class.
    """
    classifier = as_classifier(model, None, None, None)
    check_takes_videos(classifier)
    sampling = classifier.card.sampling
    with open_video(video, fps=sampling.fps) as opened:
        pixels = np.stack(list(evaluation_clips(opened, sampling, clips)))
        fps = shown_rate(opened, sampling)
    scores = classifier(pixels).mean(axis=0)
    labels = classifier.card.labels or tuple(f"class {number}" for number in range(len(scores)))
    number = int(scores.argmax()) if class_name is None else _number(class_name, labels)
    heat = grad_cam(classifier, pixels, number, layer)
    return Saliency(pixels, heat, number, labels[number], float(scores[number]), fps)


def _number(name: str | int, labels: Sequence[str]) -> int:
    if name in labels:
        return labels.index(name)
    if str(name).isdigit() and int(name) < len(labels):
        return int(name)
    some = ", ".join(labels[:10]) + (", ..." if len(labels) > 10 else "")
    raise ValueError(f"the class is {name!r}; expected one of {some}, or its number")


def save_mp4(frames: Sequence[np.ndarray], path: str | os.PathLike, fps: float) -> pathlib.Path:
    """Writes uint8 RGB frames of one even size as an MP4 file, whole or not at all."""
    import av

    with atomic_path(path) as aside, av.open(str(aside), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=fractions.Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        container.mux(stream.encode(None))
    return pathlib.Path(path)
