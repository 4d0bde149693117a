"""The files below a folder, links followed: every folder once, and what cannot be followed said."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from keras_res3d.data.faults import Fault
from keras_res3d.remote import StorePath


class Found(NamedTuple):
    """What lies below a folder.

    Args:
        files: every file, hidden ones included, hidden folders left out.
        dangling: links that lead nowhere.
        faults: sentences about links that lead in a circle or to a folder that is reached already, and about folders
            that cannot be read.
    """

    files: list[pathlib.Path]
    dangling: list[pathlib.Path]
    faults: list[Fault]


def walk(root: pathlib.Path, seen: dict[str, pathlib.Path] | None = None) -> Found:
    """All files below a folder, in the order of their names.

    Args:
        root: the folder; of a store, which has neither links nor empty folders, all below it is found at once.
        seen: real path of each folder that was walked before, and how it was reached; grows.
    """
    if isinstance(root, StorePath):
        return Found([file for file in root.below() if not _is_hidden(file.relative_to(root).parent)], [], [])
    found, seen = Found([], [], []), {} if seen is None else seen
    # (folder, the real paths of the folders that lead to it)
    waiting: list[tuple[pathlib.Path, frozenset[str]]] = [(root, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        real = os.path.realpath(folder)
        if real in above:
            found.faults.append(Fault(f"{folder} is a link to {real}, which holds it: a loop; remove the link",
                                      "link in a loop"))  # fmt: skip
        elif real in seen:
            found.faults.append(Fault(f"{folder} is the same folder as {seen[real]}; keep one of them",
                                      "the same folder twice"))  # fmt: skip
        else:
            seen[real] = folder
            below = _enter(folder, found)
            waiting += [(each, above | {real}) for each in reversed(below)]
    return found


def _is_hidden(folder: pathlib.PurePath) -> bool:
    return any(name[0] == "." for name in folder.parts)


def _enter(folder: pathlib.Path, found: Found) -> list[pathlib.Path]:
    """Adds what a folder holds; returns the folders in it, in order."""
    try:
        with os.scandir(folder) as entries:
            entries = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        found.faults.append(Fault(f"{folder} cannot be read ({error.strerror})", "folder that cannot be read"))
        return []
    below = []
    for entry in entries:
        path = folder / entry.name
        try:
            if entry.is_dir():
                below += [path] if entry.name[0] != "." else []
            elif entry.is_file():
                found.files.append(path)
            elif entry.is_symlink():
                found.dangling.append(path)
        except OSError as error:  # a link to itself, for example
            found.faults.append(Fault(f"{path} cannot be followed ({error.strerror})", "link in a loop"))
    return below


def files_below(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """The files below a folder, in the order of their names, whatever else lies there."""
    return iter(walk(root).files)
