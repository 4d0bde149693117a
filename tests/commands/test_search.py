"""The verb search from its flags to its report."""

from __future__ import annotations

import json
import re
import types

import pytest

from keras_res3d.commands import search
from keras_res3d.commands.main import main
from keras_res3d.reports.studies import write_study_report
from keras_res3d.tasks.studies.results import read_results


@pytest.fixture(scope="module")
def called(tmp_path_factory, two_classes):
    """A folder with a study of two candidates and two seeds on four bright and four dark videos."""
    folder = tmp_path_factory.mktemp("search")
    candidates = {"flat": {"temporal_kernels": [1] * 5}, "deep": {}}
    study = {"fields": {"blocks": [1, 1, 1, 1, 1], "shortcut": None, "conv1": 3}, "candidates": candidates}
    (folder / "mine.json").write_text(json.dumps(study))
    words = ["search", "--study", str(folder / "mine.json"), "--data", str(two_classes), "--validation",
             str(two_classes), "--target_params", "1e4", "--seeds", "2", "--clips", "1", "--crop", "16",
             "--frames", "4", "--iterations", "2", "--batch_size", "4", "--output", str(folder / "out")]  # fmt: skip
    return folder, words, main(words)


def test_the_report_and_the_tables(called, capsys):
    folder, words, code = called
    assert code == 0
    assert main([*words, "--reference", "flat"]) == 0  # nothing is left to do but to show it
    text = capsys.readouterr().out
    assert "off the budget" in text and "2 candidates at 10,000 parameters, 2 seeds each" in text
    assert re.search(r"deep +\d+ +[\d,]+", text) and "epoch 1" not in text
    assert "differences in video@1 exceed the noise" in text or "No noise can be estimated" in text
    report = (folder / "out" / "report.html").read_text()
    for words in ("Accuracy against cost", "video@1 over live MMACs", "ms a clip", "Learning curves", "flat"):
        assert words in report
    assert "<script" not in report and report.count('aria-label="video@1 over') == 3


def test_two_studies_are_compared(called):
    folder, *_ = called
    page = write_study_report(folder / "out", folder / "two.html", against=folder / "out").read_text()
    found = re.search(r"Kendall.*?is (-?[\d.]+|nan) \(", page)
    means = [each.mean("video@1") for each in read_results(folder / "out").candidates]
    assert found[1] == ("nan" if means[0] == means[1] else "1.00")


def test_what_is_missing_is_asked_for(called, two_classes, capsys):
    folder, *_ = called
    words = ["search", "--study", "depth", "--data", str(two_classes), "--output", str(folder / "none")]
    assert main(words) == 1 and "--validation is required" in capsys.readouterr().err
    assert main([*words[:2], "colour", *words[3:]]) == 1 and "convolution" in capsys.readouterr().err


def test_comparisons_that_cannot_be_made_are_refused_first(called, capsys):
    folder, words, _ = called
    words = [*words[:-1], str(folder / "none")]
    assert main([*words, "--reference", "3D"]) == 1 and "expected one of deep, flat" in capsys.readouterr().err
    assert main([*words, "--against", str(folder)]) == 1 and "holds no study.json" in capsys.readouterr().err
    assert not (folder / "none").exists()


@pytest.mark.slow
def test_processes_share_the_runs(called, capsys):
    folder, words, _ = called
    words = [*words[:-1], str(folder / "shared"), "--parallel", "2"]
    assert main(words) == 0
    assert [len(each.runs) for each in read_results(folder / "shared").candidates] == [2, 2]
    assert read_results(folder / "shared").figures() == read_results(folder / "out").figures()


@pytest.fixture
def children(monkeypatch):
    """Starts no process: notes what each would see, and lets them end with the codes in `codes`."""
    noted = types.SimpleNamespace(codes=[0, 0], devices=[])

    def started(command, env):
        code = noted.codes[len(noted.devices)]
        noted.devices.append(env["CUDA_VISIBLE_DEVICES"])
        return types.SimpleNamespace(wait=lambda: code, poll=lambda: code)

    monkeypatch.setattr(search, "subprocess", types.SimpleNamespace(Popen=started))
    return noted


@pytest.mark.parametrize(("codes", "code"), [
    ([0, 0], 0), ([0, 1], 1), ([1, 0], 1), ([0, -9], 1), ([-9, -11], 1), ([0, 2], 2), ([2, 1], 2), ([130, 0], 130),
])  # fmt: skip
def test_a_process_that_fails_fails_the_search(called, children, codes, code):
    """The whole study is in the folder, and what the processes ended with counts nevertheless."""
    children.codes = codes
    assert main([*called[1], "--parallel", "2"]) == code


@pytest.mark.parametrize(("visible", "devices"), [
    (None, ["0", "1"]), ("", ["", ""]), ("3", ["3", "3"]), ("2,0", ["2", "0"]), ("GPU-5a,GPU-7,4", ["GPU-5a", "GPU-7"]),
])  # fmt: skip
def test_processes_see_no_gpu_that_this_one_does_not(called, children, monkeypatch, visible, devices):
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert main([*called[1], "--parallel", "2"]) == 0
    assert children.devices == devices
