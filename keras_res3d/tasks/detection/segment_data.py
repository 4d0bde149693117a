"""Windows of long videos as a data set that anything of this package trains on: each window is a video of 16 frames."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from keras_res3d.data.faults import doubled
from keras_res3d.data.sources.base import Source
from keras_res3d.data.types import VIDEO_EXTENSIONS, DataError, DataSet, Example, VideoSource, one_line
from keras_res3d.tasks.detection.intervals import shared
from keras_res3d.tasks.detection.moments import ACTION_NAME, Annotations
from keras_res3d.tasks.detection.segment_labels import BACKGROUND, LEFT_OUT, LabelRule, label_segments
from keras_res3d.tasks.detection.windows import FRAMES, LENGTHS, OVERLAP, frames_of, seconds_of, sliding_windows

BACKGROUND_NAME = "background"


@dataclass(frozen=True)
class Cutting:
    """How windows are cut from a video.

    Attributes:
        lengths: frames of the windows, ascending.
        overlap: the part that a window shares with the next.
        frames: that each window is seen through.
        rule: which windows are of an action, and which of none.
    """

    lengths: tuple[int, ...] = LENGTHS
    overlap: float = OVERLAP
    frames: int = FRAMES
    rule: LabelRule = field(default_factory=LabelRule)

    def windows(self, num_frames: int) -> np.ndarray:
        """All windows of a video, as of `sliding_windows`."""
        return sliding_windows(num_frames, self.lengths, self.overlap)


class WindowVideo(Source):
    """A window of an open video as a video of its own: the frames that stand for it.

    Args:
        source: the whole video, which is closed with this one.
        numbers: of the frames, ascending; a number may repeat.
    """

    def __init__(self, source: VideoSource, numbers: Sequence[int], name: str):
        super().__init__(name)
        self._source, self._numbers = source, np.asarray(numbers, np.int64)
        self._number_frames(source.seconds[self._numbers], None)

    def _read(self, numbers: list[int]):
        return (pixels for _, pixels in self._source.frames(self._numbers[numbers]))

    def close(self) -> None:
        self._source.close()


class SegmentSet:
    """Labelled windows of long videos as a `types.DataSet`.

    Attributes:
        classes: background, and behind it the names of the actions, or the one class "action".
        examples: of each window a name, its label, the long video as `group`, and its `span` there.
        windows: int64 `(windows, 2)`, frames from the first to before the second, of the video of each example.
        ious: float32 `(windows,)`, with the instance that each shows; 0 for background.
    """

    def __init__(self, videos: DataSet, classes: Sequence[str], numbers: np.ndarray, windows: np.ndarray,
                 spans: np.ndarray, labels: np.ndarray, ious: np.ndarray, frames: int = FRAMES):  # fmt: skip
        self._videos, self._numbers, self._frames = videos, numbers, frames
        self.classes, self.windows, self.ious = tuple(classes), windows, np.asarray(ious, np.float32)
        self.name = f"{len(labels)} windows of {videos.name}"
        self.mirror_safe, self.reverse_safe = videos.mirror_safe, getattr(videos, "reverse_safe", True)
        paths = [str(videos.examples[number].path) for number in numbers.tolist()]
        self.examples = tuple(
            Example(f"{path} frames {first} to {end - 1}", label, group=path, span=tuple(span))
            for path, (first, end), span, label
            in zip(paths, windows.tolist(), spans.tolist(), labels.tolist(), strict=True)
        )

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.examples)

    def open(self, i: int, fps: float | None = None, strict: bool = False) -> WindowVideo:
        """Opens a window as `types.DataSet.open` does; frames are those of the video as it is stored.

        Raises:
            ValueError: a rate is asked for, at which the windows would lie elsewhere.
        """
        if fps is not None:
            raise ValueError(f"fps is {fps}; windows are counted in the frames as they are stored, so expected None")
        i = range(len(self))[i]
        video = self._videos.open(int(self._numbers[i]), strict=strict)
        return WindowVideo(video, frames_of(self.windows[i : i + 1], self._frames)[0], self.examples[i].path)


def name_of(example: Example) -> str:
    """The name of a video in annotations: its file's without the extension, or its path where that is no file name."""
    path = pathlib.PurePath(example.path)
    return path.stem if path.suffix.lower() in VIDEO_EXTENSIONS else str(example.path)


