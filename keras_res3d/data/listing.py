"""What a list of videos says, right or wrong: rows with their lines, classes, faults."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keras_res3d.data.types import VIDEO_EXTENSIONS, DataError, Example

# Names that a message shows of a longer list.
NAMES_SHOWN = 8


class Row(NamedTuple):
    """One line of a list: an `Example` whose label is a name.

    Args:
        where: where it stands, such as "line 3: ", to begin a sentence with; empty where there are no lines.
        path, group, first_frame, frames, digest: as of `Example`.
        label: name of the class.
    """

    where: str
    path: str | os.PathLike
    label: str
    group: str | None = None
    first_frame: int | None = None
    frames: int | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Listing:
    """What a list says.

    Args:
        name: what was read.
        rows: every row that could be read, those with faults too.
        classes: names in the order of the labels.
        faults: a sentence for each fault.
        notes: sentences about what is no fault.
    """

    name: str
    rows: tuple[Row, ...]
    classes: tuple[str, ...]
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


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
    order = tuple(classes if classes is not None else found or sorted({row.label for row in rows}))
    faults, known = list(faults), set(order)
    if len(known) < len(order):
        faults.append(f"classes holds a name twice: {sorted({c for c in order if order.count(c) > 1})}")
    faults += [
        f"{row.where}label {row.label!r} is not one of the {len(order)} classes {short(order)}"
        for row in rows
        if row.label not in known
    ]
    if not rows and not faults:
        faults.append("no video at all; expected " + ", ".join(sorted(VIDEO_EXTENSIONS)) + " files")
    return Listing(name, tuple(rows), order, tuple(faults), tuple(notes))


def examples_of(listing: Listing) -> tuple[Example, ...]:
    """The examples of a Listing without faults.

    Raises:
        DataError: it has faults.
    """
    if listing.faults:
        raise DataError(listing.name, listing.faults)
    numbers = {label: number for number, label in enumerate(listing.classes)}
    return tuple(Example(str(row.path), numbers[row.label], *row[3:]) for row in listing.rows)


def repeats(
    rows: Iterable[Row], faults: Iterable[str], videos: Iterable[Hashable]
) -> Iterator[tuple[Row, Row]]:
    """Rows that name a video again, each with the first row that does, unless a fault says so already.

    Args:
        rows: of a list.
        faults: of the same list.
        videos: of each row, what it has in common with another row of the same video.
    """
    named = {fault.partition("duplicate")[0] for fault in faults if "duplicate" in fault}
    first: dict[Hashable, Row] = {}
    for row, video in zip(rows, videos, strict=True):
        before = first.setdefault(video, row)
        if before is not row and not (row.where and row.where in named):
            yield row, before


def place_of(row: Row) -> str:
    """Where a row stands, for a sentence: its line, or the path where there are no lines."""
    return row.where.rstrip(": ") or str(row.path)


def short(names: Sequence[str]) -> str:
    """Names for a message: all of a few, the first of many."""
    return str(list(names)) if len(names) <= NAMES_SHOWN else f"{list(names[:NAMES_SHOWN])}, ..."
