"""How likely a window of some length is for each class, from how long its instances are. NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_res3d.data.faults import doubled

# Seconds that each window of the released code stands for: 15 frames of 16 at 25 a second, and so on. The last one
# would be 20.44 by that rule; the released table has 22.44, and its weights follow from it.
RELEASED_SECONDS: Mapping[int, float] = {16: 0.6, 32: 1.24, 64: 2.52, 128: 5.08, 256: 10.20, 512: 22.44}


@dataclass(frozen=True)
class WindowWeights:
    """A factor for the score of each class in each length of window.

    Attributes:
        lengths: frames of the windows.
        classes: names; None where the file has none, and the order is that of the classes scored.
        table: float64 `(lengths, classes)`, each column adds up to 1, or is 0 for a class without an instance.
    """

    lengths: tuple[int, ...]
    classes: tuple[str, ...] | None
    table: np.ndarray

    def __post_init__(self) -> None:
        count = self.table.shape[1] if self.table.ndim == 2 else -1
        if self.table.ndim != 2 or len(self.table) != len(self.lengths) or len(self.classes or range(count)) != count:
            raise ValueError(f"the window weights have shape {self.table.shape}; expected a row for each of "
                             f"{len(self.lengths)} lengths of windows and a column for each class")  # fmt: skip
        for what, given in (("length", self.lengths), ("class", self.classes or ())):
            if twice := doubled(given):
                raise ValueError(f"the window weights have the {what} {twice[0]!r} twice; expected each once")
        if not np.isfinite(self.table).all() or (self.table < 0).any():
            raise ValueError("the window weights hold a number that is negative or not finite")

    def of(self, windows: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """The factor of each detection, `(n,)`.

        Args:
            windows: frames of each detection's window.
            labels: number of its class, from 0, in
            classes: the names.

        Raises:
            ValueError: a length or a class that the table lacks.
        """
        columns = self._columns(classes)
        unknown = sorted(set(np.unique(windows).tolist()) - set(self.lengths))
        if unknown:
            raise ValueError(f"a window has {unknown[0]} frames; the window weights have {list(self.lengths)}")
        places = np.argsort(self.lengths)
        rows = places[np.searchsorted(np.asarray(self.lengths)[places], windows)]
        return self.table[rows, columns[labels]]

    def _columns(self, classes: Sequence[str]) -> np.ndarray:
        if self.classes is None:
            if len(classes) != self.table.shape[1]:
                raise ValueError(f"the window weights have {self.table.shape[1]} columns and no names; expected one "
                                 f"for each of the {len(classes)} classes")  # fmt: skip
            return np.arange(len(classes))
        missing = [name for name in classes if name not in self.classes]
        if missing:
            raise ValueError(f"the window weights lack the classes {', '.join(missing)}")
        return np.array([self.classes.index(name) for name in classes], np.int64)


def window_weights(
    durations: Sequence[float], labels: Sequence[int], classes: Sequence[str],
    seconds: Mapping[int, float] = RELEASED_SECONDS,
) -> WindowWeights:
    """The share of each length of window among the hits of a class.

    An instance hits a window where it lasts from half to twice as long. An instance may hit several.

    Args:
        durations: seconds of each instance.
        labels: number of its class, from 0, in
        classes: the names.
        seconds: how long each window is, by its number of frames.
    """
    lasting, labels = np.asarray(durations, np.float64)[:, None], np.asarray(labels, np.int64)
    windows = np.array(list(seconds.values()))[None, :]
    hits = (lasting >= windows / 2) & (lasting <= windows * 2)
    counts = np.stack([hits[labels == number].sum(axis=0) for number in range(len(classes))], axis=1)
    table = counts / np.maximum(counts.sum(axis=0, keepdims=True), 1)
    return WindowWeights(tuple(seconds), tuple(classes), table)