def segment_set(
    videos: DataSet,
    annotations: Annotations,
    *,
    binary: bool = False,
    background: float = 1.0,
    cutting: Cutting | None = None,
    seed: int = 0,
) -> SegmentSet:
    """The windows to train on: all that show an action well enough, and some of those that show none.

    Args:
        videos: long videos; those without an instance give background alone. Each is opened once, none is decoded.
        annotations: instances, by names as of `name_of`.
        binary: whether all actions are one class, as for proposals.
        background: how many windows of background there are for each window of an action where `binary` is set, else
            for each window of a class on average; fewer where there are fewer.
        cutting: of the windows; None is S-CNN's.
        seed: by which windows of background are chosen.

    Raises:
        DataError: annotated videos that are not among the videos, or videos of the same name.
        ValueError: no window shows an action.
        VideoError: a video cannot be opened.
    """
    cutting, names = cutting or Cutting(), [name_of(example) for example in videos.examples]
    missing = sorted(set(annotations.videos) - set(names))
    if missing:
        raise DataError(annotations.name, [f"missing video {name} in {videos.name}" for name in missing])
    if twice := sorted(doubled(names)):
        raise DataError(videos.name, [f"several videos are called {name}, as annotations know them" for name in twice])
    parts = [_labelled(videos, number, name, annotations, cutting) for number, name in enumerate(names)]
    numbers, windows, spans, labels, ious = (np.concatenate(column) for column in zip(*parts, strict=True))
    positive = np.flatnonzero(labels > BACKGROUND)
    if not len(positive):
        raise ValueError(f"no window of {videos.name} shows an action of {annotations.name}; expected shorter or "
                         f"longer windows than {list(cutting.lengths)} frames")  # fmt: skip
    quiet = np.flatnonzero(labels == BACKGROUND)
    wanted = round(background * len(positive) / (1 if binary else len(np.unique(labels[positive]))))
    chosen = np.random.default_rng(seed).permutation(quiet)[:wanted]
    rows = np.sort(np.concatenate([positive, chosen]))
    classes = (BACKGROUND_NAME, ACTION_NAME) if binary else (BACKGROUND_NAME, *annotations.classes)
    labels = np.minimum(labels, 1) if binary else labels
    return SegmentSet(videos, classes, numbers[rows], windows[rows], spans[rows], labels[rows], ious[rows],
                      cutting.frames)  # fmt: skip


def _labelled(videos: DataSet, number: int, name: str, annotations: Annotations, cutting: Cutting) -> tuple:
    """(number of the video, windows, spans in seconds, labels, IoUs) of the windows of one video that count."""
    with videos.open(number) as video:
        windows = cutting.windows(video.num_frames)
        seconds = seconds_of(windows, video.seconds, 1 / video.frame_rate)
    here = np.array([video == name for video in annotations.videos], bool)
    actions = here & (annotations.labels >= 0)
    found = label_segments(seconds, annotations.spans[actions], annotations.labels[actions] + 1, cutting.rule)
    labels = np.array(found.labels)
    unsure = annotations.spans[here & (annotations.labels < 0)]
    # What annotators could not tell is no background.
    labels[(labels == BACKGROUND) & (shared(seconds, unsure) > 0).any(axis=1)] = LEFT_OUT
    rows = np.flatnonzero(labels != LEFT_OUT)
    return np.full(len(rows), number), windows[rows], seconds[rows], labels[rows], found.ious[rows]
