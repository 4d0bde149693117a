"""Rates, curves and intervals against scikit-learn, or against a formula that is written out."""

import numpy as np
import pytest
from sklearn import metrics

from keras_res3d.measures import bootstrap_auc, bootstrap_interval, class_rates, curves, groups_in, top_k_hits


def _answers(classes, videos=300, seed=0):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(classes, size=(2, videos))
    predicted = np.where(rng.random(videos) < 0.5, truth, predicted)
    return truth, predicted


@pytest.mark.parametrize("absent", [None, "videos", "predictions", "both"])
def test_precision_recall_and_f1(absent):
    truth, predicted = _answers(6)
    kept = np.ones(len(truth), bool)
    if absent in ("videos", "both"):
        kept &= truth != 2
    if absent in ("predictions", "both"):
        kept &= predicted != 2
    truth, predicted = truth[kept], predicted[kept]
    confusion = metrics.confusion_matrix(truth, predicted, labels=range(6))
    rates = class_rates(confusion)
    expected = metrics.precision_recall_fscore_support(truth, predicted, labels=range(6), zero_division=np.nan)
    for found, wanted in zip((rates.precision, rates.recall, rates.videos), (*expected[:2], expected[3]), strict=True):
        np.testing.assert_allclose(found, wanted)
    assert np.isnan(rates.precision[2]) == (absent in ("predictions", "both"))
    assert np.isnan(rates.recall[2]) == (absent in ("videos", "both")) and np.isnan(rates.f1[2]) == (absent == "both")
    for average in ("macro", "weighted"):
        wanted = metrics.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)[:3]
        np.testing.assert_allclose(list(getattr(rates, average)().values()), wanted)


@pytest.mark.parametrize("digits", [1, 12])  # with many equal scores, and without
def test_curves(digits):
    rng = np.random.default_rng(1)
    positive = rng.random(200) < 0.3
    scores = np.round(rng.random(200) + 0.4 * positive, digits)
    found = curves(scores, positive)
    false_rate, true_rate, thresholds = metrics.roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(found.false_positive_rate, false_rate)
    np.testing.assert_allclose(found.true_positive_rate, true_rate)
    np.testing.assert_allclose(found.thresholds, thresholds)
    precision, recall, _ = metrics.precision_recall_curve(positive, scores)
    np.testing.assert_allclose(found.precision, precision[::-1])
    np.testing.assert_allclose(found.true_positive_rate, recall[::-1])
    assert found.auc == pytest.approx(metrics.roc_auc_score(positive, scores))
    assert found.average_precision == pytest.approx(metrics.average_precision_score(positive, scores))


@pytest.mark.parametrize("positive", [[True, True], [False, False]])
def test_a_curve_needs_both_answers(positive):
    with pytest.raises(ValueError, match="needs positive and negative"):
        curves(np.array([0.1, 0.2]), np.array(positive))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k(k):
    rng = np.random.default_rng(2)
    probabilities, truth = rng.random((100, 7)), rng.integers(7, size=100)
    assert top_k_hits(probabilities, truth, k).mean() == metrics.top_k_accuracy_score(truth, probabilities, k=k)


def test_an_interval_over_videos_is_that_of_the_binomial_distribution():
    from scipy.stats import binom

    hits = np.arange(200) < 150
    low, high = bootstrap_interval(hits, np.ones(200))
    assert low == pytest.approx(binom.ppf(0.025, 200, 0.75) / 200, abs=1 / 200)
    assert high == pytest.approx(binom.ppf(0.975, 200, 0.75) / 200, abs=1 / 200)
    assert bootstrap_interval(hits[::-1], np.ones(200)) == (low, high)  # the order of the videos is nothing


def test_an_interval_of_clips_is_that_of_drawing_videos_one_by_one():
    rng = np.random.default_rng(3)
    counts = rng.integers(1, 11, 60)
    hits = rng.binomial(counts, 0.6)
    drawn = rng.integers(60, size=(20_000, 60))
    expected = np.quantile(hits[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [0.025, 0.975])
    np.testing.assert_allclose(bootstrap_interval(hits, counts), expected, atol=0.01)


def test_videos_of_a_group_are_drawn_together():
    hits = np.repeat([1, 1, 0, 1, 0, 1, 1, 1, 0, 1], 5)
    groups = np.repeat([f"g{n}" for n in range(10)], 5).tolist()
    grouped = bootstrap_interval(hits, np.ones(50), groups)
    # Five equal videos of a group say no more than one.
    assert grouped == bootstrap_interval(hits[::5], np.ones(10))
    single = bootstrap_interval(hits, np.ones(50))
    assert grouped[1] - grouped[0] > 1.5 * (single[1] - single[0])
    assert bootstrap_interval(hits, np.ones(50), [None] * 50) == single  # each is a group of its own
    assert [groups_in(each) for each in (groups, ["a", None, None, "a"], [None, None], ())] == [10, 3, 0, 0]


@pytest.mark.parametrize("digits", [1, 12])
def test_an_interval_of_the_area_is_that_of_drawing_groups_one_by_one(digits):
    rng = np.random.default_rng(4)
    positive = rng.random(80) < 0.4
    scores = np.round(rng.random(80) + 0.3 * positive, digits)
    members = np.arange(80).reshape(40, 2)
    areas = []
    for _ in range(1_000):
        drawn = members[rng.integers(40, size=40)].ravel()
        areas.append(metrics.roc_auc_score(positive[drawn], scores[drawn]))
    found = bootstrap_auc(scores, positive, np.repeat(np.arange(40), 2).tolist())
    np.testing.assert_allclose(found, np.quantile(areas, [0.025, 0.975]), atol=0.015)


def test_drawings_of_one_class_alone_have_no_area():
    assert bootstrap_auc(np.array([0.1, 0.9]), np.array([False, True])) == (1, 1)
    assert bootstrap_auc(np.array([0.1, 0.9]), np.array([False, True]), ["a", "a"]) is None


def test_one_video_or_group_has_no_interval():
    assert bootstrap_interval(np.ones(1), np.ones(1)) is None
    assert bootstrap_interval(np.ones(3), np.ones(3), ["a", "a", "a"]) is None


@pytest.mark.parametrize(("accuracy", "videos", "expected"), [(0.8, 30, 0.946), (0.95, 30, 0.782), (0.95, 100, 0.959)])
def test_how_often_an_interval_covers_the_true_accuracy(accuracy, videos, expected):
    """The numbers that docs/evaluation.md gives, each number of right videos weighed by how likely it is."""
    from scipy.stats import binom

    covered = 0
    for right in range(videos + 1):
        low, high = bootstrap_interval(np.arange(videos) < right, np.ones(videos))
        covered += binom.pmf(right, videos, accuracy) * (low - 1e-9 <= accuracy <= high + 1e-9)
    assert covered == pytest.approx(expected, abs=0.002)
