"""Reads a matrix of numbers from a MATLAB file, through SciPy, in a process that may crash."""

from __future__ import annotations

import os
import warnings

import numpy as np

from keras_res3d.data.children import map_in_children
from keras_res3d.data.types import DataError

CRASHED = "SciPy, which reads MATLAB files, crashes on the file; it is damaged, and must be written again"


def matrix(path: str | os.PathLike, variable: str) -> np.ndarray:
    """A matrix of real numbers as float64: that of the name, or the only one of the file.

    Raises:
        FileNotFoundError: the file is not there.
        DataError: the file is no MATLAB file of up to version 7, is damaged, or has no such matrix.
    """
    os.stat(path)
    # SciPy's reader dies by SIGSEGV of some damaged files. The process costs some tenths of a second.
    (outcome,) = map_in_children(_read, [(os.fspath(path), variable)], 1)
    if outcome.error is not None:
        raise DataError(str(path), [CRASHED if outcome.crashed else outcome.error])
    return outcome.value


def _read(item: tuple[str, str]) -> np.ndarray:
    """The matrix; a ValueError says what is wrong with the file."""
    from scipy.io import loadmat

    path, variable = item
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = loadmat(path, appendmat=False)
    except MemoryError:
        raise ValueError("the file claims a matrix that does not fit in memory; it is damaged") from None
    except Exception as error:  # SciPy raises whatever its parser stumbles over, of any type
        fault = f"the file cannot be read as a MATLAB file of up to version 7 ({type(error).__name__}: {error})"
        raise ValueError(fault) from None
    tables = {name: value for name, value in found.items()
              if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "iuf"}  # fmt: skip
    if variable not in tables and len(tables) != 1:
        names = ", ".join(tables) or "none"
        raise ValueError(f"there is no matrix {variable}; matrices of numbers in the file: {names}")
    return np.asarray(tables.get(variable, next(iter(tables.values()))), np.float64)
