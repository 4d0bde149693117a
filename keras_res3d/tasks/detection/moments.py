"""What happens when in which video: the annotated instances of actions, and detections. NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from keras_res3d.tasks.detection.intervals import as_spans

# The label of a moment of which annotators could not say whether it shows an action.
AMBIGUOUS, AMBIGUOUS_NAME = -1, "Ambiguous"
# The one class of proposals, whose classes are not known.
ACTION_NAME = "action"
# Seconds by which a time may lie beyond its video: public lists give times to a tenth of a second.
SLACK = 0.1


@dataclass(frozen=True)
class Annotations:
    """The instances of actions in videos.

    Attributes:
        name: what was read, for messages.
        classes: names in the order of the labels.
        videos: name of each instance's video.
        labels: int64 `(n,)`, number of each one's class from 0; -1 is ambiguous.
        spans: float64 `(n, 2)`, begin and end in seconds.
        durations: seconds of the videos whose length is known.
    """

    name: str
    classes: tuple[str, ...]
    videos: tuple[str, ...]
    labels: np.ndarray
    spans: np.ndarray
    durations: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_rows(self)

    def __len__(self) -> int:
        return len(self.videos)

    def spans_of(self, video: str) -> dict[str, list[tuple[float, float]]]:
        """(begin, end) of the instances in a video, by the names of their classes; ambiguous moments are left out."""
        found: dict[str, list[tuple[float, float]]] = {}
        for row, name in enumerate(self.videos):
            if name == video and self.labels[row] != AMBIGUOUS:
                found.setdefault(self.classes[self.labels[row]], []).append(tuple(self.spans[row].tolist()))
        return found

    def without(self, blocked: Iterable[str]) -> Annotations:
        """The instances of all videos but the blocked ones."""
        blocked = set(blocked)
        stays = np.array([video not in blocked for video in self.videos], bool)
        left = {video: seconds for video, seconds in self.durations.items() if video not in blocked}
        videos = tuple(video for video in self.videos if video not in blocked)
        return replace(self, videos=videos, labels=self.labels[stays], spans=self.spans[stays], durations=left)


@dataclass(frozen=True)
class Detections:
    """Moments in which a model sees an action.

    Attributes:
        name: what was read, for messages.
        classes: names in the order of the labels.
        videos: name of each detection's video.
        labels: int64 `(n,)`, number of each one's class from 0.
        spans: float64 `(n, 2)`, begin and end in seconds.
        scores: float64 `(n,)`, higher is surer.
        windows: int64 `(n,)`, frames of the window that each comes from; None where that is not known.
        raw: whether the rows are windows as a model scored them, before any suppression.
    """

    name: str
    classes: tuple[str, ...]
    videos: tuple[str, ...]
    labels: np.ndarray
    spans: np.ndarray
    scores: np.ndarray
    windows: np.ndarray | None = None
    raw: bool = False

    def __post_init__(self) -> None:
        _check_rows(self)

    def __len__(self) -> int:
        return len(self.videos)

    def rows(self, rows: np.ndarray) -> Detections:
        """The detections of these rows, in this order."""
        windows = None if self.windows is None else self.windows[rows]
        videos = tuple(self.videos[row] for row in rows)
        return replace(self, videos=videos, labels=self.labels[rows], spans=self.spans[rows], scores=self.scores[rows],
                       windows=windows)  # fmt: skip

    def without(self, blocked: Iterable[str]) -> Detections:
        """The detections of all videos but the blocked ones."""
        blocked = set(blocked)
        return self.rows(np.array([row for row, video in enumerate(self.videos) if video not in blocked], np.int64))


def joined(parts: Sequence[Detections]) -> Detections:
    """The detections of several videos as one, in their order.

    Args:
        parts: one or more, of the same classes, all with windows or all without.
    """
    windows = [part.windows for part in parts]
    return replace(
        parts[0], videos=tuple(video for part in parts for video in part.videos),
        labels=np.concatenate([part.labels for part in parts]), spans=np.concatenate([part.spans for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        windows=None if windows[0] is None else np.concatenate(windows),
    )  # fmt: skip


def _check_rows(moments: Annotations | Detections) -> None:
    """Makes arrays of the columns; raises ValueError where their lengths differ or a label is out of range."""
    columns = {"labels": np.int64, "scores": np.float64, "windows": np.int64}
    for column, kind in columns.items():
        if getattr(moments, column, None) is not None:
            object.__setattr__(moments, column, np.asarray(getattr(moments, column), kind).reshape(-1))
    object.__setattr__(moments, "spans", as_spans(moments.spans))
    count = len(moments.videos)
    for column in ("spans", *columns):
        values = getattr(moments, column, None)
        if values is not None and len(values) != count:
            raise ValueError(f"{moments.name} has {count} videos and {len(values)} {column}; expected one for each row")
    least = AMBIGUOUS if isinstance(moments, Annotations) else 0
    if count and not least <= moments.labels.min() <= moments.labels.max() < len(moments.classes):
        raise ValueError(f"{moments.name} has labels from {moments.labels.min()} to {moments.labels.max()}; expected "
                         f"{least} to {len(moments.classes) - 1}")  # fmt: skip
    scores = getattr(moments, "scores", None)
    if scores is not None and not np.isfinite(scores).all():
        raise ValueError(f"{moments.name} has a score that is not finite")


def time_fault(begin: float, end: float, duration: float | None = None) -> str | None:
    """What is wrong with a stretch of seconds, or None.

    Args:
        begin, end: of the stretch.
        duration: of its video where it is known.
    """
    if not (math.isfinite(begin) and math.isfinite(end)):
        return f"time that is not finite: {begin:g} to {end:g}"
    if begin < 0:
        return f"negative time: {begin:g} to {end:g} seconds"
    if end <= begin:
        return f"reversed times: {begin:g} to {end:g} seconds; expected an end after the begin"
    if duration is not None and end > duration + SLACK:
        return f"time beyond the video: {begin:g} to {end:g} seconds, and the video has {duration:g}"
    return None
