"""A list of videos without labels: a text file with a path on each line, or a CSV file with a column of paths.

- A CSV file has a header with a column `path` or `video`, in any case, and commas, semicolons or tabs between the
  columns. Other columns are not looked at, so that the list of a data set does as well.
- A path is absolute, or relative to the folder of the list. White space around it is dropped, unless a file is there
  only with it. Blank lines do not count.
- The file is UTF-8, with or without a byte order mark. Other bytes are taken as those of a file name.
"""

from __future__ import annotations

import os
import pathlib
import re

from keras_res3d.data.layouts.csv_list import rows_of, separator_of
from keras_res3d.data.layouts.reading import LINE_END, Reading
from keras_res3d.data.types import DataError, PathLike
from keras_res3d.remote import is_remote

EXTENSIONS = frozenset({".csv", ".tsv", ".txt"})
COLUMNS = ("path", "video")
_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]+://")


def is_video_list(path: PathLike) -> bool:
    """Whether a path is a file whose name ends as that of a list: .txt, .csv or .tsv."""
    return os.path.splitext(path)[1].lower() in EXTENSIONS and os.path.isfile(path)


def is_address(word: PathLike) -> bool:
    """Whether a word is the address of a stream, such as rtsp://camera/1, and no file of that name, here or in a store.
    """
    return _ADDRESS.match(os.fspath(word)) is not None and not is_remote(word) and not os.path.exists(word)


def listed_videos(path: PathLike) -> list[str]:
    """The paths that a list names, in its order; whether they exist is not looked at.

    Args:
        path: of the list.

    Raises:
        DataError: it names no video, or has faults, each with its line.
    """
    place = pathlib.Path(path)
    reading = Reading(place, place.parent)
    text = reading.text(place, any_bytes=True) or ""
    entries = _lines(text) if place.suffix.lower() == ".txt" else _column(reading, text)
    found = []
    for where, entry in entries:
        if "\0" in entry:
            reading.faults.append(f"{where}a NUL character in the path")
        elif is_address(entry):  # which may hold a password
            reading.faults.append(f"{where}is an address; a list names files and folders alone")
        elif entry.strip():
            found.append(_path(os.path.dirname(path), entry))
    if not found and not reading.faults:
        reading.faults.append("names no video; expected a path on each line" if place.suffix.lower() == ".txt" else
                              "names no video; expected a header with a column path or video, and a line for each")
    if reading.faults:
        raise DataError(os.fspath(path), reading.faults)
    return found


def _path(folder: str, entry: str) -> str:
    if is_remote(entry.strip()):
        return entry.strip()
    plain = os.path.join(folder, entry.strip())
    spaced = os.path.join(folder, entry)
    return spaced if entry != entry.strip() and not os.path.exists(plain) and os.path.exists(spaced) else plain


def _lines(text: str) -> list[tuple[str, str]]:
    return [(f"line {number}: ", line) for number, line in enumerate(LINE_END.split(text), 1)]


def _column(reading: Reading, text: str) -> list[tuple[str, str]]:
    """(where, path) of the rows of a CSV file; what is wrong is added to the reading's faults."""
    separator = separator_of(text, lambda names: any(_name(name) in COLUMNS for name in names))
    place, found = None, []
    for where, cells in rows_of(reading, text, separator):
        if place is None:
            names = [_name(cell) for cell in cells]
            place = next((names.index(name) for name in COLUMNS if name in names), None)
            if place is None:
                reading.faults.append(f"{where}header is {separator.join(cells)!r}; expected a column path or video, "
                                      "or a list that ends in .txt")  # fmt: skip
                break
        elif place < len(cells) and cells[place].strip():
            found.append((where, cells[place]))
        else:
            reading.faults.append(f"{where}empty path")
    return found


def _name(cell: str) -> str:
    return cell.strip().strip('"').casefold()
