"""UCF101's lists: classInd.txt, and trainlist01.txt and testlist01.txt of each of its three splits."""

from __future__ import annotations

import re

from keras_res3d.data.layouts.reading import Layout, Reading
from keras_res3d.data.listing import Row


def _read(reading: Reading) -> tuple[list[Row], tuple[str, ...]]:
    classes: dict[str, int] = {}
    for where, text in reading.lines(reading.lists / "classInd.txt"):
        number, _, name = text.partition(" ")
        if number != str(len(classes) + 1) or not name.strip():
            reading.faults.append(f"{where}malformed: {text!r}; expected '{len(classes) + 1} NAME'")
            continue
        classes[name.strip()] = len(classes) + 1
    return _rows(reading, classes), tuple(classes)


def _rows(reading: Reading, classes: dict[str, int]) -> list[Row]:
    rows = []
    for where, text in reading.lines(reading.lists / f"{reading.subset}list{reading.split:02d}.txt"):
        # Training lists hold a number after the path, test lists the path alone.
        path, number = re.fullmatch(r"(.+?)(?:\s+(\d{1,9}))?", text).groups()
        label, _, name = path.rpartition("/")
        label = label.rpartition("/")[2]
        group = re.search(r"_(g\d+)_c\d+\.\w+$", name)
        if not label or not group:
            reading.faults.append(f"{where}malformed: {text!r}; expected 'CLASS/v_CLASS_g01_c01.avi'")
            continue
        if number is not None and int(number) != classes.get(label, int(number)):
            reading.faults.append(
                f"{where}label {number} of a video of {label!r}, which classInd.txt calls {classes[label]}"
            )
        file = reading.root / path
        reading.need(where, file)
        # A class has groups of its own, so the class belongs to the group's name.
        rows.append(Row(where, file, label, f"{label}/{group[1]}"))
    return rows


LAYOUT = Layout(_read, splits=True)
