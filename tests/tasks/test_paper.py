"""The paper's figures: as the reference has them, found by the name of a data set and of a net."""

import json

import pytest

from keras_res3d.nets.zoo import ZOO
from keras_res3d.tasks.paper import SEARCH, TABLE_8, TABLE_9, paper_figures


@pytest.mark.parametrize("name", ["sports1m", "Sports-1M test", "sports1m split 1"])
def test_sports1m(name):
    assert paper_figures(name).nets["Res3D"] == {"clip@1": 48.8, "video@1": 65.6, "video@5": 87.8}


@pytest.mark.parametrize("name", ["ucf101", "ucf101 split 2", "UCF-101"])
def test_ucf101(name):
    found = paper_figures(name, "d16")
    assert found.nets == {"Res3D": {"video@1": 85.8}, "C3D": {"video@1": 82.3}} and "three splits" in found.source
    assert "46.8 % (table 7)" in found.search and paper_figures(name, "c3d").search == ""


@pytest.mark.parametrize("name", ["", "test.csv", "kinetics split 1", "my ucf101", "ucf1012", "ucf51"])
def test_other_data_sets_have_none(name):
    assert paper_figures(name) is None


def test_rows_are_those_of_the_reference(shared_data):
    tables = json.loads((shared_data.parent / "reference" / "paper_tables.json").read_text())
    for name, figures in TABLE_8.items():
        assert tables["table8_sports1m"][name] == list(figures.values())
    for (data_set, task), nets in TABLE_9.items():
        for name, value in nets.items():
            row = tables["table9_transfer"][f"{name} {'linear SVM' if task == 'svm' else 'fine-tuned'}"]
            assert row[data_set.upper()] == value
    found = {name.lower(): row["acc"] for table in ("table6_ucf101_convolution_types", "table7_ucf101_depth")
             for name, row in tables[table].items() if isinstance(row, dict)}  # fmt: skip
    found |= {name.lower().replace("2d-res", "res2d").replace("3d-res", "res3d"): row["acc"]
              for name, row in tables["table3_ucf101"].items()}  # fmt: skip
    sizes = {"sr18_56": "64 (crop 56)", "sr18": "128 (crop 112)", "sr18_224": "256 (crop 224)"}
    found |= {name: tables["table5_ucf101_resolution"][size]["acc"] for name, size in sizes.items()}
    assert {name: value for name, (_, value) in SEARCH["ucf101"].items()} == {
        name: value for name, value in found.items() if name not in ("3d", "d18")
    }
    hmdb51 = tables["tables15to17_hmdb51"]
    for name, (table, value) in SEARCH["hmdb51"].items():
        part = {"table 15": "resolution", "table 16": "convolution", "table 17": "depth"}[table]
        size = {"sr18_56": "64 (56)", "sr18": "128 (112)", "sr18_224": "256 (224)"}.get(name, name.upper())
        assert hmdb51[part][size] == value
    assert set(SEARCH["ucf101"]) | set(SEARCH["hmdb51"]) <= set(ZOO)
