"""What videos are called in a folder of features, wherever the videos lie; and videos without labels as a data set."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from dataclasses import dataclass

from keras_res3d.data.open import open_video
from keras_res3d.data.types import DataSet, Example, VideoSource
from keras_res3d.tasks.feature_parts.base import VideoRow


@dataclass(frozen=True)
class _Unlabelled:
    """Videos without labels, as a `types.DataSet` whose labels are None."""

    examples: tuple[Example, ...]
    name: str = "videos"
    classes: tuple[str, ...] = ()
    mirror_safe: bool = True

    def __len__(self) -> int:
        return len(self.examples)

    def open(self, i: int, fps: float | None = None, strict: bool = False) -> VideoSource:
        return open_video(self.examples[i].path, fps=fps, strict=strict)


def unlabelled_videos(paths: Iterable[str | os.PathLike], name: str = "videos") -> DataSet:
    """A data set of videos that have no labels.

    Args:
        paths: of the videos; `videos_in` finds those of a folder.
        name: of the data set, such as the folder.
    """
    return _Unlabelled(tuple(Example(os.fspath(path), None) for path in paths), name)


def video_id(path: str, root, first_frame: int | None = None) -> str:
    """What features call a video: its path below `root` where it lies there, with "/" between folders.

    Args:
        path: of the video.
        root: a folder that moves with its videos, or None.
        first_frame: of a video that is a part of a folder of frames; it is added to the path, as in `frames#17`.
    """
    if root is not None and os.path.isabs(path) == os.path.isabs(root):
        below = os.path.relpath(path, root)
        path = path if below.split(os.sep)[0] == os.pardir else below
    path = path.replace(os.sep, "/")
    return path if first_frame is None else f"{path}#{first_frame}"


def root_of(data) -> pathlib.Path | None:
    """The folder that the paths of a list are relative to, as far as its name tells, or None.

    Args:
        data: a data set, or the path of one.
    """
    place = pathlib.Path(data if isinstance(data, (str, os.PathLike)) else getattr(data, "name", "") or "\0")
    try:
        return place if place.is_dir() else place.parent if place.is_file() else None
    except ValueError:  # a name that is no path
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
        size = os.path.getsize(example.path) if os.path.isfile(example.path) else None
        rows.append(VideoRow(id, label, None if group is None else str(group), number, size, 0))
    return rows
