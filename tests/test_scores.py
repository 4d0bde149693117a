"""Scores against numbers worked out by hand."""

import dataclasses

import numpy as np
import pytest

from keras_res3d.scores import Scores, score, top_k

LABELS = ("a", "b", "c", "d", "e", "f")


def _scores():
    # Video 0 (class 0): clips right, wrong; video 1 (class 1): right only on average; video 2 (class 5): ranked last.
    probabilities = np.array([
        [0.6, 0.2, 0.1, 0.1, 0.0, 0.0],
        [0.2, 0.5, 0.3, 0.0, 0.0, 0.0],
        [0.4, 0.5, 0.1, 0.0, 0.0, 0.0],
        [0.5, 0.4, 0.1, 0.0, 0.0, 0.0],
        [0.3, 0.2, 0.2, 0.2, 0.1, 0.0],
    ])  # fmt: skip
    return Scores(LABELS, probabilities, np.array([0, 0, 1, 1, 2]), np.array([0, 1, 5]))


def test_clip_and_video_accuracies():
    scores = _scores()
    assert scores.clip_at_1 == pytest.approx(2 / 5)
    assert np.allclose(scores.video_probabilities[0], [0.4, 0.35, 0.2, 0.05, 0, 0])
    # Video 1 is a tie of classes 0 and 1: the lower number wins.
    assert scores.video_at_1 == pytest.approx(1 / 3)
    assert scores.video_at_5 == pytest.approx(2 / 3)
    assert scores.summary()["chance"] == pytest.approx(1 / 6)


def test_confusion_and_classes():
    scores = _scores()
    assert scores.confusion[0, 0] == 1 and scores.confusion[1, 0] == 1 and scores.confusion[5, 0] == 1
    rows = scores.per_class()
    assert rows[0] == ("a", 1, 1, 1.0) and rows[5][3] == 0 and np.isnan(rows[2][3])


def test_top_k_takes_the_lower_class_of_equal_scores():
    assert top_k(np.array([[0.5, 0.5]]), np.array([1]), 1) == 0
    assert top_k(np.array([[0.5, 0.5]]), np.array([1]), 2) == 1


def _batches():
    yield np.zeros((2, 4, 8, 8, 3)), np.array([1, 1]), np.array([0, 0])
    yield np.zeros((1, 4, 8, 8, 3)), np.array([0]), np.array([1])


def test_score_counts_every_clip_once():
    seen = []
    scores = score(lambda clips: np.tile([0.9, 0.1], (len(clips), 1)), _batches(), ("a", "b"), seen.append)
    assert seen == [1, 2] and len(scores.probabilities) == 3
    assert scores.truth.tolist() == [1, 0] and scores.video_at_1 == 0.5


def test_videos_that_were_left_out_leave_gaps_in_the_numbers():
    def batches():
        for clips, classes, numbers in _batches():
            yield clips, classes, 3 * numbers + 2

    scores = score(lambda clips: np.tile([0.9, 0.1], (len(clips), 1)), batches(), ("a", "b"))
    assert scores.videos.tolist() == [0, 0, 1] and scores.truth.tolist() == [1, 0] and scores.video_at_1 == 0.5
    assert dataclasses.replace(scores, left_out={0: "no video"}).summary()["left_out"] == 1


def test_refusals():
    with pytest.raises(ValueError, match="expected 3 scores"):
        score(lambda clips: np.ones((len(clips), 2)), _batches(), ("a", "b", "c"))
    with pytest.raises(ValueError, match="not finite"):
        score(lambda clips: np.full((len(clips), 2), np.nan), _batches(), ("a", "b"))
    with pytest.raises(ValueError, match="empty"):
        score(lambda clips: clips, [], ("a", "b"))
