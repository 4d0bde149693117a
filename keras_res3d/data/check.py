"""Faults of a training and a test list in one pass, before anything is decoded or trained; on demand, of every file."""

import os
import warnings
from dataclasses import dataclass

from keras_res3d.data.children import map_in_children
from keras_res3d.data.lists import Listing, Row, open_video

# Lines named of one group on each side; the counts say how many there are.
LINES_SHOWN = 3


@dataclass(frozen=True)
class Report:
    """What `preflight` found. faults, notes: sentences with list and line. counts: (class, training, test videos)."""

    faults: tuple
    notes: tuple
    counts: tuple


def preflight(train, test=None):
    """Every fault of a training `Listing`, and of a test `Listing` beside it.

    Faults are those of the lists themselves, classes without a video, labels of the test list that training lacks,
    videos in both lists, and groups in both (UCF101's groups, HMDB51's source videos), each group named.
    Returns a Report; nothing is raised, decoded or written.
    """
    listings = [train] if test is None else [train, test]
    faults = [f"{listing.name}: {fault}" for listing in listings for fault in listing.faults]
    notes = [f"{listing.name}: {note}" for listing in listings for note in listing.notes]
    counts = [_counts(listing) for listing in listings]
    faults += [f"{train.name}: class {name!r} has no video" for name in train.classes if not counts[0].get(name)]
    if test is not None:
        unknown = sorted(set(counts[1]) - set(train.classes))
        faults += [f"{test.name}: label {name!r} is no class of {train.name}" for name in unknown
                   if name in test.classes]
        notes += [f"{test.name}: class {name!r} has no video" for name in train.classes if not counts[1].get(name)]
        faults += _shared_videos(train, test) + _shared_groups(train, test)
    names = list(dict.fromkeys(name for listing in listings for name in listing.classes))
    table = tuple((name, *(count.get(name, 0) for count in counts)) for name in names)
    return Report(tuple(faults), tuple(notes), table)


def as_listing(data_set):
    """The Listing of a data set that was read already, such as packed shards or the embedded one."""
    rows = tuple(Row("", e.path, data_set.classes[e.label], getattr(e, "group", None)) for e in data_set.examples)
    return Listing(data_set.name, rows, tuple(data_set.classes))


def _counts(listing):
    counts = {}
    for row in listing.rows:
        counts[row.label] = counts.get(row.label, 0) + 1
    return counts


def _place(row):
    return row.where.rstrip(": ") or str(row.path)


def _by(listing, key):
    rows = {}
    for row in listing.rows:
        if key(row) is not None:
            rows.setdefault(key(row), []).append(row)
    return rows


def _shared_videos(train, test):
    def video(row):
        return os.path.realpath(row.path), row.first_frame

    mine, theirs = _by(train, video), _by(test, video)
    return [f"{path[0]} is in both lists: {_place(mine[path][0])} of {train.name}, "
            f"{_place(theirs[path][0])} of {test.name}" for path in mine if path in theirs]


def _shared_groups(train, test):
    mine, theirs = (_by(listing, lambda row: row.group) for listing in (train, test))
    faults = []
    for group in mine:
        if group in theirs:
            sides = [f"{len(rows)} videos of {listing.name} ({', '.join(map(_place, rows[:LINES_SHOWN]))}"
                     f"{', ...' if len(rows) > LINES_SHOWN else ''})"
                     for listing, rows in ((train, mine[group]), (test, theirs[group]))]
            faults.append(f"group {group!r} leaks: {sides[0]} and {sides[1]}; keep a group in one list")
    return faults


def probe(path):
    """What is wrong with a video, decoded from its first frame to its last; None where nothing is.

    path: a video file or a folder of JPEG frames. Returns a sentence with the file's name.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with open_video(path) as video:
                # Frames are made small: what decoding costs is all that is paid.
                for _ in video.frames(range(video.num_frames), size=(16, 16)):
                    pass
                faults = video.faults
        except (ValueError, OSError) as error:
            return str(error)
    if not faults:
        return None
    more = f" ({faults} faults)" if faults > 1 else ""
    return (str(caught[0].message) if caught else f"{path}: damaged") + more


def probe_files(paths, workers=None, progress=lambda done: None):
    """`probe` of many videos in child processes, so that one that crashes the decoder is reported like the others.

    progress: called with the number of videos done. Returns the sentences of the bad ones, in the order of paths.
    """
    faults, paths = [], [os.fspath(path) for path in paths]
    for number, (path, outcome) in enumerate(zip(paths, map_in_children(probe, paths, workers), strict=True), 1):
        if outcome.error:
            faults.append(f"{path}: {outcome.error}")
        elif outcome.value:
            faults.append(outcome.value)
        progress(number)
    return faults
