"""Classification as the paper scores it: clip@1, video@1 and video@5, a video's clips averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from keras_res3d.measures import (
    LEVEL,
    ClassRates,
    Curves,
    bootstrap_auc,
    bootstrap_interval,
    class_rates,
    curves,
    groups_in,
    top_k_hits,
)

# Of so many classes or fewer the true one is always among the five best.
TOO_FEW_FOR_TOP_5 = 5


def top_k(probabilities: np.ndarray, truth: np.ndarray, k: int) -> float:
    """Share of rows whose true class is among the k highest; of equal scores the lower class number wins."""
    return float(top_k_hits(probabilities, truth, k).mean())


def top_1(probabilities: np.ndarray) -> np.ndarray:
    """The most probable class of each row."""
    return np.argmax(probabilities, axis=1)


class ClassScore(NamedTuple):
    """How a class was told from the others, by videos; NaN where there is nothing to divide by.

    Args:
        name: of the class.
        videos: how many are of it.
        right: how many of them are called by it.
        accuracy: right / videos, which is also the recall.
        predicted: how many videos, of any class, are called by it.
        precision: right / predicted.
        recall: right / videos.
        f1: 2 right / (videos + predicted).
    """

    name: str
    videos: int
    right: int
    accuracy: float
    predicted: int
    precision: float
    recall: float
    f1: float


class Mistake(NamedTuple):
    """A video that is called by another class than its own.

    Args:
        number: of the video in the data set, from 0.
        path: as the data set has it.
        true: name of its class.
        predicted: name of the class that it is called by.
        score: of the predicted class.
        true_score: of the true class.
    """

    number: int
    path: str
    true: str
    predicted: str
    score: float
    true_score: float


@dataclass(frozen=True)
class VideoScores:
    """Every clip's outputs with its video, and what holds however many labels a video has.

    The command, its files and the report take whatever has the attributes `labels`, `truth`, `left_out`, `measures`,
    `intervals` and `class_shares`, and the methods `class_table`, `video_columns` and `summary`.

    Attributes:
        labels: class names.
        probabilities: of the clips, `(clips, classes)`: the model's own outputs.
        videos: number of each clip's video, `(clips,)`, from 0 without gaps.
        truth: what is true of each video, `(videos, ...)`.
        left_out: what is wrong with each video that could not be read and is not among these, by its number in the
            data set; the videos that were scored are numbered without them.
        paths: of the videos that were scored; empty where they are not known.
        groups: what each of them belongs to, or None; empty where that is not known.
    """

    labels: tuple[str, ...]
    probabilities: np.ndarray
    videos: np.ndarray
    truth: np.ndarray
    left_out: dict[int, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    groups: tuple[str | None, ...] = ()

    @cached_property
    def numbers(self) -> np.ndarray:
        """The number in the data set of each video that was scored, `(videos,)`."""
        return np.setdiff1d(np.arange(len(self.truth) + len(self.left_out)), list(self.left_out))

    @cached_property
    def clips(self) -> np.ndarray:
        """How many clips of each video were scored, `(videos,)`."""
        return np.bincount(self.videos, minlength=len(self.truth))

    @cached_property
    def video_probabilities(self) -> np.ndarray:
        """Mean over each video's clips, `(videos, classes)`."""
        sums = np.zeros((len(self.truth), len(self.labels)))
        np.add.at(sums, self.videos, self.probabilities)
        return sums / self.clips[:, None]

    def path(self, place: int) -> str:
        """The path of a video that was scored, or "video 3" of the data set where paths are not known."""
        return self.paths[place] if self.paths else f"video {self.numbers[place]}"

    def _columns(self, true: Sequence[str], predicted: Sequence[str]) -> dict[str, Sequence]:
        """`video_columns`, of what is true of each video and what the model says, as text."""
        columns: dict[str, Sequence] = {"path": [self.path(place) for place in range(len(self.truth))]}
        if self.groups:
            columns["group"] = self.groups
        columns |= {"true": true, "predicted": predicted, "clips": self.clips}
        return columns | {f"score:{name}": self.video_probabilities[:, n] for n, name in enumerate(self.labels)}

    def _intervals_summary(self, **more: tuple[float, float] | None) -> dict:
        groups = groups_in(self.groups)
        # Where every video is a group of its own, groups are videos.
        drawn = {"over": "groups", "groups": groups} if 0 < groups < len(self.truth) else {"over": "videos"}
        found = {**self.intervals, **more}
        return {"level": LEVEL, **drawn, **{name: None if ends is None else list(ends) for name, ends in found.items()}}

    def _counts_summary(self) -> dict:
        return {
            "clips": len(self.probabilities),
            "videos": len(self.truth),
            "left_out": len(self.left_out),
            "classes": len(self.labels),
        }


