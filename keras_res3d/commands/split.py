"""Split a data set into k folds for cross-validation, and write a training and a test list for each.

    keras-res3d split --data all.csv --folds 5 --output folds
    keras-res3d split --data all.csv --folds 5 --by camera --output folds
    keras-res3d split --data videos --folds 10 --by none --output folds
    keras-res3d split --data UCF-101 --layout ucf101 --lists ucfTrainTestlist --folds 5 --output folds
    keras-res3d train --data folds/fold1_train.csv --validation folds/fold1_test.csv --output runs/fold1

Every video is in the test list of exactly one fold. Videos of one group stay together, and the classes are spread as
evenly as groups allow. A group is what the column group of a CSV file says, or another column that --by names, and with
--layout the group of the public data set. The same command writes the same lists. Videos are split before they are
packed.
"""

from __future__ import annotations

from absl import flags

from keras_res3d.commands.data_flags import define_data_flags, listing_from_flags
from keras_res3d.tables import printable

FLAGS = flags.FLAGS
USAGE = "--data PATH --output FOLDER"


def define_flags() -> None:
    define_data_flags("Videos to split", validation=False)
    flags.DEFINE_string("output", None, "Folder that the lists are written into. It is made where it is missing.")
    flags.DEFINE_integer("folds", 5, "The number of folds.", lower_bound=2)
    flags.DEFINE_string(
        "by", None, "What stays together: group, another column of a CSV file, or none, which spreads the classes "
        "alone. By default group where there are groups, and none elsewhere.",
    )  # fmt: skip
    flags.DEFINE_integer("seed", 0, "Another seed gives other folds.", lower_bound=0, upper_bound=2**32 - 1)


def _listing():
    """All videos that the flags name; with --layout those of its training list and of its held-out list together."""
    from dataclasses import replace

    from keras_res3d.data.listing import duplicates, video_of

    group = FLAGS.by if FLAGS.by not in (None, "none") else "group"
    train = listing_from_flags("train", group=group)
    if FLAGS.layout is None:
        return train
    test = listing_from_flags("test", train.classes, group=group)
    known = {(str(row.path), row.first_frame, row.label) for row in train.rows}
    rows = (*train.rows, *(row for row in test.rows if (str(row.path), row.first_frame, row.label) not in known))
    faults = dict.fromkeys((*train.faults, *test.faults, *duplicates(rows, video_of())))
    notes = dict.fromkeys((*train.notes, *test.notes))
    return replace(train, name=f"{FLAGS.layout} ({FLAGS.data})", rows=rows, faults=tuple(faults), notes=tuple(notes))


def _by(data) -> str | None:
    """What `split_folds` splits by; said where it is not what was asked for."""
    from keras_res3d.data.split import groups_of

    if FLAGS.by is not None:
        # Whatever column --by names is read as the group.
        return None if FLAGS.by == "none" else "group"
    try:
        groups_of(data)
    except ValueError:
        print("there are no groups: the classes alone are spread evenly; videos of one source may be in two folds")
        return None
    return "group"


def _table(data, folds, by: str | None) -> str:
    """How many videos and groups each fold has, and the smallest and the largest share of a class's videos in it."""
    import collections

    from keras_res3d.data.split import groups_of
    from keras_res3d.tables import as_text

    totals = collections.Counter(example.label for example in data.examples)
    rows = []
    for number, (train, test) in enumerate(folds, 1):
        counts = collections.Counter(example.label for example in test.examples)
        shares = [100 * counts[label] / total for label, total in totals.items()]
        groups = [str(len(set(groups_of(test, by))))] if by else []
        rows.append([str(number), str(len(train)), str(len(test)), *groups, f"{min(shares):.1f}", f"{max(shares):.1f}"])
    groups = ["groups"] if by else []
    return as_text(["fold", "training", "test", *groups, "least_%_of_a_class", "most_%"], rows)


def run(args: list[str]) -> int:
    from keras_res3d.data.layouts.registry import LAYOUTS
    from keras_res3d.data.open import data_set_of, kind_of
    from keras_res3d.data.split import split_folds, write_folds

    kind = FLAGS.layout or kind_of(FLAGS.data)
    if kind in ("motion", "packed"):
        raise ValueError(f"--data is {FLAGS.data}, which has no list of files to write; split the videos before they "
                         "are packed, or use keras_res3d.split_folds in Python")  # fmt: skip
    if FLAGS.by not in (None, "group", "none") and kind in LAYOUTS and kind != "csv":
        raise ValueError(f"--by is {FLAGS.by}; a column can be chosen of a CSV file alone. Give group or none")
    data = data_set_of(_listing())
    by = _by(data)
    print(printable(f"splitting {len(data)} videos of {len(data.classes)} classes into {FLAGS.folds} folds"
                    + (f" by {FLAGS.by or by}" if by else "")))  # fmt: skip
    folds = split_folds(data, FLAGS.folds, by, FLAGS.seed)
    paths = write_folds(folds, FLAGS.output, by)
    print(_table(data, folds, by))
    print(f"wrote {len(paths)} lists, {printable(paths[0])} to {printable(paths[-1].name)}")
    return 0
