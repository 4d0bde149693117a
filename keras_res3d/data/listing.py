"""What a list of videos says, right or wrong: rows with their lines, classes, faults."""

from __future__ import annotations

import functools
import os
import unicodedata
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keras_res3d.data.faults import Fault
from keras_res3d.data.types import VIDEO_EXTENSIONS, DataError, Example, labels_of
from keras_res3d.tables import printable

# Names that a message shows of a longer list.
NAMES_SHOWN = 8
FILES_SHOWN = 3
# Between the labels of a video in a cell of a multi-label list.
LABEL_SEPARATOR = "|"


class Row(NamedTuple):
    """One line of a list: an `Example` whose label is a name.

    Args:
        where: where it stands, such as "line 3: ", to begin a sentence with; empty where there are no lines.
        path, group, first_frame, frames, digest: as of `Example`.
        label: name of the class; in a multi-label list the names of all, as a cell has them.
        labels: in a multi-label list the names of the classes, otherwise None.
    """

    where: str
    path: str | os.PathLike
    label: str
    group: str | None = None
    first_frame: int | None = None
    frames: int | None = None
    digest: str | None = None
    labels: tuple[str, ...] | None = None

    def with_labels(self, names: Iterable[str]) -> Row:
        """The row as one of a multi-label list."""
        labels = tuple(names)
        return self._replace(label=LABEL_SEPARATOR.join(labels), labels=labels)


@dataclass(frozen=True)
class Listing:
    """What a list says.

    Args:
        name: what was read.
        rows: every row that could be read, those with faults too.
        classes: names in the order of the labels.
        faults: a sentence for each fault.
        notes: sentences about what is no fault.
        missing: paths of videos that are not there and were left out, where that was asked for.
    """

    name: str
    rows: tuple[Row, ...]
    classes: tuple[str, ...]
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def make_listing(
    name: str,
    rows: Sequence[Row],
    faults: Iterable[str],
    classes: Sequence[str] | None,
    found: Sequence[str] | None = None,
    notes: Iterable[str] = (),
) -> Listing:
    """A Listing of rows, after the checks that every kind of list needs: labels among the classes, at least one row.

    Args:
        name, rows, faults, notes: as of `Listing`.
        classes: names in the order of the labels; None takes `found`, and where that is empty too the sorted names
            that occur.
        found: the names in the order that the list itself gives.
    """
    if classes is None:
        classes = found or sorted({name for row in rows for name in labels_of(row)})
    order = tuple(classes)
    faults, known = list(faults), set(order)
    if len(known) < len(order):
        faults.append(f"classes holds a name twice: {sorted({c for c in order if order.count(c) > 1})}")
    faults += [
        f"{row.where}label {name!r} is not one of the {len(order)} classes {short(order)}"
        for row in rows
        for name in labels_of(row)
        if name not in known
    ]
    if not rows and not faults:
        faults.append("no video at all; expected " + ", ".join(sorted(VIDEO_EXTENSIONS)) + " files")
    elif not order and not faults:
        faults.append("no video has a label; a label column that is empty in every line teaches nothing")
    if any(row.labels is not None for row in rows):
        faults += _holding_separator(order)
    return Listing(name, tuple(rows), order, tuple(faults), tuple(notes))


def _holding_separator(classes: Iterable[str]) -> list[str]:
    """A fault for each class name that would be read as several labels."""
    return [
        f"class {name!r} holds {LABEL_SEPARATOR!r}, which separates the labels of a video; rename it"
        for name in classes
        if LABEL_SEPARATOR in name
    ]


def examples_of(listing: Listing) -> tuple[Example, ...]:
    """The examples of a Listing without faults.

    Raises:
        DataError: it has faults.
    """
    if listing.faults:
        raise DataError(listing.name, listing.faults)
    numbers = {label: number for number, label in enumerate(listing.classes)}
    return tuple(_example(row, numbers) for row in listing.rows)


def _example(row: Row, numbers: dict[str, int]) -> Example:
    if row.labels is None:
        return Example(str(row.path), numbers[row.label], *row[3:])
    return Example(str(row.path), None, *row[3:-1], tuple(sorted(numbers[name] for name in row.labels)))


