"""From a path to videos: the one place that decides what a path is, and the data set of video files."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from keras_res3d.data.layouts.reading import Reading
from keras_res3d.data.layouts.registry import LAYOUTS
from keras_res3d.data.layouts.tree import walk
from keras_res3d.data.listing import (
    Listing,
    class_notes,
    duplicates,
    examples_of,
    make_listing,
    short,
    video_of,
    without_missing,
)
from keras_res3d.data.sources import motion, textures
from keras_res3d.data.sources.array import ArrayVideo
from keras_res3d.data.sources.base import FRAME_RATE
from keras_res3d.data.sources.frame_folder import FrameFolder, frame_names
from keras_res3d.data.sources.packed import PackedDataSet
from keras_res3d.data.sources.shards import MANIFEST
from keras_res3d.data.types import (
    FRAME_EXTENSIONS,
    UNREAD_EXTENSIONS,
    VIDEO_EXTENSIONS,
    DataError,
    DataSet,
    Example,
    PathLike,
    VideoError,
    VideoSource,
    is_multi_label,
    labels_of,
    one_line,
)
from keras_res3d.remote import StorePath, as_path, is_remote

EXPECTED = "expected a folder of class folders, a CSV file, packed shards, or 'motion'"
# The embedded data sets, by name.
EMBEDDED = {"motion": motion.MotionDataSet, "textures": textures.TextureDataSet}


def kind_of(path: PathLike) -> str:
    """What a path is, judged by what lies there.

    Returns:
        "motion": an embedded data set, motion or textures. "packed": a folder of packed shards (it has a manifest, and
        no folders as a folder of classes has). "frames": a folder of JPEG or PNG frames, one video. "folders": any
        other folder, which must be one of class folders. "video": a file whose name ends as a video's. "csv": any
        other file.
        "nothing".
    """
    place = as_path(path)
    if place.is_dir():
        folders = any(child.is_dir() for child in place.iterdir() if child.name[0] != ".")
        if (place / MANIFEST).is_file() and not folders:
            return "packed"
        return "frames" if not folders and frame_names(place) else "folders"
    if place.is_file():
        return "video" if place.suffix.lower() in VIDEO_EXTENSIONS | UNREAD_EXTENSIONS else "csv"
    return "motion" if str(path).split("/")[0] in EMBEDDED and not place.exists() else "nothing"


def is_motion(path: PathLike) -> bool:
    """Whether a name means the embedded data set."""
    return kind_of(path) == "motion"


def embedded_test_split(path: PathLike) -> str | None:
    """The name of the embedded data set's test split, "motion/test" of "motion/train"; None of any other path."""
    return f"{str(path).partition('/')[0]}/test" if is_motion(path) else None


def is_packed(path: PathLike) -> bool:
    """Whether a path is a folder of packed shards."""
    return kind_of(path) == "packed"


def open_video(
    source: PathLike | bytes | BinaryIO | np.ndarray,
    first_frame: int | None = None,
    frames: int | None = None,
    fps: float | None = None,
    strict: bool = False,
    size: tuple[int, int] | None = None,
    *,
    stream: int | None = None,
    frame_rate: float | None = None,
) -> VideoSource:
    """Opens whatever can be a video.

    Args:
        source: the path of a video file, which may be an address in a store (s3://bucket/a.mp4), or of a folder of
            JPEG or PNG frames; a video file's bytes; a binary file object that can be sought in; or an array of frames,
            uint8 RGB `(frames, height, width, 3)`.
        first_frame: where the video begins in a folder of frames, counted from 1; None is its first frame.
        frames: how many frames of the folder count from there on; None is all.
        fps: None numbers the frames as stored; a rate numbers the ticks of that clock, by time stamps.
        strict: damage raises VideoError, in place of a warning and a frame that stands in.
        size: (height, width) in pixels that frames are resized to; None keeps the stored size.
        stream: number of the stream among the file's video streams, from 0; None is the best one, as FFmpeg chooses.
        frame_rate: frames a second of an array or of a folder, which cannot tell it; None is 25.

    Raises:
        VideoError: the video cannot be read; the message names it and says what to do.
        TypeError: `source` is none of these.
        StoreError: a store does not answer.
    """
    if is_remote(source):
        source = _from_store(as_path(source), first_frame, frames)
    named = isinstance(source, (str, os.PathLike))
    folder = named and (first_frame is not None or os.path.isdir(source))
    in_file = not folder and (named or isinstance(source, (bytes, bytearray, memoryview)) or hasattr(source, "read"))
    if stream is not None and not in_file:
        what = source if named else "an array"
        raise VideoError(f"{what}: has no streams to choose from; stream {stream} was asked for")
    if not folder and (first_frame, frames) != (None, None):
        what = source if named else type(source).__name__
        raise VideoError(f"{what}: is no folder of frames; first_frame and frames are for one alone")
    rate = FRAME_RATE if frame_rate is None else frame_rate
    if folder:
        return FrameFolder(source, size, fps=fps, strict=strict, first_frame=first_frame or 1, frames=frames,
                           frame_rate=rate)  # fmt: skip
    if not in_file:
        return _array(source, size, fps, strict, rate)
    if isinstance(source, io.TextIOBase):
        raise TypeError(f"{getattr(source, 'name', 'the file object')} is open as text; open it with mode 'rb'")
    from keras_res3d.data.sources.video_file import Video  # PyAV, which lists can do without

    source = bytes(source) if isinstance(source, (bytearray, memoryview)) else source
    return Video(source, size, fps=fps, strict=strict, stream=stream)


