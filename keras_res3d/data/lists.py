"""Lists of labelled videos: a folder of class folders, a CSV file or the embedded data set, read and checked."""

import csv
import io
import os
import pathlib
from dataclasses import dataclass, field
from typing import NamedTuple

VIDEO_EXTENSIONS = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".3gp"})
# A folder that holds such files is a video, one frame each.
FRAME_EXTENSIONS = frozenset({".jpg", ".jpeg"})
HEADERS = (["path", "label"], ["path", "label", "group"])
# Such a file in a folder says that the folder holds packed shards.
MANIFEST = "manifest.json"


class DataError(ValueError):
    """A data set with faults; the message lists every one, with line numbers. `faults` holds them as a tuple."""

    def __init__(self, name, faults):
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n  ".join([f"{name}: {count}", *self.faults]))


class Example(NamedTuple):
    """One video: path, label (index into the data set's classes), group (what must not be split), or None.

    first_frame, frames: the part of a folder of frames that counts, from 1; None is all of it.
    """

    path: str
    label: int
    group: str | None = None
    first_frame: int | None = None
    frames: int | None = None


class Row(NamedTuple):
    """One line of a list: where it stands (such as "line 3: "), and an `Example` with its label by name."""

    where: str
    path: str | os.PathLike
    label: str
    group: str | None = None
    first_frame: int | None = None
    frames: int | None = None


@dataclass(frozen=True)
class Listing:
    """What a list says, right or wrong.

    name: what was read. rows: every `Row` that could be read, those with faults too. classes: names in the order of
    the labels. faults, notes: tuples of sentences; notes are no faults.
    """

    name: str
    rows: tuple
    classes: tuple
    faults: tuple = ()
    notes: tuple = ()

    def data_set(self):
        """The DataSet of the rows. Raises DataError where there are faults."""
        if self.faults:
            raise DataError(self.name, self.faults)
        numbers = {label: number for number, label in enumerate(self.classes)}
        return DataSet(tuple(Example(str(row.path), numbers[row.label], *row[3:]) for row in self.rows),
                       self.classes, self.name)


def make_listing(name, rows, faults, classes, found=None, notes=()):
    """A Listing of rows, after the checks that every kind of list needs: labels among the classes, at least one row.

    classes: names, or None, which takes `found`, and where that is None too the sorted names that occur.
    """
    order = tuple(classes if classes is not None else found or sorted({row.label for row in rows}))
    faults, known = list(faults), set(order)
    if len(known) < len(order):
        faults.append(f"classes holds a name twice: {sorted({c for c in order if order.count(c) > 1})}")
    faults += [f"{row.where}label {row.label!r} is not one of the {len(order)} classes {_short(order)}"
               for row in rows if row.label not in known]
    if not rows and not faults:
        faults.append("no video at all; expected " + ", ".join(sorted(VIDEO_EXTENSIONS)) + " files")
    return Listing(name, tuple(rows), order, tuple(faults), tuple(notes))


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
        path, _, _, first, frames = self.examples[i]
        return open_video(path, first, frames, fps, strict)


def open_video(path, first_frame=None, frames=None, fps=None, strict=False):
    """A video file as `decode.Video`, a folder of frames as `frames.FrameFolder`. Raises VideoError."""
    if first_frame is not None or os.path.isdir(path):
        from keras_res3d.data.sources.frame_folder import FrameFolder

        return FrameFolder(path, fps=fps, strict=strict, first_frame=first_frame or 1, frames=frames)
    from keras_res3d.data.sources.video_file import Video

    return Video(path, fps=fps, strict=strict)


def read_data_set(path, classes=None):
    """Read and check a data set; nothing is decoded.

    path: a folder of class folders (classes are the sorted folder names); a CSV file with the header path,label or
    path,label,group (paths absolute or relative to its folder; labels by name); a folder of packed shards, such as
    `keras-res3d pack` writes; or "motion" (its training split), "motion/train", "motion/test": the embedded data set.
    A video is a file, or a folder of JPEG frames. classes: names in the order of the labels, such as another split's
    `classes`; labels outside are faults. None takes the sorted names that occur.
    Returns an object with the interface of `DataSet`. Raises DataError, which lists all faults with line numbers.
    """
    if is_motion(path):
        return _motion(str(path), classes)
    if is_packed(path):
        from keras_res3d.data.sources.packed import read_packed

        return read_packed(path, classes)
    return list_videos(path, classes).data_set()


def is_motion(path):
    """Whether a name means the embedded data set."""
    return str(path).split("/")[0] == "motion" and not pathlib.Path(path).exists()


def is_packed(path):
    """Whether a path is a folder of packed shards: it has a manifest, and no folders as a folder of classes has."""
    path = pathlib.Path(path)
    return (path / MANIFEST).is_file() and not any(child.is_dir() for child in path.iterdir())


def list_videos(path, classes=None):
    """The Listing of a folder of class folders or a CSV file, faults and all; arguments as in `read_data_set`.

    Raises DataError where there is neither.
    """
    path, name, faults = pathlib.Path(path), str(path), []
    if path.is_dir():
        rows = _folder_rows(path, faults)
    elif path.is_file():
        rows = _csv_rows(path, faults)
    else:
        raise DataError(name, ["no such file or folder; expected a folder of class folders, a CSV file, or 'motion'"])
    return make_listing(name, rows, faults, classes)


def _short(names):
    return list(names) if len(names) <= 8 else f"{list(names[:8])}, ..."


def _motion(name, classes):
    from keras_res3d.data.sources import motion

    if name not in ("motion", "motion/train", "motion/test"):
        raise DataError(name, ["no such split; expected motion/train or motion/test"])
    if classes is not None and tuple(classes) != motion.CLASSES:
        raise DataError(name, [f"classes is {_short(tuple(classes))}; motion has {list(motion.CLASSES)}"])
    return motion.motion_data_set(name.partition("/")[2] or "train")


def _folder_rows(folder, faults):
    """The Row of every video in a folder of class folders."""
    rows, kinds = [], sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    for kind in kinds:
        files = set()
        for file in kind.rglob("*"):
            suffix = file.suffix.lower()
            if suffix in VIDEO_EXTENSIONS and file.is_file():
                files.add(file)
            elif suffix in FRAME_EXTENSIONS and file.parent != kind:
                files.add(file.parent)
        if not files:
            faults.append(f"class folder {kind.name!r} holds no video; fill it or remove it")
        rows += [Row("", file, kind.name) for file in sorted(files)]
    if not kinds:
        faults.append("no class folder; expected one folder of videos for each class")
    return rows


def is_video(path):
    """Whether a path is a file, or a folder that holds JPEG frames: what a list may name as a video."""
    if os.path.isfile(path):
        return True
    try:
        with os.scandir(path) as entries:
            return any(os.path.splitext(entry.name)[1].lower() in FRAME_EXTENSIONS for entry in entries)
    except OSError:
        return False


def _csv_rows(path, faults):
    """The Row of every line of a CSV file that names a video and a label; faults of all."""
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
    if not fields["label"]:
        faults.append(f"{where}empty label")
    if not fields["path"]:
        faults.append(f"{where}empty path")
        return None
    file = folder / fields["path"]
    if not is_video(file):
        faults.append(f"{where}missing file {file}")
    key = os.path.realpath(file)
    if key in seen:
        faults.append(f"{where}duplicate path {fields['path']}, first on {seen[key]}")
    seen.setdefault(key, where.rstrip(": "))
    return Row(where, file, fields["label"], fields.get("group") or None) if fields["label"] else None
