"""Reads window weights from the released .mat file or from JSON, and writes them."""

from __future__ import annotations

import os
import pathlib

import numpy as np

from keras_res3d.data.types import DataError
from keras_res3d.io import write_atomically
from keras_res3d.tables import as_json
from keras_res3d.tasks.detection.annotations import is_number, read_object
from keras_res3d.tasks.detection.matlab import matrix
from keras_res3d.tasks.detection.window_weights import WindowWeights
from keras_res3d.tasks.detection.windows import LENGTHS


def read_window_weights(path: str | os.PathLike) -> WindowWeights:
    """Reads window weights: the released .mat, with rows for 16 to 512 frames and no names, or JSON as written here.

    Raises:
        FileNotFoundError: the file is not there.
        DataError: it is another kind of file, or holds another table.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; expected window weights, .mat or .json")
    try:
        if path.suffix.lower() == ".mat":
            return WindowWeights(LENGTHS, None, matrix(path, "weight"))
        return _from_json(read_object(path, "weights")["weights"])
    except DataError:
        raise
    except ValueError as error:
        raise DataError(str(path), [str(error)]) from None


def _from_json(weights: dict) -> WindowWeights:
    lengths, classes = weights.get("lengths"), weights.get("classes")
    whole = isinstance(lengths, list) and all(isinstance(each, int) and each > 0 for each in lengths)
    rows = list(classes.values()) if isinstance(classes, dict) else [None]
    fits = [isinstance(row, list) and whole and len(row) == len(lengths) and all(map(is_number, row)) for row in rows]
    if not whole or not all(fits):
        raise ValueError("expected lengths, a list of frames, and classes, each with a number for each length")
    table = np.array(rows, np.float64).T.reshape(len(lengths), len(rows))
    return WindowWeights(tuple(lengths), tuple(classes), table)


def write_window_weights(weights: WindowWeights, path: str | os.PathLike) -> pathlib.Path:
    """Writes window weights as JSON, numbers to all digits.

    Raises:
        ValueError: the weights have no names of classes.
    """
    if weights.classes is None:
        raise ValueError("the window weights have no names of classes, which the file needs")
    classes = dict(zip(weights.classes, weights.table.T.tolist(), strict=True))
    write_atomically(path, as_json({"weights": {"lengths": list(weights.lengths), "classes": classes}}))
    return pathlib.Path(path)
