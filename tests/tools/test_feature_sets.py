"""The three sets of features of the same videos, on tiny data."""

import pathlib
import sys

import numpy as np
import pytest

from keras_res3d import read_card, read_features
from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import Sampling
from keras_res3d.data.sources import motion

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
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    return tmp_path / "list.csv"


def test_three_sets_have_the_same_rows(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_sets, "WIDTH", 4)
    monkeypatch.setattr(motion, "SPLIT_SIZES", {"train": 64, "test": 16})
    motion._drawn.cache_clear()
    try:
        folders = feature_sets.make([videos], tmp_path / "out", epochs=1)
    finally:
        motion._drawn.cache_clear()
    found = {name: read_features(own[0]) for name, own in folders.items()}
    assert set(found) == {"trained", "random", "colours"}
    assert {features.ids for features in found.values()} == {tuple(f"{i}.mp4" for i in range(4))}
    assert all(features.labels == tuple("aabb") for features in found.values())
    assert not np.allclose(found["trained"].values["pool5"], found["random"].values["pool5"])
    assert read_card(tmp_path / "out" / "nets-0" / "random.keras").sampling.crop == (32, 32)
