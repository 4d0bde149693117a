"""What videos are called in a folder of features, wherever the videos lie; and videos without labels as a data set."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from keras_res3d.data.open import open_video, read_data_set
from keras_res3d.data.types import DataSet, Example, VideoSource
from keras_res3d.remote import StorePath, as_path, is_remote, size_of
from keras_res3d.tasks.feature_parts.base import VideoRow


@dataclass(frozen=True)
class _Unlabelled:
    """Videos without labels, as a `types.DataSet` whose labels are None."""

    examples: tuple[Example, ...]
    sources: tuple
    name: str = "videos"
    classes: tuple[str, ...] = ()
    mirror_safe: bool = True

    def __len__(self) -> int:
        return len(self.examples)

    def open(self, i: int, fps: float | None = None, strict: bool = False) -> VideoSource:
        return open_video(self.sources[i], fps=fps, strict=strict)

    def alone(self, i: int) -> DataSet:
        """The data set of one video, to be sent to another process."""
        return _Unlabelled(self.examples[i : i + 1], self.sources[i : i + 1], self.name)


def unlabelled_videos(videos: Iterable, name: str = "videos") -> DataSet:
    """A data set of videos that have no labels.

    Args:
        videos: whatever `open_video` takes, such as paths (`videos_in` finds those of a folder) and arrays of frames.
            What is no path is called by its place among them, from 0.
        name: of the data set, such as the folder.
    """
    sources = tuple(videos)
    paths = (os.fspath(source) if is_path(source) else str(number) for number, source in enumerate(sources))
    return _Unlabelled(tuple(Example(path, None) for path in paths), sources, name)


def data_set_of(data) -> DataSet:
    """What a caller gives as videos, as a data set.

    Args:
        data: a data set; the path of one (`read_data_set`); a list of videos without labels, each as of `open_video`;
            or an array of the frames of one video or of several, uint8 RGB `([videos,] frames, height, width, 3)`.

    Raises:
        TypeError: it is none of these.
        DataError: a data set has faults.
    """
    if is_path(data):
        return read_data_set(data)
    if isinstance(data, (list, tuple)):
        return unlabelled_videos(data)
    if hasattr(data, "__array__"):
        return unlabelled_videos(data if np.ndim(data) == 5 else [data])
    if not isinstance(data, DataSet):
        raise TypeError(f"data is {type(data).__name__}; expected a data set, the path of one, a list of videos, or an "
                        "array of frames")  # fmt: skip
    return data


def is_path(source: object) -> bool:
    """Whether a video or a data set is given by its path."""
    return isinstance(source, (str, os.PathLike))


def has_names(data_set: DataSet) -> bool:
    """Whether each video has a path by which a later run knows it again."""
    return not isinstance(data_set, _Unlabelled) or all(map(is_path, data_set.sources))


def video_id(path: str, root, first_frame: int | None = None) -> str:
    """What features call a video: its path below `root` where it lies there, with "/" between folders.

    Args:
        path: of the video.
        root: a folder that moves with its videos, or None.
        first_frame: of a video that is a part of a folder of frames; it is added to the path, as in `frames#17`.
    """
    if is_remote(path) or is_remote(root):
        path = path.removeprefix(f"{os.fspath(root)}/" if is_remote(root) else "")
    elif root is not None and os.path.isabs(path) == os.path.isabs(root):
        below = os.path.relpath(path, root)
        path = path if below.split(os.sep)[0] == os.pardir else below
    path = path.replace(os.sep, "/")
    return path if first_frame is None else f"{path}#{first_frame}"


def root_of(data) -> pathlib.Path | StorePath | None:
    """The folder that the paths of a list are relative to, as far as its name tells, or None.

    Args:
        data: a data set, or the path of one.
    """
    try:
        place = as_path(data if is_path(data) else getattr(data, "name", "") or "\0")
        return place if place.is_dir() else place.parent if place.is_file() else None
    except (ValueError, OSError):  # a name that is no path, or longer than one
        return None


def name_videos(data_set: DataSet, root=None) -> list[VideoRow]:
    """Every video of a data set with the id, label and group that its features get.

    Args:
        data_set: of the videos.
        root: as of `video_id`.

    Raises:
        ValueError: two videos have one id.
    """
    rows, seen = [], {}
    for number, example in enumerate(data_set.examples):
        id = video_id(example.path, root, getattr(example, "first_frame", None))
        if id in seen:
            raise ValueError(f"videos {seen[id]} and {number} of {data_set.name} are both {id}; list each video once")
        seen[id] = number
        label = None if example.label is None else str(data_set.classes[example.label])
        group = getattr(example, "group", None)
        size = size_of(example.path)
        rows.append(VideoRow(id, label, None if group is None else str(group), number, size, 0))
    return rows
