"""The tool that trains and runs S-CNN on made videos, on as few as will do."""

import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import detection


@pytest.mark.slow
def test_a_table_of_seeds_and_weights_of_the_overlap_loss(capsys):
    detection.main(["--seeds", "3", "4", "--train", "3", "--test", "1", "--epochs", "1", "--width", "2"])
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines[-10:-6]]
    assert [row[:2] for row in rows] == [["3", "1"], ["3", "0"], ["4", "1"], ["4", "0"]]
    assert sum("the three stages took" in line for line in lines) == 4 and lines[-4].count("mAP at") == 5
    means = {row[0]: row[1::3] for row in map(str.split, lines[-2:])}
    for weight in ("1", "0"):
        values = np.array([row[2:] for row in rows if row[1] == weight], float)
        assert ((values >= 0) & (values <= 1)).all()
        assert np.allclose(values.mean(axis=0), np.array(means[weight], float), atol=2e-3)


@pytest.mark.slow
def test_memory_by_length(capfd):
    detection.main(["--memory", "0.2", "0.4"])
    assert [line.split()[0] for line in capfd.readouterr().out.splitlines() if "MiB at most" in line] == ["0.2", "0.4"]
