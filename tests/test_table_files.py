"""Tables that are read back as they were written, as CSV and as Parquet."""

import csv
import importlib.util
import os
import pathlib
import re

import numpy as np
import pytest

import keras_res3d
from keras_res3d.table_files import check_table_format, csv_rows, write_table

COLUMNS = {"path": ["a, b.mp4", "ü.mp4"], "group": ["g1", None], "clips": np.array([3, 10]),
           "score:x": np.array([1 / 3, np.nan])}  # fmt: skip


def test_csv(tmp_path):
    path = write_table(tmp_path / "deep" / "videos.csv", COLUMNS)
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    assert rows == [list(COLUMNS), ["a, b.mp4", "g1", "3", "0.333333333"], ["ü.mp4", "", "10", ""]]


def test_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write_table(tmp_path / "videos.parquet", COLUMNS))
    assert table.column_names == list(COLUMNS) and table["path"].to_pylist() == COLUMNS["path"]
    assert table["group"].to_pylist() == ["g1", None] and table["clips"].to_pylist() == [3, 10]
    np.testing.assert_array_equal(table["score:x"].to_numpy(), COLUMNS["score:x"])


def test_a_name_that_is_not_utf8(tmp_path):
    name = os.fsdecode(b"\xff.mp4")
    path = write_table(tmp_path / "videos.csv", {"path": [name], "score:\udcff": np.zeros(1)})
    assert path.read_bytes().splitlines()[1] == b"\xff.mp4,0"
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write_table(tmp_path / "videos.parquet", {"path": [name], "score:\udcff": np.zeros(1)}))
    assert table.to_pydict() == {"path": ["\\udcff.mp4"], "score:\\udcff": [0.0]}


def test_formats_that_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="'xlsx'; expected csv or parquet"):
        write_table(tmp_path / "videos.xlsx", COLUMNS)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pyarrow.*keras-res3d\[parquet\].*or choose csv"):
        check_table_format("parquet")
    check_table_format("csv")
    assert not list(tmp_path.iterdir())


def test_rows_of_a_file_of_any_content():
    assert list(csv_rows(["a,b\n", '"1\n', '2",\0\n', "\n"])) == [(1, ["a", "b"]), (3, ["1\n2", "\0"]), (4, [])]
    assert list(csv_rows(["a; b\n"], delimiter=";", skipinitialspace=True)) == [(1, ["a", "b"])]
    with pytest.raises(ValueError, match=r"^line 2: malformed \(field larger than field limit \(131072\)\)$"):
        list(csv_rows(["a\n", "x" * 200_000]))


def test_no_other_module_reads_csv_by_itself():
    """`csv.Error` is no ValueError: whoever calls `csv.reader` has to know that."""
    package = pathlib.Path(keras_res3d.__file__).parent
    found = [path.name for path in package.rglob("*.py") if re.search(r"csv\.(Dict)?[rR]eader", path.read_text())]
    assert found == ["table_files.py"]
