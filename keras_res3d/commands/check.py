"""Name every fault of a data set in one pass, before anything is trained. Nothing is written.

    keras-res3d check --data train.csv --validation test.csv
    keras-res3d check --data UCF-101 --layout ucf101 --lists ucfTrainTestlist --split 1 --decode
    keras-res3d check --data shards/train

It finds missing files, duplicates, malformed lines, labels out of range and classes without a video. It finds videos
and groups that are in training and in test (a group is UCF101's group, or HMDB51's source video). With --decode it
reads every video from end to end as well. Packed shards are compared with their manifest, digests included. The exit
code is 1 where there is a fault.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from keras_res3d.commands.data_flags import data_from_flags, define_data_flags, listing_from_flags

FLAGS = flags.FLAGS
USAGE = "--data PATH"
CLASSES_SHOWN = 20


def define_flags() -> None:
    define_data_flags("Training videos")
    flags.DEFINE_bool("decode", False, "Decode every video from its first frame to its last as well.")
    flags.DEFINE_integer("workers", None, "Videos that are decoded at a time (one per core by default).", lower_bound=1)


def _listing(subset: str, path: str, classes: Sequence[str] | None = None):
    """Returns (Listing, further faults) of a list, packed shards or the embedded data."""
    from keras_res3d.data.check import as_listing
    from keras_res3d.data.listing import Listing
    from keras_res3d.data.open import is_motion, is_packed
    from keras_res3d.data.types import DataError

    try:
        if FLAGS.layout is None and (is_motion(path) or is_packed(path)):
            data = data_from_flags(subset)
            return as_listing(data), data.verify() if is_packed(path) else []
        return listing_from_flags(subset, classes, path), []
    except DataError as error:
        return Listing(path, (), (), error.faults), []


def _decode(listings: list) -> list[str]:
    """The faults that decoding every video of the listings meets, with a line of progress."""
    import os

    from keras_res3d.data.check import probe_files

    paths = list(dict.fromkeys(os.fspath(row.path) for listing in listings for row in listing.rows))
    paths = [path for path in paths if os.path.exists(path)]  # missing ones are named already

    def progress(done: int) -> None:
        if sys.stderr.isatty() or done == len(paths):
            print(f"\rdecoded {done} of {len(paths)} videos", end="", file=sys.stderr, flush=True)

    faults = probe_files(paths, FLAGS.workers, progress)
    print(file=sys.stderr)
    return faults


def run(args: list[str]) -> int:
    from keras_res3d.data.check import preflight
    from keras_res3d.data.faults import shown
    from keras_res3d.tables import as_text, printable

    print(printable(f"checking {FLAGS.data}" + (f" against {FLAGS.validation}" if FLAGS.validation else "")))
    train, further = _listing("train", FLAGS.data)
    # A layout's held-out list lies beside its training list.
    held_out = FLAGS.validation or (FLAGS.data if FLAGS.layout else None)
    test = None
    if held_out is not None:
        # Classes that only the held-out list has are named once each, not once a line.
        test, more = _listing("validation", held_out, train.classes if FLAGS.layout == "caffe" else None)
        further += more
    report = preflight(train, test)
    listings = [train] if test is None else [train, test]
    faults = [*report.faults, *further, *(_decode(listings) if FLAGS.decode else [])]
    for kind, sentences in (("note", report.notes), ("fault", faults)):
        for sentence in shown(sentences):
            print(f"{kind}: {printable(sentence)}")
    header = ["class", "videos"] if test is None else ["class", "training", "test"]
    rows = [[name, *map(str, counts)] for name, *counts in report.counts]
    if len(rows) > CLASSES_SHOWN:
        rows = [*rows[:CLASSES_SHOWN], [f"... {len(rows) - CLASSES_SHOWN} more", *[""] * len(rows[0][1:])]]
    total = ["all", *(str(len(listing.rows)) for listing in listings)]
    print(as_text(header, [*rows, total]))
    print(f"{len(faults)} faults" if len(faults) != 1 else "1 fault")
    return int(bool(faults))
