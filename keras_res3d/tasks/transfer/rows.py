"""Which rows of features belong to which video: one row a video, found by its path as a list names it."""

from __future__ import annotations

import collections
import os
import pathlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from keras_res3d.data.types import VIDEO_EXTENSIONS
from keras_res3d.tables import printable
from keras_res3d.tasks.features import Features, as_features, read_features

# So many names of one kind are shown in a message; the rest is counted.
SHOWN = 20


def normalised(values: np.ndarray) -> np.ndarray:
    """Rows divided by their length, float32; a row of zeros stays one."""
    values = np.asarray(values, "float32")
    lengths = np.sqrt(np.einsum("ij,ij->i", values, values, dtype="float64"))[:, None]
    return values / np.where(lengths > 0, lengths, 1).astype("float32")


def videos_of(source, layers: Sequence[str] | str | None = None) -> Features:
    """One row a video of a folder, `Features` or arrays, as `per_video` gives them.

    Args:
        source: as of `as_features`.
        layers: of a folder, all that is read; None reads everything.
    """
    return per_video(features_of(source, layers))


def features_of(source, layers: Sequence[str] | str | None = None) -> Features:
    """As `as_features`; of a folder only the layers asked for are read."""
    if layers is not None and isinstance(source, (str, os.PathLike)):
        return read_features(source, layers)
    return as_features(source)


def per_video(features: Features) -> Features:
    """One row for each video, of length 1: the clips of a video are averaged, and every row is L2-normalised.

    Raises:
        ValueError: the clips of a video have several labels or groups, or a value is not finite.
    """
    check_finite(features)
    numbers: dict[str, int] = {}
    owner = np.array([numbers.setdefault(name, len(numbers)) for name in features.ids], np.int64)
    if len(numbers) == len(features.ids):
        return replace(features, values={name: normalised(rows) for name, rows in features.values.items()})
    order = np.argsort(owner, kind="stable")
    starts = np.flatnonzero(np.diff(owner[order], prepend=-1))
    counts = np.diff(starts, append=len(order))[:, None]
    values = {
        name: normalised(np.add.reduceat(rows[order].astype("float64"), starts, axis=0) / counts)
        for name, rows in features.values.items()
    }
    first = order[starts]
    for what in ("labels", "groups"):
        _check_alike(features, what, owner, first)
    seconds = np.asarray(features.seconds)[order]
    spans = [np.minimum.reduceat(seconds[:, 0], starts), np.maximum.reduceat(seconds[:, 1], starts)]
    return replace(
        features, values=values, ids=tuple(numbers), labels=tuple(features.labels[row] for row in first),
        groups=tuple(features.groups[row] for row in first), seconds=np.stack(spans, axis=1),
    )  # fmt: skip


def _check_alike(features: Features, what: str, owner: np.ndarray, first: np.ndarray) -> None:
    names = getattr(features, what)
    odd = [features.ids[row] for row, video in enumerate(owner) if names[row] != names[first[video]]]
    if odd:
        raise ValueError(f"the clips of {listed(dict.fromkeys(odd))} have several {what}; expected one for each video")


def check_finite(features: Features) -> None:
    """Raises ValueError where a value is NaN or infinite; names the first such row."""
    for name, rows in features.values.items():
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise ValueError(f"{name} of {listed(features.ids[row] for row in bad)} is not finite; extract it again")


def layers_of(features: Features, layers: Sequence[str] | None) -> tuple[str, ...]:
    """The layers asked for; all of them for None.

    Raises:
        ValueError: there is no such layer.
    """
    if layers is None:
        return tuple(features.values)
    layers = (layers,) if isinstance(layers, str) else tuple(layers)
    missing = [name for name in layers if name not in features.values]
    if missing or not layers:
        raise ValueError(f"there are no features of layer {', '.join(map(printable, missing)) or '(none named)'}; "
                         f"there are {', '.join(map(printable, features.values))}")  # fmt: skip
    return layers


