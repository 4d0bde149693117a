"""Lists of labelled videos: a folder of class folders, a CSV file or the embedded data set, read and checked."""

import csv
import io
import pathlib
from dataclasses import dataclass, field
from typing import NamedTuple

VIDEO_EXTENSIONS = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".3gp"})
HEADERS = (["path", "label"], ["path", "label", "group"])


class DataError(ValueError):
    """A data set with faults; the message lists every one, with line numbers. `faults` holds them as a tuple."""

    def __init__(self, name, faults):
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n  ".join([f"{name}: {count}", *self.faults]))


class Example(NamedTuple):
    """One video: path, label (index into the data set's classes), group (what must not be split), or None."""

    path: str
    label: int
    group: str | None = None


@dataclass(frozen=True)
class DataSet:
    """Labelled videos. examples: tuple of Example. classes: tuple of names. name: what it was read from.

    mirror_safe: False where a mirrored video may belong to another class.
    """

    examples: tuple
    classes: tuple
    name: str
    mirror_safe: bool = field(default=True)

    def __len__(self):
        return len(self.examples)

    def open(self, i, fps=None, strict=False):
        """The i-th video, open: a context manager with `num_frames` and `clips(index_arrays, size)`.

        fps, strict: as in `decode.Video`. Raises VideoError, which names the file.
        """
        from .decode import Video

        return Video(self.examples[i].path, fps=fps, strict=strict)


def read_data_set(path, classes=None):
    """Read and check a data set; nothing is decoded.

    path: a folder of class folders (classes are the sorted folder names); a CSV file with the header path,label or
    path,label,group (paths absolute or relative to its folder; labels by name); or "motion" (its training split),
    "motion/train", "motion/test": the embedded data set. classes: names in the order of the labels, such as another
    split's `classes`; labels outside are faults. None takes the sorted names that occur.
    Returns an object with the interface of `DataSet`. Raises DataError, which lists all faults with line numbers.
    """
    name, faults = str(path), []
    if name.split("/")[0] == "motion" and not pathlib.Path(path).exists():
        return _motion(name, classes)
    path = pathlib.Path(path)
    if path.is_dir():
        rows = _folder_rows(path, faults)
    elif path.is_file():
        rows = _csv_rows(path, faults)
    else:
        raise DataError(name, ["no such file or folder; expected a folder of class folders, a CSV file, or 'motion'"])
    found = sorted({label for _, _, label, _ in rows})
    order = tuple(found if classes is None else classes)
    if len(set(order)) < len(order):
        faults.append(f"classes holds a name twice: {sorted({c for c in order if order.count(c) > 1})}")
    faults += [f"{where}label {label!r} is not one of the {len(order)} classes {_short(order)}"
               for where, _, label, _ in rows if label not in order]
    if not rows and not faults:
        faults.append("no video at all; expected " + ", ".join(sorted(VIDEO_EXTENSIONS)) + " files")
    if faults:
        raise DataError(name, faults)
    numbers = {label: number for number, label in enumerate(order)}
    return DataSet(tuple(Example(str(file), numbers[label], group) for _, file, label, group in rows), order, name)


def _short(names):
    return list(names) if len(names) <= 8 else f"{list(names[:8])}, ..."


def _motion(name, classes):
    from . import motion

    if name not in ("motion", "motion/train", "motion/test"):
        raise DataError(name, ["no such split; expected motion/train or motion/test"])
    if classes is not None and tuple(classes) != motion.CLASSES:
        raise DataError(name, [f"classes is {_short(tuple(classes))}; motion has {list(motion.CLASSES)}"])
    return motion.motion_data_set(name.partition("/")[2] or "train")


def _folder_rows(folder, faults):
    """(where, path, label, group) of every video in a folder of class folders."""
    rows, kinds = [], sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    for kind in kinds:
        files = sorted(f for f in kind.rglob("*") if f.suffix.lower() in VIDEO_EXTENSIONS and f.is_file())
        if not files:
            faults.append(f"class folder {kind.name!r} holds no video; fill it or remove it")
        rows += [("", file, kind.name, None) for file in files]
    if not kinds:
        faults.append("no class folder; expected one folder of videos for each class")
    return rows


def _csv_rows(path, faults):
    """(where, path, label, group) of every good line of a CSV file; faults of the others."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        faults.append(f"is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8")
        return []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, seen, header = [], {}, None
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            faults.append(f"line {reader.line_num}: malformed ({error})")
            break
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        cells = [cell.strip() for cell in cells]
        if header is None:
            header = cells
            if header not in HEADERS:
                faults.append(f"line {reader.line_num}: header is {','.join(cells)!r}; expected path,label or "
                              "path,label,group")
                return []
            continue
        row = _csv_row(f"line {reader.line_num}: ", cells, header, path.parent, seen, faults)
        if row:
            rows.append(row)
    if header is None:
        faults.append("is empty; expected the header path,label or path,label,group, and a line per video")
    return rows


def _csv_row(where, cells, header, folder, seen, faults):
    """One line's row, or None after adding its faults. seen: where each path stood first."""
    if len(cells) != len(header):
        faults.append(f"{where}malformed: {len(cells)} fields; expected {len(header)} ({','.join(header)})")
        return None
    fields = dict(zip(header, cells, strict=True))
    before = len(faults)
    if not fields["label"]:
        faults.append(f"{where}empty label")
    if not fields["path"]:
        faults.append(f"{where}empty path")
        return None
    file = folder / fields["path"]
    if not file.is_file():
        faults.append(f"{where}missing file {file}")
    key = file.resolve()
    if key in seen:
        faults.append(f"{where}duplicate path {fields['path']}, first on {seen[key]}")
    seen.setdefault(key, where.rstrip(": "))
    return None if len(faults) > before else (where, file, fields["label"], fields.get("group") or None)
