"""Scores against numbers worked out by hand."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn import metrics

from keras_res3d.scores import Scores, gather, score, top_k

from .made_scores import two_classes

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


def test_precision_recall_f1_and_their_means_are_scikit_learns():
    scores = two_classes()
    predicted = scores.video_probabilities.argmax(axis=1)
    expected = metrics.precision_recall_fscore_support(scores.truth, predicted)
    np.testing.assert_allclose([row[5:] for row in scores.class_scores()], np.transpose(expected[:3]))
    assert scores.per_class() == [row[:4] for row in scores.class_scores()]
    assert scores.confusion.tolist() == metrics.confusion_matrix(scores.truth, predicted).tolist()
    summary = scores.summary()
    for average in ("macro", "weighted"):
        wanted = metrics.precision_recall_fscore_support(scores.truth, predicted, average=average)[:3]
        np.testing.assert_allclose(list(summary[average].values()), wanted)
    header, rows = scores.class_table()
    assert header[:4] == ["class", "videos", "right", "accuracy"] and rows[1][:2] == ["yes", 20]


@pytest.mark.parametrize("logits", [False, True])
def test_two_classes_have_curves(logits):
    scores = two_classes(logits)
    values = scores.video_probabilities[:, 1] - scores.video_probabilities[:, 0]
    found, summary = scores.curves(), scores.summary()
    assert list(found) == ["no", "yes"]
    assert summary["auc"] == pytest.approx(metrics.roc_auc_score(scores.truth, values))
    assert found["no"].auc == pytest.approx(summary["auc"])
    for name, positive, sign in (("no", scores.truth == 0, -1), ("yes", scores.truth == 1, 1)):
        expected = metrics.average_precision_score(positive, sign * values)
        assert summary["average_precision"][name] == pytest.approx(expected)
    if not logits:  # a threshold is a probability of the class
        assert found["yes"].thresholds[1:].min() >= 0 and found["yes"].thresholds[1:].max() <= 1
    one_kind = dataclasses.replace(scores, truth=np.ones(60, int))
    assert one_kind.curves() == {} == _scores().curves() and "auc" not in one_kind.summary()


def test_video_at_5_is_left_out_of_five_classes_or_fewer():
    for classes, expected in ((5, ["clip@1", "video@1"]), (6, ["clip@1", "video@1", "video@5"])):
        scores = Scores(tuple("abcdef"[:classes]), np.eye(classes), np.arange(classes), np.arange(classes))
        assert list(scores.measures) == list(scores.intervals) == expected and scores.video_at_5 == 1
        summary = scores.summary()
        assert ("video@5" in summary) == ("video@5" in summary["intervals"]) == (classes == 6)
        assert sum(key.startswith(("clip@", "video@")) for key in summary) == len(expected)


def test_intervals_are_over_groups_where_there_are_groups():
    scores = two_classes()
    over_groups, over_videos = scores.summary(), dataclasses.replace(scores, groups=()).summary()
    assert (over_groups["intervals"]["over"], over_groups["intervals"]["groups"]) == ("groups", 15)
    assert over_videos["intervals"]["over"] == "videos" and over_videos["intervals"]["level"] == 0.95
    for summary in (over_groups, over_videos):
        for name in ("clip@1", "video@1", "auc"):
            low, high = summary["intervals"][name]
            assert low < summary[name] < high
    assert scores.intervals == two_classes().intervals and json.loads(json.dumps(over_groups)) == over_groups
    alone = dataclasses.replace(scores, groups=tuple(map(str, range(60)))).summary()
    for name in ("over", "clip@1", "video@1", "auc"):  # each video is a group
        assert alone["intervals"][name] == over_videos["intervals"][name]
    one = Scores(("a", "b"), np.eye(2)[:1], np.zeros(1, int), np.zeros(1, int))
    assert one.intervals == {"clip@1": None, "video@1": None}


def test_mistakes_come_with_the_worst_first_and_under_their_own_paths():
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    truth = np.array([1, 1, 1, 0])
    scores = Scores(("a", "b"), probabilities, np.arange(4), truth, {1: "cannot be read"}, ("0", "2", "3", "4"))
    assert scores.numbers.tolist() == [0, 2, 3, 4]
    worst, second, third = scores.mistakes()
    assert worst == (2, "2", "b", "a", 0.9, 0.1) and second == (4, "4", "a", "b", 0.7, 0.3)
    assert third == (0, "0", "b", "a", 0.6, 0.4)
    assert [mistake.path for mistake in dataclasses.replace(scores, paths=()).mistakes()][:2] == ["video 2", "video 4"]


def test_columns_of_the_videos():
    columns = two_classes().video_columns()
    assert list(columns) == ["path", "group", "true", "predicted", "clips", "score:no", "score:yes"]
    assert {len(column) for column in columns.values()} == {60} and columns["group"][59] == "g14"
    assert columns["true"][:3] == ["no", "no", "yes"] and set(columns["clips"].tolist()) == {2}
    np.testing.assert_allclose(columns["score:no"] + columns["score:yes"], 1)
    assert list(_scores().video_columns())[:4] == ["path", "true", "predicted", "clips"]


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


def test_gather_takes_a_row_of_truth_for_each_clip():
    batches = [(clips, np.eye(2)[classes], numbers) for clips, classes, numbers in _batches()]
    found = gather(lambda clips: np.zeros((len(clips), 5)), batches, 5)
    assert found.truth.tolist() == [[0, 1], [1, 0]] and found.numbers.tolist() == [0, 1]
    assert found.probabilities.shape == (3, 5) and found.videos.tolist() == [0, 0, 1]


def test_refusals():
    with pytest.raises(ValueError, match="expected 3 scores"):
        score(lambda clips: np.ones((len(clips), 2)), _batches(), ("a", "b", "c"))
    with pytest.raises(ValueError, match="not finite"):
        score(lambda clips: np.full((len(clips), 2), np.nan), _batches(), ("a", "b"))
    with pytest.raises(ValueError, match="empty"):
        score(lambda clips: clips, [], ("a", "b"))
