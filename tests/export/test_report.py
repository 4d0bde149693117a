"""What is compared, and what is too much."""

import dataclasses

import numpy as np
import pytest

from keras_res3d.export.report import (
    ExportReport,
    allowed_misses,
    decided,
    labels_given,
    largest_difference,
    rounding_step,
    top1_agreement,
)

GOOD = ExportReport(
    "net.tflite", "litert", "none", "2d", 32, 1e-7, 1.0, 900_000, 0.0015, 47_000_000, 2_100_000, 0.007, 3.0
)


def test_differences_are_relative_to_the_largest_output():
    expected = np.array([[1.0, -4.0], [2.0, 0.0]])
    assert largest_difference(expected, expected + np.array([[0, 0], [0, 0.2]])) == pytest.approx(0.05)
    assert largest_difference(np.zeros((1, 2)), np.zeros((1, 2))) == 0


def test_agreement_is_of_the_best_class_alone():
    expected = np.array([[0.5, 0.48, 0.02], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    found = np.array([[0.4, 0.5, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]])
    assert top1_agreement(expected, found) == pytest.approx(2 / 3)


def test_rounding_is_a_step_of_int8():
    assert rounding_step(np.array([[0.2, 0.8]])) == 1 / 256
    assert rounding_step(np.array([[-1.0, 4.1]])) == pytest.approx(5.1 / 255)
    scores = np.array([[0.5, 0.498, 0.002], [0.5, 0.49, 0.01], [0.1, 0.2, 0.7]])
    assert decided(scores).tolist() == [False, True, True]
    assert decided(np.array([[0.3], [0.2]])).all()


@pytest.mark.parametrize(
    ("clips", "bound", "allowed"),
    [(1, 0.99, 0), (9, 0.99, 0), (10, 0.99, 1), (54, 0.99, 1), (100, 0.99, 1), (200, 0.99, 2), (20, 0.95, 1),
     (60, 0.95, 3), (500, 1.0, 0), (5, 0.0, 5)],
)  # fmt: skip
def test_too_few_clips_are_judged_by_their_count(clips, bound, allowed):
    assert allowed_misses(clips, bound) == allowed


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"largest_difference": 2e-4}, "2.0e-04 of the largest output; at most 1e-04"),
        ({"largest_difference": 5e-3, "quantize": "float16"}, None),
        ({"largest_difference": 2e-2, "quantize": "float16"}, "at most 1e-02"),
        ({"largest_difference": 0.2, "quantize": "int8"}, None),
        ({"decided_agreement": 31 / 32, "quantize": "int8"}, None),
        ({"decided_agreement": 30 / 32, "quantize": "int8"},
         "on 2 of 32 clips; at most 1 may differ, as 32 clips are too few to show the 0.99 asked for"),
        ({"decided_agreement": 30 / 32, "quantize": "dynamic"}, "2 of 32 clips"),
        ({"decided_agreement": 31 / 32, "quantize": "int8", "min_agreement": 1.0}, "at most 0 may differ"),
        ({"decided_agreement": 30 / 32, "quantize": "int8", "min_agreement": 0.9}, None),
        ({"decided_agreement": 28 / 32, "quantize": "int8", "min_agreement": 0.9},
         "on 4 of 32 clips; at least 0.9 expected (min_agreement), so at most 3 may differ"),
        ({"decided_agreement": 28 / 30, "close_clips": 2, "quantize": "int8"},
         "On 2 of 32 clips the Keras model's two best classes are closer than an int8 step; these do not count"),
        ({"largest_difference": 0.3, "top1_agreement": None, "quantize": "int8"}, "at most 2e-01"),
        # No clip has a decision: judged by the difference.
        ({"top1_agreement": 0.2, "close_clips": 32, "quantize": "int8"}, None),
        ({"largest_difference": float("nan")}, "NaN"),
    ],
)
def test_bounds(changes, fault):
    found = dataclasses.replace(GOOD, **changes).fault()
    assert found is None if fault is None else fault in found


def test_table():
    lines = dataclasses.replace(GOOD, quantize="int8", top1_agreement=None).table().splitlines()
    assert [line.split()[0] for line in (lines[0], *lines[2:])] == ["MB", "keras", "litert"]
    assert lines[3].split() == ["litert", "2d", "int8", "0.9", "1.5", "47", "1.0e-07", "-"]
    # Header, rule, the Keras model, the export.
    assert lines[1].startswith("---") and lines[0].index("ms/clip") < lines[3].index("1.5")


def test_of_several_labels_those_count_that_either_model_gives():
    expected = np.array([[0.9, 0.1, 0.2], [0.4, 0.8, 0.1]], np.float32)
    found = np.array([[0.8, 0.1, 0.6], [0.3, 0.4, 0.2]], np.float32)
    wanted, given = labels_given(expected, found)
    np.testing.assert_allclose(wanted, [[0.1, 0.9], [0.8, 0.2], [0.2, 0.8]], rtol=1e-6)
    assert decided(wanted).all() and top1_agreement(wanted, given) == pytest.approx(1 / 3)
    close, _ = labels_given(np.array([[0.501]]), np.array([[0.499]]))
    assert not decided(close).any()
    # An export that gives no label at all agrees with nothing, although nearly all of many labels are not given.
    many = np.full((4, 100), 0.01)
    many[:, 0] = 0.99
    assert top1_agreement(*labels_given(many, np.zeros((4, 100)))) == 0
    assert len(labels_given(np.zeros((4, 100)), np.zeros((4, 100)))[0]) == 0


def test_what_is_said_of_several_labels():
    report = dataclasses.replace(GOOD, quantize="int8", labels=50, decided_agreement=46 / 50, top1_agreement=46 / 50)
    said = ("4 of the 50 labels that it or the Keras model gives to a clip (above 0.5) are given by one of the two "
            "alone; at most 1 may differ, as 50 labels are too few")  # fmt: skip
    assert report.fault().startswith(said)
    assert "same labels (50 labels)" in report.table()
    assert dataclasses.replace(report, decided_agreement=49 / 50).fault() is None
    close = dataclasses.replace(report, close_clips=10, decided_agreement=1.0)
    assert "On 10 of 50 labels the Keras model's yes and no are closer than an int8 step" in close.table()
