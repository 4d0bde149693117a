"""Action similarity as the ASLAN benchmark measures it: whether two videos show the same action, over ten folds."""

from __future__ import annotations

import os
import pathlib
import re
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from keras_res3d.data.types import DataError
from keras_res3d.remote import text_of
from keras_res3d.tasks.distances import DISTANCES, distances
from keras_res3d.tasks.features import Features
from keras_res3d.tasks.paper import TABLE_11
from keras_res3d.tasks.transfer.rows import Finder, features_of, layers_of, listed, per_video
from keras_res3d.tasks.transfer.splits import Part
from keras_res3d.tasks.transfer.svm import GRID, check_choice, choose_C, fit

FOLDS = 10
# Folds of the training pairs by which C is chosen; the benchmark's own folds stay whole in them.
INNER_FOLDS = 3
# By this many pairs a list is known as the benchmark's own.
BENCHMARK_PAIRS, BENCHMARK_VIDEOS = 6_000, 3_017
_SAME = {"0": False, "1": True, "False": False, "True": True}
EXPECTED = "expected: id1 id2 same [action1 action2], where same is 1 or 0"


@dataclass(frozen=True)
class Pairs:
    """Pairs of videos.

    Attributes:
        first, second: ids.
        same: whether both show the same action.
        actions: names of both actions, or None where the list has none.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    same: tuple[bool, ...]
    actions: tuple[tuple[str, str] | None, ...]

    def __len__(self) -> int:
        return len(self.same)


@dataclass(frozen=True)
class Similarity:
    """How well pairs of the same action were told from pairs of two.

    Attributes:
        accuracies: of each fold, in 0..1.
        decisions: of the SVM for every pair, in the order of the pairs; above 0 means the same action.
        same: whether each pair is.
        C: the SVM's, of each fold.
        layers: that the distances are of.
        paper: accuracy and AUC in percent by net, where the pairs are the benchmark's.
        facts: of the features.
    """

    accuracies: tuple[float, ...]
    decisions: np.ndarray
    same: np.ndarray
    C: tuple[float, ...]
    layers: tuple[str, ...]
    paper: Mapping = field(default_factory=dict)
    facts: Mapping = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        """Mean over folds."""
        return statistics.fmean(self.accuracies)

    @property
    def standard_error(self) -> float:
        """Of the mean: the standard deviation over folds, with n - 1, divided by the root of their number."""
        return statistics.stdev(self.accuracies) / len(self.accuracies) ** 0.5

    @property
    def auc(self) -> float:
        """Area under the ROC curve of all pairs together, each judged by the SVM of the folds it is not in."""
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(self.same, self.decisions))

    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """False and true positive rates, float64, both from 0 to 1."""
        from sklearn.metrics import roc_curve

        return roc_curve(self.same, self.decisions)[:2]

    def summary(self) -> dict:
        """All figures, ready for JSON; shares in 0..1, the paper's in percent."""
        return {
            "accuracy": self.accuracy, "standard_error": self.standard_error, "auc": self.auc,
            "fold_accuracies": list(self.accuracies), "C": list(self.C), "pairs": len(self.same),
            "layers": list(self.layers), "numbers_a_pair": len(self.layers) * len(DISTANCES),
            "paper_percent": {name: {"accuracy": row[0], "auc": row[1]} for name, row in self.paper.items()},
            "features": dict(self.facts),
        }  # fmt: skip