def without_missing(listing: Listing, missing: Collection[tuple[str, str]]) -> Listing:
    """The Listing without the rows of videos that are not there, with a note of them; its classes stay.

    Args:
        listing: of all rows.
        missing: (where, path) of each such row.
    """
    if not missing:
        return listing
    known = set(missing)
    rows = tuple(row for row in listing.rows if (row.where, str(row.path)) not in known)
    paths = tuple(path for _, path in missing)
    faults, notes = list(listing.faults), list(listing.notes)
    if rows:
        notes.append(f"{len(paths)} of {len(rows) + len(paths)} videos are missing and left out: {some(paths)}")
    else:
        faults.append(f"all {len(paths)} videos are missing, the first is {paths[0]}; check the folder of the videos")
    return Listing(listing.name, rows, listing.classes, tuple(faults), tuple(notes), paths)


def video_of() -> Callable[[Row], Hashable]:
    """A function that tells what a row has in common with another row of the same video.

    That is the content's digest where it is known, otherwise the file or the folder of frames, with links followed.
    """
    # A list's videos share few folders, so that following a folder's links once saves nearly all of the time.
    real_folder = functools.cache(os.path.realpath)

    def video(row: Row) -> Hashable:
        if row.digest:
            return row.digest
        path = os.fspath(row.path)
        folder, name = os.path.split(path)
        return os.path.realpath(path) if os.path.islink(path) else os.path.join(real_folder(folder), name)

    return video


def duplicates(rows: Iterable[Row], video: Callable[[Row], Hashable]) -> list[Fault]:
    """A fault for every row that names a video again. Parts of a folder of frames are told by their first frame.

    Args:
        rows: of a list.
        video: as `video_of` gives it.
    """
    first: dict[Hashable, Row] = {}
    return [
        _duplicate(row, before)
        for row in rows
        if (before := first.setdefault((video(row), row.first_frame or 1), row)) is not row
    ]


def _duplicate(row: Row, before: Row) -> Fault:
    if row.label == before.label:
        if row.where:
            return Fault(f"{row.where}duplicate of {place_of(before)}, {row.path}", "the same video twice")
        return Fault(f"{row.path} is the same video as {place_of(before)}; keep one of them", "the same video twice")
    labels = f"labels {before.label!r} and {row.label!r}; keep one of them"
    if row.where:
        text = f"{row.where}duplicate of {place_of(before)}, {row.path}, with the {labels}"
    else:
        text = f"{row.path} is the same video as {place_of(before)}, with the {labels}"
    return Fault(text, "one video of two classes")


def class_notes(
    classes: Sequence[str], counts: Collection[str], given: bool, multi_label: bool = False
) -> list[str]:
    """Sentences about classes that are no fault, and often a mistake.

    Args:
        classes: names in the order of the labels.
        counts: the names of which there is a video.
        given: whether the names are the caller's, such as those of a training set, and not the list's own.
        multi_label: whether a video may be of no class, so that one class alone can be learnt.
    """
    notes, spelt = [], {}
    for name in classes:
        plain = "".join(unicodedata.normalize("NFC", str(name)).casefold().split())
        spelt.setdefault(plain, []).append(name)
    alike = [" and ".join(map(repr, names)) for names in spelt.values() if len(names) > 1]
    if alike:
        notes.append(f"classes that differ in case or white space alone: {'; '.join(alike[:NAMES_SHOWN])}"
                     f"{'; ...' if len(alike) > NAMES_SHOWN else ''}")  # fmt: skip
    empty = [name for name in classes if name not in counts]
    if len(classes) == 1 and not multi_label:
        notes.append(f"all videos are of one class, {classes[0]!r}, so a net learns nothing")
    elif given and empty:
        notes.append(f"no video of {len(empty)} of {len(classes)} classes: {short(empty)}")
    return notes


def place_of(row: Row) -> str:
    """Where a row stands, for a sentence: its line, or the path where there are no lines."""
    return row.where.rstrip(": ") or str(row.path)


def short(names: Sequence[str]) -> str:
    """Names for a message: all of a few, the first of many."""
    return str(list(names)) if len(names) <= NAMES_SHOWN else f"{list(names[:NAMES_SHOWN])}, ..."


def some(names: Sequence[str]) -> str:
    """The first few names, for a message of one line, without quotes."""
    return ", ".join(map(printable, names[:FILES_SHOWN])) + (", ..." if len(names) > FILES_SHOWN else "")
