"""What is compared, and what is too much."""

import dataclasses

import numpy as np
import pytest

from keras_res3d.export.report import ExportReport, largest_difference, top1_agreement

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


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"largest_difference": 2e-4}, "2.0e-04 of the largest output; at most 1e-04"),
        ({"largest_difference": 5e-3, "quantize": "float16"}, None),
        ({"largest_difference": 2e-2, "quantize": "float16"}, "at most 1e-02"),
        ({"largest_difference": 0.2, "quantize": "int8"}, None),
        ({"top1_agreement": 0.98, "quantize": "int8"}, "98.0% of 32 clips; at least 99%"),
        ({"top1_agreement": 0.98, "quantize": "dynamic"}, "98.0%"),
        ({"largest_difference": 0.3, "top1_agreement": None, "quantize": "int8"}, "at most 2e-01"),
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
