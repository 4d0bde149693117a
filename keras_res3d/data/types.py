"""What a video and a data set are to the rest of the package: two protocols, an example, and what reading raises."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from keras_res3d.data.faults import shown
from keras_res3d.tables import printable

PathLike = str | os.PathLike

VIDEO_EXTENSIONS = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".gif", ".m1v", ".m2ts", ".m2v", ".m4v", ".mk3d", ".mkv",
    ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".ogm", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv",
})  # fmt: skip
# Files that are videos, as their names say, of kinds that are not read. A folder of videos names how many it has.
UNREAD_EXTENSIONS = frozenset({
    ".264", ".265", ".amv", ".apng", ".av1", ".avs", ".bik", ".braw", ".cine", ".dav", ".dv", ".dvr-ms", ".evo",
    ".fli", ".flc", ".gxf", ".h264", ".h265", ".hevc", ".insv", ".ivf", ".mjpeg", ".mjpg", ".mng", ".mod", ".mve",
    ".mxf", ".nsv", ".nut", ".obu", ".ogx", ".pva", ".r3d", ".rec", ".rm", ".rmvb", ".roq", ".smk", ".swf", ".tod",
    ".trp", ".vro", ".webp", ".wtv", ".y4m", ".yuv",
})  # fmt: skip
# A folder that holds such files is a video, one frame each.
FRAME_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png"})


class VideoError(ValueError):
    """A video that cannot be read; the message names the file and says what to do.

    What a file's name holds that is not printable is written as an escape; else TensorFlow would lose the message.
    """

    def __init__(self, message: str = ""):
        super().__init__(printable(message))


class DataError(ValueError):
    """A data set with faults; the message lists them, each with its line where there is one, 20 of a kind at most.

    Args:
        name: what was read.
        faults: a sentence for each fault; all of them are kept as a tuple in the attribute `faults`.
    """

    def __init__(self, name: str, faults: Iterable[str]):
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n  ".join([f"{printable(name)}: {count}", *map(printable, shown(self.faults))]))


class Example(NamedTuple):
    """One labelled video of a data set.

    Args:
        path: the file, the folder of frames, or a name that only the data set itself can open.
        label: index into the data set's `classes`; None where the video has no label, or several.
        group: what must not be split over training and test (UCF101's groups, HMDB51's source videos), or None.
        first_frame: where the video begins in a folder of frames, from 1; None is its first frame.
        frames: how many frames of the folder count from there on; None is all of them.
        digest: SHA-256 of the content where it is known without reading the video (packed shards), or None.
        labels: in a multi-label data set the indices of all labels of the video, which may be none at all; elsewhere
            None.
        span: of a part of a longer video, when it begins and ends there, in seconds from that one's first frame;
            elsewhere None.
    """

    path: str
    label: int | None
    group: str | None = None
    first_frame: int | None = None
    frames: int | None = None
    digest: str | None = None
    labels: tuple[int, ...] | None = None
    span: tuple[float, float] | None = None


def labels_of(item) -> tuple:
    """All labels of an example, or of a row of a list: its one label, or as many as it has in a multi-label list."""
    several = getattr(item, "labels", None)
    return (item.label,) if several is None else tuple(several)


def is_multi_label(data_set: DataSet) -> bool:
    """Whether the videos of a data set may have several labels each, or none: its examples have `labels`."""
    return len(data_set.examples) > 0 and getattr(data_set.examples[0], "labels", None) is not None


@runtime_checkable
class VideoSource(Protocol):
    """An open video whose frames are numbered from 0; `keras_res3d.Video` is one. A context manager.

    Attributes:
        num_frames: number of frames.
        seconds: when each frame is shown, float64 `(num_frames,)`, ascending.
        frame_rate: frames a second, on average.
        faults: damaged frames met so far, each stood in for by a frame beside it.
    """

    num_frames: int
    seconds: np.ndarray
    frame_rate: float
    faults: int

    def frames(self, indices: Iterable[int], size: tuple[int, int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (index, frame) for each index.

        Args:
            indices: frame numbers from 0 to `num_frames - 1` in ascending order; a number may repeat.
            size: (height, width) in pixels that frames are resized to; None keeps the stored size.

        Yields:
            The number, and uint8 RGB `(height, width, 3)`.

        Raises:
            ValueError: indices out of range or order.
            VideoError: nothing can be decoded; with `strict`, any damage.
        """
        ...

    def frames_at(self, seconds: Iterable[float], size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """Yields the frame that is shown at each time: the last one whose time is at or before it.

        Args:
            seconds: times in the video's own clock, that of the attribute `seconds`, in ascending order; a time may
                repeat. They reach from the first frame's time to the end of the last one, which is shown for the
                median distance of frames. A frame counts as shown a millisecond early, since containers round times.
            size: as in `frames`.

        Yields:
            uint8 RGB `(height, width, 3)`.

        Raises:
            ValueError: times out of range, which the message names, or out of order.
            VideoError: as in `frames`.
        """
        ...

    def clips(self, clips: Iterable[Sequence[int]], size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """Yields each clip in the order given, as soon as its last frame is read.

        Args:
            clips: an array of frame numbers for each clip, such as `clips.even_clips` gives.
            size: as in `frames`.

        Yields:
            uint8 RGB `(frames, height, width, 3)`.

        Raises:
            ValueError: numbers out of range.
            VideoError: as in `frames`.
        """
        ...

    def close(self) -> None:
        """Lets go of the file."""
        ...

    def __enter__(self) -> VideoSource: ...

    def __exit__(self, *error: object) -> None: ...


@runtime_checkable
class DataSet(Protocol):
    """Labelled videos. Whatever has these attributes can be trained on and scored; `read_data_set` gives one.

    Attributes:
        examples: an `Example` (or what has its `path` and `label`) for each video. Where all of them have `labels`,
            the data set is a multi-label one.
        classes: names in the order of the labels.
        name: what the data set was read from, for messages and records.
        mirror_safe: False if a mirrored video may belong to another class.

    A data set may have more. `reverse_safe` is False if a video played backwards may belong to another class. `missing`
    has the paths of videos that are not there and were left out. `alone(i)` gives a data set of one of the videos, to
    be sent to another host in place of the whole.
    """

    examples: Sequence[Example]
    classes: Sequence[str]
    name: str
    mirror_safe: bool

    def __len__(self) -> int: ...

    def open(self, i: int, fps: float | None = None, strict: bool = False) -> VideoSource:
        """Opens a video.

        Args:
            i: number of the example, from 0.
            fps: None numbers the frames as stored; a rate numbers the ticks of that clock, by time stamps.
            strict: damage raises VideoError, in place of a warning and a frame that stands in.

        Raises:
            VideoError: the video cannot be read; the message names the file.
        """
        ...


def one_line(data_set: DataSet) -> str:
    """A data set for a prompt or a log: `<VideoFiles: 120 videos of 2 classes from train.csv>`."""
    videos, classes = len(data_set), len(data_set.classes)
    counts = f"{videos} video{'' if videos == 1 else 's'} of {classes} class{'' if classes == 1 else 'es'}"
    return f"<{type(data_set).__name__}: {counts} from {printable(data_set.name)}>"
