"""Reads the instances of actions in long videos: THUMOS' folders, and JSON as ActivityNet has it."""

from __future__ import annotations

import math
import os
import pathlib
import re
from collections.abc import Iterator

import numpy as np

from keras_res3d.data.faults import Fault, doubled
from keras_res3d.data.types import DataError
from keras_res3d.remote import text_of
from keras_res3d.tasks.detection.moments import AMBIGUOUS, AMBIGUOUS_NAME, Annotations, time_fault
from keras_res3d.untrusted import read_json

CLASS_LIST = "detclasslist.txt"
Row = tuple[str, str, float, float]


def read_annotations(path: str | os.PathLike, subset: str | None = None) -> Annotations:
    """Reads annotations from a folder or a file.

    A folder is THUMOS': `<Class>_<subset>.txt` with a line `video begin end` for each instance, likewise
    `Ambiguous_<subset>.txt`, and `detclasslist.txt` with the classes and their numbers; without that file the classes
    are those that have a file, in the order of their names. A JSON file is ActivityNet's: `database` has for each video
    its `duration`, its `subset` and its `annotations`, each with `segment` and `label`; a list `classes` beside it
    gives an order.

    Args:
        path: of the folder or the file.
        subset: the part that is read, such as "test" or "validation"; None reads all, of a folder the only one.

    Raises:
        FileNotFoundError: nothing is there.
        DataError: files that are missing, classes that are unknown, lines or times that are wrong: all of them.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there; expected a folder of annotations as of THUMOS, or a JSON file "
                                "as of ActivityNet")  # fmt: skip
    classes, rows, durations, faults = _folder(path, subset) if path.is_dir() else _json(path, subset)
    faults += [f"the class {name!r} is listed twice" for name in doubled(classes)]
    known = {name: number for number, name in enumerate(classes)} | {AMBIGUOUS_NAME: AMBIGUOUS}
    for where, (video, label, begin, end) in rows:
        if label not in known:
            faults.append(Fault(f"{where}: unknown class {label!r}", "unknown class"))
        fault = time_fault(begin, end, durations.get(video))
        if fault:
            faults.append(Fault(f"{where}: {video}: {fault}", fault.split(":")[0]))
    if not faults and not any(label in known and label != AMBIGUOUS_NAME for _, (_, label, _, _) in rows):
        faults.append("there is no instance of an action" + (f" in the subset {subset}" if subset else ""))
    if faults:
        raise DataError(str(path), faults)
    spans = np.array([(begin, end) for _, (_, _, begin, end) in rows], np.float64)
    labels = np.array([known[label] for _, (_, label, _, _) in rows], np.int64)
    return Annotations(str(path), tuple(classes), tuple(video for _, (video, *_) in rows), labels, spans, durations)


def _folder(folder: pathlib.Path, subset: str | None) -> tuple[list[str], list[tuple[str, Row]], dict, list]:
    """(classes, rows with their places, no durations, faults) of a folder of THUMOS."""
    files = {match.groups(): file for file in sorted(folder.iterdir())
             if (match := re.fullmatch(r"(.+)_([^_]+)\.txt", file.name))}  # fmt: skip
    subsets = sorted({part for _, part in files})
    if subset is None and len(subsets) != 1:
        which = f"there are annotations of {', '.join(subsets)}; say which subset to read"
        raise DataError(str(folder), [which if subsets else "there is no file <Class>_<subset>.txt"])
    subset = subset or subsets[0]
    of_class = {name: file for (name, part), file in files.items() if part == subset}
    faults: list[str] = []
    if (folder / CLASS_LIST).exists():
        classes = _class_list(folder / CLASS_LIST, faults)
    else:
        classes = [name for name in of_class if name != AMBIGUOUS_NAME]
    faults += [Fault(f"missing file {name}_{subset}.txt", "missing file") for name in classes if name not in of_class]
    rows = [row for name, file in of_class.items() for row in _lines(file, name, faults)]
    return classes, rows, {}, faults


def read_text(file: pathlib.Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; DataError of any other."""
    try:
        return text_of(file)
    except UnicodeDecodeError as error:
        raise DataError(str(file), [f"the file is no text in UTF-8 ({error.reason} at byte {error.start})"]) from None