def _from_store(path: StorePath, first_frame: int | None, frames: int | None) -> BinaryIO:
    """A video file of a store as a file object."""
    if (first_frame, frames) != (None, None):
        raise VideoError(f"{path}: a folder of frames cannot be on {path.scheme}://: expected a local path")
    try:
        return path.open()
    except FileNotFoundError as error:
        raise VideoError(f"{error}; check the path, or the folder that the list's paths are relative to") from error


def _array(source, size: tuple[int, int] | None, fps: float | None, strict: bool, frame_rate: float) -> ArrayVideo:
    if not (isinstance(source, (list, tuple)) or hasattr(source, "__array__")):
        raise TypeError(f"a video is {type(source).__name__}; expected a path, a video file's bytes, a binary file "
                        "object, or an array of frames")  # fmt: skip
    return ArrayVideo(source, size, fps, strict, frame_rate)


def videos_in(path: PathLike) -> list[str]:
    """The videos that a path means, in the order of their names.

    Args:
        path: a video file or a folder of frames, which are one video; or a folder of videos, in it and below it.

    Returns:
        Paths; `path` itself unless it is a folder of videos. Hidden files and folders are left out.

    Raises:
        VideoError: a folder without a video.
    """
    if kind_of(path) not in ("folders", "packed"):
        return [os.fspath(path)]
    root = as_path(path)
    below = walk(root)
    # A link that leads nowhere is a video that cannot be read, and is said to be.
    found = [file for file in (*below.files, *below.dangling)
             if file.name[0] != "." and file.suffix.lower() in VIDEO_EXTENSIONS]  # fmt: skip
    pictures = {file.parent for file in below.files if file.suffix.lower() in FRAME_EXTENSIONS} - {root}
    found += [folder for folder in pictures if kind_of(folder) == "frames"]
    if not found:
        raise VideoError(f"{path}: is a folder without a video; expected video files in it or below it, or frames")
    if is_remote(path):
        return sorted(map(str, found))
    return sorted(os.path.join(path, file.relative_to(root)) for file in found)


@dataclass(frozen=True, repr=False)
class VideoFiles:
    """Labelled video files and folders of frames: a `types.DataSet`, whose attributes these are.

    Args:
        examples, classes, name, mirror_safe: as of `types.DataSet`.
        missing: paths of the list's videos that are not there, where `skip_missing` left them out.
    """

    examples: tuple[Example, ...]
    classes: tuple[str, ...]
    name: str
    mirror_safe: bool = True
    missing: tuple[str, ...] = ()

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.examples)

    def open(self, i: int, fps: float | None = None, strict: bool = False) -> VideoSource:
        """Opens a video; see `types.DataSet.open`."""
        example = self.examples[i]
        return open_video(example.path, example.first_frame, example.frames, fps, strict)

    def alone(self, i: int) -> VideoFiles:
        """The data set of one video, without the names of classes: to be sent to another process."""
        return VideoFiles(self.examples[i : i + 1], (), self.name, self.mirror_safe)


