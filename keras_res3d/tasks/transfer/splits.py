"""Training and test parts of features: by a public data set's lists, by CSV lists, or from two sets of features."""

from __future__ import annotations

import os
import pathlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_res3d.data.listing import examples_of
from keras_res3d.data.open import list_layout
from keras_res3d.tables import printable
from keras_res3d.tasks.features import Features
from keras_res3d.tasks.transfer.rows import Finder, listed, videos_of

# The public data sets of table 9. Their lists name a video by its class and its file.
BENCHMARKS = ("ucf101", "hmdb51")
PathLike = str | os.PathLike


@dataclass(frozen=True)
class Part:
    """Some rows of features, with what a list or the features say of them.

    Attributes:
        rows: numbers of the rows, int64 `(videos,)`.
        labels: class name of each.
        groups: what each must stay together with; None where it stands alone.
    """

    rows: np.ndarray
    labels: tuple[str, ...]
    groups: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def keys(self) -> list[str]:
        """A group for every video: that of a video without one is its own."""
        return [f"row {row}" if group is None else f"group {group}"
                for row, group in zip(self.rows, self.groups, strict=True)]  # fmt: skip


@dataclass(frozen=True)
class Split:
    """A part to train on, and a part to test on."""

    name: str
    train: Part
    test: Part


def splits_of(
    features,
    test=None,
    *,
    layout: str | None = None,
    lists: PathLike | None = None,
    splits: Iterable[int] = (1, 2, 3),
    train_list: PathLike | Sequence[PathLike] | None = None,
    test_list: PathLike | Sequence[PathLike] | None = None,
    layers: Sequence[str] | None = None,
) -> tuple[Features, tuple[Split, ...]]:
    """The features, one row a video, and their splits.

    Args:
        features: a folder, `Features`, or arrays (values, labels[, groups]).
        test: the same of the test videos, where they have features of their own.
        layout, lists, splits: "ucf101" or "hmdb51", the folder of its lists, and the numbers of its splits.
        train_list, test_list: CSV lists with the columns path and label, and group where there are groups; several for
            several splits. Labels and groups of lists count, in place of those of the features.
        layers: which are read of folders; None reads all.

    Raises:
        ValueError: it is not said what is tested on, or it is said twice; videos of a list have no features; a video
            is in both parts of a split; a part has no labels.
        DataError: a list has faults.

    Warns where a group is in both parts of a split, or a class in the test part alone.
    """
    ways = {"test": test is not None, "layout": layout is not None, "train_list": train_list is not None}
    if sum(ways.values()) != 1 or (train_list is None) != (test_list is None):
        given = [name for name, there in {**ways, "test_list": test_list is not None}.items() if there]
        given = " and ".join(given) or "neither lists nor test features"
        raise ValueError(f"given are {given}; expected one of these: "
                         "features of the test videos, a layout with lists, a training and a test list")  # fmt: skip
    if test is not None:
        whole, found = _of_two(videos_of(features, layers), videos_of(test, layers))
    else:
        whole = videos_of(features, layers)
        pairs = _benchmark(layout, lists, splits) if layout else _csv_pairs(train_list, test_list)
        finder = Finder(whole.ids)
        found = tuple(Split(name, _part(finder, *train), _part(finder, *held_out)) for name, train, held_out in pairs)
    for split in found:
        _check(whole, split)
    return whole, found


def whole_part(features: Features) -> Part:
    """All rows as a part, by the labels and groups of the features.

    Raises:
        ValueError: rows have no label.
    """
    unlabelled = [name for name, label in zip(features.ids, features.labels, strict=True) if label is None]
    if unlabelled:
        raise ValueError(f"{len(unlabelled)} of {len(features.ids)} videos have no label: {listed(unlabelled)}; name "
                         "lists that have them")  # fmt: skip
    return Part(np.arange(len(features.ids)), features.labels, features.groups)