def _class_list(file: pathlib.Path, faults: list[str]) -> list[str]:
    """The names of `detclasslist.txt` in the order of their numbers, which need not be 1, 2, 3."""
    numbered = {}
    for at, line in enumerate(read_text(file).splitlines(), 1):
        words = line.split()
        number, name = words if len(words) == 2 else ("", "")
        if re.fullmatch(r"\d{1,9}", number) and int(number) not in numbered and name not in numbered.values():
            numbered[int(number)] = name
        elif words:
            fault = f"{file.name} line {at}: {line!r}; expected a number and a name, each once"
            faults.append(Fault(fault, "class list"))
    return [numbered[number] for number in sorted(numbered)]


def _lines(file: pathlib.Path, label: str, faults: list[str]) -> Iterator[tuple[str, Row]]:
    """(where, row) of each instance in a file; what is no instance goes to the faults."""
    for at, line in enumerate(read_text(file).splitlines(), 1):
        words = line.split()
        try:
            video, begin, end = words
            yield f"{file.name} line {at}", (video, label, float(begin), float(end))
        except ValueError:
            if words:
                fault = f"{file.name} line {at}: {line.strip()!r}; expected: video begin end"
                faults.append(Fault(fault, "malformed line"))


def read_object(path: pathlib.Path, key: str) -> dict:
    """What a JSON file holds, with an object under a key.

    Raises:
        DataError: the file is no JSON, or has no such object.
    """
    try:
        whole = read_json(path, nan=True)
    except ValueError as error:
        raise DataError(str(path), [f"the file is no JSON ({error})"]) from None
    if not isinstance(whole, dict) or not isinstance(whole.get(key), dict):
        raise DataError(str(path), [f"the file has no object {key!r}; expected JSON as of ActivityNet"])
    return whole


def is_number(value: object) -> bool:
    """Whether a value of JSON is a number; True and False are none."""
    return type(value) in (int, float)


def is_segment(value: object) -> bool:
    """Whether a value of JSON is a list of two numbers."""
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def _json(path: pathlib.Path, subset: str | None) -> tuple[list[str], list[tuple[str, Row]], dict, list]:
    """(classes, rows with their places, durations, faults) of a file of ActivityNet."""
    whole = read_object(path, "database")
    rows, durations, faults, labels = [], {}, [], set()
    for video, facts in whole["database"].items():
        instances = facts.get("annotations", []) if isinstance(facts, dict) else None
        if not isinstance(instances, list):
            faults.append(Fault(f"{video}: expected an object with a list of annotations", "malformed video"))
            continue
        good = [each for each in instances if isinstance(each, dict) and is_segment(each.get("segment"))
                and isinstance(each.get("label"), str)]  # fmt: skip
        labels |= {each["label"] for each in good}
        if subset is not None and facts.get("subset") != subset:
            continue
        if len(good) < len(instances):
            fault = f"{video}: an annotation without segment [begin, end] or label"
            faults.append(Fault(fault, "malformed annotation"))
        duration = facts.get("duration")
        if is_number(duration) and math.isfinite(duration) and duration > 0:
            durations[video] = float(duration)
        elif duration is not None:
            faults.append(Fault(f"{video}: the duration is {duration!r}; expected seconds above 0", "duration"))
        rows += [(f"annotation {at}", (video, each["label"], *map(float, each["segment"])))
                 for at, each in enumerate(good, 1)]  # fmt: skip
    given = whole.get("classes")
    classes = given if isinstance(given, list) and all(isinstance(name, str) for name in given) else sorted(labels)
    return [name for name in classes if name != AMBIGUOUS_NAME], rows, durations, faults