@dataclass(frozen=True)
class Scores(VideoScores):
    """Scores of videos that have one class each.

    Attributes:
        truth: class of each video, `(videos,)`. The others are as of `VideoScores`.
    """

    @property
    def clip_at_1(self) -> float:
        """Top-1 accuracy of single clips, over all clips that were scored."""
        return float(self._clip_hits.mean())

    @cached_property
    def _clip_hits(self) -> np.ndarray:
        """Whether each clip's best class is its video's, bool `(clips,)`."""
        return top_k_hits(self.probabilities, self.truth[self.videos], 1)

    @cached_property
    def _predicted(self) -> np.ndarray:
        """The best class of each video, `(videos,)`."""
        return top_1(self.video_probabilities)

    @property
    def video_at_1(self) -> float:
        """Top-1 accuracy of videos, each by the mean of its clips."""
        return top_k(self.video_probabilities, self.truth, 1)

    @property
    def video_at_5(self) -> float:
        """Share of videos whose true class is among the five best; 1 where there are five classes or fewer."""
        return top_k(self.video_probabilities, self.truth, 5)

    @property
    def measures(self) -> dict[str, float]:
        """The accuracies that say something: clip@1, video@1, and video@5 where there are more than five classes."""
        found = {"clip@1": self.clip_at_1, "video@1": self.video_at_1}
        return found if len(self.labels) <= TOO_FEW_FOR_TOP_5 else {**found, "video@5": self.video_at_5}

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float] | None]:
        """The 95 % bootstrap interval of each of `measures`; None where there are fewer than two videos or groups.

        Groups are drawn in place of videos where the data set has groups.
        """
        rows = {"clip@1": (np.bincount(self.videos, self._clip_hits, len(self.truth)), self.clips)}
        for name, k in (("video@1", 1), ("video@5", 5)):
            rows[name] = top_k_hits(self.video_probabilities, self.truth, k), np.ones(len(self.truth))
        return {name: bootstrap_interval(*rows[name], self.groups) for name in self.measures}

    @cached_property
    def confusion(self) -> np.ndarray:
        """Videos counted by true class (rows) and predicted class (columns)."""
        counts = np.zeros((len(self.labels), len(self.labels)), int)
        np.add.at(counts, (self.truth, self._predicted), 1)
        return counts

    @cached_property
    def rates(self) -> ClassRates:
        """Precision, recall and F1 of each class, by videos."""
        return class_rates(self.confusion)

    def per_class(self) -> list[tuple[str, int, int, float]]:
        """For each class: name, videos, videos right, accuracy (nan where there is no video)."""
        return [row[:4] for row in self.class_scores()]

    def class_scores(self) -> list[ClassScore]:
        """For each class its accuracy, precision, recall and F1."""
        rates = self.rates
        counts = (rates.videos, np.diag(self.confusion), rates.recall, self.confusion.sum(axis=0))
        columns = [values.tolist() for values in (*counts, rates.precision, rates.recall, rates.f1)]
        return [ClassScore(*row) for row in zip(self.labels, *columns, strict=True)]

    @property
    def class_shares(self) -> list[float]:
        """What the classes are ordered by, the worst first: the accuracy of each, NaN where it has no video."""
        return [row.accuracy for row in self.class_scores()]

    def class_table(self) -> tuple[list[str], list[list]]:
        """Header and rows of a table of the classes: `class_scores`, counts as int and shares in 0..1 as float."""
        return ["class", *ClassScore._fields[1:]], [list(row) for row in self.class_scores()]

    def averages(self) -> dict[str, dict[str, float]]:
        """Precision, recall and F1 over the classes: "macro", each class alike, and "weighted" by videos.

        As in scikit-learn with zero_division=0: "macro" is over the classes that occur or are predicted.
        """
        return {"macro": self.rates.macro(), "weighted": self.rates.weighted()}

    def mistakes(self) -> list[Mistake]:
        """The misclassified videos, the worst first: those whose predicted class is furthest ahead of the true one."""
        predicted, places = self._predicted, np.arange(len(self.truth))
        score, true_score = (self.video_probabilities[places, classes] for classes in (predicted, self.truth))
        wrong = np.flatnonzero(predicted != self.truth)
        order = wrong[np.argsort(-(score - true_score)[wrong], kind="stable")]
        return [
            Mistake(int(self.numbers[n]), self.path(n), self.labels[self.truth[n]], self.labels[predicted[n]],
                    float(score[n]), float(true_score[n]))
            for n in order
        ]  # fmt: skip

    def video_columns(self) -> dict[str, Sequence]:
        """A table of the videos as columns of `(videos,)`: path, group where there are groups, true and predicted
        class, how many clips, and a column `score:CLASS` for each class with the mean over the clips."""
        return self._columns(*([self.labels[number] for number in row] for row in (self.truth, self._predicted)))

    def curves(self) -> dict[str, Curves]:
        """ROC and precision-recall with each class as the positive one, where there are two and both have videos.

        The score of a video is its mean probability of the class. Where the model gives no probabilities (its outputs
        do not add up to 1), it is the output of the class less that of the other.
        """
        if len(self.labels) != 2 or len(set(self.truth.tolist())) != 2:
            return {}
        values = self.video_probabilities
        if not np.allclose(values.sum(axis=1), 1, atol=1e-3):
            values = values - values[:, ::-1]
        return {name: curves(values[:, n], self.truth == n) for n, name in enumerate(self.labels)}

    @cached_property
    def auc_interval(self) -> tuple[float, float] | None:
        """The 95 % bootstrap interval of the area under the ROC curve; None where there is no curve."""
        if not self.curves():
            return None
        values = self.video_probabilities
        return bootstrap_auc(values[:, 1] - values[:, 0], self.truth == 1, self.groups)

    def summary(self) -> dict:
        """The accuracies with the counts they rest on, ready for JSON; "left_out" counts unread videos."""
        return {
            **self.measures,
            "intervals": self._intervals_summary(**({} if self.auc_interval is None else {"auc": self.auc_interval})),
            **self.averages(),
            **self._curves_summary(),
            **self._counts_summary(),
            "chance": 1 / len(self.labels),
        }

    def _curves_summary(self) -> dict:
        found = self.curves()
        if not found:
            return {}
        (one, *_) = found.values()  # the area is the same for either class
        return {"auc": one.auc, "average_precision": {name: each.average_precision for name, each in found.items()}}


