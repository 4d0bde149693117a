"""The flags that say which videos: --data, --validation, --skip_missing, and --layout, --lists, --split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

if TYPE_CHECKING:
    from keras_res3d.data.listing import Listing
    from keras_res3d.data.types import DataSet

FLAGS = flags.FLAGS


def define_data_flags(data: str = "Videos with labels", validation: bool = True) -> None:
    """Defines --data, --layout, --lists, --split, --skip_missing and --multi_label; --validation if `validation`.

    Args:
        data: what --data is to the verb; the first words of its help.
        validation: whether the verb takes held-out videos beside --data.
    """
    from keras_res3d.data.layouts.registry import LAYOUTS

    flags.DEFINE_string(
        "data",
        None,
        f"{data}: a folder of class folders, a CSV file, packed shards, or the word motion or textures for embedded "
        "data. "
        "With --layout, the folder that the paths in its lists are relative to.",
    )
    if validation:
        flags.DEFINE_string(
            "validation", None, "Held-out videos, given like --data. With --layout this is often the same folder."
        )
    flags.DEFINE_enum("layout", None, sorted(LAYOUTS), "The public data set whose lists are read.")
    flags.DEFINE_string(
        "lists", None, "With --layout, the folder that holds its lists, or one list (the folder of --data by default)."
    )
    flags.DEFINE_integer("split", 1, "With --layout, the number of the split.", lower_bound=1)
    flags.DEFINE_bool(
        "skip_missing", False, "Leave out listed videos whose files are missing, and say how many there are. By "
        "default a missing file is a fault.",
    )  # fmt: skip
    flags.DEFINE_bool(
        "multi_label", False, "A video may have several labels, or none: run|jump in the label column of a CSV file, "
        "all labels in Sports-1M's lists.",
    )  # fmt: skip


def data_from_flags(
    subset: str, classes: Sequence[str] | None = None, path: str | None = None, split: int | None = None,
    multi_label: bool = False,
) -> DataSet | None:  # fmt: skip
    """The data set that the flags name, checked; None for "validation" where --validation is not given.

    Args:
        subset: "train" reads --data, with --layout its training list. "validation" reads --validation, with --layout
            the held-out list. "test" reads --data, with --layout the held-out list, which is Kinetics' validation list
            and the test list of the others.
        classes: names in the order of the labels; None means the data's own.
        path, split: what to read in place of --data or --validation, and of --split.
        multi_label: whether a video may have several labels even where --multi_label does not say so.

    Raises:
        DataError: the data have faults; the message lists every one.
    """
    from keras_res3d.data.open import EMBEDDED, data_set_of, is_motion, is_packed, read_data_set

    _check()
    path = path or _path(subset)
    if path is None:
        return None
    if FLAGS.layout is None and (is_motion(path) or is_packed(path)):
        path = f"{path}/test" if subset != "train" and path in EMBEDDED else path
        return read_data_set(path, classes=classes, multi_label=multi_label or FLAGS.multi_label)
    listing = listing_from_flags(subset, classes, path, split=split, multi_label=multi_label)
    return data_set_of(listing, classes is not None)


def listing_from_flags(
    subset: str, classes: Sequence[str] | None = None, path: str | None = None, group: str = "group",
    split: int | None = None, multi_label: bool = False,
) -> Listing:  # fmt: skip
    """Like `data_from_flags`, but returns a `Listing` of what the list says, its faults included.

    Args:
        subset, classes, multi_label: as of `data_from_flags`.
        path: what to read in place of --data or --validation.
        group: the column of a CSV file that says which videos belong together.
        split: which one to read in place of --split.
    """
    from keras_res3d.data.layouts.registry import LAYOUTS
    from keras_res3d.data.open import list_layout, list_videos

    _check()
    path = path or _path(subset)
    more = {"skip_missing": FLAGS.skip_missing, "group": group, "multi_label": multi_label or FLAGS.multi_label}
    if FLAGS.layout is None:
        return list_videos(path, classes, **more)
    chosen = "train" if subset == "train" else LAYOUTS[FLAGS.layout].held_out
    lists, split = FLAGS.lists or path, split or FLAGS.split
    return list_layout(FLAGS.layout, lists, path, split, chosen, classes, **more)


def _path(subset: str) -> str | None:
    return FLAGS.validation if subset == "validation" else FLAGS.data


def _check() -> None:
    if FLAGS.lists is not None and FLAGS.layout is None:
        raise ValueError(f"--lists is {FLAGS.lists} and --layout is missing; say whose lists they are: --layout ucf101")
    if FLAGS["split"].present and FLAGS.layout is None:
        raise ValueError(f"--split is {FLAGS.split} and --layout is missing; say whose split it is: --layout ucf101")