def data_set_of(listing: Listing, given: bool = False) -> VideoFiles:
    """The data set of a list of video files. Notes of the list, and of its classes, become warnings.

    Args:
        listing: of the files.
        given: whether its classes are the caller's own and not the list's.

    Raises:
        DataError: the list has faults.
    """
    data_set = VideoFiles(examples_of(listing), listing.classes, listing.name, missing=listing.missing)
    for note in [*listing.notes, *_notes_of(data_set, given)]:
        warnings.warn(f"{listing.name}: {note}", stacklevel=3)
    return data_set


def _notes_of(data_set: DataSet, given: bool) -> list[str]:
    """The notes of its classes, as of `class_notes`."""
    present = {data_set.classes[number] for example in data_set.examples for number in labels_of(example)}
    return class_notes(data_set.classes, present, given, is_multi_label(data_set))


def read_data_set(
    path: PathLike, classes: Sequence[str] | None = None, *, skip_missing: bool = False, multi_label: bool = False
) -> DataSet:
    """Reads and checks a data set; nothing is decoded.

    Args:
        path: local, or an address in a store (s3://bucket/train.csv). It is a folder of class folders (classes are the
            sorted folder names); a CSV file with the columns path and label, and group where videos belong together
            (paths absolute, addresses, or relative to its folder; labels by name); a folder of packed shards, such as
            `keras-res3d pack` writes; or "motion" (its training split), "motion/train", "motion/test": the embedded
            data set; "textures" is a second one. A video is a file, or a folder of JPEG or PNG frames.
        classes: names in the order of the labels, such as another split's `classes`; a label outside them is a fault.
            None takes the sorted names that occur.
        skip_missing: leave out files that are not there, with a warning that counts them. Classes stay those of the
            whole list. The data set's attribute `missing` has the paths.
        multi_label: the label column of a CSV file holds all labels of a video, `run|jump`; an empty cell is a video
            without a label. The examples then have `labels`. Shards that were packed of such a list need no word.

    Returns:
        A `keras_res3d.data.types.DataSet`.

    Raises:
        DataError: names all faults, with line numbers.

    Warns in one line each of what was left out, of classes that differ in case or white space alone, of a single class,
    and of classes in `classes` that have no video.
    """
    kind = kind_of(path)
    if kind == "motion":
        data_set = _motion(str(path), classes)
    elif kind == "packed":
        data_set = PackedDataSet(path, classes)
        for note in _notes_of(data_set, classes is not None):
            warnings.warn(f"{data_set.name}: {note}", stacklevel=2)
    else:
        listing = list_videos(path, classes, skip_missing=skip_missing, multi_label=multi_label)
        return data_set_of(listing, classes is not None)
    if multi_label and not is_multi_label(data_set):
        raise DataError(data_set.name, [one_label_only("motion" if kind == "motion" else "packed shards of this list")])
    return data_set


def one_label_only(what: str) -> str:
    """Why something is no multi-label list, for a DataError."""
    return f"{what} gives each video one label; multi_label is for CSV files, Sports-1M, and shards of such lists"


def list_videos(
    path: PathLike, classes: Sequence[str] | None = None, *, skip_missing: bool = False, group: str = "group",
    multi_label: bool = False,
) -> Listing:  # fmt: skip
    """The Listing of a folder of class folders or a CSV file, faults and all.

    Args:
        path, classes, skip_missing, multi_label: as of `read_data_set`.
        group: the column of a CSV file that says which videos belong together.

    Raises:
        DataError: there is neither.
    """
    kind, name, place = kind_of(path), str(path), as_path(path)
    if kind == "packed":
        raise DataError(name, ["is a folder of packed shards, which has no list of files; use read_data_set"])
    if kind in ("video", "frames"):
        raise DataError(name, [f"is a single video ({'file' if kind == 'video' else 'folder of frames'}), not a data "
                               f"set; {EXPECTED}"])  # fmt: skip
    if kind not in ("folders", "csv"):
        raise DataError(name, [f"no such file or folder; {EXPECTED}"])
    root = place if kind == "folders" else place.parent
    reading = Reading(
        place, root, classes=classes, skip_missing=skip_missing, group=group, multi_label=multi_label
    )  # fmt: skip
    return _listed(name, kind, reading)


