"""k folds of a data set: no group in two folds, the classes as even as groups allow, the same folds for a seed.

Every group goes to the fold in which its classes are rarest so far, the groups that weigh most first. What is kept
small by that is the sum of squares of each class's share in each fold, so that a rare class counts as much as a
frequent one. Which of equal groups comes first follows from the seed and the group's name alone, not from the order of
the list.
"""

from __future__ import annotations

import collections
import hashlib
import os
import pathlib
import re
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from keras_res3d.data.listing import LABEL_SEPARATOR, short
from keras_res3d.data.types import DataSet, Example, PathLike, VideoSource, is_multi_label, labels_of, one_line
from keras_res3d.io import only_one, write_atomically

# UCF101's names, v_CLASS_g01_c01.avi: the clips of a class with one number g are of one source video.
_UCF101 = re.compile(r"v_(.+)_(g\d+)_c\d+")


class Subset:
    """Some videos of a data set: a `types.DataSet` that opens them through it.

    Args:
        data_set: the whole.
        numbers: of its examples, in the order wanted.
        name: for messages and records.
    """

    def __init__(self, data_set: DataSet, numbers: Iterable[int], name: str):
        self._data_set, self._numbers, self.name = data_set, tuple(map(int, numbers)), name
        self.examples = tuple(data_set.examples[number] for number in self._numbers)
        self.classes, self.mirror_safe = tuple(data_set.classes), data_set.mirror_safe
        self.reverse_safe = getattr(data_set, "reverse_safe", True)

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.examples)

    def open(self, i: int, fps: float | None = None, strict: bool = False) -> VideoSource:
        """Opens a video; see `types.DataSet.open`."""
        return self._data_set.open(self._numbers[i], fps=fps, strict=strict)


class Fold(NamedTuple):
    """One of k folds: the videos to train on, and those held out."""

    train: Subset
    test: Subset


def split_folds(
    data_set: DataSet,
    folds: int = 5,
    by: str | Callable[[Example], Hashable] | Sequence[Hashable] | None = "group",
    seed: int = 0,
) -> tuple[Fold, ...]:
    """Splits a data set into k folds for cross-validation; every video is in the test half of exactly one.

    Args:
        data_set: any, packed shards too.
        folds: how many, from 2.
        by: what must stay together. "group": the group of each example (where there is none, and the videos have
            UCF101's names, v_CLASS_g01_c01.avi: the group of the name); an example without a group stands alone. A
            function of an `Example`, or a value for each example: those with equal values stay together. None: nothing
            must; the classes alone are spread evenly.
        seed: other folds for another seed, the same ones for the same seed whatever the order of the examples.

    Returns:
        A `Fold` (train, test) for each. Both halves have all classes of the data set, so that labels stay the same.

    Raises:
        ValueError: there are no groups, or fewer than folds.

    Warns where a class has too few groups to be in every fold.
    """
    groups, names = groups_of(data_set, by), _names(data_set.examples)
    labels = [labels_of(example) for example in data_set.examples]
    keys = [name if group is None else group for group, name in zip(groups, names, strict=True)]
    numbers = fold_numbers(labels, keys, folds, seed)
    alone = 0 if by is None else groups.count(None)
    notes = [f"{alone} of {len(groups)} videos have no group, and each stands alone"] if alone else []
    for note in [*notes, *_notes(data_set.classes, labels, numbers, folds)]:
        warnings.warn(f"{data_set.name}: {note}", stacklevel=2)
    where = [np.flatnonzero(numbers == fold) for fold in range(folds)]
    rest = [np.flatnonzero(numbers != fold) for fold in range(folds)]
    return tuple(
        Fold(Subset(data_set, rest[fold], f"{data_set.name}, fold {fold + 1} train"),
             Subset(data_set, where[fold], f"{data_set.name}, fold {fold + 1} test"))
        for fold in range(folds)
    )  # fmt: skip


