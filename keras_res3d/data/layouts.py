"""The public data sets' own lists of videos, as they are published: one row of `LAYOUTS` each."""

import csv
import os
import pathlib
import re
import warnings
from dataclasses import dataclass, field
from typing import NamedTuple

from keras_res3d.data.labels import label_names
from keras_res3d.data.lists import VIDEO_EXTENSIONS, DataError, Row, make_listing
from keras_res3d.data.sources.frame_folder import frame_names

# The released frame lists start a clip every 16 frames (8 frames, every second one; C3D: 16 in a row), so a line is
# taken for 16 frames of its folder.
FRAME_LIST_SPAN = 16
# Labels in a frame list are numbers; a larger one is a slip, not a class.
MAX_LABEL = 99_999
NO_SPLITS = ("kinetics", "sports1m")
KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
HMDB51_TAGS = {"unused": "0", "train": "1", "test": "2"}
# Body part, camera motion, number of people, viewpoint, quality, number of the clip: what follows the class in a name.
HMDB51_FIELDS = r"_[fuhl]_[cn]m_np\d+_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+\.\w+$"


@dataclass
class Reading:
    """What a reader is asked for, and what it finds besides rows: faults and notes."""

    lists: pathlib.Path
    root: pathlib.Path
    split: int
    subset: str
    check_files: bool
    faults: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def lines(self, path):
        """(where, text) of every line of a list that is not blank, any line ending. A missing list is a fault."""
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            self.faults.append(f"no list {path}; expected the files of the data set as published")
            return
        except UnicodeDecodeError as error:
            self.faults.append(f"{path.name}: is not UTF-8 text ({error.reason} at byte {error.start})")
            return
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield f"{path.name} line {number}: ", line.strip()

    def classes(self, path):
        """Class names of a file with one name a line."""
        return tuple(text for _, text in self.lines(path))

    def need(self, where, path):
        """Adds a fault where a file is missing."""
        if self.check_files and not os.path.isfile(path):
            self.faults.append(f"{where}missing file {path}")


def _ucf101(reading):
    classes = {}
    for where, text in reading.lines(reading.lists / "classInd.txt"):
        number, _, name = text.partition(" ")
        if not number.isdecimal() or int(number) != len(classes) + 1 or not name.strip():
            reading.faults.append(f"{where}malformed: {text!r}; expected '{len(classes) + 1} NAME'")
            continue
        classes[name.strip()] = int(number)
    return _ucf101_rows(reading, classes), tuple(classes)


def _ucf101_rows(reading, classes):
    rows = []
    for where, text in reading.lines(reading.lists / f"{reading.subset}list{reading.split:02d}.txt"):
        # Training lists hold a number after the path, test lists the path alone.
        path, number = re.fullmatch(r"(.+?)(?:\s+(\d+))?", text).groups()
        label, _, name = path.rpartition("/")
        label = label.rpartition("/")[2]
        group = re.search(r"_(g\d+)_c\d+\.\w+$", name)
        if not label or not group:
            reading.faults.append(f"{where}malformed: {text!r}; expected 'CLASS/v_CLASS_g01_c01.avi'")
            continue
        if number is not None and int(number) != classes.get(label, int(number)):
            reading.faults.append(f"{where}label {number} of a video of {label!r}, which classInd.txt calls "
                                  f"{classes[label]}")
        file = reading.root / path
        reading.need(where, file)
        # A class has groups of its own, so the class belongs to the group's name.
        rows.append(Row(where, file, label, f"{label}/{group[1]}"))
    return rows


def _hmdb51(reading):
    rows, ending = [], f"_test_split{reading.split}.txt"
    lists = sorted(reading.lists.glob(f"*{ending}"))
    if not lists:
        reading.faults.append(f"no list CLASS{ending} in {reading.lists}; expected one for each class")
    classes = tuple(path.name.removesuffix(ending) for path in lists)
    for path, label in zip(lists, classes, strict=True):
        for where, text in reading.lines(path):
            name, _, tag = text.rpartition(" ")
            if tag not in HMDB51_TAGS.values() or not name.strip():
                reading.faults.append(f"{where}malformed: {text!r}; expected 'NAME.avi 0', 1 (train) or 2 (test)")
            elif tag == HMDB51_TAGS[reading.subset]:
                file = reading.root / label / name.strip()
                reading.need(where, file)
                source = re.sub(f"_{re.escape(label)}{HMDB51_FIELDS}", "", name.strip())
                # The splits keep a source video's clips of one class together, not those of all classes.
                rows.append(Row(where, file, label, f"{label}/{source}"))
    published = label_names("hmdb51")
    return rows, published if set(published) == set(classes) else tuple(sorted(classes))


