"""Retrieval: whether one of the videos nearest to a given one is of its class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

from keras_res3d.tasks.transfer.rows import counts, layers_of, videos_of
from keras_res3d.tasks.transfer.scores import SplitScore, TransferScores
from keras_res3d.tasks.transfer.splits import Split, splits_of, whole_part

K = (1, 5, 10, 20, 50)
# Test videos whose similarities to all training videos are held at a time.
ROWS_AT_A_TIME = 1024
PathLike = str | os.PathLike


def transfer_knn(
    features,
    test=None,
    *,
    layout: str | None = None,
    lists: PathLike | None = None,
    splits: Iterable[int] = (1, 2, 3),
    train_list: PathLike | Sequence[PathLike] | None = None,
    test_list: PathLike | Sequence[PathLike] | None = None,
    layers: Sequence[str] | None = None,
    k: int | Sequence[int] = K,
) -> TransferScores:
    """Recall at k: the share of test videos with a video of their class among the k nearest training videos.

    Nearness is the cosine of the features. Of equally near videos the one that comes first counts as nearer.

    Args:
        features: as of `transfer_svm`. Where nothing says what is tested on, every video is looked for among all
            videos but those of its own group.
        test, layout, lists, splits, train_list, test_list, layers: as of `transfer_svm`.
        k: a number from 1, or several, such as `(1, 5)`.

    Raises:
        ValueError: as of `transfer_svm`; a k is below 1, or there are fewer training videos.
    """
    k = counts("k", k)
    if test is None and layout is None and train_list is None and test_list is None:
        features = videos_of(features, layers)
        found, alone = (Split("each against the others", whole_part(features), whole_part(features)),), True
    else:
        features, found = splits_of(features, test, layout=layout, lists=lists, splits=splits, train_list=train_list,
                                    test_list=test_list, layers=layers)  # fmt: skip
        alone = False
    scores = []
    for layer in layers_of(features, layers):
        for split in found:
            ranks = first_ranks(features.values[layer], split, alone)
            scores += [_score(layer, split, count, ranks) for count in k]
    return TransferScores("knn", tuple(scores), {}, features.facts)


def _score(layer: str, split: Split, k: int, ranks: np.ndarray) -> SplitScore:
    if k > len(split.train):
        raise ValueError(f"k is {k}; expected {len(split.train)}, the number of training videos, or less")
    return SplitScore(layer, split.name, f"recall@{k}", float(np.mean(ranks < k)), len(split.train), len(split.test),
                      len(set(split.train.labels)))  # fmt: skip


def first_ranks(values: np.ndarray, split: Split, alone: bool = False) -> np.ndarray:
    """At which place, from 0, each test video meets the first training video of its class; a huge number for never.

    Args:
        values: of all videos, rows of length 1.
        split: which are looked for, and among which.
        alone: whether videos of the test video's own group, itself included, are passed over.
    """
    train, labels = values[split.train.rows].astype("float64"), np.asarray(split.train.labels)
    keys, queries = np.asarray(split.train.keys), np.asarray(split.test.keys)
    truth, found = np.asarray(split.test.labels), []
    for start in range(0, len(split.test), ROWS_AT_A_TIME):
        part = slice(start, start + ROWS_AT_A_TIME)
        near = values[split.test.rows[part]].astype("float64") @ train.T
        if alone:
            near[queries[part, None] == keys] = -np.inf
        order = np.argsort(-near, axis=1, kind="stable")
        right = (labels[order] == truth[part, None]) & np.isfinite(np.take_along_axis(near, order, axis=1))
        found.append(np.where(right.any(axis=1), right.argmax(axis=1), np.iinfo(np.int64).max))
    return np.concatenate(found)
