"""A video's timeline as a picture, as CSV and as JSON: the same numbers in each."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from keras_res3d.inference.events import find_events
from keras_res3d.inference.videos import VideoPrediction
from keras_res3d.reports import plots
from keras_res3d.reports.timeline import Timeline, write_timeline

LABELS = ("walk", "fi,ght\x1b", "rare")
SCORES = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]], np.float32)
EXTENTS = np.stack([np.arange(5.0), np.arange(5.0) + 1], 1)


@pytest.fixture
def made():
    prediction = VideoPrediction("videos/x.mp4", LABELS, EXTENTS.mean(axis=1), SCORES, EXTENTS)
    return Timeline(prediction, find_events(prediction, 0.5), 0.5)


def test_csv_has_a_line_for_each_clip(made, tmp_path):
    with open(write_timeline(made, tmp_path / "x.CSV"), newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["start", "end", "seconds", "walk", r"fi,ght\x1b", "rare"]
    assert np.array_equal(np.float64(lines)[:, :2], EXTENTS) and np.array_equal(np.float32(lines)[:, 3:], SCORES)


def test_json_has_the_clips_and_the_events(made, tmp_path):
    found = json.loads(write_timeline(made, tmp_path / "sub" / "x.json").read_text())
    assert found["labels"] == list(LABELS) and found["video"] == "videos/x.mp4" and found["threshold"] == 0.5
    assert np.array_equal(np.float32([clip["scores"] for clip in found["clips"]]), SCORES)
    assert [(clip["start"], clip["end"], clip["seconds"]) for clip in found["clips"]][1] == (1, 2, 1.5)
    assert [(event["label"], event["start"], event["end"]) for event in found["events"]] == [
        ("walk", 0, 2), ("rare", 2, 3), (LABELS[1], 3, 5)
    ]  # fmt: skip
    without = json.loads(write_timeline(Timeline(made.prediction), tmp_path / "y.json").read_text())
    assert "events" not in without and "threshold" not in without


def test_the_picture_has_a_bar_for_each_event(made, tmp_path):
    assert Image.open(write_timeline(made, tmp_path / "x.png")).size[0] > 600
    found = made.prediction
    figure = plots.timeline(found.seconds, SCORES, LABELS, "x", 2, made.events, 0.5)
    scores, lanes = figure.axes
    named = [line.get_label() for line in scores.lines]
    assert named == [r"fi,ght\x1b", "walk", "threshold 0.5"]
    bars = [[tuple(path.vertices[[0, 2], 0].tolist()) for path in each.get_paths()] for each in lanes.collections]
    assert bars == [[(3, 5)], [(0, 2)]]
    assert [text.get_text() for text in lanes.get_yticklabels()] == named[:2]
    # One clear clip puts a class before another whose mean is higher and that has no event.
    figure = plots.timeline(found.seconds, SCORES, LABELS, "x", 1, [made.events[1]], 0.5)
    assert figure.axes[0].lines[0].get_label() == "rare"


def test_logits_are_not_cut_off():
    figure = plots.timeline(np.arange(3.0), np.array([[5.0, -2], [6, 1], [1, 1]]), "ab")
    low, high = figure.axes[0].get_ylim()
    assert low < -2 and high > 6
