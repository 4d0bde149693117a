"""How compact features are: accuracy of a linear SVM after PCA, as figure 3 of the paper."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from keras_res3d.tasks.paper import FIGURE_3
from keras_res3d.tasks.transfer.rows import layers_of
from keras_res3d.tasks.transfer.scores import TransferScores
from keras_res3d.tasks.transfer.splits import splits_of
from keras_res3d.tasks.transfer.svm import FOLDS, GRID, check_choice, choose_C, fit, scored, turned

DIMENSIONS = (10, 50, 100, 200, 300, None)
PathLike = str | os.PathLike


def transfer_pca(
    sets: Mapping[str, object],
    tests: Mapping[str, object] | None = None,
    *,
    layout: str | None = None,
    lists: PathLike | None = None,
    splits: Iterable[int] = (1, 2, 3),
    train_list: PathLike | Sequence[PathLike] | None = None,
    test_list: PathLike | Sequence[PathLike] | None = None,
    layers: Sequence[str] | None = None,
    dimensions: Sequence[int | None] = DIMENSIONS,
    C: float | None = None,
    grid: Sequence[float] = GRID,
    folds: int = FOLDS,
    seed: int = 0,
) -> TransferScores:
    """Accuracy of a linear SVM on features that PCA made shorter; PCA is fitted on the training part alone.

    Args:
        sets: features by the name that tables and the figure give them, each as of `transfer_svm`.
        tests: the same of the test videos, under the same names.
        layout, lists, splits, train_list, test_list, C, grid, folds, seed: as of `transfer_svm`.
        layers: names, a row for each set and layer; None takes all of each set.
        dimensions: how many to keep; None is all, without a projection.

    Returns:
        Accuracy for each set, number of dimensions and split.

    Raises:
        ValueError: as of `transfer_svm`; a number of dimensions is below 1.

    Warns of numbers of dimensions that a training part is too small for; they are left out.
    """
    check_choice(C, grid, folds)
    if not dimensions or any(count is not None and count < 1 for count in dimensions):
        raise ValueError(f"dimensions is {list(dimensions)}; expected numbers from 1, or None for all")
    if not sets or (tests is not None and set(tests) != set(sets)):
        raise ValueError(f"features are of {list(sets)} and test features of {list(tests or ())}; expected the same "
                         "names, one or more")  # fmt: skip
    scores, facts = [], {}
    for name, source in sets.items():
        features, found = splits_of(
            source, None if tests is None else tests[name], layout=layout, lists=lists, splits=splits,
            train_list=train_list, test_list=test_list, layers=layers,
        )  # fmt: skip
        chosen, facts[name] = layers_of(features, layers), features.facts
        for layer in chosen:
            shown = name if len(chosen) == 1 else f"{name} {layer}"
            for split in found:
                scores += _split_scores(shown, features.values[layer], split, dimensions, (C, grid, folds, seed))
    order = {count: place for place, count in enumerate(dimensions)}
    names = list(dict.fromkeys(score.name for score in scores))
    scores.sort(key=lambda score: (names.index(score.name), order[score.dimensions]))
    return TransferScores("pca", tuple(scores), FIGURE_3.get(layout, {}), facts)


def _split_scores(name: str, values: np.ndarray, split, dimensions, choice) -> list:
    """The scores of one split at every number of dimensions that its training part allows."""
    C, grid, folds, seed = choice
    train, held_out = turned(values[split.train.rows], values[split.test.rows])
    most = min(train.shape)
    too_many = [count for count in dimensions if count is not None and count > most]
    if too_many:
        warnings.warn(f"{name}, {split.name}: {len(train)} training videos of {values.shape[1]} values have {most} "
                      f"dimensions at most; left out: {', '.join(map(str, too_many))}", stacklevel=3)  # fmt: skip
    wanted = [count for count in dimensions if count not in too_many]
    longest = max((count for count in wanted if count is not None), default=None)
    projected = None if longest is None else projections(train, held_out, longest)
    scores = []
    for count in wanted:
        rows, others = (train, held_out) if count is None else (part[:, :count] for part in projected)
        value = choose_C(rows, split.train, grid, folds, seed) if C is None else float(C)
        scores.append(scored(name, split, fit(rows, split.train.labels, value, seed).predict(others), value, count))
    return scores


def projections(train: np.ndarray, test: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Both parts on the first components of the training part, whose mean is taken off both.

    Args:
        train, test: `(videos, width)`.
        count: how many components; the first k of them are what PCA to k dimensions gives.
    """
    from sklearn.decomposition import PCA

    pca = PCA(count, svd_solver="covariance_eigh").fit(train)
    return pca.transform(train), pca.transform(test)