def groups_of(data_set: DataSet, by="group") -> list[Hashable | None]:
    """What each example must stay together with; None where it stands alone. `by` as of `split_folds`.

    Raises:
        ValueError: there are no groups.
    """
    examples = data_set.examples
    if by is None:
        return [None] * len(examples)
    if callable(by):
        return [by(example) for example in examples]
    if not isinstance(by, str):
        if len(by) != len(examples):
            raise ValueError(f"by has {len(by)} values; expected one for each of the {len(examples)} videos")
        return list(by)
    if by != "group":
        raise ValueError(f"by is {by!r}; expected 'group', a function of an example, a value for each example, or None")
    groups = [getattr(example, "group", None) or None for example in examples]
    if any(groups):
        return groups
    named = [_UCF101.fullmatch(pathlib.PurePath(example.path).stem) for example in examples]
    if not all(named):
        raise ValueError(f"{data_set.name} has no groups; a CSV list has them in the column group. Split without "
                         "groups (--by none, by=None) only where no two videos are of one source")  # fmt: skip
    return [f"{match[1]}/{match[2]}" for match in named]


def fold_numbers(
    labels: Sequence[int | tuple[int, ...]], groups: Sequence[Hashable], folds: int, seed: int = 0
) -> np.ndarray:
    """The fold of each example, from 0, in whose test half it is.

    Args:
        labels: class number of each example, or a tuple of all its class numbers.
        groups: examples with the same value stay together.
        folds: how many, from 2.
        seed: which of equal groups comes first.

    Returns:
        int64 `(examples,)`.

    Raises:
        ValueError: folds is not from 2 up to the number of groups.
    """
    members: dict[Hashable, list[int]] = {}
    for number, group in enumerate(groups):
        members.setdefault(group, []).append(number)
    if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)) or not 2 <= folds <= len(members):
        raise ValueError(f"folds is {folds!r}; expected 2 to {len(members)}, the number of groups")
    labels = [label if isinstance(label, tuple) else (label,) for label in labels]
    totals = collections.Counter(label for each in labels for label in each)
    # Of each group, (class, videos of it, what one of them weighs).
    contents = {
        group: [(label, count, totals[label] ** -2)
                for label, count in collections.Counter(label for n in numbers for label in labels[n]).items()]
        for group, numbers in members.items()
    }  # fmt: skip
    order = sorted(members, key=lambda group: (-sum(n * n * unit for _, n, unit in contents[group]),
                                               _draw(seed, group)))  # fmt: skip
    counts = {label: [0] * folds for label in totals}
    sizes, found = [0] * folds, np.empty(len(labels), np.int64)
    for group in order:
        def cost(fold, content=contents[group]):
            return sum(counts[label][fold] * n * unit for label, n, unit in content), sizes[fold], fold

        best = min(range(folds), key=cost)
        for label, count, _ in contents[group]:
            counts[label][best] += count
        sizes[best] += len(members[group])
        found[members[group]] = best
    return found


def _draw(seed: int, group: Hashable) -> bytes:
    return hashlib.blake2s(f"{seed}\0{group}".encode("utf-8", "surrogateescape")).digest()


def _names(examples: Sequence[Example]) -> list[tuple[str, int, int]]:
    """What tells each example from all others, without the part of its path that changes where a data set is moved."""
    found: collections.Counter[tuple[str, int]] = collections.Counter()
    names = []
    for example in examples:
        tail = "/".join(pathlib.PurePath(example.path).parts[-2:]), getattr(example, "first_frame", None) or 1
        names.append((*tail, found[tail]))
        found[tail] += 1
    return names


def _notes(classes: Sequence[str], labels: Sequence[tuple], numbers: np.ndarray, folds: int) -> list[str]:
    """Sentences about classes with too few groups for so many folds."""
    places = [set() for _ in classes]
    for number, each in zip(numbers.tolist(), labels, strict=True):
        for label in each:
            places[label].add(number)
    alone = [name for name, where in zip(classes, places, strict=True) if len(where) == 1]
    few = [name for name, where in zip(classes, places, strict=True) if 1 < len(where) < folds]
    notes = []
    if alone:
        notes.append(f"classes of one group, without which one fold trains: {short(alone)}")
    if few:
        notes.append(f"classes with fewer groups than folds, so that some folds test without them: {short(few)}")
    return notes


