"""Caffe's frame lists, as the released nets were trained on: a folder of frames, a first frame and a number a line."""

from __future__ import annotations

import os
import pathlib
import re

from keras_res3d.data.layouts.reading import Layout, Reading
from keras_res3d.data.listing import Row
from keras_res3d.data.sources.frame_folder import frame_names

# The released frame lists start a clip every 16 frames (8 frames, every second one; C3D: 16 in a row), so a line is
# taken for 16 frames of its folder.
SPAN = 16
# Labels in a frame list are numbers; a larger one is a mistake and not a class.
MAX_LABEL = 99_999


def _read(reading: Reading) -> tuple[list[Row], tuple[str, ...]]:
    subset, split = reading.subset, reading.split
    path = reading.first_that_exists(
        [f"{subset}_{split:02d}.lst", f"{subset}_split{split}.txt", f"{subset}.lst", f"{subset}.txt"]
    )
    lines, counts = [], {}
    for where, text in reading.lines(path):
        fields = text.rsplit(None, 2)
        numbers = [int(field) for field in fields[1:] if re.fullmatch(r"\d{1,18}", field)]
        if len(numbers) != 2 or numbers[0] < 1 or numbers[1] > MAX_LABEL:
            reading.faults.append(f"{where}malformed: {text!r}; expected 'FOLDER FIRST_FRAME LABEL', frames from 1")
            continue
        folder = reading.root / fields[0]
        _check_frames(reading, where, folder, numbers[0], counts)
        lines.append((where, folder, *numbers))
    return _named(reading, lines)


def _check_frames(reading: Reading, where: str, folder: pathlib.Path, first: int, counts: dict) -> None:
    """Adds a fault if a folder lacks the frame; `counts` remembers how many each folder has."""
    if not reading.check_files:
        return
    if folder not in counts:
        counts[folder] = len(frame_names(folder)) if os.path.isdir(folder) else 0  # also of a name too long
    if not counts[folder]:
        reading.lack(where, folder, f"missing frames: no folder of frames (JPEG or PNG) {folder}")
    elif first > counts[folder]:
        reading.faults.append(f"{where}first frame {first} of {folder}, which has {counts[folder]}")


def _named(reading: Reading, lines: list[tuple]) -> tuple[list[Row], tuple[str, ...]]:
    """Rows with the caller's class names, or numbers as names, in place of numbers; numbers out of range are faults."""
    names = reading.classes
    if names is None:
        names = [str(number) for number in range(max((label for *_, label in lines), default=-1) + 1)]
    rows = []
    for where, folder, first, label in lines:
        if label < len(names):
            rows.append(Row(where, folder, names[label], None, first, SPAN))
        else:
            reading.faults.append(f"{where}label {label}; expected 0 to {len(names) - 1}")
    return rows, tuple(names)


LAYOUT = Layout(_read, splits=True)
