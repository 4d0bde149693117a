"""Faults of a training and a test list in one pass, before anything is decoded or trained; on demand, of every file."""

from __future__ import annotations

import collections
import os
import warnings
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from keras_res3d.data.children import map_in_children
from keras_res3d.data.faults import Fault, prefixed
from keras_res3d.data.listing import Listing, Row, class_notes, duplicates, place_of, some, video_of
from keras_res3d.data.open import open_video
from keras_res3d.data.types import DataSet, PathLike, is_multi_label, labels_of
from keras_res3d.tables import is_utf8

# Lines named of one group on each side; the counts say how many there are.
LINES_SHOWN = 3
UNREADABLE = "damaged video"


@dataclass(frozen=True)
class Report:
    """What `preflight` found.

    Args:
        faults: a sentence for each, with its list and line.
        notes: sentences about what is worth knowing but no fault.
        counts: (class, training videos) of each class, with a test list (class, training videos, test videos).
    """

    faults: tuple[str, ...]
    notes: tuple[str, ...]
    counts: tuple[tuple, ...]


def preflight(train: Listing, test: Listing | None = None) -> Report:
    """Every fault of a training list, and of a test list beside it; nothing is raised, decoded or written.

    Faults are those of the lists themselves, the same video twice in a list, classes without a video, labels of the
    test list that training lacks, videos in both lists, and groups in both (UCF101's groups, HMDB51's source videos),
    each group named. Notes tell of a training list of one class, of classes that differ in case or white space alone,
    of classes without a test video, of videos without a label (in a multi-label list), and of names that are not UTF-8.
    A million videos take some seconds.

    Args:
        train: the Listing of the training videos; `as_listing` makes one of a data set.
        test: of the held-out videos, or None.
    """
    listings = [train] if test is None else [train, test]
    video = video_of()
    faults, notes = [], []
    for listing in listings:
        said = set(listing.faults)
        again = [fault for fault in duplicates(listing.rows, video) if fault not in said]
        faults += [prefixed(listing.name, fault) for fault in (*listing.faults, *again)]
        more = (*listing.notes, *_unlabelled(listing), *_odd_names(listing))
        notes += [prefixed(listing.name, note) for note in more]
    counts = [collections.Counter(name for row in listing.rows for name in labels_of(row)) for listing in listings]
    faults += [prefixed(train.name, f"class {name!r} has no video") for name in train.classes if not counts[0][name]]
    present = tuple(name for name in train.classes if counts[0][name])
    several = any(row.labels is not None for row in train.rows)
    notes += [prefixed(train.name, note) for note in class_notes(present, counts[0], given=False, multi_label=several)]
    if test is not None:
        unknown = sorted(set(counts[1]) - set(train.classes))
        faults += [Fault(f"{test.name}: label {name!r} is not a class of {train.name}", "unknown class")
                   for name in unknown if name in test.classes]  # fmt: skip
        notes += [prefixed(test.name, f"class {name!r} has no video") for name in train.classes if not counts[1][name]]
        faults += _shared_videos(train, test, video) + _shared_groups(train, test)
    names = dict.fromkeys(name for listing in listings for name in listing.classes)
    table = tuple((name, *(count[name] for count in counts)) for name in names)
    return Report(tuple(faults), tuple(notes), table)


def as_listing(data_set: DataSet) -> Listing:
    """The Listing of a data set that was read already, such as packed shards, the embedded one or a user's own.

    Args:
        data_set: a `types.DataSet`; of its examples the path and the label are needed, and the rest is taken if it is
            there.
    """
    rows, several = [], is_multi_label(data_set)
    for example in data_set.examples:
        names = [data_set.classes[number] for number in labels_of(example)]
        more = (getattr(example, name, None) for name in Row._fields[3:-1])
        row = Row("", example.path, "".join(names[:1]), *more)
        rows.append(row.with_labels(names) if several else row)
    return Listing(data_set.name, tuple(rows), tuple(data_set.classes))


def _unlabelled(listing: Listing) -> list[str]:
    """A note of the videos of a multi-label list that have no label."""
    without = [str(row.path) for row in listing.rows if row.labels == ()]
    count = "1 video has no label" if len(without) == 1 else f"{len(without)} videos have no label"
    return [f"{count}, which is taken for an example of no class: {some(without)}"] if without else []


def _odd_names(listing: Listing) -> list[str]:
    """A note of the paths that hold bytes that are not UTF-8: they work here, and not everywhere."""
    odd = [str(row.path) for row in listing.rows if not is_utf8(str(row.path))]
    return [f"the paths of {len(odd)} videos are not UTF-8, such as {some(odd)}"] if odd else []


def _groups(listing: Listing) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    for row in listing.rows:
        if row.group is not None:
            rows.setdefault(row.group, []).append(row)
    return rows


def _shared_videos(train: Listing, test: Listing, video: Callable[[Row], Hashable]) -> list[Fault]:
    places: dict[Hashable, Row] = {}
    for row in test.rows:
        places.setdefault(video(row), row)
    # The first row of each video that both lists have.
    first: dict[Hashable, Row] = {}
    for row in train.rows:
        first.setdefault(video(row), row)
    return [
        Fault(f"{row.path} is in both lists: {place_of(row)} of {train.name}, {place_of(places[each])} of {test.name}",
              "video in both lists")
        for each, row in first.items()
        if each in places
    ]  # fmt: skip


def _shared_groups(train: Listing, test: Listing) -> list[Fault]:
    mine, theirs = _groups(train), _groups(test)
    faults = []
    for group in mine:
        if group in theirs:
            sides = [f"{len(rows)} videos of {listing.name} ({', '.join(map(place_of, rows[:LINES_SHOWN]))}"
                     f"{', ...' if len(rows) > LINES_SHOWN else ''})"
                     for listing, rows in ((train, mine[group]), (test, theirs[group]))]  # fmt: skip
            faults.append(Fault(f"group {group!r} leaks: {sides[0]} and {sides[1]}; keep a group in one list",
                                "group in both lists"))  # fmt: skip
    return faults


def probe(path: PathLike) -> str | None:
    """What is wrong with a video, decoded from its first frame to its last.

    Args:
        path: a video file or a folder of frames.

    Returns:
        A sentence with the file's name; None if nothing is wrong.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with open_video(path) as video:
                # Frames are made small, so that decoding is all that they cost.
                for _ in video.frames(range(video.num_frames), size=(16, 16)):
                    pass
                faults = video.faults
        except (ValueError, OSError) as error:
            return str(error)
    if not faults:
        return None
    more = f" ({faults} faults)" if faults > 1 else ""
    return (str(caught[0].message) if caught else f"{path}: damaged") + more


def probe_files(
    paths: Iterable[PathLike], workers: int | None = None, progress: Callable[[int], None] = lambda done: None
) -> list[str]:
    """`probe` of many videos in child processes, so that one that crashes the decoder is reported like the others.

    Args:
        paths: of video files and folders of frames.
        workers: processes; None is one for each core.
        progress: called with the number of videos done.

    Returns:
        The sentences about the bad ones, in the order of `paths`.
    """
    faults, paths = [], [os.fspath(path) for path in paths]
    for number, (path, outcome) in enumerate(zip(paths, map_in_children(probe, paths, workers), strict=True), 1):
        if outcome.error:
            faults.append(Fault(f"{path}: {outcome.error}", UNREADABLE))
        elif outcome.value:
            faults.append(Fault(outcome.value, UNREADABLE))
        progress(number)
    return faults
