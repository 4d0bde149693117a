"""What a layout is, and what its reader is given: the files of a list, and a place for faults and notes."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from keras_res3d.data.faults import Fault
from keras_res3d.data.layouts.tree import files_below
from keras_res3d.data.listing import Row
from keras_res3d.data.types import FRAME_EXTENSIONS, VIDEO_EXTENSIONS
from keras_res3d.remote import StorePath, opened

LINE_END = re.compile(r"\r\n|\r|\n")
# Bytes of a file by which a list is told from a video, whose gigabytes are then not read.
HEAD = 1 << 16


@dataclass
class Reading:
    """What a reader is asked for, and what it finds besides rows.

    Args:
        lists: the folder of the lists, or the list itself.
        root: the folder that the lists' paths are relative to.
        split: number of the split, from 1.
        subset: which list; "" where the caller names one list.
        check_files: whether a file that is not there is a fault.
        classes: the caller's names in the order of the labels, or None.
        skip_missing: whether videos that are not there are gathered in `missing` in place of being faults.
        group: the column of a CSV file that says which videos belong together.
        multi_label: whether a video may have several labels, or none; its rows then have `labels`.
        faults: a sentence for each fault found so far.
        notes: sentences about what is no fault.
        missing: (where, path) of each row whose video is not there; the reader still returns the row.
    """

    lists: pathlib.Path
    root: pathlib.Path
    split: int = 1
    subset: str = ""
    check_files: bool = True
    classes: Sequence[str] | None = None
    skip_missing: bool = False
    group: str = "group"
    multi_label: bool = False
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    _folders: dict[StorePath, frozenset[str]] = field(default_factory=dict, repr=False)

    def text(self, path: pathlib.Path, any_bytes: bool = False) -> str | None:
        """A file's text, which must be UTF-8 with or without a byte order mark; None after adding a fault.

        Args:
            path: the file. One that begins as no text does is not read further.
            any_bytes: whether bytes that are not UTF-8 stay, as `os.fsdecode` keeps them, for the caller to judge.
        """
        try:
            with opened(path) as file:
                data = file.read(HEAD)
                binary = b"\0" in data and _fault_of(data.rpartition(b"\n")[0] or data) is not None
                data += b"" if binary else file.read()
        except FileNotFoundError:
            self.faults.append(f"no list {path}; expected the files of the data set as published")
            return None
        fault = _fault_of(data)
        if fault is None or (any_bytes and not binary):
            return data.decode("utf-8-sig", "surrogateescape")
        self.faults.append(f"{path.name}: is not UTF-8 text ({fault.reason} at byte {fault.start}); save it as UTF-8")
        return None

    def lines(self, path: pathlib.Path) -> Iterator[tuple[str, str]]:
        """(where, text) of every line of a list that is not blank, with any line ending.

        A list that is missing and a line with a NUL character are faults.
        """
        for number, line in enumerate(LINE_END.split(self.text(path) or ""), 1):
            where = f"{path.name} line {number}: "
            if "\0" in line:
                self.faults.append(f"{where}malformed: a NUL character in {line.strip()!r}")
            elif line.strip():
                yield where, line.strip()

    def names(self, path: pathlib.Path) -> tuple[str, ...]:
        """Class names of a file with one name a line."""
        return tuple(text for _, text in self.lines(path))

    def need(self, where: str, path: pathlib.Path) -> None:
        """Says that a video's file is missing, if it is."""
        if self.check_files and not self.has_file(path):
            self.lack(where, path, f"missing file {path}")

    def has_file(self, path: str | os.PathLike) -> bool:
        """Whether a video's file is there. Of a store each folder is listed once: lists may have a million videos."""
        return self._listed(path.parent, path) if isinstance(path, StorePath) else os.path.isfile(path)

    def has_video(self, path: str | os.PathLike) -> bool:
        """Whether a path is a file, or a local folder that holds frames: what a list may name as a video."""
        return self.has_file(path) if isinstance(path, StorePath) else is_video(path)

    def _listed(self, folder: StorePath, path: StorePath) -> bool:
        if folder not in self._folders:
            try:
                self._folders[folder] = frozenset(each.name for each in folder.iterdir())
            except FileNotFoundError:
                self._folders[folder] = frozenset()
        return path.name in self._folders[folder]

    def lack(self, where: str, path: pathlib.Path, what: str) -> None:
        """A video is not there: a fault, or one of `missing`, whose row is then left out.

        Args:
            where, path: of the row.
            what: is missing, for the sentence.
        """
        if self.skip_missing:
            self.missing.append((where, str(path)))
        else:
            self.faults.append(Fault(f"{where}{what}", "missing file"))

    def first_that_exists(self, names: Sequence[str]) -> pathlib.Path:
        """`lists` if it is a file, or the first of these files in it, or where the first of them would be."""
        if not self.lists.is_dir():
            return self.lists
        paths = [self.lists / name for name in names]
        return next((path for path in paths if path.is_file()), paths[0])


def _fault_of(data: bytes) -> UnicodeDecodeError | None:
    """Why bytes are not UTF-8 text; None if they are."""
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return error
    return None


class Layout(NamedTuple):
    """One way in which lists of videos lie on disk.

    Args:
        read: takes a `Reading`, and returns the rows and the class names in their published order; no names where the
            sorted names that occur are meant. It raises nothing: what is wrong is added to the reading's faults.
        subsets: which lists there are.
        held_out: the subset that nets are scored on.
        splits: whether there are several splits, numbered from 1.
        multi_label: whether the lists can give a video several labels.
    """

    read: Callable[[Reading], tuple[list[Row], Sequence[str]]]
    subsets: tuple[str, ...] = ("train", "test")
    held_out: str = "test"
    splits: bool = False
    multi_label: bool = False


def is_video(path: str | os.PathLike) -> bool:
    """Whether a path is a file, or a folder that holds frames: what a list may name as a video."""
    if os.path.isfile(path):
        return True
    try:
        with os.scandir(path) as entries:
            return any(os.path.splitext(entry.name)[1].lower() in FRAME_EXTENSIONS for entry in entries)
    except OSError:
        return False


def files_by_stem(root: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Every video file under a folder by its name without extension; links are followed, each folder once."""
    found: dict[str, list[pathlib.Path]] = {}
    for path in files_below(root):
        stem, extension = os.path.splitext(path.name)
        if extension.lower() in VIDEO_EXTENSIONS:
            found.setdefault(stem, []).append(path)
    return found
