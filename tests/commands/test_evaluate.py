"""What `evaluate` prints and writes: intervals, rates, mistakes, several splits, the paper's figures."""

import csv
import importlib.util
import json
import shutil

import pytest

from keras_res3d.commands import evaluate as verb
from keras_res3d.commands.main import main
from keras_res3d.io import locked


@pytest.fixture
def listed(two_classes, tmp_path):
    """A list of the eight videos with two videos of each class in a group, and one label that is wrong."""
    rows = [(path, path.parent.name, f"{path.parent.name}{number // 2}")
            for label in ("dark", "bright") for number, path in enumerate(sorted((two_classes / label).iterdir()))]
    rows[0] = (rows[0][0], "bright", rows[0][2])
    with open(tmp_path / "test.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "group"), *rows])
    return tmp_path / "test.csv"


@pytest.fixture
def ucf101(two_classes, tmp_path):
    """The eight videos in UCF101's layout, with two splits."""
    lists, names = tmp_path / "lists", []
    lists.mkdir()
    for number, path in enumerate(sorted(two_classes.rglob("*.mp4"))):
        label = path.parent.name
        file = tmp_path / "UCF-101" / label / f"v_{label}_g{number:02d}_c01.avi"
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, file)
        names.append(f"{label}/{file.name}")
    (lists / "classInd.txt").write_text("1 bright\n2 dark\n")
    for split, tested in ((1, names[::2]), (2, names[1::2])):
        (lists / f"testlist0{split}.txt").write_text("\n".join(tested) + "\n")
    return ["--layout", "ucf101", "--data", str(tmp_path / "UCF-101"), "--lists", str(lists), "--clips", "2"]


def test_what_is_printed_and_written(trained, listed, tmp_path, capsys):
    output = tmp_path / "scores"
    assert main(["evaluate", str(trained), "--data", str(listed), "--clips", "2", "--output", str(output)]) == 0
    said = capsys.readouterr().out
    for expected in ("95 % interval", "precision", "macro mean", "area under the ROC curve", "over the 4 groups"):
        assert expected in said
    assert "video@5" not in said and "paper" not in said
    found = json.loads((output / "scores.json").read_text())
    assert found["video@1"] == 7 / 8 and "video@5" not in found and found["intervals"]["groups"] == 4
    (wrong,) = csv.DictReader((output / "misclassified.csv").read_text().splitlines())
    assert (wrong["true"], wrong["predicted"]) == ("bright", "dark")
    assert "1 of 8 videos are misclassified" in said and wrong["path"] in said
    rows = list(csv.DictReader((output / "videos.csv").read_text().splitlines()))
    assert len(rows) == 8 and {row["group"] for row in rows} == {"dark0", "dark1", "bright0", "bright1"}


def test_a_second_process_in_one_folder_is_refused_before_anything_is_computed(trained, listed, tmp_path, capsys):
    output = tmp_path / "scores"
    with locked(output / "scores.json"):
        assert main(["evaluate", str(trained), "--data", str(listed), "--output", str(output)]) == 1
    captured = capsys.readouterr()
    assert f"writes scores into {output}; wait for it" in captured.err and not captured.out
    assert [path for path in output.iterdir() if not path.name.startswith(".")] == []


def test_splits_have_a_mean_and_the_papers_figures(trained, ucf101, tmp_path, capsys):
    output = tmp_path / "joint"
    second = shutil.copytree(trained, tmp_path / "second")
    call = ["evaluate", str(trained), str(second), *ucf101, "--splits", "1,2", "--output", str(output)]
    assert main(call) == 0
    said = capsys.readouterr().out
    assert "mean of splits" in said and "std" in said and "the paper's Res3D: video@1 85.8 %" in said
    assert "d10, at its published width and from random weights, on split 1: accuracy 45.3 % (table 7)" in said
    found = json.loads((output / "scores.json").read_text())
    each = [json.loads((output / f"split{number}" / "scores.json").read_text()) for number in (1, 2)]
    assert found["models"] == [str(trained), str(second)] and found["paper_percent"]["Res3D"] == {"video@1": 85.8}
    (row,) = [row for row in found["rows"] if row["measure"] == "video@1"]
    assert row["mean"] == (each[0]["video@1"] + each[1]["video@1"]) / 2 and row["std"] is not None
    assert [score["split"] for score in found["scores"][::2]] == ["ucf101 split 1", "ucf101 split 2"]
    assert each[0]["paper_source"].startswith("table 9") and each[0]["videos"] == each[1]["videos"] == 4


def test_one_split_stands_beside_the_paper(trained, ucf101, tmp_path, capsys):
    assert main(["evaluate", str(trained), *ucf101, "--split", "2", "--output", str(tmp_path / "one")]) == 0
    said = capsys.readouterr().out
    assert "paper's Res3D" in said and "85.8" in said and "three splits" in said


def test_a_list_for_each_model(trained, listed, tmp_path, capsys):
    output = tmp_path / "joint"
    call = ["evaluate", str(trained), str(trained), "--data", f"{listed},{listed}", "--output", str(output)]
    assert main([*call, "--clips", "1"]) == 0
    assert "test.csv 2" in capsys.readouterr().out and (output / "split2" / "classes.csv").exists()


@pytest.mark.parametrize(
    ("models", "flags", "said"),
    [
        (2, ["--data", "test.csv"], "--data is test.csv; expected 2 paths with commas between"),
        (2, ["--data", "UCF-101", "--layout", "ucf101"], "say which split each is scored on: --splits 1,2,3"),
        (2, ["--data", "UCF-101", "--layout", "ucf101", "--splits", "1,2,3"], "2 models are given and 3 --splits"),
        (3, ["--data", "UCF-101", "--layout", "ucf101", "--splits", "1,2"], "3 models are given and 2 --splits"),
        (1, ["--data", "UCF-101", "--layout", "ucf101", "--splits", "1,x"], "--splits is 1,x; expected numbers"),
        (1, ["--data", "UCF-101", "--layout", "ucf101", "--splits", "1,1"], "each once"),
        (1, ["--data", "test.csv", "--splits", "1,2"], "--splits is given and --layout is missing"),
        (1, ["--data", "UCF-101", "--layout", "ucf101", "--splits", "1,2"], "say with --output"),
        (1, ["--data", "test.csv", "--output", __file__], "a file; expected a folder"),
    ],
)
def test_calls_that_do_not_fit(models, flags, said, capsys):
    assert main(["evaluate", *["runs/mine"] * models, *flags]) == 1
    assert said in capsys.readouterr().err


def test_parquet_without_pyarrow_is_refused_before_anything_is_scored(trained, listed, monkeypatch, capsys):
    there = importlib.util.find_spec

    def find_spec(name, *more):
        return None if name == "pyarrow" else there(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    monkeypatch.setattr(verb, "import_keras_quietly", None)
    assert main(["evaluate", str(trained), "--data", str(listed), "--format", "parquet"]) == 1
    said = capsys.readouterr().err
    assert "keras-res3d[parquet]" in said and "choose csv" in said
