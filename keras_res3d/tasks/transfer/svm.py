"""The paper's measure of features: a linear SVM on them, its C chosen inside the training part."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_res3d.data.split import fold_numbers
from keras_res3d.io import usable_cores
from keras_res3d.tasks.paper import TABLE_9
from keras_res3d.tasks.transfer.rows import layers_of
from keras_res3d.tasks.transfer.scores import SplitScore, TransferScores
from keras_res3d.tasks.transfer.splits import Part, Split, splits_of

# The values of C that cross-validation chooses from. Rows have length 1, so that one grid suits all features.
GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
FOLDS = 5
# Values times classes times fits from which the choice of C is worth the seconds that processes take to start.
PARALLEL_FROM = 2_000_000_000
COLUMNS_AT_A_TIME = 2048
PathLike = str | os.PathLike

if TYPE_CHECKING:
    from sklearn.svm import LinearSVC


def transfer_svm(
    features,
    test=None,
    *,
    layout: str | None = None,
    lists: PathLike | None = None,
    splits: Iterable[int] = (1, 2, 3),
    train_list: PathLike | Sequence[PathLike] | None = None,
    test_list: PathLike | Sequence[PathLike] | None = None,
    layers: Sequence[str] | None = None,
    C: float | None = None,
    grid: Sequence[float] = GRID,
    folds: int = FOLDS,
    seed: int = 0,
) -> TransferScores:
    """Accuracy of a linear SVM on features, split by split: `transfer_svm("features", test="features_test").mean()`.

    Every video is one row of length 1: clips are averaged, and rows are L2-normalised. A video's class is the one whose
    classifier, one against the rest, gives the highest value.

    Args:
        features: a folder of `keras-res3d extract`, what `read_features` gave, or arrays (values, labels[, groups]).
        test: the same of the test videos.
        layout: "ucf101" or "hmdb51", in place of `test`: the features are of the whole data set.
        lists: with `layout`, the folder of its lists.
        splits: with `layout`, numbers of the splits.
        train_list, test_list: in place of both, CSV lists with the columns path and label, and group where there are
            groups; several of each for several splits.
        layers: names; None takes all, a row of the result for each.
        C: of the SVM, more than 0; None chooses it by cross-validation inside the training part.
        grid: the values to choose C from.
        folds: of that cross-validation; no group is in two of them.
        seed: of the folds and of the solver. The same seed gives the same result.

    Returns:
        Accuracy of each split, mean and standard deviation, and the paper's figures where it has some.

    Raises:
        ValueError: features and lists do not fit together, or a value is out of its range.
        DataError: a list has faults.
    """
    check_choice(C, grid, folds)
    features, found = splits_of(
        features, test, layout=layout, lists=lists, splits=splits, train_list=train_list, test_list=test_list,
        layers=layers,
    )
    scores = []
    for layer in layers_of(features, layers):
        for split in found:
            train, held_out = turned(features.values[layer][split.train.rows], features.values[layer][split.test.rows])
            chosen = choose_C(train, split.train, grid, folds, seed) if C is None else float(C)
            predicted = fit(train, split.train.labels, chosen, seed).predict(held_out)
            scores.append(scored(layer, split, predicted, chosen))
    return TransferScores("svm", tuple(scores), TABLE_9.get((layout, "svm"), {}), features.facts)


def scored(name: str, split: Split, predicted: np.ndarray, C: float, dimensions: int | None = None) -> SplitScore:
    """The accuracy of predicted class names on the test part of a split."""
    right = float(np.mean(np.asarray(predicted) == np.asarray(split.test.labels)))
    classes = len(set(split.train.labels))
    return SplitScore(name, split.name, "accuracy", right, len(split.train), len(split.test), classes, C, dimensions)


def check_choice(C: float | None, grid: Sequence[float], folds: int) -> None:
    """Raises ValueError where what C is, or is chosen by, is out of its range."""
    for value in grid if C is None else (C,):
        if not 0 < value < float("inf"):
            raise ValueError(f"C is {value}; expected more than 0")
    if not len(grid):
        raise ValueError("grid is empty; expected values of C to choose from")
    if folds < 2:
        raise ValueError(f"folds is {folds}; expected 2 or more")


def turned(train: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rows in the coordinates of the training rows' span, where that has fewer dimensions; float64.

    Products of all rows with training rows stay what they are, and a linear SVM depends on nothing else. Features of
    25,088 values, trained on 300 videos, become 300 values without a change of the result.
    """
    if train.shape[1] <= train.shape[0]:
        return tuple(np.asarray(part, "float64") for part in (train, *others))
    squares, axes = np.linalg.eigh(_products(train, train))
    kept = squares > max(squares[-1] * 1e-12, 0.0)
    if not kept.any():  # all training rows are zeros
        return tuple(np.zeros((len(part), 1)) for part in (train, *others))
    axes, lengths = axes[:, kept], np.sqrt(squares[kept])
    return axes * lengths, *(_products(part, train) @ (axes / lengths) for part in others)


