"""Reads and writes detections: the released .mat files, CSV, and JSON as ActivityNet has it."""

from __future__ import annotations

import csv
import io
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from keras_res3d.data.faults import Fault
from keras_res3d.data.layouts.csv_list import rows_of
from keras_res3d.data.layouts.reading import Reading
from keras_res3d.data.types import DataError
from keras_res3d.io import write_atomically
from keras_res3d.tables import as_json
from keras_res3d.tasks.detection.annotations import is_number, is_segment, read_object, read_text
from keras_res3d.tasks.detection.matlab import matrix
from keras_res3d.tasks.detection.moments import ACTION_NAME, Annotations, Detections, time_fault

COLUMNS = ("video", "begin", "end", "label", "score")
# Columns of the released matrix, from 0: video, frames of the window, begin and end in seconds, score of the class,
# score of the proposal network, class from 1.
VIDEO, WINDOW, BEGIN, END, SCORE, PROPOSAL, CLASS = 0, 1, 4, 5, 8, 9, 10
_WINDOW = re.compile(r"\s*\d{1,9}\s*")
# (where, video, begin, end, label, score, window or None)
Row = tuple[str, str, float, float, str, float, int | None]


def read_detections(path: str | os.PathLike, annotations: Annotations, proposals: bool = False) -> Detections:
    """Reads detections of the classes that annotations have, or proposals, which have no class.

    A .mat file holds the released matrix: one row a window, columns video number, frames of the window, first and last
    frame, begin and end in seconds, two of no use, score, score of the proposal network, class from 1 or 0 for
    background; background is left out. A .csv file has the columns video, begin (or start), end, label, score, and
    window where it is known. A .json file is ActivityNet's: `results` has for each video a list of objects with
    `label`, `score` and `segment`.

    A column that is there twice, and a line of more or fewer cells than the header has, are faults.

    Args:
        path: of the file; its extension says its kind.
        annotations: whose classes the labels are; where a video's duration is known, no time may lie beyond it. Numbers
            of videos become names like those of its videos.
        proposals: labels do not count and may be missing; all become the one class "action". Of a .mat file background
            is read too, and the score is that of the proposal network.

    Raises:
        FileNotFoundError: the file is not there.
        DataError: unknown classes, rows, scores or times that are wrong, or another kind of file: all of them.
    """
    path = pathlib.Path(path)
    reader = {".mat": _mat, ".csv": _csv, ".json": _json}.get(path.suffix.lower())
    if reader is None:
        raise DataError(str(path), ["the file is neither .mat, .csv nor .json"])
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; expected a file of detections, .mat, .csv or .json")
    faults: list[str] = []
    classes = (ACTION_NAME,) if proposals else annotations.classes
    rows = list(reader(path, annotations, faults, proposals))
    known = {name: number for number, name in enumerate(classes)}
    for where, video, begin, end, label, score, _ in rows:
        if label not in known:
            faults.append(Fault(f"{where}: unknown class {label!r}", "unknown class"))
        if not np.isfinite(score):
            faults.append(Fault(f"{where}: {video}: score that is not finite", "score"))
        fault = time_fault(begin, end, annotations.durations.get(video))
        if fault:
            faults.append(Fault(f"{where}: {video}: {fault}", fault.split(":")[0]))
    if faults:
        raise DataError(str(path), faults)
    windows = [row[6] for row in rows]
    return Detections(
        str(path), classes, tuple(row[1] for row in rows), np.array([known[row[4]] for row in rows], int),
        np.array([row[2:4] for row in rows], np.float64), np.array([row[5] for row in rows], np.float64),
        None if None in windows or not windows else np.array(windows, np.int64), raw=reader is _mat,
    )  # fmt: skip


def _names_of_numbers(videos: Sequence[str]):
    """How a number becomes a name: like the names that end in digits, else as in THUMOS' test set."""
    match = next(filter(None, (re.fullmatch(r"(.*?)(\d+)", video) for video in videos)), None)
    prefix, digits = match.groups() if match else ("video_test_", "0" * 7)
    return lambda number: f"{prefix}{number:0{len(digits)}d}"


