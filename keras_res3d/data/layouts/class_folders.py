"""A folder with one folder of videos for each class; with subsets, `train` and `test` folders of that kind.

A video is a file with a video's suffix, at any depth, or a folder of JPEG or PNG frames below its class folder. Links
to files and folders are followed. Faults are links that lead nowhere or in a circle, a folder that is reached twice,
and a video that is reached twice. What is left out is counted in a note: files whose suffix is that of a video that is
not read, files whose name begins with a dot, pictures beside video files (which are taken for thumbnails), and videos
beside the class folders.
"""

from __future__ import annotations

import collections
import os
import pathlib

from keras_res3d.data.layouts.reading import Layout, Reading
from keras_res3d.data.layouts.tree import walk
from keras_res3d.data.listing import Row
from keras_res3d.data.types import FRAME_EXTENSIONS, UNREAD_EXTENSIONS, VIDEO_EXTENSIONS

# A link that leads nowhere may have been to one of these, or, without a suffix, to a folder of frames.
_LINKED = VIDEO_EXTENSIONS | FRAME_EXTENSIONS | UNREAD_EXTENSIONS | {""}


def _read(reading: Reading) -> tuple[list[Row], tuple[str, ...]]:
    folder = reading.lists / reading.subset
    if not folder.is_dir():
        reading.faults.append(f"no folder {folder}; expected a folder of class folders")
        return [], ()
    rows, left, seen, classes = [], collections.Counter(), {}, 0
    for child in sorted(child for child in folder.iterdir() if child.name[0] != "."):
        if child.is_dir():
            classes += 1
            rows += _class(reading, child, seen, left)
        elif child.suffix.lower() in VIDEO_EXTENSIONS | UNREAD_EXTENSIONS:
            left["beside the class folders"] += 1
        elif child.is_symlink() and not child.exists():
            reading.faults.append(f"{child} is a link to {os.readlink(child)}, which is not there")
    if not classes:
        reading.faults.append("no class folder; expected one folder of videos for each class")
    if left:
        counts = ", ".join(f"{count} {what}" for what, count in sorted(left.items()))
        reading.notes.append(f"files are left out: {counts}")
    return rows, ()


def _class(reading: Reading, folder: pathlib.Path, seen: dict, left: collections.Counter) -> list[Row]:
    """The rows of one class folder; faults go to the reading, what is left out is counted in `left`."""
    found = walk(folder, seen)
    reading.faults += found.faults
    videos, frames = set(), collections.Counter()
    for file in found.files:
        suffix = file.suffix.lower()
        if suffix in VIDEO_EXTENSIONS and file.name[0] != ".":
            videos.add(file)
        elif suffix in FRAME_EXTENSIONS and file.parent != folder and file.name[0] != ".":
            frames[file.parent] += 1
        elif suffix in VIDEO_EXTENSIONS | UNREAD_EXTENSIONS:
            left["with a dot in front" if file.name[0] == "." else suffix] += 1
    for parent in {video.parent for video in videos} & frames.keys():
        left["pictures beside videos"] += frames.pop(parent)
    gone = [link for link in found.dangling if link.suffix.lower() in _LINKED and link.name[0] != "."]
    for link in gone:
        reading.lack("", link, f"{link} is a link to {os.readlink(link)}, which is not there")
    videos = sorted([*videos, *frames, *gone])
    if not videos and not found.faults:
        reading.faults.append(f"class folder {folder.name!r} holds no video; fill it or remove it")
    return [Row("", video, folder.name) for video in videos]


LAYOUT = Layout(_read)