def list_of(data_set: DataSet, folder: PathLike, groups: Sequence[Hashable | None] | None = None) -> str:
    """A data set of files as the text of a CSV list in a folder, with paths relative to the folder.

    Args:
        data_set: its videos are files or whole folders of frames.
        folder: where the list is going to lie.
        groups: of each example, in place of its own.

    Raises:
        ValueError: a CSV list cannot say it: parts of folders of frames, or classes with white space at an end.
    """
    if any(example.first_frame for example in data_set.examples):
        raise ValueError(f"{data_set.name} has parts of folders of frames, which a CSV list cannot name; split it in "
                         "Python with keras_res3d.split_folds")  # fmt: skip
    several = is_multi_label(data_set)
    odd = [name for name in data_set.classes if name != name.strip() or (several and LABEL_SEPARATOR in name)]
    if odd and several:
        raise ValueError(f"classes {short(odd)} begin or end with white space, or hold {LABEL_SEPARATOR!r}, which a "
                         "CSV list of several labels cannot name; rename them")  # fmt: skip
    if odd:
        raise ValueError(f"classes {short(odd)} begin or end with white space, which a CSV list drops; rename them")
    groups = [example.group for example in data_set.examples] if groups is None else groups
    columns = 3 if any(group is not None for group in groups) else 2
    lines, place = [["path", "label", "group"][:columns]], os.path.realpath(folder)
    for example, group in zip(data_set.examples, groups, strict=True):
        path = _relative(example.path, place)
        label = LABEL_SEPARATOR.join(data_set.classes[number] for number in labels_of(example))
        lines.append([path, label, "" if group is None else str(group)][:columns])
    return "".join(",".join(map(_cell, line)) + "\n" for line in lines)


def _relative(path: str, folder: str) -> str:
    """A path from a folder whose links are followed; white space at its ends is kept off the ends of the text."""
    try:
        path = os.path.relpath(os.path.abspath(path), folder)
    except ValueError:  # another drive
        path = os.path.abspath(path)
    before, after = "./" if path[0].isspace() else "", "/" if path[-1].isspace() else ""
    return f"{before}{path}{after}"


def _cell(text: str) -> str:
    """A cell of a CSV file; `csv.writer` leaves a carriage return as it is, which ends a line."""
    return '"' + text.replace('"', '""') + '"' if re.search(r'[",\r\n]', text) or text != text.strip() else text


def write_folds(folds: Sequence[Fold], folder: PathLike, by="group") -> list[pathlib.Path]:
    """Writes fold1_train.csv, fold1_test.csv and so on. The same lists may lie there already; others are refused.

    Args:
        folds: as `split_folds` gives them, of a data set of files.
        folder: made if missing.
        by: "group", a function or None, as of `split_folds`; what was split by is the column group of the lists.

    Returns:
        The paths.

    Raises:
        ValueError: the folder holds other lists of folds, or as of `list_of`.
    """
    folder, texts = pathlib.Path(folder), {}
    for number, fold in enumerate(folds, 1):
        for half, data in zip(Fold._fields, fold, strict=True):
            groups = None if by is None else groups_of(data, by)
            texts[folder / f"fold{number}_{half}.csv"] = list_of(data, folder, groups)
    there = set(folder.glob("fold*_train.csv")) | set(folder.glob("fold*_test.csv"))
    others = sorted(path for path in there if path not in texts or not _holds(path, texts[path]))
    if others:
        raise ValueError(f"{others[0]} is of other folds; choose another folder, or delete the lists in this one")
    with only_one(folder / "folds", "writes lists into", folder):
        for path, text in texts.items():
            write_atomically(path, text)
    return list(texts)


def _holds(path: pathlib.Path, text: str) -> bool:
    return path.read_bytes() == text.encode("utf-8", "surrogateescape")
