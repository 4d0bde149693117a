"""Predictions from a stream of frames, such as a camera's: bounded memory, one smoothed prediction every n frames."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import MAX_HELD_PIXELS, Sampling
from keras_res3d.data.images import resize
from keras_res3d.data.open import open_video
from keras_res3d.data.transform import centre_crop, preprocess_input
from keras_res3d.export.formats.base import check_scores

if TYPE_CHECKING:
    # PyAV comes with it, which frames that are pushed do without.
    from keras_res3d.data.sources.camera import Camera


class StreamingPredictor:
    """Takes frames one by one (`push`), a whole video (`play`) or a camera (`watch`), and scores the latest clip every
    `every` frames.

    Args:
        predict: a function of a batch of one clip that gives scores `(1, classes)`: what `load_model` or `load_runner`
            returned, a Keras model, or any other.
        sampling: how clips are taken (frames, stride, resize, crop, preprocessing): a `Sampling`, a `ModelCard`, or
            None for the card of `predict`. `push` does not use its `fps`: push frames at the rate the net was trained
            on.
        every: frames from one prediction to the next, from 1.
        smoothing: weight of the past in the running mean of scores, from 0 (only the latest clip counts) to below 1.
        preprocessing: whether to preprocess here; None does so unless `predict` has the dtype uint8 (an export that
            preprocesses itself).

    Raises:
        ValueError: `every` is below 1, `smoothing` is outside 0..1, nothing says what the sampling is, or the frames
            from a clip's first to its last, which are all kept, have more than 2^28 pixels.
    """

    def __init__(
        self,
        predict: Callable,
        sampling: Sampling | ModelCard | None = None,
        every: int = 8,
        smoothing: float = 0.6,
        preprocessing: bool | None = None,
    ):
        if sampling is None:
            sampling = getattr(predict, "card", None)
        sampling = getattr(sampling, "sampling", sampling)
        if not isinstance(sampling, Sampling):
            raise ValueError("predict has no card; pass sampling, a Sampling or a ModelCard")
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"every is {every!r}; expected a number of frames from 1")
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing is {smoothing!r}; expected 0 (none) to below 1")
        if (pixels := sampling.span * math.prod(sampling.crop)) > MAX_HELD_PIXELS:
            raise ValueError(f"a clip spans {sampling.span:,} frames of a stream, {pixels:,} pixels that are kept; "
                             f"expected up to {MAX_HELD_PIXELS:,}: take a smaller stride")  # fmt: skip
        if preprocessing is None:
            preprocessing = getattr(predict, "dtype", None) != np.uint8
        self.sampling, self.every, self.smoothing = sampling, every, smoothing
        self._predict, self._preprocessing = predict, preprocessing
        self.reset()

    def reset(self) -> None:
        """Forgets all frames and scores, as at the start of another stream."""
        # A clip spans this many frames of the stream; older ones are never looked at again.
        self._frames: collections.deque = collections.deque(maxlen=self.sampling.span)
        self._count, self._scores = 0, None

    def push(self, frame, score: bool = True) -> np.ndarray | None:
        """Takes the next frame.

        Args:
            frame: uint8 RGB, `(height, width, 3)`, any size; resized and cropped as in evaluation.
            score: False takes the frame and scores no clip, for a caller that has fallen behind.

        Returns:
            Smoothed scores `(classes,)` at every `every`-th frame once a whole clip has been seen, otherwise None.

        Raises:
            ValueError: not a uint8 RGB frame, or the scores are NaN or infinite.
        """
        frame = np.asarray(frame)
        if frame.ndim != 3 or frame.shape[2] != 3 or not frame.size or frame.dtype != np.uint8:
            expected = "expected uint8 RGB of shape (height, width, 3)"
            raise ValueError(f"frame is {frame.dtype} of shape {frame.shape}; {expected}")
        self._frames.append(self._prepared(frame))
        self._count += 1
        # The first prediction comes with the first whole clip, the others at equal distances from it.
        since_first = self._count - self.sampling.span
        if since_first < 0 or since_first % self.every or not score:
            return None
        return self._smoothed(self._latest_scores())

    def play(
        self, source, *, stream: int | None = None, frame_rate: float | None = None
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Scores a whole video as a stream, from a fresh start and at the rate of the sampling.

        Args:
            source: whatever `open_video` takes: a path, a file's bytes, a binary file object, an array of frames.
            stream, frame_rate: as of `open_video`.

        Yields:
            The time of a clip's last frame in seconds, and smoothed scores `(classes,)`, at every `every`-th frame.

        Raises:
            VideoError: the video cannot be read; names it.
        """
        self.reset()
        with open_video(source, fps=self.sampling.fps, stream=stream, frame_rate=frame_rate) as video:
            for number, frame in video.frames(range(video.num_frames), size=self.sampling.resize):
                scores = self.push(frame)
                if scores is not None:
                    yield float(video.seconds[number]), scores

    def watch(self, camera: Camera, seconds: float | None = None) -> Iterator[tuple[float, np.ndarray]]:
        """Scores what a camera shows, from a fresh start.

        A clip never reaches over a break of the camera. Where scoring takes longer than the camera takes to show
        frames, clips are left out, and the scores stay those of now; all frames count all the same.

        Args:
            camera: an open `Camera`, with the `fps` and, to save memory, the `resize` of the sampling.
            seconds: when to stop, in seconds from the camera's first frame; None goes on until the camera ends.

        Yields:
            The time of a clip's last frame in seconds, and smoothed scores `(classes,)`.

        Raises:
            VideoError: the camera is lost; names it.
        """
        self.reset()
        breaks = camera.breaks
        for time, frame in camera:
            if seconds is not None and time > seconds:
                return
            if camera.breaks != breaks:
                self.reset()
                breaks = camera.breaks
            scores = self.push(frame, score=not camera.behind)
            if scores is not None:
                yield time, scores

    def _prepared(self, frame: np.ndarray) -> np.ndarray:
        if frame.shape[:2] != self.sampling.resize:
            # As video files are resized, so that a stream scores what its recording would.
            frame = resize(frame, self.sampling.resize)
        # A copy: a crop that is a view would keep its whole frame alive.
        return np.array(centre_crop(frame, self.sampling.crop))

    def _latest_scores(self) -> np.ndarray:
        clip = np.stack(list(self._frames)[:: self.sampling.stride])[None]
        if self._preprocessing:
            clip = preprocess_input(clip, self.sampling.preprocessing)
        name = getattr(self._predict, "path", getattr(self._predict, "name", "predict"))  # of a runner, of a model
        return check_scores(np.asarray(self._predict(clip), np.float32), name)[0]

    def _smoothed(self, scores: np.ndarray) -> np.ndarray:
        if self._scores is not None:
            scores = self.smoothing * self._scores + (1 - self.smoothing) * scores
        self._scores = scores
        return scores.copy()
