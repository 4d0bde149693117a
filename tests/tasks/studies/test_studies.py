"""Studies as data: the paper's rows, own ones, and every candidate at the budget."""

from __future__ import annotations

import json
from dataclasses import astuple, replace

import pytest

from keras_res3d.nets.counts import count_macs, count_params
from keras_res3d.tasks.studies.budget import plan
from keras_res3d.tasks.studies.paper import STUDIES
from keras_res3d.tasks.studies.read import read_study
from keras_res3d.training.recipes import TrainingOptions

SMALL = TrainingOptions(frames=4, crop=32, stride=1)


def test_rows_have_the_figures_that_the_paper_prints():
    found = {study.name: {each.name: astuple(each.printed) for each in study.candidates}
             for study in STUDIES.values()}  # fmt: skip
    expected = {
        "dimension": {"2D-Res18": (11.2, 1.6, 42.2, None), "3D-Res34": (63.5, 36.7, 45.9, None)},
        "sampling": {"stride1": (33.2, 10.3, 43.8, None), "stride2": (33.2, 10.3, 46.3, None),
                     "stride32": (33.2, 10.3, 36.9, None)},
        "resolution": {"56": (33.2, 2.6, 37.6, 18.3), "112": (33.2, 10.3, 46.1, 21.5), "224": (33.3, 42.9, 44.0, 17.9)},
        "convolution": {"MC1": (32.5, 10.2, 43.3, 19.7), "MC4": (32.4, 22.6, 44.3, 20.4),
                        "2.5D": (33.2, 10.3, 44.6, 21.4), "3D": (33.2, 10.3, 46.1, 21.5)},
        "depth": {"D10": (33.7, 10.8, 45.3, 21.3), "D16": (33.6, 16.7, 46.8, 22.8), "D34": (32.8, 10.0, 45.8, 20.1)},
    }  # fmt: skip
    for study, rows in expected.items():
        assert {name: found[study][name] for name in rows} == rows


def test_the_papers_studies_are_whole():
    assert {name: len(study.candidates) for name, study in STUDIES.items()} == {
        "dimension": 4, "sampling": 6, "resolution": 3, "convolution": 7, "depth": 5,
    }  # fmt: skip
    best = {name: max(study.candidates, key=lambda each: each.printed.ucf101).name for name, study in STUDIES.items()}
    assert best == {"dimension": "3D-Res34", "sampling": "stride2", "resolution": "112", "convolution": "3D",
                    "depth": "D16"}  # fmt: skip


def test_without_a_budget_the_widths_are_the_papers():
    widths = [each.net.width for each in plan(STUDIES["convolution"], 101)]
    assert widths == [109, 109, 108, 103, 90, 64, 64]
    first = plan(STUDIES["resolution"], 101)[0]
    assert (first.sampling.crop, first.sampling.resize, first.sampling.stride) == ((56, 56), (64, 86), 2)


@pytest.mark.parametrize("count", ["all", "live", "macs"])
@pytest.mark.parametrize("budget", [1e4, 3e5, 1e8])
def test_no_other_width_is_nearer_to_the_budget(count, budget):
    counted = {
        "all": count_params,
        "live": lambda net, **at: count_params(net, live=True, **at),
        "macs": lambda net, **at: count_macs(net, live=True, **at),
    }[count]
    for each in plan(STUDIES["convolution"], 8, SMALL, budget, count):
        at = {"classes": 8, "input_shape": each.input_shape}
        achieved = counted(each.net, **at)
        assert each.off == achieved / budget - 1
        for step in (-1, 1):
            if each.net.width + step > 0:
                near = counted(replace(each.net, width=each.net.width + step), **at)
                assert abs(near - budget) >= abs(achieved - budget), each.name


def test_candidates_keep_what_they_vary():
    study = STUDIES["resolution"].with_fields(crop=32, blocks=(1, 1, 1, 1))
    assert [each.net.crop for each in study.candidates] == [16, 32, 64]
    assert {each.net.blocks for each in study.candidates} == {(1, 1, 1, 1)}
    assert [each.net.conv1 for each in study.candidates] == [5, 7, 11]
    strides = [each.sampling.stride for each in plan(STUDIES["sampling"], 8, SMALL)]
    assert strides == [1, 2, 4, 8, 16, 32]
    frames = [each.sampling.frames for each in plan(STUDIES["dimension"], 8, TrainingOptions(frames=16))]
    assert frames == [1, 1, 16, 16]


OWN = {
    "base": "sr18",
    "fields": {"blocks": [1, 1, 1, 1], "conv1": 3, "crop": 32},
    "sampling": {"stride": 1, "resize": [32, 32]},
    "candidates": {
        "3d": None,
        "first2": {"temporal_kernels": [3, 3, 1, 1, 1]},
        "apart": {"stride": 3},
        "mc5": {"net": "mc5"},
        "large": {"crop": 64},
    },
}


def test_an_own_study_from_a_mapping_and_from_files(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**OWN, "name": "mine"}))
    study = read_study(path)
    assert study == read_study({**OWN, "name": "mine"})
    planned = {each.name: each for each in plan(study, 4)}
    assert planned["first2"].net.temporal_kernels == (3, 3, 1, 1, 1)
    assert [planned[name].sampling.stride for name in ("3d", "apart")] == [1, 3]
    assert planned["mc5"].net.blocks == (1, 1, 1, 1) and planned["mc5"].net.width == 90
    assert planned["large"].sampling.resize == (64, 64) and planned["3d"].sampling.resize == (32, 32)


def test_a_study_of_the_paper_with_other_fields():
    study = read_study({"study": "convolution", "name": "shallow", "fields": {"blocks": [1, 1, 1, 1]}})
    assert study.name == "shallow" and len(study.candidates) == 7
    assert {each.net.blocks for each in study.candidates} == {(1, 1, 1, 1)}


def test_yaml(tmp_path):
    pytest.importorskip("yaml")
    path = tmp_path / "mine.yaml"
    path.write_text("fields: {crop: 32}\ncandidates:\n  3d:\n  mc1: {temporal_kernels: [1, 1, 1, 1, 1]}\n")
    assert [each.name for each in read_study(path).candidates] == ["3d", "mc1"]


@pytest.mark.parametrize(("given", "message"), [
    ({}, "no candidates"),
    ({"candidates": {"a/b": {}}}, "a folder gets its name"),
    ({"candidates": {"a": {"wdith": 3}}}, "wdith"),
    ({"candidates": {"a": {"blocks": 3}}}, "blocks|does not fit"),
    ({"candidates": ["a"]}, "expected a mapping"),
    ({"colour": 1, "candidates": {"a": {}}}, "colour"),
    ({"study": "colour"}, "convolution"),
    ({"candidates": {"a": {"net": "sr81"}}}, "sr18"),
])  # fmt: skip
def test_faults_of_own_studies_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        read_study(given)


def test_budgets_out_of_range_are_refused():
    with pytest.raises(ValueError, match="10,000"):
        plan(STUDIES["depth"], 8, SMALL, 100)
    with pytest.raises(ValueError, match="candidate 56"):
        plan(STUDIES["resolution"], 8, TrainingOptions(crop=8), 1e6)
