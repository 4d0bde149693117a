"""The statistics against SciPy, and against formulae written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keras_res3d.tasks.studies.statistics import (
    agreement,
    differences,
    holm,
    holm_levels,
    kendall_tau,
    paired_difference,
    pareto_front,
    t_cdf,
    t_quantile,
)

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("df", [1, 2, 4, 11, 150])
def test_student_t(df):
    for t in (-30.0, -2.5, -0.1, 0.0, 0.7, 4.0, 1e3):
        assert t_cdf(t, df) == pytest.approx(stats.t.cdf(t, df), rel=1e-10, abs=1e-15)
    for p in (1e-6, 0.001, 0.025, 0.5, 0.8, 0.9975):
        assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-8, abs=1e-12)


def test_two_degrees_of_freedom_by_the_closed_form():
    # F(t) = 1/2 + t / (2 sqrt(2 + t^2)), which three seeds lead to.
    for t in (-4.3, 0.3, 2.0):
        assert t_cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)), rel=1e-12)


def test_paired_differences():
    rng = np.random.default_rng(1)
    first, second = rng.normal(0.6, 0.1, 7), rng.normal(0.5, 0.1, 7)
    mean, low, high, p = paired_difference(first, second)
    test = stats.ttest_rel(first, second)
    interval = test.confidence_interval(0.95)
    assert (low, high, p) == pytest.approx((interval.low, interval.high, test.pvalue))
    assert mean == pytest.approx((first - second).mean())


@pytest.mark.parametrize("values", [([0.5], [0.4]), ([0.5, 0.6, 0.7], [0.4, 0.5, 0.6])])
def test_no_noise_was_seen_is_not_no_noise(values):
    mean, low, high, p = paired_difference(*values)
    assert mean == pytest.approx(0.1) and math.isnan(low) and math.isnan(high) and math.isnan(p)


def test_holm_as_written_out():
    # Sorted: 0.01 * 4 = 0.04, 0.02 * 3 = 0.06, 0.03 * 2 = 0.06, 0.5 * 1.
    assert holm([0.02, 0.5, 0.01, 0.03]).tolist() == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.03, 0.04]).tolist() == pytest.approx([0.06, 0.06])
    assert holm([0.9, math.nan]).tolist() == [1, 1]


def test_which_differences_exceed_the_noise():
    noise = [0.000, 0.011, -0.007, 0.004, 0.002]
    figures = {
        "low": dict(enumerate(0.30 + np.array(noise))),
        "same": dict(enumerate(0.30 + np.array(noise[::-1]))),
        "high": dict(enumerate(0.60 + np.array(noise[2:] + noise[:2]))),
        "one seed": {0: 0.9},
    }
    found = {(each.first, each.second): each for each in differences(figures)}
    assert len(found) == 6
    assert {pair for pair, each in found.items() if each.exceeds} == {("low", "high"), ("same", "high")}
    # The interval leaves 0 out where the difference exceeds the noise, and there alone.
    for each in found.values():
        assert (each.low > 0 or each.high < 0) == each.exceeds
    least = min(found.values(), key=lambda each: each.p if each.p == each.p else 1)
    sides = [list(figures[name].values()) for name in (least.first, least.second)]
    assert (least.mean, least.low, least.high) == paired_difference(*sides, 1 - 0.05 / 6)[:3]
    assert least.p == paired_difference(*sides)[3]
    with_one = differences(figures, reference="low")
    assert [(row.first, row.second) for row in with_one] == [(n, "low") for n in ("same", "high", "one seed")]
    assert with_one[1].adjusted == pytest.approx(3 * with_one[1].p)


def test_levels_of_holm_as_written_out():
    # 0.001 is tested at 0.05 / 4 and 0.02 at 0.05 / 3, which fails; its level then holds for the rest.
    failing, first = 1 - 0.05 / 3, 1 - 0.05 / 4
    assert holm_levels([0.02, 0.9, 0.001, 0.03]).tolist() == pytest.approx([failing, failing, first, failing])
    rng = np.random.default_rng(4)
    for _ in range(50):
        p = rng.uniform(0, 0.1, 6)
        below = p < 1 - holm_levels(p)
        assert (below == (holm(p) < 0.05)).all()


def test_all_alike_make_few_false_alarms():
    """Of families of 10 comparisons without any difference, at most about 5 % have a find."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        figures = {name: dict(enumerate(rng.normal(0, 1, 4))) for name in "abcde"}
        alarms += any(each.exceeds for each in differences(figures))
    assert alarms <= 20


def test_kendalls_tau():
    rng = np.random.default_rng(2)
    for _ in range(20):
        a, b = rng.integers(0, 5, 8), rng.integers(0, 5, 8)
        assert kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)
    assert math.isnan(kendall_tau([1, 1], [1, 2]))
    # UCF101 and HMDB51 in the paper's convolution study, which have no ties.
    ucf, hmdb = [43.3, 44.5, 44.8, 44.3, 45.1, 44.6, 46.1], [19.7, 19.4, 19.9, 20.4, 20.9, 21.4, 21.5]
    agree = sum(
        (ucf[i] - ucf[j]) * (hmdb[i] - hmdb[j]) > 0 for i in range(7) for j in range(i)
    )  # fmt: skip
    assert kendall_tau(ucf, hmdb) == pytest.approx((2 * agree - 21) / 21)


def test_agreement_has_an_interval():
    first = {name: [value, value + 0.01] for name, value in zip("abcdef", range(6), strict=True)}
    whole = agreement(first, first, draws=200)
    assert (whole.tau, whole.low, whole.high, whole.candidates) == (1, 1, 1, 6)
    rng = np.random.default_rng(3)
    mixed = {name: [float(rng.normal())] for name in first}
    found = agreement(first, mixed, draws=500)
    assert found.low < found.tau < found.high and found == agreement(first, mixed, draws=500)
    noisy = {name: [values[0] - 4, values[1] + 4] for name, values in first.items()}
    assert agreement(first, noisy, draws=300).low < 1
    with pytest.raises(ValueError, match="1 candidates"):
        agreement({"a": [1], "b": [2]}, {"a": [1]})


def test_pareto_front():
    assert pareto_front([3, 1, 2, 2, 1, math.nan], [0.9, 0.5, 0.4, 0.7, 0.5, 1.0]) == [1, 4, 3, 0]
    assert pareto_front([1, 2], [2, 1]) == [0]
