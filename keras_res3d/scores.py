"""Classification as the paper scores it: clip@1, video@1 and video@5, a video's clips averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


def top_k(probabilities: np.ndarray, truth: np.ndarray, k: int) -> float:
    """Share of rows whose true class is among the k highest; of equal scores the lower class number wins."""
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float((ranked == truth[:, None]).any(axis=1).mean())


@dataclass(frozen=True)
class Scores:
    """Every clip's probabilities with its video, and what follows from them.

    Attributes:
        labels: class names.
        probabilities: of the clips, `(clips, classes)`: the model's own outputs.
        videos: number of each clip's video, `(clips,)`, from 0 without gaps.
        truth: class of each video, `(videos,)`.
        left_out: what is wrong with each video that could not be read and is not among these, by its number in the
            data set; the videos that were scored are numbered without them.
    """

    labels: tuple[str, ...]
    probabilities: np.ndarray
    videos: np.ndarray
    truth: np.ndarray
    left_out: dict[int, str] = field(default_factory=dict)

    @cached_property
    def video_probabilities(self) -> np.ndarray:
        """Mean over each video's clips, `(videos, classes)`."""
        sums = np.zeros((len(self.truth), len(self.labels)))
        np.add.at(sums, self.videos, self.probabilities)
        return sums / np.bincount(self.videos, minlength=len(self.truth))[:, None]

    @property
    def clip_at_1(self) -> float:
        """Top-1 accuracy of single clips, over all clips that were scored."""
        return top_k(self.probabilities, self.truth[self.videos], 1)

    @property
    def video_at_1(self) -> float:
        """Top-1 accuracy of videos, each by the mean of its clips."""
        return top_k(self.video_probabilities, self.truth, 1)

    @property
    def video_at_5(self) -> float:
        """Share of videos whose true class is among the five best."""
        return top_k(self.video_probabilities, self.truth, 5)

    @cached_property
    def confusion(self) -> np.ndarray:
        """Videos counted by true class (rows) and predicted class (columns)."""
        counts = np.zeros((len(self.labels), len(self.labels)), int)
        np.add.at(counts, (self.truth, top_1(self.video_probabilities)), 1)
        return counts

    def per_class(self) -> list[tuple[str, int, int, float]]:
        """For each class: name, videos, videos right, accuracy (nan where there is no video)."""
        totals, right = self.confusion.sum(axis=1), np.diag(self.confusion)
        return [
            (name, int(total), int(hits), hits / total if total else float("nan"))
            for name, total, hits in zip(self.labels, totals, right, strict=True)
        ]

    def summary(self) -> dict:
        """The three accuracies with the counts they rest on, ready for JSON; "left_out" counts unread videos."""
        return {
            "clip@1": self.clip_at_1,
            "video@1": self.video_at_1,
            "video@5": self.video_at_5,
            "clips": len(self.probabilities),
            "videos": len(self.truth),
            "left_out": len(self.left_out),
            "classes": len(self.labels),
            "chance": 1 / len(self.labels),
        }


def top_1(probabilities: np.ndarray) -> np.ndarray:
    """The most probable class of each row."""
    return np.argmax(probabilities, axis=1)


def score(
    classify: Callable, batches: Iterable, labels: tuple[str, ...], on_videos: Callable[[int], None] | None = None
) -> Scores:
    """Scores every batch of `data.batches.video_batches`.

    Args:
        classify: a function of clips `(batch, frames, height, width, 3)` that gives scores `(batch, classes)`. They are
            averaged over the clips of a video and compared, so both probabilities and logits will do.
        batches: clips, classes and video numbers, which may have gaps.
        labels: class names, in the order of the outputs.
        on_videos: called after each batch with the number of videos begun so far.

    Raises:
        ValueError: there is no batch at all, there are not as many scores as `labels`, or a score is not finite.
    """
    probabilities, videos, truth = [], [], {}
    for clips, classes, numbers in batches:
        part = np.asarray(classify(clips), "float32")
        if part.shape != (len(clips), len(labels)):
            raise ValueError(
                f"the model gives an output of shape {part.shape[1:]} for each clip; expected {len(labels)} scores, "
                "one for each class"
            )
        if not np.isfinite(part).all():
            raise ValueError(f"the model's output for video {int(numbers[0])} is not finite: weights are damaged")
        probabilities.append(part)
        videos.append(np.asarray(numbers))
        truth.update(zip(map(int, numbers), map(int, classes), strict=True))
        if on_videos:
            on_videos(len(truth))
    if not truth:
        raise ValueError("no clip to score: the data set is empty")
    # Videos that were left out have left gaps in the numbers.
    numbers, places = np.unique(np.concatenate(videos), return_inverse=True)
    classes_in_order = np.array([truth[number] for number in numbers.tolist()])
    return Scores(tuple(labels), np.concatenate(probabilities), places, classes_in_order)