def _products(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Every row times every other row, float64 `(rows, others)`, without a float64 copy of either."""
    found = np.zeros((len(rows), len(others)))
    for start in range(0, rows.shape[1], COLUMNS_AT_A_TIME):
        part = slice(start, start + COLUMNS_AT_A_TIME)
        found += rows[:, part].astype("float64") @ others[:, part].astype("float64").T
    return found


def fit(rows: np.ndarray, labels: Sequence, C: float, seed: int) -> LinearSVC:
    """A linear SVM of scikit-learn, fitted.

    Args:
        rows: `(videos, width)`.
        labels: class of each row, two classes or more.
        C: weight of the errors.
        seed: of the solver.
    """
    from sklearn.svm import LinearSVC

    # "auto" takes the slower way where there are as many rows as values, which is what `turned` gives.
    dual = rows.shape[0] <= rows.shape[1]
    return LinearSVC(C=C, dual=dual, random_state=seed, max_iter=10_000).fit(rows, np.asarray(labels))


def choose_C(rows: np.ndarray, part: Part, grid: Sequence[float], folds: int, seed: int) -> float:
    """The C with the best accuracy over folds of the training part; the smallest of equally good ones.

    Args:
        rows: of the training part, `(videos, width)`.
        part: labels and groups of the rows; no group is in two folds.
        grid: the values to choose from.
        folds: how many, fewer where there are fewer groups.
        seed: of the folds and of the solver.

    Raises:
        ValueError: the training part has one group alone, or no fold leaves two classes to train on.
    """
    labels, keys = np.asarray(part.labels), part.keys
    groups = len(set(keys))
    if groups < 2:
        raise ValueError("all training videos are of one group, so that C cannot be chosen by cross-validation; give C")
    numbers = fold_numbers(part.labels, keys, min(folds, groups), seed)
    usable = [fold for fold in np.unique(numbers) if len(set(labels[numbers != fold])) > 1]
    if not usable:
        raise ValueError("every fold of the training part leaves one class alone to train on; give C")
    jobs = [(value, fold) for value in grid for fold in usable]
    counts = dict.fromkeys(grid, 0)
    for (value, _), right in zip(jobs, _counted(rows, labels, numbers, jobs, seed), strict=True):
        counts[value] += right
    return float(max(grid, key=lambda value: (counts[value], -value)))


def _counted(rows: np.ndarray, labels: np.ndarray, numbers: np.ndarray, jobs, seed: int) -> list[int]:
    """`_right` of each (C, fold); long work is shared out to a process for each core."""
    work = rows.size * len(set(labels.tolist())) * len(jobs)
    if work < PARALLEL_FROM or usable_cores() == 1:
        return [_right(rows, labels, numbers, *job, seed) for job in jobs]
    import joblib

    # The solver of scikit-learn draws from one generator of its process, so that threads would spoil each other's.
    pool = joblib.Parallel(n_jobs=min(usable_cores(), len(jobs)))
    return pool(joblib.delayed(_right)(rows, labels, numbers, *job, seed) for job in jobs)


def _right(rows: np.ndarray, labels: np.ndarray, numbers: np.ndarray, C: float, fold: int, seed: int) -> int:
    """How many videos of a fold are right by the SVM of the others."""
    from sklearn.exceptions import ConvergenceWarning

    out = numbers == fold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a C that does not converge is still scored
        model = fit(rows[~out], labels[~out], C, seed)
    return int(np.sum(model.predict(rows[out]) == labels[out]))
