"""The experiment on fair matching: its budgets, and its tables from folders with known scores."""

from __future__ import annotations

import importlib
import json
import pathlib
import types

import pytest

from keras_res3d.tasks.studies.budget import plan
from keras_res3d.tasks.studies.read import read_study
from keras_res3d.tasks.studies.results import CandidateResult, StudyResults

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "fair_matching.py"


@pytest.fixture(scope="module")
def tool():
    if not TOOL.exists():
        pytest.skip("the tools are not part of an installed package")
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(TOOL.parent)
        yield importlib.import_module("fair_matching")


def test_the_reference_is_one_net_in_all_three_matchings(tool):
    for frames in tool.FRAMES:
        nets = []
        for count in ("all", "live", "macs"):
            budget = tool.target("motion", frames, count)
            planned = plan(read_study(tool.STUDY), 8, tool.options_of(frames, 8), budget, count)
            nets.append(next(each.net for each in planned if each.name == tool.REFERENCE))
            for each in planned:
                assert each.sampling.crop == each.sampling.resize == (32, 32) and each.sampling.stride == 1
        assert nets[0] == nets[1] == nets[2]


def test_tables_and_reuse(tool, tmp_path, capsys, monkeypatch):
    """Runs are made up: `search_architectures` is replaced by one that writes scores."""
    from keras_res3d.tasks.studies import search

    trained = []

    def scores(everything, each, seed, run):
        trained.append(run)
        order = [part.name for part in everything.planned].index(each.name)
        run.mkdir(parents=True)
        (run / "log.csv").write_text("epoch,loss\n1,2.0\n")
        return {"video@1": 0.3 + 0.05 * order + 0.001 * seed * order, "clip@1": 0.3, "seconds": 1.0}

    monkeypatch.setattr(search, "_trained_and_scored", scores)
    monkeypatch.setattr(search, "_latency", lambda everything, each: 0.01)
    # There is no net to clear away, and looking for one takes half a second.
    monkeypatch.setattr(search.keras.utils, "clear_session", lambda: None)
    words = [str(tmp_path), "--data", "motion", "--frames", "4", "--epochs", "2", "--seeds", "2"]
    tool.main(words)
    text = capsys.readouterr().out
    assert "### motion, 4 frames, 2 epochs" in text and "| 3D | " in text
    assert "apart from 3D: " in text and "with the paper's ranking: ucf101 0.6" in text
    # The 3D net of the second and third matching is that of the first.
    assert len(trained) == 3 * 7 * 2 - 2 * 2 - sum(
        2 for count in ("live", "macs") for name, net in widths(tmp_path, count).items()
        if name != "3D" and widths(tmp_path, "all")[name] == net
    )  # fmt: skip
    trained.clear()
    tool.main([*words, "--tables"])
    assert "### motion" in capsys.readouterr().out and not trained


def test_a_run_that_is_reused_appears_whole_or_not_at_all(tool, tmp_path, monkeypatch):
    """Copying is killed after half of the files; the next process copies all of them."""
    done, cell = tmp_path / "all", tmp_path / "live"
    place, copied = cell / "3D" / "seed0", []
    (done / "3D" / "seed0" / "tensorboard").mkdir(parents=True)
    for path in (done / "study.json", done / "3D" / "seed0" / "log.csv", done / "3D" / "seed0" / "tensorboard" / "1"):
        path.write_text(path.name)
    candidates = [types.SimpleNamespace(name="3D", facts={"width": 4}, runs={0: {}})]
    results = types.SimpleNamespace(candidates=candidates)
    monkeypatch.setattr(tool, "keras_res3d", types.SimpleNamespace(read_results=lambda folder: results))

    def killed(source, target):
        target.mkdir(parents=True, exist_ok=True)
        (target / "log.csv").write_text("half")
        copied.append(place.exists())
        raise KeyboardInterrupt

    wanted = [types.SimpleNamespace(name="3D", net=types.SimpleNamespace(width=width)) for width in (4, 5)]
    with monkeypatch.context() as patch:
        patch.setattr(tool.shutil, "copytree", killed)
        with pytest.raises(KeyboardInterrupt):
            tool.reuse(done, cell, wanted)
    assert copied == [False] and not place.exists()
    tool.reuse(done, cell, wanted)
    assert (place / "log.csv").read_text() == "log.csv" and (place / "tensorboard" / "1").read_text() == "1"


def made_up(scores):
    """A study's results with these scores, by candidate and seed."""
    facts = {"params": 10, "live_params": 9, "live_macs": 1e6, "printed": {"ucf101": 40.0, "hmdb51": 20.0}}
    candidates = [
        CandidateResult(name, {**facts, "printed": {"ucf101": 40.0 + place, "hmdb51": 20.0 - place}},
                        {seed: {"video@1": value} for seed, value in enumerate(values)}, {}, None, "")
        for place, (name, values) in enumerate(scores.items())
    ]  # fmt: skip
    return StudyResults(pathlib.Path("nowhere"), {}, tuple(candidates))


def test_both_data_sets_together(tool, tmp_path):
    """Matching in live parameters takes ten points from A on the second data set, and changes nothing else."""
    tables = importlib.import_module("fair_matching_tables")
    noise = [0.0, 0.02, 0.01, -0.02]
    first = {"A": [0.6 + each for each in noise], "3D": [0.5 - each for each in noise]}
    found = {("motion", 4, 2, count): made_up(first) for count in ("all", "live")}
    found["textures", 4, 2, "all"] = made_up(first)
    found["textures", 4, 2, "live"] = made_up({**first, "A": [0.505, 0.52, 0.51, 0.48]})
    pools = {count: tables.pooled(found, ["motion", "textures"], [4], 2, count) for count in ("all", "live")}
    assert pools["all"]["A"] == pytest.approx(dict(enumerate(first["A"])))
    moved = tables.changes(pools)
    assert list(moved) == [("A", "live")]
    assert moved["A", "live"].mean == pytest.approx(-0.049375) and moved["A", "live"].exceeds
    text = tables.tables(found, "3D")
    assert "### Mean of motion and textures, 4 frames, 2 epochs" in text and "| **-4.9 (" in text
    assert "motion with textures" in text
    assert not tables.pooled(found, ["motion", "textures"], [4, 8], 2, "all")  # no cell of 8 frames
    tables.picture(found, tmp_path / "scores.png")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")


def widths(folder, count):
    header = json.loads((folder / "epochs2" / "motion" / "frames4" / count / "study.json").read_text())
    return {each["name"]: each["width"] for each in header["candidates"]}
