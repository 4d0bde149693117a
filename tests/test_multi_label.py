"""Average precision against scikit-learn, and what follows from a model's probabilities of several labels."""

import json

import numpy as np
import pytest

from keras_res3d.multi_label import MultiLabelScores, average_precision, score_multi_label
from keras_res3d.tables import as_json

PROBABILITIES = np.array([[0.9, 0.2, 0.6], [0.8, 0.4, 0.1], [0.3, 0.7, 0.2], [0.1, 0.6, 0.4]], np.float32)
TRUTH = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 0], [0, 1, 0]], bool)


def scores(probabilities=PROBABILITIES, truth=TRUTH, videos=None):
    videos = np.arange(len(probabilities)) if videos is None else np.asarray(videos)
    return MultiLabelScores(("a", "b", "c"), probabilities, videos, truth)


@pytest.mark.parametrize("levels", [3, 10, 10_000])  # with few levels most scores are equal to others
def test_average_precision_is_that_of_scikit_learn(levels):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(levels)
    values = rng.integers(0, levels, (60, 5)) / levels
    truth = rng.random((60, 5)) < [0.02, 0.1, 0.5, 0.9, 0.98]
    truth[0], truth[1] = True, False
    wanted = [metrics.average_precision_score(truth[:, n], values[:, n]) for n in range(5)]
    np.testing.assert_allclose(average_precision(values, truth), wanted, rtol=1e-12)


def test_average_precision_by_hand():
    # Ranked: right, wrong, right, wrong: (1/1 + 2/3) / 2. All equal: precision at the one threshold.
    values = np.array([[0.9, 0.5], [0.8, 0.5], [0.7, 0.5], [0.1, 0.5]])
    truth = np.array([[1, 1], [0, 0], [1, 0], [0, 0]])
    np.testing.assert_allclose(average_precision(values, truth), [5 / 6, 1 / 4])


def test_a_class_without_a_video_has_no_average_precision_and_one_that_all_have_is_always_right():
    found = average_precision(PROBABILITIES[:, :2], np.array([[0, 1]] * 4))
    assert np.isnan(found[0]) and found[1] == 1


@pytest.mark.parametrize(
    "values, truth, fault",
    [
        (np.zeros((3, 2)), np.zeros((3, 3)), r"scores have shape \(3, 2\), truth \(3, 3\)"),
        (np.zeros(3), np.zeros(3), "expected \\(videos, classes\\)"),
        (np.array([[np.nan]]), np.ones((1, 1)), "NaN"),
    ],
)
def test_average_precision_refuses(values, truth, fault):
    with pytest.raises(ValueError, match=fault):
        average_precision(values, truth)


def test_scores():
    found = scores()
    # a: ranked 1, 0, 1, 0; b: 1, 1 first; c has no video, and does not count.
    np.testing.assert_allclose(found.average_precision, [5 / 6, 1, np.nan])
    assert found.mean_ap == pytest.approx((5 / 6 + 1) / 2)
    assert found.chance == pytest.approx(0.5)
    a, b, c = found.per_class()
    assert (a.videos, a.precision, a.recall, a.f1) == (2, 0.5, 0.5, 0.5)
    assert (b.videos, b.precision, b.recall, b.f1) == (2, 1, 1, 1)
    assert c.videos == 0 and c.precision == 0 and np.isnan(c.recall) and c.f1 == 0
    # Given: 2 of a, 2 of b, 1 of c; there: 4; right: 1 and 2.
    assert found.f1 == pytest.approx(2 * 3 / (5 + 4))


def test_f1_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    values, truth = rng.random((50, 3)).astype(np.float32), rng.random((50, 3)) < 0.3
    found = scores(values, truth)
    assert found.f1 == pytest.approx(metrics.f1_score(truth, values > 0.5, average="micro"))
    assert found.summary()["macro"]["f1"] == pytest.approx(metrics.f1_score(truth, values > 0.5, average="macro"))


def test_a_video_is_scored_by_the_mean_of_its_clips():
    clips = np.repeat(PROBABILITIES, 2, axis=0) + np.tile([[0.2], [-0.2]], (4, 1)).astype(np.float32)
    found = scores(clips, videos=[0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_allclose(found.video_probabilities, PROBABILITIES, atol=1e-6)
    assert found.mean_ap == scores().mean_ap and found.clip_mean_ap < found.mean_ap


def test_summary_is_json_and_counts():
    found = json.loads(as_json(scores().summary()), parse_constant=lambda name: pytest.fail(name))
    assert found["videos"] == 4 and found["classes_without_video"] == 1 and found["threshold"] == 0.5
    assert found["mAP"] == pytest.approx(11 / 12)


def test_nothing_to_find_is_an_error():
    with pytest.raises(ValueError, match="none of the 4 videos that were scored has a label"):
        scores(truth=np.zeros((4, 3), bool))


def test_batches_are_scored_and_gaps_are_left_out():
    clips = np.arange(5)
    batches = [(clips[:3], TRUTH[[0, 0, 2]].astype(np.float32), np.array([0, 0, 2])),
               (clips[3:], TRUTH[[2, 3]].astype(np.float32), np.array([2, 3]))]  # fmt: skip
    found = score_multi_label(lambda clips: PROBABILITIES[clips % 4], batches, ("a", "b", "c"))
    np.testing.assert_array_equal(found.truth, TRUTH[[0, 2, 3]])
    np.testing.assert_array_equal(found.videos, [0, 0, 1, 1, 2])
