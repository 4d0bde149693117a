"""What a net is to give for a video: the number of its class, or of several labels a row of zeros and ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_res3d.data.types import DataSet, is_multi_label


class TargetSpec(NamedTuple):
    """The targets of a data set's videos.

    Args:
        dtype: int32 of class numbers, float32 of rows.
        shape: of one target, `()` or `(classes,)`.
    """

    dtype: np.dtype
    shape: tuple[int, ...]


def target_spec(data_set: DataSet) -> TargetSpec:
    """Type and shape of what `target_of` gives."""
    if is_multi_label(data_set):
        return TargetSpec(np.dtype(np.float32), (len(data_set.classes),))
    return TargetSpec(np.dtype(np.int32), ())


def target_of(data_set: DataSet, number: int) -> np.ndarray | np.int32:
    """The target of a video.

    Args:
        data_set: of the video.
        number: of its example.

    Returns:
        The class number, int32; in a multi-label data set float32 `(classes,)`, 1 for each label that the video has.
    """
    example = data_set.examples[number]
    if not is_multi_label(data_set):
        return np.int32(example.label)
    row = np.zeros(len(data_set.classes), np.float32)
    row[list(example.labels)] = 1
    return row