def _files_by_stem(root):
    """Every video file under a folder by its name without extension."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            stem, extension = os.path.splitext(name)
            if extension.lower() in VIDEO_EXTENSIONS:
                found.setdefault(stem, []).append(pathlib.Path(folder) / name)
    return found


def _kinetics(reading):
    names = {"validation": ("validation", "validate", "val")}.get(reading.subset, (reading.subset,))
    path = reading.lists
    if path.is_dir():
        stems = [f"{start}{name}" for name in names for start in ("", "kinetics_", "kinetics_400_", "kinetics-400_")]
        tables = [path / f"{stem}.csv" for stem in stems]
        path = next((table for table in tables if table.is_file()), tables[0])
    files, rows, header, seen = _files_by_stem(reading.root), [], None, set()
    for where, text in reading.lines(path):
        cells = [cell.strip() for cell in next(csv.reader([text]))]
        if header is None:
            header = cells
            if not set(KINETICS_COLUMNS) <= set(header):
                reading.faults.append(f"{where}header is {text!r}; expected {','.join(KINETICS_COLUMNS)}")
                break
        elif len(cells) != len(header):
            reading.faults.append(f"{where}malformed: {len(cells)} fields; expected {len(header)}")
        else:
            fields = dict(zip(header, cells, strict=True))
            seen.add(fields["label"])
            if fields["split"] in names:
                rows += _kinetics_row(reading, where, fields, files)
    labels = path.parent / "label_map.txt"
    return rows, reading.classes(labels) if labels.is_file() else tuple(sorted(seen - {""}))


def _kinetics_row(reading, where, fields, files):
    """The Row of one line in a list, or an empty list after adding its fault."""
    label, name = fields["label"], fields["youtube_id"]
    try:
        start, end = (int(float(fields[key])) for key in ("time_start", "time_end"))
    except (ValueError, OverflowError):
        reading.faults.append(f"{where}malformed: times {fields['time_start']!r}, {fields['time_end']!r}; expected "
                              "seconds")
        return []
    if not label or not name:
        reading.faults.append(f"{where}empty {'youtube_id' if label else 'label'}")
        return []
    stem = f"{name}_{start:06d}_{end:06d}"
    found = files.get(stem) or files.get(name) or []
    # In folders of classes a name may occur twice; the one of this class counts.
    own = [file for file in found if file.parent.name.replace("_", " ") == label.replace("_", " ")]
    if reading.check_files and not found:
        reading.faults.append(f"{where}missing file {stem}.mp4 (or {name}.mp4), in {reading.root} or its folders")
    return [Row(where, (own or found or [reading.root / f"{stem}.mp4"])[0], label, name)]


def _sports1m(reading):
    path, labels = reading.lists, reading.lists / "labels.txt"
    if path.is_dir():
        path = path / f"{reading.subset}_partition.txt"
    classes = reading.classes(labels) if labels.is_file() else label_names("sports1m")
    files, rows, several = _files_by_stem(reading.root), [], 0
    for where, text in reading.lines(path):
        address, _, numbers = text.rpartition(" ")
        name = re.search(r"(?:[?&]v=|/)([\w-]+)(?:&.*)?$", address.strip())
        if not name or not re.fullmatch(r"\d+(,\d+)*", numbers):
            reading.faults.append(f"{where}malformed: {text!r}; expected 'ADDRESS LABEL[,LABEL...]'")
            continue
        numbers = [int(number) for number in numbers.split(",")]
        if max(numbers) >= len(classes):
            reading.faults.append(f"{where}label {max(numbers)}; expected 0 to {len(classes) - 1}")
            continue
        several += len(numbers) > 1
        found = files.get(name[1])
        if reading.check_files and not found:
            reading.faults.append(f"{where}missing file {name[1]}.mp4, in {reading.root} or its folders")
        rows.append(Row(where, (found or [reading.root / f"{name[1]}.mp4"])[0], classes[numbers[0]]))
    if several:
        reading.notes.append(f"{several} videos have several labels; the first counts")
    return rows, classes


def _caffe(reading):
    path = reading.lists
    if path.is_dir():
        names = (f"{reading.subset}_{reading.split:02d}.lst", f"{reading.subset}_split{reading.split}.txt",
                 f"{reading.subset}.lst", f"{reading.subset}.txt")
        path = next((path / name for name in names if (path / name).is_file()), path / names[0])
    rows, counts = [], {}
    for where, text in reading.lines(path):
        fields = text.rsplit(None, 2)
        if len(fields) < 3 or not all(re.fullmatch(r"\d+", number) for number in fields[1:]) or int(fields[1]) < 1 \
                or int(fields[2]) > MAX_LABEL:
            reading.faults.append(f"{where}malformed: {text!r}; expected 'FOLDER FIRST_FRAME LABEL', frames from 1")
            continue
        folder, first = reading.root / fields[0], int(fields[1])
        if reading.check_files:
            if folder not in counts:
                counts[folder] = len(frame_names(folder)) if folder.is_dir() else 0
            if not counts[folder]:
                reading.faults.append(f"{where}missing frames: no folder of JPEG frames {folder}")
            elif first > counts[folder]:
                reading.faults.append(f"{where}first frame {first} of {folder}, which has {counts[folder]}")
        rows.append(Row(where, folder, int(fields[2]), None, first, FRAME_LIST_SPAN))
    return rows, tuple(str(number) for number in range(max((row.label for row in rows), default=-1) + 1))


class Layout(NamedTuple):
    """read: Reading -> (rows, class names). subsets: which lists there are. held_out: the one nets are scored on."""

    read: object
    subsets: tuple
    held_out: str


LAYOUTS = {
    "ucf101": Layout(_ucf101, ("train", "test"), "test"),
    "hmdb51": Layout(_hmdb51, ("train", "test", "unused"), "test"),
    "kinetics": Layout(_kinetics, ("train", "validation", "test"), "validation"),
    "sports1m": Layout(_sports1m, ("train", "test"), "test"),
    "caffe": Layout(_caffe, ("train", "test"), "test"),
}


def list_layout(layout, lists, root, split=1, subset="train", classes=None, check_files=True):
    """The Listing of a public layout, faults and all; arguments as in `read_layout`.

    Raises ValueError on layout, subset or split alone, DataError where there are no lists.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; expected one of {sorted(LAYOUTS)}")
    row = LAYOUTS[layout]
    if subset not in row.subsets:
        raise ValueError(f"subset is {subset!r}; {layout} has {list(row.subsets)}")
    if isinstance(split, bool) or not isinstance(split, int) or split < 1:
        raise ValueError(f"split is {split!r}; expected 1 or more")
    name = f"{layout} {subset}{'' if layout in NO_SPLITS else f' split {split}'} ({lists})"
    if not pathlib.Path(lists).exists():
        raise DataError(name, [f"no such file or folder {lists}; expected the lists as published"])
    reading = Reading(pathlib.Path(lists), pathlib.Path(root), split, subset, check_files)
    rows, found = row.read(reading)
    if layout == "caffe":
        rows = _named(reading, rows, found if classes is None else tuple(classes))
    seen = {}
    for entry in rows:
        first = seen.setdefault((os.fspath(entry.path), entry.first_frame), entry.where)
        if first is not entry.where:
            reading.faults.append(f"{entry.where}duplicate of {first.rstrip(': ')}, {entry.path}")
    return make_listing(name, rows, reading.faults, classes, found, reading.notes)