def _mat(path: pathlib.Path, annotations: Annotations, faults: list[str], proposals: bool) -> Iterator[Row]:
    table = matrix(path, "seg_swin")
    if table.shape[1] <= CLASS:
        raise DataError(str(path), [f"the matrix has {table.shape[1]} columns; expected 11 or more"])
    name, classes = _names_of_numbers(annotations.videos), annotations.classes
    whole = table[:, [VIDEO, WINDOW, CLASS]]
    fits = (whole == np.round(whole)).all(axis=1) & (whole >= [0, 1, 0]).all(axis=1) & (whole < 1e9).all(axis=1)
    for at, (row, is_fit) in enumerate(zip(table.tolist(), fits.tolist(), strict=True), 1):
        if not is_fit:
            numbers = f"video {row[VIDEO]:g}, window {row[WINDOW]:g}, class {row[CLASS]:g}"
            faults.append(Fault(f"row {at}: {numbers}; expected whole numbers", "whole numbers"))
        elif proposals:
            yield (f"row {at}", name(int(row[VIDEO])), row[BEGIN], row[END], ACTION_NAME, row[PROPOSAL],
                   int(row[WINDOW]))  # fmt: skip
        elif row[CLASS]:
            number = int(row[CLASS])
            label = classes[number - 1] if number <= len(classes) else str(number)
            yield f"row {at}", name(int(row[VIDEO])), row[BEGIN], row[END], label, row[SCORE], int(row[WINDOW])


def _csv(path: pathlib.Path, annotations: Annotations, faults: list[str], proposals: bool) -> Iterator[Row]:
    reading = Reading(path, path.parent, faults=faults)
    lines = rows_of(reading, read_text(path), ",")
    names = ["begin" if name == "start" else name for name in next(lines, ("", []))[1]]
    if faults:
        raise DataError(str(path), faults)
    missing = [name for name in COLUMNS if name not in names and not (proposals and name == "label")]
    if missing:
        there = ", ".join(names) or "none"
        hint = "; moments without classes are read as proposals" if missing == ["label"] else ""
        raise DataError(str(path), [f"the columns {', '.join(missing)} are missing; there are {there}{hint}"])
    twice = [name for name in (*COLUMNS, "window") if names.count(name) > 1]
    if twice:
        also = " (start is begin)" if "begin" in twice else ""
        raise DataError(str(path), [f"the column {' and '.join(twice)} is there twice{also}; name each column once"])
    for where, cells in lines:
        if len(cells) != len(names):
            faults.append(Fault(f"{where}{len(cells)} fields; expected {len(names)}", "fields"))
            continue
        row = dict(zip(names, cells, strict=True))
        try:
            window, label = row.get("window"), ACTION_NAME if proposals else row["label"]
            if window and not _WINDOW.fullmatch(window):
                raise ValueError
            yield (where.rstrip(": "), row["video"], float(row["begin"]), float(row["end"]), label, float(row["score"]),
                   int(window) if window else None)  # fmt: skip
        except ValueError:
            fault = f"{where}expected video and label, numbers for begin, end and score, a whole one for window"
            faults.append(Fault(fault, "numbers"))


def _json(path: pathlib.Path, annotations: Annotations, faults: list[str], proposals: bool) -> Iterator[Row]:
    for video, found in read_object(path, "results")["results"].items():
        for at, row in enumerate(found if isinstance(found, list) else [None], 1):
            label = ACTION_NAME if proposals else row.get("label") if isinstance(row, dict) else None
            if not (isinstance(row, dict) and is_segment(row.get("segment")) and is_number(row.get("score"))
                    and isinstance(label, str)):  # fmt: skip
                fault = f"{video}, detection {at}: expected label, score and segment [begin, end]"
                faults.append(Fault(fault, "malformed detection"))
            else:
                window = row.get("window")
                yield (f"detection {at}", video, *map(float, row["segment"]), label, float(row["score"]),
                       window if isinstance(window, int) and not isinstance(window, bool) else None)  # fmt: skip


def write_detections(detections: Detections, path: str | os.PathLike) -> pathlib.Path:
    """Writes detections as `read_detections` reads them, numbers to all digits.

    Args:
        detections: to write.
        path: ends in .csv or .json.

    Raises:
        ValueError: another extension.
    """
    path = pathlib.Path(path)
    windows = [None] * len(detections) if detections.windows is None else detections.windows.tolist()
    rows = list(zip(detections.videos, *detections.spans.T.tolist(), [detections.classes[i] for i in detections.labels],
                    detections.scores.tolist(), windows, strict=True))  # fmt: skip
    if path.suffix == ".csv":
        buffer = io.StringIO(newline="")
        csv.writer(buffer).writerows([(*COLUMNS, "window"), *rows])
        write_atomically(path, buffer.getvalue())
    elif path.suffix == ".json":
        results: dict[str, list] = {}
        for video, begin, end, label, score, window in rows:
            more = {} if window is None else {"window": window}
            results.setdefault(video, []).append({"label": label, "score": score, "segment": [begin, end], **more})
        write_atomically(path, as_json({"version": "1.3", "results": results, "external_data": {}}))
    else:
        raise ValueError(f"detections are written to {path}; expected a name that ends in .csv or .json")
    return path
