"""Reads a matrix of numbers from a MATLAB file, through SciPy."""

from __future__ import annotations

import os
import warnings

import numpy as np

from keras_res3d.data.types import DataError


def matrix(path: str | os.PathLike, variable: str) -> np.ndarray:
    """A matrix of real numbers as float64: that of the name, or the only one of the file.

    Raises:
        FileNotFoundError: the file is not there.
        DataError: the file is no MATLAB file of up to version 7, is damaged, or has no such matrix.
    """
    from scipy.io import loadmat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = loadmat(os.fspath(path), appendmat=False)
    except FileNotFoundError:
        raise
    except MemoryError:
        raise DataError(str(path), ["the file claims a matrix that does not fit in memory; it is damaged"]) from None
    except Exception as error:  # SciPy raises whatever its parser stumbles over, of any type
        fault = f"the file cannot be read as a MATLAB file of up to version 7 ({type(error).__name__}: {error})"
        raise DataError(str(path), [fault]) from None
    tables = {name: value for name, value in found.items()
              if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "iuf"}  # fmt: skip
    if variable not in tables and len(tables) != 1:
        names = ", ".join(tables) or "none"
        raise DataError(str(path), [f"there is no matrix {variable}; matrices of numbers in the file: {names}"])
    return np.asarray(tables.get(variable, next(iter(tables.values()))), np.float64)
