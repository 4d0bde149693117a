"""A folder with one folder of videos for each class; with subsets, `train` and `test` folders of that kind."""

from __future__ import annotations

import pathlib

from keras_res3d.data.layouts.reading import Layout, Reading
from keras_res3d.data.listing import Row
from keras_res3d.data.types import FRAME_EXTENSIONS, VIDEO_EXTENSIONS


def _read(reading: Reading) -> tuple[list[Row], tuple[str, ...]]:
    folder = reading.lists / reading.subset
    if not folder.is_dir():
        reading.faults.append(f"no folder {folder}; expected a folder of class folders")
        return [], ()
    rows, classes = [], sorted(child for child in folder.iterdir() if child.is_dir() and child.name[0] != ".")
    for each in classes:
        videos = _videos(each)
        if not videos:
            reading.faults.append(f"class folder {each.name!r} holds no video; fill it or remove it")
        rows += [Row("", video, each.name) for video in sorted(videos)]
    if not classes:
        reading.faults.append("no class folder; expected one folder of videos for each class")
    return rows, ()


def _videos(folder: pathlib.Path) -> set[pathlib.Path]:
    """The video files below a folder, and the folders of frames below it."""
    videos = set()
    for file in folder.rglob("*"):
        suffix = file.suffix.lower()
        if suffix in VIDEO_EXTENSIONS and file.is_file():
            videos.add(file)
        elif suffix in FRAME_EXTENSIONS and file.parent != folder:
            videos.add(file.parent)
    return videos


LAYOUT = Layout(_read)