def _of_two(train: Features, test: Features) -> tuple[Features, tuple[Split, ...]]:
    """Two sets of features as one, and the split into the two."""
    layers = [name for name in train.values if name in test.values]
    if not layers:
        raise ValueError(f"training and test features have no layer in common: {list(train.values)} and "
                         f"{list(test.values)}")  # fmt: skip
    for name in layers:
        widths = train.values[name].shape[1], test.values[name].shape[1]
        if widths[0] != widths[1]:
            raise ValueError(f"{name} has {widths[0]} values a video in the training features, {widths[1]} in the test "
                             "features; extract both with the same model")  # fmt: skip
    parts = whole_part(train), whole_part(test)
    # Arrays have no names of their own, so that equal numbers in both parts do not mean the same video.
    whole = Features(
        values={name: np.concatenate([train.values[name], test.values[name]]) for name in layers},
        ids=tuple(f"train/{name}" for name in train.ids) + tuple(f"test/{name}" for name in test.ids),
        labels=train.labels + test.labels, groups=train.groups + test.groups,
        seconds=np.concatenate([train.seconds, test.seconds]), facts=dict(train.facts),
    )  # fmt: skip
    held_out = Part(parts[1].rows + len(parts[0]), parts[1].labels, parts[1].groups)
    return whole, (Split("train and test", parts[0], held_out),)


def _part(finder: Finder, rows, name: str, folder: PathLike | None) -> Part:
    paths = [os.fspath(row.path) for row in rows]
    found = finder.rows(paths, printable(name), folder)
    seen: dict[int, str] = {}
    twice = [path for row, path in zip(found.tolist(), paths, strict=True) if seen.setdefault(row, path) != path]
    if twice:
        raise ValueError(f"{name}: several of its videos are found in the same row of the features: {listed(twice)}")
    return Part(found, tuple(row.label for row in rows), tuple(row.group for row in rows))


def _rows(layout: str, lists: PathLike, folder: PathLike, split: int, subset: str):
    """The rows of a list without faults; its videos need not be there, only their features."""
    listing = list_layout(layout, lists, folder, split, subset, check_files=False)
    examples_of(listing)
    return listing.rows


def _benchmark(layout: str, lists: PathLike | None, splits: Iterable[int]):
    if layout not in BENCHMARKS:
        raise ValueError(f"layout is {layout!r}; expected {' or '.join(BENCHMARKS)}, or a training and a test list")
    if lists is None:
        raise ValueError(f"layout is {layout} and lists is missing; name the folder that holds its lists")
    numbers = tuple(splits)
    if not numbers:
        raise ValueError("splits is empty; expected numbers such as (1, 2, 3)")
    for number in numbers:
        name = f"{layout} split {number}"
        yield name, *(
            (_rows(layout, lists, "", number, subset), f"{name} {subset}", None) for subset in ("train", "test")
        )


def _csv_pairs(train_list, test_list):
    both = [[each] if isinstance(each, (str, os.PathLike)) else list(each) for each in (train_list, test_list)]
    if len(both[0]) != len(both[1]) or not both[0]:
        raise ValueError(f"there are {len(both[0])} training lists and {len(both[1])} test lists; expected a pair for "
                         "each split")  # fmt: skip
    for number, pair in enumerate(zip(*both, strict=True), 1):
        parts = []
        for path in map(pathlib.Path, pair):
            if not path.is_file():
                raise ValueError(f"{path}: no such list; expected a CSV file with the columns path and label")
            parts.append((_rows("csv", path, "", 1, "train"), str(path), path.parent))
        yield f"split {number}" if len(both[0]) > 1 else pathlib.Path(pair[1]).name, *parts


def _check(features: Features, split: Split) -> None:
    both = np.intersect1d(split.train.rows, split.test.rows)
    if len(both):
        raise ValueError(f"{split.name}: {len(both)} videos are in the training part and in the test part: "
                         f"{listed(features.ids[row] for row in both)}")  # fmt: skip
    if len(set(split.train.labels)) < 2:
        raise ValueError(f"{split.name}: the training part has the classes {sorted(set(split.train.labels))}; expected "
                         "two or more")  # fmt: skip
    unknown = sorted({*split.test.labels} - {*split.train.labels})
    if unknown:
        warnings.warn(f"{split.name}: {len(unknown)} classes are in the test part alone, so that none of their videos "
                      f"can be right: {listed(unknown)}", stacklevel=3)  # fmt: skip
    groups = sorted({*split.train.groups} & {*split.test.groups} - {None})
    if groups:
        warnings.warn(f"{split.name}: {len(groups)} groups are in both parts, so that the test is easier than it "
                      f"seems: {listed(groups)}", stacklevel=3)  # fmt: skip