def _named(reading, rows, names):
    """Rows with the names of their classes in place of numbers; numbers out of range are faults."""
    reading.faults += [f"{row.where}label {row.label}; expected 0 to {len(names) - 1}"
                       for row in rows if row.label >= len(names)]
    return [row._replace(label=names[row.label]) for row in rows if row.label < len(names)]


def read_layout(layout, lists, root, split=1, subset="train", classes=None, check_files=True):
    """Read and check a public data set by its own lists; nothing is decoded.

    layout: a name in `LAYOUTS`: "ucf101" (classInd.txt, trainlist01.txt, testlist01.txt), "hmdb51"
    (CLASS_test_split1.txt), "kinetics" (label,youtube_id,time_start,time_end,split), "sports1m" (ADDRESS
    LABEL[,LABEL...]; of several labels the first counts, with a warning), "caffe" (FOLDER FIRST_FRAME LABEL, folders of
    JPEG frames; a line is a clip of 16 frames). lists: the folder of the lists, or for the last three the list itself.
    root: the folder that paths are relative to; Kinetics and Sports-1M files are found anywhere in it by their id.
    split: UCF101, HMDB51 and Caffe lists. subset: "train" or "test"; Kinetics also has "validation". classes: as in
    `lists.read_data_set`; the published order by default. check_files: False leaves out whether files are there.
    Groups are UCF101's (CLASS/g01), HMDB51's source videos (CLASS/NAME) and Kinetics' ids.
    Returns a DataSet. Raises DataError, which lists all faults with file and line number.
    """
    listing = list_layout(layout, lists, root, split, subset, classes, check_files)
    for note in listing.notes:
        warnings.warn(f"{listing.name}: {note}", stacklevel=2)
    return listing.data_set()