def is_count(value: object, least: int = 1) -> bool:
    """Whether a value is a whole number from `least`."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least


def counts(name: str, values, may_be: tuple = ()) -> tuple:
    """Numbers from 1, of which a caller gave one or several.

    Args:
        name: of the argument, for the message.
        values: as given.
        may_be: what else each may be, such as None.

    Raises:
        ValueError: there is none, or one is no whole number from 1.
    """
    several = tuple(values) if isinstance(values, Iterable) and not isinstance(values, (str, bytes)) else (values,)
    if not several or not all(is_count(value) or value in may_be for value in several):
        raise ValueError(f"{name} is {values!r}; expected whole numbers from 1"
                         f"{''.join(f', or {other}' for other in may_be)}")  # fmt: skip
    return several


def listed(names: Iterable[object]) -> str:
    """Names for a message: the first 20, and how many there are where they are more."""
    names = list(names)
    text = ", ".join(map(printable, names[:SHOWN]))
    return text if len(names) <= SHOWN else f"{text}, ... ({len(names)} in all)"


class Finder:
    """Finds the row of a video by a name that a list has for it.

    A name and an id mean the same video if they are one path, or if one of them is the end of the other: the list's
    `Archery/v_1.avi` is the features' `/data/UCF-101/Archery/v_1.mp4`. The extension of a video file does not count.

    Args:
        ids: of the rows, each once.
    """

    def __init__(self, ids: Sequence[str]):
        self._absolute = {os.path.abspath(name): row for row, name in enumerate(ids)}
        self._ends: dict[tuple[str, ...], list[int]] = collections.defaultdict(list)
        self._whole: dict[tuple[str, ...], list[int]] = collections.defaultdict(list)
        for row, name in enumerate(ids):
            parts = _parts(name)
            self._whole[parts].append(row)
            for start in range(len(parts)):
                self._ends[parts[start:]].append(row)

    def candidates(self, name: str, folder: str | os.PathLike | None = None) -> list[int]:
        """The rows that a name can mean: one where all is well.

        Args:
            name: a path or an id.
            folder: that a relative path is relative to, where that is known.
        """
        exact = self._absolute.get(os.path.abspath(name if folder is None else os.path.join(folder, name)))
        if exact is not None:
            return [exact]
        parts = _parts(name)
        if parts in self._whole:
            return self._whole[parts]
        if parts in self._ends:
            return self._ends[parts]
        shorter = (self._whole[parts[start:]] for start in range(1, len(parts)) if parts[start:] in self._whole)
        return next(shorter, [])

    def rows(self, names: Sequence[str], what: str, folder: str | os.PathLike | None = None) -> np.ndarray:
        """The row of each name, int64 `(names,)`.

        Args:
            names: paths or ids; a name may be there several times.
            what: has these names, for messages.
            folder: as of `candidates`.

        Raises:
            ValueError: names are not found, or can mean several videos; it names up to 20 and how many there are.
        """
        found = {name: self.candidates(name, folder) for name in dict.fromkeys(names)}
        missing = [name for name, rows in found.items() if not rows]
        if missing:
            raise ValueError(f"{what}: {len(missing)} of {len(found)} videos have no features: {listed(missing)}")
        several = [name for name, rows in found.items() if len(rows) > 1]
        if several:
            raise ValueError(f"{what}: {len(several)} of {len(found)} names can each mean several videos of the "
                             f"features: {listed(several)}")  # fmt: skip
        return np.array([found[name][0] for name in names], np.int64)


def _parts(name: str) -> tuple[str, ...]:
    """A path's parts without what leads up from a folder, and without the extension of a video file."""
    path = pathlib.PurePath(os.path.normpath(name))
    parts = list(path.parts)
    while parts and parts[0] == "..":
        parts.pop(0)
    if parts and path.suffix.lower() in VIDEO_EXTENSIONS:
        parts[-1] = path.stem
    return tuple(parts)
