"""Finds actions in long videos: proposals, localization, window weights, suppression."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from keras_res3d.cards import ModelCard
from keras_res3d.data.crashes import reading
from keras_res3d.data.open import open_video
from keras_res3d.data.types import Example, VideoSource
from keras_res3d.export.formats import FORMATS
from keras_res3d.export.formats.base import fixed_batches
from keras_res3d.inference.classifier import Classifier, batched, check_takes_videos, load_model
from keras_res3d.tasks.detection.moments import Detections
from keras_res3d.tasks.detection.segment_data import Cutting, name_of
from keras_res3d.tasks.detection.suppression import check_threshold, suppress_groups
from keras_res3d.tasks.detection.window_clips import window_clips
from keras_res3d.tasks.detection.window_weights import WindowWeights
from keras_res3d.tasks.detection.windows import LENGTHS, OVERLAP, seconds_of
from keras_res3d.untrusted import check

PathLike = str | os.PathLike

# A window whose proposal score reaches this goes to the localization network, as in the released tests.
PROPOSAL_SCORE = 0.7
# Suppression of the released evaluation at an IoU of 0.5.
NMS = 0.4


@dataclass(frozen=True)
class Detector:
    """The two networks that find actions, and how windows are cut for them.

    Attributes:
        proposal: tells actions from background; scores `(windows, 2)`.
        localization: tells actions apart; background is its first class.
        cutting: of the windows.
    """

    proposal: Classifier
    localization: Classifier
    cutting: Cutting

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the actions."""
        return self.localization.card.labels[1:]


def load_detector(models: PathLike) -> Detector:
    """Opens the networks of a folder that holds `proposal` and `localization`, as `train_stage` writes them.

    Each is a folder of a run, or a `.keras` file or an export of that name. Windows are cut as for the training.

    Raises:
        FileNotFoundError: a network is not there.
        ValueError: the networks take different clips, or are not of these two kinds, or the card says wrongly how
            windows are cut; as of `load_model`.
    """
    folder = pathlib.Path(models)
    proposal, localization = (load_model(_file(folder, stage)) for stage in ("proposal", "localization"))
    for network in (proposal, localization):
        check_takes_videos(network)
    if proposal.card.sampling != localization.card.sampling:
        raise ValueError(f"the networks in {folder} take different clips: {proposal.card.sampling} and "
                         f"{localization.card.sampling}")  # fmt: skip
    if len(proposal.card.labels) != 2 or len(localization.card.labels) < 2:
        raise ValueError(f"the networks in {folder} have {len(proposal.card.labels)} and "
                         f"{len(localization.card.labels)} classes; expected 2, and background with the actions")
    try:
        return Detector(proposal, localization, _cutting(localization.card))
    except ValueError as error:
        raise ValueError(f"the card of the network localization in {folder} is damaged: {error}") from None


def _cutting(card: ModelCard) -> Cutting:
    """How windows were cut for the training; ValueError where the card does not say it rightly."""
    windows = card.training.get("windows", {})
    check(windows, {"lengths?": [int], "overlap?": float}, "windows")
    cutting = Cutting(tuple(windows.get("lengths", LENGTHS)), windows.get("overlap", OVERLAP), card.sampling.frames)
    cutting.windows(1)  # numbers out of range are told here, and not for every video
    return cutting


def _file(folder: pathlib.Path, stage: str) -> pathlib.Path:
    """The folder of a run, or the file or export of that name."""
    if (folder / stage).exists():
        return folder / stage
    # Beside them lie cards (.json) and OpenVINO's weights (.bin).
    ends = {".keras", *(row.suffix for row in FORMATS.values() if row.suffix)}
    found = sorted(path for path in folder.glob(f"{stage}.*") if path.suffix in ends)
    if not found:
        raise FileNotFoundError(f"{folder} has no network {stage}; expected a run of keras-res3d detect train in a "
                                f"folder {stage}, or {stage}.keras, or an export of that name")  # fmt: skip
    return found[0]


