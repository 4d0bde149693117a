"""A CSV file with the header path,label or path,label,group: labels by name, one video a line."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator

from keras_res3d.data.layouts.reading import Layout, Reading, is_video
from keras_res3d.data.listing import Row

HEADERS = (["path", "label"], ["path", "label", "group"])


def _read(reading: Reading) -> tuple[list[Row], tuple[str, ...]]:
    path = reading.first_that_exists([f"{reading.subset}.csv"])
    text = reading.text(path)
    rows, seen, header = [], {}, None
    for where, cells in _cells(reading, text or ""):
        if header is None:
            header = cells
            if header not in HEADERS:
                reading.faults.append(
                    f"{where}header is {','.join(cells)!r}; expected path,label or path,label,group"
                )
                return [], ()
            continue
        row = _row(reading, where, cells, header, seen)
        if row:
            rows.append(row)
    if header is None and text is not None:
        reading.faults.append("is empty; expected the header path,label or path,label,group, and a line per video")
    return rows, ()


def _cells(reading: Reading, text: str) -> Iterator[tuple[str, list[str]]]:
    """(where, stripped cells) of every line that is not blank; what cannot be read as CSV is a fault, and the end."""
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        try:
            cells = next(lines, None)
        except csv.Error as error:
            reading.faults.append(f"line {lines.line_num}: malformed ({error})")
            return
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield f"line {lines.line_num}: ", [cell.strip() for cell in cells]


def _row(reading: Reading, where: str, cells: list[str], header: list[str], seen: dict[str, str]) -> Row | None:
    """One line's row, or None after adding its faults. `seen` says where each path stood first."""
    if len(cells) != len(header):
        reading.faults.append(f"{where}malformed: {len(cells)} fields; expected {len(header)} ({','.join(header)})")
        return None
    fields = dict(zip(header, cells, strict=True))
    if not fields["label"]:
        reading.faults.append(f"{where}empty label")
    if not fields["path"]:
        reading.faults.append(f"{where}empty path")
        return None
    if "\0" in fields["path"]:
        reading.faults.append(f"{where}a path with a NUL character, {fields['path']!r}")
        return None
    file = reading.root / fields["path"]
    if reading.check_files and not is_video(file):
        reading.faults.append(f"{where}missing file {file}")
    key = os.path.realpath(file)
    if key in seen:
        reading.faults.append(f"{where}duplicate path {fields['path']}, first on {seen[key]}")
    seen.setdefault(key, where.rstrip(": "))
    return Row(where, file, fields["label"], fields.get("group") or None) if fields["label"] else None


LAYOUT = Layout(_read)