def _listed(name: str, layout: str, reading: Reading) -> Listing:
    """What a reader finds, with a video that it names twice as a fault, and without missing ones that are skipped."""
    if reading.multi_label and not LAYOUTS[layout].multi_label:
        raise DataError(name, [one_label_only(f"the layout {layout}")])
    rows, found = LAYOUTS[layout].read(reading)
    missing = set(reading.missing)
    reading.faults += duplicates([row for row in rows if (row.where, str(row.path)) not in missing], video_of())
    listing = make_listing(name, rows, reading.faults, reading.classes, found, reading.notes)
    return without_missing(listing, reading.missing)


def _motion(name: str, classes: Sequence[str] | None) -> motion.MotionDataSet:
    family, _, split = name.partition("/")
    if name not in (family, f"{family}/train", f"{family}/test"):
        raise DataError(name, [f"no such split; expected {family}/train or {family}/test"])
    found = EMBEDDED[family](split or "train")
    if classes is not None and tuple(classes) != found.classes:
        raise DataError(name, [f"classes is {short(tuple(classes))}; {family} has {list(found.classes)}"])
    return found


def list_layout(
    layout: str,
    lists: PathLike,
    root: PathLike,
    split: int = 1,
    subset: str = "train",
    classes: Sequence[str] | None = None,
    check_files: bool = True,
    *,
    skip_missing: bool = False,
    group: str = "group",
    multi_label: bool = False,
) -> Listing:
    """The Listing of a public layout, faults and all; arguments as of `read_layout` and `list_videos`.

    Raises:
        ValueError: no such layout, subset or split.
        DataError: there are no lists.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; expected one of {sorted(LAYOUTS)}")
    row = LAYOUTS[layout]
    if subset not in row.subsets:
        raise ValueError(f"subset is {subset!r}; {layout} has {list(row.subsets)}")
    if isinstance(split, bool) or not isinstance(split, int) or split < 1:
        raise ValueError(f"split is {split!r}; expected 1 or more")
    name = f"{layout} {subset}{f' split {split}' if row.splits else ''} ({lists})"
    if not as_path(lists).exists():
        raise DataError(name, [f"no such file or folder {lists}; expected the lists as published"])
    if layout != "csv" and os.path.isfile(root):
        raise DataError(name, [f"{root} is a file; expected the folder of the videos, which the lists' paths begin in"])
    reading = Reading(
        as_path(lists), as_path(root), split, subset, check_files, classes, skip_missing, group, multi_label
    )  # fmt: skip
    return _listed(name, layout, reading)


def read_layout(
    layout: str,
    lists: PathLike,
    root: PathLike,
    split: int = 1,
    subset: str = "train",
    classes: Sequence[str] | None = None,
    check_files: bool = True,
    *,
    skip_missing: bool = False,
    multi_label: bool = False,
) -> DataSet:
    """Reads and checks a public data set by its own lists; nothing is decoded.

    Groups are UCF101's (CLASS/g01), HMDB51's source videos (CLASS/NAME) and Kinetics' ids.

    Args:
        layout: a name in `layouts.registry.LAYOUTS`. "ucf101": classInd.txt, trainlist01.txt, testlist01.txt.
            "hmdb51": CLASS_test_split1.txt. "kinetics": label,youtube_id,time_start,time_end,split. "sports1m": ADDRESS
            LABEL[,LABEL...]; of several labels the first counts, with a warning, or all with `multi_label`. "caffe":
            FOLDER FIRST_FRAME LABEL, folders of frames; a line is a clip of 16 frames. "folders": a train and a test
            folder of class folders. "csv": train.csv and test.csv with the columns path and label, and group where
            there are some.
        lists: the folder of the lists, or for "kinetics", "sports1m", "caffe" and "csv" the list itself.
        root: the folder that paths are relative to; Kinetics and Sports-1M files are found anywhere in it by their id.
        split: of UCF101, HMDB51 and Caffe lists, from 1.
        subset: "train" or "test"; Kinetics also has "validation", HMDB51 "unused".
        classes: names in the order of the labels; None takes the published order.
        check_files: False leaves out whether files are there.
        skip_missing: as of `read_data_set`.
        multi_label: of a "csv" or "sports1m" list, all labels of a video count; as of `read_data_set`.

    Raises:
        ValueError: no such layout, subset or split.
        DataError: names all faults, with file and line number.
    """
    listing = list_layout(
        layout, lists, root, split, subset, classes, check_files, skip_missing=skip_missing, multi_label=multi_label
    )  # fmt: skip
    return data_set_of(listing, classes is not None)
