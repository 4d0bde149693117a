"""The tool that trains and runs S-CNN on made videos, on as few as will do."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import detection


@pytest.mark.slow
def test_a_table_of_seeds_and_weights_of_the_overlap_loss(capsys):
    detection.main(["--seeds", "3", "--train", "3", "--test", "1", "--epochs", "1", "--width", "2"])
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines[-2:]]
    assert [row[:2] for row in rows] == [["3", "1"], ["3", "0"]] and lines[-4].count("mAP at") == 5
    assert all(0 <= float(value) <= 1 for row in rows for value in row[2:])


@pytest.mark.slow
def test_memory_by_length(capfd):
    detection.main(["--memory", "0.2", "0.4"])
    assert [line.split()[0] for line in capfd.readouterr().out.splitlines() if "MiB at most" in line] == ["0.2", "0.4"]
