"""The three sets of features of the same videos, on tiny data."""

import pathlib
import sys

import numpy as np
import pytest

from keras_res3d import read_card, read_features
from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import Sampling
from keras_res3d.data.sources import motion
from keras_res3d.tasks.feature_folder import FORMAT, write_header, write_part
from keras_res3d.tasks.feature_parts.base import VideoRow

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import feature_sets


def test_histograms_are_shares_of_colours():
    clips = np.zeros((2, 1, 2, 2, 3), np.uint8)
    clips[1, 0, 0] = (255, 31, 32)  # two of four pixels: bins 7, 0, 1
    found = feature_sets.ColourHistograms(ModelCard("net", ("a", "b"), Sampling()))(clips)[0]["colours"]
    assert found.shape == (2, 512) and found.sum(axis=1).tolist() == [1, 1]
    assert found[0, 0] == 1 and found[1, 0] == 0.5 and found[1, 7 * 64 + 1] == 0.5


@pytest.fixture
def videos(tmp_path, make_video):
    rng, lines = np.random.default_rng(0), []
    for number, label in enumerate("aabb"):
        frames = np.clip(rng.normal(60 + 40 * number, 9, (20, 36, 48, 3)), 0, 255).astype(np.uint8)
        make_video(tmp_path / f"{number}.mp4", frames)
        lines.append(f"{number}.mp4,{label}")
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    return [tmp_path / "train.csv", tmp_path / "test.csv"]


@pytest.fixture
def small(monkeypatch):
    """A narrow net, and little to train it on."""
    monkeypatch.setattr(feature_sets, "WIDTH", 4)
    monkeypatch.setattr(motion, "SPLIT_SIZES", {"train": 64, "test": 16})
    motion._drawn.cache_clear()
    yield
    motion._drawn.cache_clear()


@pytest.mark.slow
def test_the_command_makes_three_sets_and_prints_both_tables(videos, tmp_path, small, capsys):
    words = [*map(str, videos), "--output", str(tmp_path / "out"), "--seeds", "0,3", "--epochs", "1"]
    feature_sets.main(words)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("seed 0, ", "seed 3, ")) for line in lines) == 8
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"]
    names = ["trained", "random", "colours"]
    assert [row[0] for row in rows] == ["features", "---", *names, "trained - random", "trained - colours",
                                        "features", "---", *names]  # fmt: skip
    assert rows[4][1] == rows[4][2] == rows[4][3]  # colours are the same for every seed
    assert float(rows[5][3]) == pytest.approx(float(rows[2][3]) - float(rows[3][3]), abs=0.0015)
    found = {name: read_features(tmp_path / "out" / name / "train") for name in ("trained-3", "random-3", "colours")}
    assert {features.ids for features in found.values()} == {tuple(f"{i}.mp4" for i in range(4))}
    assert all(features.labels == tuple("aabb") for features in found.values())
    assert not np.allclose(found["trained-3"].values["pool5"], found["random-3"].values["pool5"])
    assert read_card(tmp_path / "out" / "nets-3" / "random.keras").sampling.crop == (32, 32)


def test_an_svm_on_known_features(tmp_path):
    """Two classes that all features tell apart; the test part has one wrong label in eight."""
    rng = np.random.default_rng(0)
    header = {"format": FORMAT, "model": {"net": "x", "digest": "0"}, "layers": {"pool5": 2, "prob": 3}, "sampling": {},
              "step": 16, "per_clip": False, "normalized": True, "data": []}  # fmt: skip
    for name, wrong in (("train", ()), ("test", (5,))):
        values = np.eye(2)[np.arange(8) % 2] + rng.normal(0, 0.01, (8, 2))
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        prob = np.eye(3)[[0, 0, 0, 1, 1, 2, 0, 0]]
        rows = [VideoRow(f"{i}.mp4", "ab"[(i + (i in wrong)) % 2], f"g{i // 2}", i, None, 1) for i in range(8)]
        write_header(tmp_path / name, header)
        arrays = {"pool5": values.astype(np.float32), "prob": prob.astype(np.float32)}
        write_part(tmp_path / name / "1.npz", header, rows, np.zeros((8, 2)), arrays)
    with pytest.warns(UserWarning, match="groups are in both parts"):
        found = feature_sets.score(tmp_path / "train", tmp_path / "test", 0)
    assert found.right.tolist() == [True] * 5 + [False] + [True] * 2
    assert found.groups == tuple(f"group g{i // 2}" for i in range(8))
    assert found.inside == 1 and found.favourite == 5 / 8 and found.classes == 2
    assert abs(found.cosine - 2 * 4 * 3 / (8 * 7)) < 0.03  # videos of one class 1, of two 0


def test_what_guessing_reaches():
    low, high = feature_sets.guessing(54, 2)
    assert (low, high) == (20 / 54, 34 / 54)
    tosses = np.random.default_rng(0).binomial(54, 0.5, 20_000) / 54
    assert 0.95 <= np.mean((low <= tosses) & (tosses <= high)) < 0.98


def test_intervals_over_seeds():
    low, high = feature_sets.over_seeds([0.4, 0.5, 0.6])
    half = 4.302653 * 0.1 / 3**0.5  # t of 2 degrees of freedom
    assert low == pytest.approx(0.5 - half, abs=1e-6) and high == pytest.approx(0.5 + half, abs=1e-6)


def test_the_bootstrap_keeps_groups_together():
    half = np.array([[1.0, 0.0] * 50] * 3)
    low, high = feature_sets.over_seeds_and_groups(half, [str(i) for i in range(100)], 2000)
    assert low == pytest.approx(0.4, abs=0.02) and high == pytest.approx(0.6, abs=0.02)  # 0.5 +- 1.96 * 0.05
    together = feature_sets.over_seeds_and_groups(half, [str(i % 4) for i in range(100)], 2000)
    assert together == (0.0, 1.0)  # four groups, each all right or all wrong
    same = feature_sets.over_seeds_and_groups(np.ones((3, 4)), list("abcd"), 100)
    assert same == (1.0, 1.0)
    seeds = feature_sets.over_seeds_and_groups(np.array([[1.0] * 4, [0.0] * 4]), list("abcd"), 2000)
    assert seeds == (0.0, 1.0)
