"""Tables as files: CSV, and Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import importlib.util
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from keras_res3d.io import atomic_path
from keras_res3d.remote import as_path

FORMATS = ("csv", "parquet")


def check_table_format(format: str) -> None:
    """Raises an error where tables cannot be written in a format.

    Raises:
        ImportError: it is parquet, and pyarrow is not installed.
        ValueError: there is no such format.
    """
    if format not in FORMATS:
        raise ValueError(f"the format of a table is {format!r}; expected {' or '.join(FORMATS)}")
    if format == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ImportError("Parquet needs the package pyarrow, which is not installed: pip install "
                          "'keras-res3d[parquet]'; or choose csv, which needs nothing")  # fmt: skip


def csv_rows(lines: Iterable[str], **format: object) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row of a CSV file of any content; of a row of several lines the number is the last one's.

    Args:
        lines: with their ends, such as a file that was opened with `newline=""`.
        format: as of `csv.reader`.

    Raises:
        ValueError: `line 3: malformed (...)`, for example a cell of more than 131,072 characters.
    """
    rows = csv.reader(lines, **format)
    while True:
        try:
            cells = next(rows, None)
        except csv.Error as error:
            raise ValueError(f"line {rows.line_num}: malformed ({error})") from error
        if cells is None:
            return
        yield rows.line_num, cells


def write_table(path: str | os.PathLike, columns: Mapping[str, Sequence]) -> os.PathLike:
    """Writes columns of equal length as the CSV or Parquet file that the suffix of the path says; returns the path.

    In CSV a cell of None or NaN is empty, and a number with a point has 9 digits, which tell any two float32 apart.

    Raises:
        ImportError: the suffix is .parquet, and pyarrow is not installed.
        ValueError: the suffix is another one.
    """
    path = as_path(path)
    format = path.suffix.removeprefix(".")
    check_table_format(format)
    with atomic_path(path) as aside:
        if format == "csv":
            with open(aside, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows(map(_cell, row) for row in zip(*columns.values(), strict=True))
        else:
            _write_parquet(aside, columns)
    return path


def _cell(value: object) -> object:
    if isinstance(value, float):  # NumPy's float64 too
        return "" if value != value else f"{value:.9g}"
    return value


def _write_parquet(path: pathlib.Path, columns: Mapping[str, Sequence]) -> None:
    import pyarrow
    from pyarrow import parquet

    # Parquet's texts are UTF-8: a byte of a name that is not UTF-8 is written as an escape.
    texts = {name.encode("utf-8", "backslashreplace").decode(): _texts(values) for name, values in columns.items()}
    parquet.write_table(pyarrow.table(texts), path)


def _texts(values: Sequence) -> Sequence:
    if isinstance(values, np.ndarray) and values.dtype.kind != "U":
        return values
    return [value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value for value in values]
