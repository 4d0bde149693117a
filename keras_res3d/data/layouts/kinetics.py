"""Kinetics' lists: train.csv, validate.csv, test.csv with label, youtube_id, time_start, time_end, split."""

from __future__ import annotations

from keras_res3d.data.layouts.reading import Layout, Reading, files_by_stem
from keras_res3d.data.listing import Row
from keras_res3d.table_files import csv_rows

COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
PREFIXES = ("", "kinetics_", "kinetics_400_", "kinetics-400_")


def _read(reading: Reading) -> tuple[list[Row], tuple[str, ...]]:
    names = {"validation": ("validation", "validate", "val")}.get(reading.subset, (reading.subset,))
    path = reading.first_that_exists([f"{prefix}{name}.csv" for name in names for prefix in PREFIXES])
    files, rows, header, seen = files_by_stem(reading.root), [], None, set()
    for where, text in reading.lines(path):
        try:
            cells = [cell.strip() for _, cells in csv_rows([text]) for cell in cells]
        except ValueError as error:
            reading.faults.append(f"{where}{str(error).removeprefix('line 1: ')}")
            continue
        if header is None:
            header = cells
            if not set(COLUMNS) <= set(header):
                reading.faults.append(f"{where}header is {text!r}; expected {','.join(COLUMNS)}")
                break
        elif len(cells) != len(header):
            reading.faults.append(f"{where}malformed: {len(cells)} fields; expected {len(header)}")
        else:
            fields = dict(zip(header, cells, strict=True))
            seen.add(fields["label"])
            if fields["split"] in names:
                rows += _row(reading, where, fields, files)
    labels = path.parent / "label_map.txt"
    return rows, reading.names(labels) if labels.is_file() else tuple(sorted(seen - {""}))


def _row(reading: Reading, where: str, fields: dict[str, str], files: dict) -> list[Row]:
    """The Row of one line in a list, or an empty list after adding its fault."""
    label, name = fields["label"], fields["youtube_id"]
    try:
        start, end = (int(float(fields[key])) for key in ("time_start", "time_end"))
    except (ValueError, OverflowError):
        reading.faults.append(
            f"{where}malformed: times {fields['time_start']!r}, {fields['time_end']!r}; expected seconds"
        )
        return []
    if not label or not name:
        reading.faults.append(f"{where}empty {'youtube_id' if label else 'label'}")
        return []
    stem = f"{name}_{start:06d}_{end:06d}"
    found = files.get(stem) or files.get(name) or []
    # In folders of classes a name may occur twice; the one of this class counts.
    own = [file for file in found if file.parent.name.replace("_", " ") == label.replace("_", " ")]
    if reading.check_files and not found:
        what = f"missing file {stem}.mp4 (or {name}.mp4), in {reading.root} or its folders"
        reading.lack(where, reading.root / f"{stem}.mp4", what)
    return [Row(where, (own or found or [reading.root / f"{stem}.mp4"])[0], label, name)]


LAYOUT = Layout(_read, subsets=("train", "validation", "test"), held_out="validation")