class Gathered(NamedTuple):
    """What a model says of every clip of a data set.

    Args:
        probabilities: the model's outputs, `(clips, classes)`.
        videos: place of each clip's video among those that were scored, `(clips,)`, from 0 without gaps.
        truth: what the batches say of each video, `(videos, ...)`: the number of its class, for example.
        numbers: of each video in the data set, `(videos,)`, ascending.
    """

    probabilities: np.ndarray
    videos: np.ndarray
    truth: np.ndarray
    numbers: np.ndarray


def gather(
    classify: Callable, batches: Iterable, outputs: int, on_videos: Callable[[int], None] | None = None
) -> Gathered:
    """Scores every batch of `data.batches.video_batches`.

    Args:
        classify: a function of clips `(batch, frames, height, width, 3)` that gives scores `(batch, outputs)`.
        batches: clips, classes (a number or a row for each clip) and video numbers, which may have gaps.
        outputs: how many scores there should be for a clip.
        on_videos: called after each batch with the number of videos begun so far.

    Raises:
        ValueError: there is no batch at all, there are not `outputs` scores, or a score is not finite.
    """
    probabilities, videos, truth = [], [], {}
    for clips, classes, numbers in batches:
        part = np.asarray(classify(clips), "float32")
        if part.shape != (len(clips), outputs):
            raise ValueError(
                f"the model gives an output of shape {part.shape[1:]} for each clip; expected {outputs} scores, "
                "one for each class"
            )
        if not np.isfinite(part).all():
            raise ValueError(f"the model's output for video {int(numbers[0])} is not finite: weights are damaged")
        probabilities.append(part)
        videos.append(np.asarray(numbers))
        truth.update(zip(map(int, numbers), classes, strict=True))
        if on_videos:
            on_videos(len(truth))
    if not truth:
        raise ValueError("no clip to score: the data set is empty")
    # Videos that were left out have left gaps in the numbers.
    numbers, places = np.unique(np.concatenate(videos), return_inverse=True)
    in_order = np.array([truth[number] for number in numbers.tolist()])
    return Gathered(np.concatenate(probabilities), places, in_order, numbers)


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
    found = gather(classify, batches, len(labels), on_videos)
    return Scores(tuple(labels), found.probabilities, found.videos, found.truth)