def detect_actions(
    detector: Detector,
    video: PathLike | VideoSource,
    name: str | None = None,
    *,
    proposal_score: float = PROPOSAL_SCORE,
    nms: float | None = NMS,
    window_weights: WindowWeights | None = None,
    batch_size: int = 16,
) -> Detections:
    """Finds the actions of a video. Memory does not grow with its length, but for a few numbers of each window.

    Args:
        detector: as of `load_detector`.
        video: a path, or an open video.
        name: of the video in the result; None is as of `name_of`, or "video".
        proposal_score: windows of at least this go to the localization network.
        nms: threshold of suppression within a class; None is none.
        window_weights: what scores are multiplied by, by class and length of window.
        batch_size: clips that are scored at a time.

    Returns:
        Detections in the order of descending scores. Times are in seconds from the first frame of the video.

    Raises:
        ValueError: as of `check_threshold` and `WindowWeights.of`.
        VideoError: the video cannot be read; names it.
    """
    if not isinstance(video, VideoSource):
        name = name or name_of(Example(os.fspath(video), 0))
        with reading(video), open_video(video) as opened:
            return detect_actions(detector, opened, name, proposal_score=proposal_score, nms=nms,
                                  window_weights=window_weights, batch_size=batch_size)  # fmt: skip
    _check(detector, nms, window_weights)
    windows = detector.cutting.windows(video.num_frames)
    rows, labels, scores = [], [], []
    for found, probabilities in _localized(detector, video, windows, proposal_score, batch_size):
        best = probabilities.argmax(axis=1)
        actions = best > 0
        rows += np.asarray(found)[actions].tolist()
        labels += (best[actions] - 1).tolist()
        scores += probabilities.max(axis=1)[actions].tolist()
    chosen = windows[np.array(rows, np.int64)]
    lengths, labels, scores = chosen[:, 1] - chosen[:, 0], np.array(labels, np.int64), np.array(scores, np.float64)
    if window_weights is not None and len(rows):
        # A video that is shorter than all windows is a window of its own length, and counts as the shortest.
        fitting = np.maximum(lengths, detector.cutting.lengths[0])
        scores = scores * window_weights.of(fitting, labels, detector.classes)
    name = name or "video"
    spans = seconds_of(chosen, video.seconds, 1 / video.frame_rate)
    kept = np.arange(len(rows)) if nms is None else suppress_groups(spans, scores, labels[:, None], nms)
    detections = Detections(name, detector.classes, (name,) * len(rows), labels, spans, scores, lengths)
    return detections.rows(kept[np.argsort(-scores[kept], kind="stable")])


def _check(detector: Detector, nms: float | None, weights: WindowWeights | None) -> None:
    """Raises ValueError, before a long video is read, where the settings do not fit the networks."""
    if nms is not None:
        check_threshold(nms)
    if weights is not None:
        lengths = np.array(detector.cutting.lengths)
        weights.of(lengths, np.zeros(len(lengths), np.int64), detector.classes)


def _localized(
    detector: Detector, video: VideoSource, windows: np.ndarray, proposal_score: float, batch_size: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """(rows of windows, scores of all classes) of the windows that the proposal network lets through, in batches."""
    clips = window_clips(video, windows, detector.proposal.card.sampling)
    for pairs in batched(_let_through(detector.proposal, clips, proposal_score, batch_size), batch_size):
        yield [row for row, _ in pairs], _scores(detector.localization, pairs, batch_size)


def _let_through(
    network: Classifier, clips: Iterable[tuple[int, np.ndarray]], least: float, batch_size: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The (row, clip) of windows whose proposal score is at least so high."""
    for pairs in batched(clips, batch_size):
        action = _scores(network, pairs, batch_size)[:, 1]
        yield from (pair for pair, score in zip(pairs, action.tolist(), strict=True) if score >= least)


def _scores(network: Classifier, pairs: list[tuple[int, np.ndarray]], size: int) -> np.ndarray:
    """Scores of up to `size` clips. Fewer are filled up, since Keras compiles anew for every size of a batch."""
    (clips,) = fixed_batches(np.stack([clip for _, clip in pairs]), size, rank4=False)
    return np.asarray(network.predict(clips), np.float64)[: len(pairs)]
