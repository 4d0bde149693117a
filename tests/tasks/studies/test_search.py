"""A whole study on tiny nets: done once, gone on with, shared by processes, with failures and limits."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from keras_res3d import Architecture, TrainingOptions, load_model
from keras_res3d.nets.counts import count_params
from keras_res3d.reports.studies import write_study_report
from keras_res3d.tasks.studies import search
from keras_res3d.tasks.studies.folder import StudyFolder
from keras_res3d.tasks.studies.results import read_results
from keras_res3d.tasks.studies.search import search_architectures
from keras_res3d.training.stream import recipe_stream
from tests.training.runs import Few

STUDY = {
    "name": "tiny",
    "fields": {"blocks": [1, 1, 1, 1, 1], "shortcut": None, "conv1": 3, "crop": 16, "frames": 4},
    "sampling": {"stride": 1, "resize": [16, 16]},
    "candidates": {"flat": {"temporal_kernels": [1, 1, 1, 1, 1]}, "deep": {}},
}
OPTIONS = TrainingOptions(iterations=2, batch_size=4)


@pytest.fixture(scope="module")
def data():
    return Few("train", 16), Few("test", 8)


def call(output, data, study=STUDY, **changes):
    arguments = {"validation": data[1], "target_params": 1e4, "options": OPTIONS, "seeds": 2, "clips": 1,
                 "report": lambda line: None}  # fmt: skip
    return search_architectures(study, data[0], output, **{**arguments, **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory, data):
    output = tmp_path_factory.mktemp("study")
    return output, call(output, data)


def test_every_candidate_and_seed_is_a_run(done):
    output, results = done
    assert [(each.name, sorted(each.runs)) for each in results.scored] == [("flat", [0, 1]), ("deep", [0, 1])]
    for each in results.candidates:
        model = json.loads((output / each.name / "seed1" / "model.json").read_text())
        assert model["training"]["seed"] == 1 and model["training"]["finished"] is True
        assert model["architecture"]["width"] == each.facts["width"]
        assert each.latency > 0 and each.runs[0]["videos"] == 8 and each.runs[0]["seconds"] > 0
        assert abs(each.facts["params"] / 1e4 - 1 - each.facts["off"]) < 1e-12
    deep = results.candidates[1]
    at = {"classes": 8, "input_shape": (4, 16, 16, 3)}
    net = Architecture(**deep.facts["architecture"])
    counts = [count_params(net, live=live, **at) for live in (False, True)]
    assert [deep.facts["params"], deep.facts["live_params"]] == counts


def test_the_files_say_the_same(done):
    output, results = done
    rows = list(csv.DictReader((output / "results.csv").open()))
    assert [(row["candidate"], row["seed"]) for row in rows] == [(n, s) for n in ("flat", "deep") for s in "01"]
    for row in rows:
        run = next(each for each in results.candidates if each.name == row["candidate"]).runs[int(row["seed"])]
        assert float(row["video@1"]) == run["video@1"]
    summary = json.loads((output / "results.json").read_text())
    assert summary["budget"] == {"target": 1e4, "count": "all"} and len(summary["differences"]) == 1
    header, cells = results.table()
    assert "video@1" in header and cells[0][0] == "flat" and "±" in cells[0][header.index("video@1")]


def test_done_runs_are_left_alone_and_seeds_may_be_added(done, data, monkeypatch):
    output, results = done
    monkeypatch.setattr(search, "train", None)
    assert call(output, data).figures() == results.figures()
    monkeypatch.undo()
    assert sorted(call(output, data, seeds=[2]).candidates[0].runs) == [0, 1, 2]


def test_another_study_in_the_folder_is_refused(done, data):
    output, _ = done
    with pytest.raises(ValueError, match=r"options\.learning_rate: 0\.01 before, 0\.5 now"):
        call(output, data, options=TrainingOptions(iterations=2, batch_size=4, learning_rate=0.5))
    with pytest.raises(ValueError, match="holds another study"):
        call(output, data, target_params=2e4)
    with pytest.raises(ValueError, match="digest"):
        call(output, (Few("train", 8), data[1]))


def test_the_run_of_another_candidate_or_seed_is_not_taken_for_this_one(done, data, tmp_path):
    shutil.copytree(done[0], tmp_path / "study")
    deep, flat = (tmp_path / "study" / name / "seed0" for name in ("deep", "flat"))
    shutil.rmtree(flat)
    shutil.copytree(deep, flat)
    told = r"flat/seed0 holds another run .*architecture\.temporal_kernels: .* there, .* expected.*Remove that folder"
    for read in (call, lambda folder, _: write_study_report(folder), lambda folder, _: read_results(folder)):
        with pytest.raises(ValueError, match=told) as caught:
            read(tmp_path / "study", data)
        assert "\n" not in str(caught.value)
    (flat / "scores.json").unlink()  # it would be scored again
    ((name, seed, why),) = call(tmp_path / "study", data).failures
    assert (name, seed) == ("flat", 0) and re.search(told, why)
    shutil.rmtree(flat)
    shutil.copytree(tmp_path / "study" / "flat" / "seed1", flat)
    with pytest.raises(ValueError, match=r"flat/seed0 holds another run .*: seed: 1 there, 0 expected\."):
        call(tmp_path / "study", data)
    shutil.rmtree(flat)
    shutil.copytree(done[0] / "flat" / "seed0", flat)
    assert call(tmp_path / "study", data).figures()["flat"][0] == done[1].figures()["flat"][0]


def test_scores_that_are_damaged_are_told_before_anything_is_trained(done, data, tmp_path, monkeypatch):
    shutil.copytree(done[0], tmp_path / "study")
    (tmp_path / "study" / "deep" / "seed1" / "scores.json").write_text('{"video@1": 57.3, "clip@1": 1, "seconds": 1}')
    monkeypatch.setattr(search, "_attempt", None)
    with pytest.raises(ValueError, match=r"deep/seed1/scores\.json is damaged: video@1 is 57\.3; expected a number"):
        call(tmp_path / "study", data, seeds=3)


def test_a_log_without_the_seconds_is_no_log_of_a_run(tmp_path):
    for text in ("", "epoch,seconds\n1,x\n", "epoch,loss\n1,2\n", "epoch,seconds\n1,inf\n", "epoch,seconds\n1,-2\n"):
        (tmp_path / "log.csv").write_text(text)
        with pytest.raises(ValueError, match=r"log\.csv does not say how many seconds each epoch took"):
            search._seconds(tmp_path)
    (tmp_path / "log.csv").write_text("epoch,seconds\n1,2.5\n2,0.5\n")
    assert search._seconds(tmp_path) == 3


def test_a_failure_is_recorded_and_the_rest_goes_on(tmp_path, data, monkeypatch):
    whole = search.train

    def failing(net, *args, **kwargs):
        if failing.first:
            failing.first = False
            raise RuntimeError("the loss became NaN")
        return whole(net, *args, **kwargs)

    failing.first = True
    monkeypatch.setattr(search, "train", failing)
    results = call(tmp_path, data, seeds=1)
    assert results.failures == [("flat", 0, "RuntimeError: the loss became NaN")]
    assert [each.name for each in results.scored] == ["deep"]
    assert math.isnan(results.candidates[0].mean("video@1"))
    assert "the loss became NaN" in (tmp_path / "results.csv").read_text()
    again = call(tmp_path, data, seeds=1)
    assert not again.failures and len(again.scored) == 2


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path, done, data, monkeypatch):
    """Killed after its first step of two, and gone on with: the same scores and weights as a run in one go."""
    def interrupted(*args, **kwargs):
        whole = iter(recipe_stream(*args, **kwargs))
        yield next(whole)
        raise KeyboardInterrupt

    options = TrainingOptions(iterations=2, batch_size=4, checkpoint_steps=1)
    with monkeypatch.context() as patch:
        patch.setattr("keras_res3d.training.fit.recipe_stream", interrupted)
        with pytest.raises(KeyboardInterrupt):
            call(tmp_path, data, seeds=1, options=options)
    results = call(tmp_path, data, seeds=1, options=options)
    before = done[1].candidates[0]
    assert results.candidates[0].values("video@1")[0] == before.values("video@1")[0]
    first, second = (load_model(folder / "flat" / "seed0" / "model.keras").model for folder in (done[0], tmp_path))
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_limits_leave_candidates_out(tmp_path, data, done):
    macs = [each.facts["macs"] for each in done[1].candidates]
    results = call(tmp_path, data, seeds=1, max_macs=min(macs))
    left = [each for each in results.candidates if each.left_out]
    assert len(left) == 1 and "multiply-accumulates, more than" in left[0].left_out and not left[0].runs
    none = call(tmp_path, data, seeds=[1], max_latency=1e-9)
    assert all(each.left_out and 1 not in each.runs for each in none.candidates)


@pytest.mark.slow
def test_a_net_that_cannot_be_built_stops_no_other(tmp_path, data, monkeypatch):
    whole = search.prepare_net

    def too_large(net, *args):
        if net.temporal_kernels == (1,) * 5:
            raise MemoryError("no memory is left")
        return whole(net, *args)

    monkeypatch.setattr(search, "prepare_net", too_large)
    lines = []
    results = call(tmp_path, data, seeds=1, report=lines.append)
    assert results.failures == [("flat", 0, "MemoryError: no memory is left")] and len(results.scored) == 1
    assert results.candidates[0].latency is None and "latency cannot be measured" in lines[0]
    assert results.table()[1][0][6] == "-"
    limited = call(tmp_path, data, seeds=1, max_latency=1e3)
    assert "cannot be measured" in limited.candidates[0].left_out


def test_without_a_budget_the_widths_are_the_studys_own(tmp_path, data):
    study = {**STUDY, "candidates": {"flat": {"temporal_kernels": [1] * 5, "width": 2}, "deep": {"width": 3}}}
    results = call(tmp_path, data, study, target_params=None, seeds=1)
    assert [each.facts["width"] for each in results.scored] == [2, 3]
    assert [each.facts["off"] for each in results.scored] == [None, None]
    again = call(tmp_path, data, study, target_params=None, seeds=1)
    assert again.figures() == results.figures() == read_results(tmp_path).figures()
    assert [row["off"] for row in csv.DictReader((tmp_path / "results.csv").open())] == ["", ""]
    assert "Candidates have the widths of the study" in write_study_report(tmp_path).read_text()


def test_a_run_that_another_process_holds_is_passed_over(tmp_path, done):
    header = json.loads((done[0] / "study.json").read_text())
    folder = StudyFolder(tmp_path, header)
    held = (
        "import sys, json; from keras_res3d.tasks.studies.folder import StudyFolder\n"
        "folder = StudyFolder(sys.argv[1], json.load(open(sys.argv[1] + '/study.json')))\n"
        "with folder.claim('flat', 0) as mine: print(mine, flush=True); sys.stdin.read()\n"
    )
    other = subprocess.Popen([sys.executable, "-c", held, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline().strip() == b"True"
    with folder.claim("flat", 0) as mine, folder.claim("deep", 0) as free:
        assert (mine, free) == (False, True)
    other.kill()
    other.wait()
    with folder.claim("flat", 0) as mine:
        assert mine


def test_without_held_out_videos(tmp_path, data):
    with pytest.raises(ValueError, match="validation is missing"):
        call(tmp_path, data, validation=None)
    with pytest.raises(FileNotFoundError, match=r"holds no study\.json"):
        read_results(tmp_path)
