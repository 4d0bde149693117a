"""The flags that say which videos: --data, --validation, and the public layouts --layout, --lists, --split."""

from __future__ import annotations

from absl import flags

FLAGS = flags.FLAGS


def define_data_flags(data: str = "Videos with labels", validation: bool = True, required: bool = True) -> None:
    """Defines --data, --layout, --lists, --split, and --validation where `validation` says so.

    data: what --data is to the verb, the first words of its help.
    """
    from keras_res3d.data.layouts.registry import LAYOUTS

    flags.DEFINE_string(
        "data",
        None,
        f"{data}: folder of class folders, CSV file, packed shards, or motion; with --layout the folder that its "
        "lists' paths are relative to.",
        required=required,
    )
    if validation:
        flags.DEFINE_string("validation", None, "Held-out videos, like --data; with --layout often the same folder.")
    flags.DEFINE_enum("layout", None, sorted(LAYOUTS), "Read the lists of this public data set.")
    flags.DEFINE_string("lists", None, "With --layout: the folder of its lists, or the list (--data's by default).")
    flags.DEFINE_integer("split", 1, "With --layout: the split.", lower_bound=1)


def data_from_flags(subset: str, classes=None):
    """The data set that the flags name, checked; None for "validation" where --validation is not given.

    subset: "train": --data, with --layout its training list. "validation": --validation, with --layout the held-out
    list. "test": --data, with --layout the held-out list (Kinetics' validation list, the others' test list).
    classes: names in the order of the labels. Raises DataError, listing every fault.
    """
    import warnings

    from keras_res3d.data.open import data_set_of, is_motion, is_packed, read_data_set

    path = _path(subset)
    if path is None:
        return None
    if FLAGS.layout is None and (is_motion(path) or is_packed(path)):
        return read_data_set("motion/test" if subset != "train" and path == "motion" else path, classes=classes)
    listing = listing_from_flags(subset, classes)
    for note in listing.notes:
        warnings.warn(f"{listing.name}: {note}", stacklevel=2)
    return data_set_of(listing)


def listing_from_flags(subset: str, classes=None, path=None):
    """Like `data_from_flags`, but a `Listing` of what the list says, faults and all. path: in place of the flag's."""
    from keras_res3d.data.layouts.registry import LAYOUTS
    from keras_res3d.data.open import list_layout, list_videos

    path = path or _path(subset)
    _check()
    if FLAGS.layout is None:
        return list_videos(path, classes)
    chosen = "train" if subset == "train" else LAYOUTS[FLAGS.layout].held_out
    return list_layout(FLAGS.layout, FLAGS.lists or path, path, FLAGS.split, chosen, classes)


def _path(subset):
    _check()
    return FLAGS.validation if subset == "validation" else FLAGS.data


def _check() -> None:
    if FLAGS.lists is not None and FLAGS.layout is None:
        raise ValueError(f"--lists {FLAGS.lists} without --layout; say whose lists they are, e.g. --layout ucf101")