def read_pairs(path: str | os.PathLike) -> Pairs:
    """Reads a list of pairs such as ASLAN's `view2.txt`: id1, id2, same (1 or 0), and both actions or none.

    Columns are separated by white space, commas, semicolons or tabs.

    Raises:
        DataError: lines are malformed; names them.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise DataError(str(path), [f"is a folder and no list; {EXPECTED}"])
    try:
        text = text_of(path)
    except UnicodeDecodeError as error:
        raise DataError(str(path), [f"is not UTF-8 text ({error.reason} at byte {error.start}); {EXPECTED}"]) from error
    rows, faults = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in re.split(r"[,;\t]", line)] if re.search(r"[,;]", line) else line.split()
        if len(cells) not in (3, 5) or cells[2] not in ("0", "1") or not all(cells):
            faults.append(f"line {number}: malformed: {line.strip()[:80]!r}; {EXPECTED}")
            continue
        rows.append(cells)
    if not rows and not faults:
        faults.append(f"no pair at all; {EXPECTED}")
    if faults:
        raise DataError(str(path), faults)
    return _pairs(rows)


def _pairs(rows: Sequence[Sequence]) -> Pairs:
    """Pairs from rows (id1, id2, same[, action1, action2])."""
    for number, row in enumerate(rows, 1):
        if isinstance(row, str) or not hasattr(row, "__len__") or len(row) not in (3, 5) or str(row[2]) not in _SAME:
            raise ValueError(f"row {number} of the pairs is {row!r}; {EXPECTED}")
    return Pairs(
        tuple(str(row[0]) for row in rows), tuple(str(row[1]) for row in rows),
        tuple(_SAME[str(row[2])] for row in rows),
        tuple((str(row[3]), str(row[4])) if len(row) > 4 else None for row in rows),
    )  # fmt: skip


def pair_numbers(features, pairs, layers: Sequence[str] | None = None, ids: Sequence[str] | None = None) -> np.ndarray:
    """Twelve numbers for each layer of every pair, float64 `(pairs, 12 * layers)`; arguments as of `similarity`."""
    return _numbers(*_given(features, pairs, layers, ids))


def _numbers(pairs: Pairs, features: Features, layers: Sequence[str]) -> np.ndarray:
    rows = Finder(features.ids).rows([*pairs.first, *pairs.second], "the list of pairs")
    first, second = rows[: len(pairs)], rows[len(pairs) :]
    return np.concatenate([_of_layer(features.values[layer], layer, first, second) for layer in layers], axis=1)


def _of_layer(values: np.ndarray, layer: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    try:
        return distances(values, first, second)
    except ValueError as error:
        raise ValueError(f"{layer}: {error}") from error


def _given(features, pairs, layers, ids):
    features = features_of(features, layers)
    if ids is not None:
        if len(ids) != len(features.ids):
            raise ValueError(f"ids has {len(ids)} names; expected one for each of the {len(features.ids)} rows")
        features = replace(features, ids=tuple(map(str, ids)))
    features = per_video(features)
    if isinstance(pairs, (str, os.PathLike)):
        pairs = read_pairs(pairs)
    elif not isinstance(pairs, Pairs):
        pairs = _pairs(pairs)
    return pairs, features, layers_of(features, layers)


def similarity(
    features,
    pairs,
    *,
    layers: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    folds: int = FOLDS,
    C: float | None = None,
    grid: Sequence[float] = GRID,
    seed: int = 0,
) -> Similarity:
    """The ASLAN protocol: twelve distances for each layer, a linear SVM, folds in the order of the list.

    The numbers of a pair are standardised by the training folds, on which the SVM is trained too.

    Args:
        features: a folder of `keras-res3d extract`, what `read_features` gave, or arrays (values, labels[, groups]).
            Every video is one row of length 1.
        pairs: a list such as `view2.txt`, or rows (id1, id2, same). An id is a video's path, or the end of it; the
            extension does not count.
        layers: whose distances are taken; None takes all. The paper has res5b, pool5 and prob.
        ids: of the rows of arrays, which have none.
        folds: how many; each has equally many pairs, in file order.
        C: of the SVM; None chooses it by cross-validation over the training folds.
        grid: the values to choose C from.
        seed: of the solver. The same seed gives the same result.

    Raises:
        ValueError: ids are not found (it lists up to 20 and says how many), the pairs do not make so many folds, or a
            feature is negative.
        DataError: lines of the list are malformed.

    Warns where an action is in two folds.
    """
    check_choice(C, grid, folds)
    pairs, features, layers = _given(features, pairs, layers, ids)
    same = np.array(pairs.same)
    numbers = _fold_of_pairs(pairs, folds)
    rows = _numbers(pairs, features, layers)
    decisions, accuracies, chosen = np.empty(len(pairs)), [], []
    for fold in range(folds):
        out = numbers == fold
        value, decided = _judged(rows, same, numbers, fold, C, grid, seed)
        decisions[out] = decided
        accuracies.append(float(np.mean((decided > 0) == same[out])))
        chosen.append(value)
    ours = len(pairs) == BENCHMARK_PAIRS and len({*pairs.first, *pairs.second}) == BENCHMARK_VIDEOS
    return Similarity(tuple(accuracies), decisions, same, tuple(chosen), layers, TABLE_11 if ours else {},
                      features.facts)  # fmt: skip


def _judged(rows: np.ndarray, same: np.ndarray, numbers: np.ndarray, fold: int, C, grid, seed: int):
    """C, and the decisions on a fold of an SVM that was trained on the others."""
    train = numbers != fold
    mean, spread = rows[train].mean(axis=0), rows[train].std(axis=0)
    standard = (rows - mean) / np.where(spread > 0, spread, 1)
    if C is None:
        groups = tuple(f"fold {number}" for number in numbers[train])
        part = Part(np.flatnonzero(train), tuple(same[train].tolist()), groups)
        C = choose_C(standard[train], part, grid, INNER_FOLDS, seed)
    return float(C), fit(standard[train], same[train], C, seed).decision_function(standard[~train])


def _fold_of_pairs(pairs: Pairs, folds: int) -> np.ndarray:
    """The fold of each pair, in file order."""
    if len(pairs) % folds or len(pairs) < folds:
        raise ValueError(f"there are {len(pairs)} pairs; expected a multiple of {folds}, the number of folds")
    numbers = np.repeat(np.arange(folds), len(pairs) // folds)
    same = np.array(pairs.same)
    for fold in range(folds):
        if len(set(same[numbers != fold])) < 2:
            raise ValueError(f"outside of fold {fold + 1} all pairs are alike; expected pairs of the same action and "
                             "of two")  # fmt: skip
    where: dict[str, set[int]] = {}
    for actions, fold in zip(pairs.actions, numbers.tolist(), strict=True):
        for action in actions or ():
            where.setdefault(action, set()).add(fold)
    shared = [action for action, found in where.items() if len(found) > 1]
    if shared:
        warnings.warn(f"{len(shared)} actions are in several folds, so that the test is easier than it seems: "
                      f"{listed(shared)}", stacklevel=3)  # fmt: skip
    return numbers
