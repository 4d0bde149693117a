"""A CSV file with a header and one video a line: its path, its label by name, and its group where there are groups.

What is read, decided once:

- The columns are `path`, `label` and, if there are groups, `group`, in any order and in any case. Further columns are
  allowed; a note names them, since a `split` column that nobody looks at is a mistake. A name that occurs twice is a
  fault.
- Columns are separated by commas, semicolons or tabs; the header shows which, and a note says so if they are no commas.
  A cell that holds the separator, a quotation mark or a line's end stands in quotation marks.
- Lines end in LF, CRLF or CR. Blank lines do not count. White space around a cell is dropped, unless the file of a path
  is there only with it.
- The file is UTF-8, with or without a byte order mark. Bytes that are not UTF-8 are taken where they are the name of
  what is there: in a path to a file that exists, and in a label that is a folder of that path.
- In a multi-label list the label column holds all labels of a video with "|" between them, `run|jump`. White space
  around a label is dropped. An empty cell is a video without a label, which is an example of no class. A label that is
  empty, or that a cell names twice, is a fault.
- NUL characters, binary files and malformed lines are faults. A path is absolute, an address in a
  store (s3://bucket/a.mp4), or relative to the list's folder.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import NamedTuple

from keras_res3d.data.layouts.reading import Layout, Reading
from keras_res3d.data.listing import LABEL_SEPARATOR, Row
from keras_res3d.remote import joined
from keras_res3d.table_files import csv_rows
from keras_res3d.tables import is_utf8

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
NEEDED = ("path", "label")
EXPECTED = "expected the columns path,label or path,label,group, in any order"


class _Header(NamedTuple):
    """The columns of a list: how many there are, and where those that count stand."""

    width: int
    places: dict[str, int]
    names: list[str]


def _read(reading: Reading) -> tuple[list[Row], tuple[str, ...]]:
    path = reading.first_that_exists([f"{reading.subset}.csv"])
    text = reading.text(path, any_bytes=True)
    rows, header = [], None
    separator = separator_of(text or "", set(NEEDED).issubset)
    if separator != ",":
        reading.notes.append(f"is read as separated by {SEPARATORS[separator]}")
    for where, cells in rows_of(reading, text or "", separator):
        if header is None:
            header = _header(reading, where, cells)
            if header is None:
                return [], ()
            continue
        row = _row(reading, where, cells, header)
        if row and reading.multi_label:
            row = row.with_labels(_labels(reading, where, row.label))
        if row:
            rows.append(row)
    if header is None and text is not None and not reading.faults:
        reading.faults.append("is empty; expected the header path,label or path,label,group, and a line per video")
    odd = [] if reading.multi_label else [row for row in rows if LABEL_SEPARATOR in row.label]
    if odd:
        reading.notes.append(f"labels that hold {LABEL_SEPARATOR!r}, such as {odd[0].label!r}, are taken for names; "
                             "multi_label (--multi_label) reads several labels")  # fmt: skip
    return rows, ()


def _labels(reading: Reading, where: str, cell: str) -> list[str]:
    """The labels in a cell, each once; an empty one and one that is named twice are faults."""
    if not cell:
        return []
    names = [name.strip() for name in cell.split(LABEL_SEPARATOR)]
    if "" in names:
        reading.faults.append(f"{where}empty label between separators in {cell!r}")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        reading.faults.append(f"{where}label {twice[0]!r} twice in {cell!r}")
    return [name for name in dict.fromkeys(names) if name]


def separator_of(text: str, fits: Callable[[set[str]], bool]) -> str:
    """What separates the columns of a CSV file: the first of the three by which its header fits, else a comma."""
    line = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    for separator in SEPARATORS:
        try:
            _, cells = next(csv_rows([line], delimiter=separator, strict=True), (1, []))
        except ValueError:
            continue
        if fits({cell.strip().casefold() for cell in cells}):
            return separator
    return ","


def _header(reading: Reading, where: str, cells: list[str]) -> _Header | None:
    """The columns, or None after adding a fault."""
    names = [cell.strip() for cell in cells]
    known = [name.casefold() for name in names]
    group = reading.group.strip().casefold()
    wanted = dict.fromkeys((*NEEDED, group))
    twice = sorted({name for name in wanted if known.count(name) > 1})
    if not set(NEEDED) <= set(known):
        reading.faults.append(f"{where}header is {','.join(names)!r}; {EXPECTED}")
    elif twice:
        reading.faults.append(f"{where}header has the column {' and '.join(twice)} twice; name each column once")
    elif reading.group != "group" and group not in known:
        reading.faults.append(f"{where}header has no column {reading.group!r}; it has {names}")
    else:
        more = [name or "one without a name" for name, plain in zip(names, known, strict=True) if plain not in wanted]
        if more:
            reading.notes.append(f"columns that are not used: {', '.join(more)}")
        return _Header(len(names), {name: known.index(name) for name in wanted if name in known}, names)
    return None


def rows_of(reading: Reading, text: str, separator: str) -> Iterator[tuple[str, list[str]]]:
    """(where, cells) of every line that is not blank; what cannot be read as CSV is a fault, and the end."""
    try:
        for number, cells in csv_rows(io.StringIO(text, newline=""), delimiter=separator, strict=True):
            if any(cell.strip() for cell in cells):
                yield f"line {number}: ", cells
    except ValueError as error:
        reading.faults.append(str(error))


def _row(reading: Reading, where: str, cells: list[str], header: _Header) -> Row | None:
    """One line's row, or None after adding its faults."""
    if len(cells) != header.width:
        reading.faults.append(f"{where}malformed: {len(cells)} fields; expected {header.width} "
                              f"({','.join(header.names)})")  # fmt: skip
        return None
    fields = {name: cells[place] for name, place in header.places.items()}
    path, label = fields["path"].strip(), fields["label"].strip()
    if not label and not reading.multi_label:
        reading.faults.append(f"{where}empty label")
    if not path:
        reading.faults.append(f"{where}empty path")
        return None
    nul = next((name for name, cell in fields.items() if "\0" in cell), None)
    if nul:
        reading.faults.append(f"{where}a {nul} with a NUL character, {fields[nul]!r}")
        return None
    try:
        file = joined(reading.root, path)
    except ValueError as error:
        reading.faults.append(f"{where}{error}")
        return None
    there = reading.has_video(file)
    if not there and path != fields["path"] and reading.has_video(reading.root / fields["path"]):
        file, there = reading.root / fields["path"], True
    if not all(map(is_utf8, fields.values())) and not (there and _names_a_folder(label, file)):
        reading.faults.append(f"{where}is not UTF-8 text, nor the name of a file; save the list as UTF-8")
        return None
    if reading.check_files and not there:
        reading.lack(where, file, f"missing file {file}")
    if not label and not reading.multi_label:
        return None
    return Row(where, file, label, fields.get(reading.group.strip().casefold(), "").strip() or None)


def _names_a_folder(label: str, file) -> bool:
    """Whether a label is UTF-8, or else a folder of the video's path."""
    return is_utf8(label) or label in file.parts


LAYOUT = Layout(_read, multi_label=True)
