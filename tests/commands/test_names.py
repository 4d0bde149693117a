"""Odd names of files, folders and classes: every verb works, and prints nothing that a terminal would obey."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_res3d import read_card
from keras_res3d.commands.main import main
from keras_res3d.data.open import read_data_set

from .conftest import TRAIN_FLAGS

# A formula, a terminal escape (ESC, and its one-character form), a line's end, reversed writing, bytes that are no
# UTF-8, a dash in front.
NAMES = ["$\\frac{$", "red\x1b[31m", "c1\x9b31m", "two\nlines", "\u202egpj", os.fsdecode(b"\xff\xfe\xe9"), "-M8q"]
SHOWN = ["$\\frac{$", r"red\x1b[31m", r"c1\x9b31m", r"two\nlines", r"\u202egpj", r"\xff\xfe\xe9", "-M8q"]
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]")


def link(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copy(source, target)
    except OSError:
        pytest.skip("this file system takes no such names")


@pytest.fixture(scope="module")
def odd(tmp_path_factory, two_classes):
    """Two classes with odd names, seven videos with odd names in each."""
    folder = tmp_path_factory.mktemp("odd")
    for label, source in (("$bright$\x1b[31m", "bright"), (os.fsdecode(b"dark\xff"), "dark")):
        for number, name in enumerate(NAMES):
            link(two_classes / source / f"clip ü {number % 4}.mp4", folder / label / f"{name}.mp4")
    return folder


@pytest.fixture
def said(capsys, monkeypatch):
    """What was printed since the last call: nothing raw in it, bars aside."""
    monkeypatch.setenv("COLUMNS", "200")

    def read():
        captured = capsys.readouterr()
        for text in captured:
            assert not RAW.search(text.replace("\r", "")), RAW.search(text)
        return captured

    return read


def test_check_names_the_faults_of_odd_files(odd, tmp_path, said):
    assert main(["check", "--data", str(odd), "--decode", "--workers", "1"]) == 0
    out = said().out
    assert r"$bright$\x1b[31m" in out and r"dark\xff" in out and "0 faults" in out
    assert "note: " in out and "the paths of 8 videos are not UTF-8, such as " in out
    shutil.copytree(odd, tmp_path / "bad")
    for file in (tmp_path / "bad").rglob("*.mp4"):
        file.write_bytes(b"no video")
    assert main(["check", "--data", str(tmp_path / "bad"), "--decode", "--workers", "1"]) == 1
    out = said().out
    for shown in SHOWN:
        assert f"{shown}.mp4: cannot be opened" in out


def test_predict_shows_every_name_in_one_line(trained, odd, said):
    assert main(["predict", str(trained), str(odd), "--clips", "1"]) == 0
    captured = said()
    lines = captured.out.splitlines()
    for shown in SHOWN:
        assert sum(line.endswith(f"/{shown}.mp4") for line in lines) == 2
    assert "14 videos" in captured.err


def test_predict_as_json_gives_names_back(trained, odd, said):
    assert main(["predict", str(trained), str(odd), "--clips", "1", "--json"]) == 0
    rows = json.loads(said().out)
    assert {os.path.basename(row["video"]) for row in rows} == {f"{name}.mp4" for name in NAMES}
    assert all(os.path.exists(row["video"]) for row in rows)


def test_predict_names_what_it_cannot_read(trained, two_classes, tmp_path, said):
    for name in NAMES:
        link(two_classes / "dark" / "clip ü 0.mp4", tmp_path / f"{name}.mp4")
        (tmp_path / f"{name}.mp4").write_bytes(b"no video")
    assert main(["predict", str(trained), str(tmp_path)]) == 1
    lines = said().err.splitlines()
    for shown in SHOWN:
        assert any(line.startswith("keras-res3d predict: ") and f"{shown}.mp4: cannot be" in line for line in lines)


def test_timelines_of_odd_names_and_of_one_name_in_two_folders(trained, odd, tmp_path, said):
    assert main(["predict", str(trained), str(odd), "--timeline", str(tmp_path), "--step", "4", "--top", "1"]) == 0
    said()
    pictures = {path.name for path in tmp_path.iterdir()}
    assert pictures == {f"{name}{more}.png" for name in NAMES for more in ("", "-2")}
    for path in tmp_path.iterdir():
        assert np.asarray(Image.open(path)).std() > 5


def test_pack_keeps_odd_names(odd, tmp_path, said):
    assert main(["pack", "--data", str(odd), "--output", str(tmp_path / "s\x1bhards"), "--workers", "1"]) == 0
    assert r"s\x1bhards/manifest.json" in said().out
    names = {os.path.basename(example.path) for example in read_data_set(tmp_path / "s\x1bhards").examples}
    assert names == {f"{name}.mp4" for name in NAMES}


def test_split_writes_lists_of_odd_names(odd, tmp_path, said):
    folder = tmp_path / "f\x1bolds"
    assert main(["split", "--data", str(odd), "--output", str(folder), "--folds", "2"]) == 0
    assert r"f\x1bolds/fold1_train.csv" in said().out
    whole = read_data_set(odd)
    tested = [read_data_set(folder / f"fold{fold}_test.csv", whole.classes).examples for fold in (1, 2)]
    assert sorted((os.path.realpath(example.path), example.label) for half in tested for example in half) == sorted(
        (os.path.realpath(example.path), example.label) for example in whole.examples)
    halves = ["--data", str(folder / "fold1_train.csv"), "--validation", str(folder / "fold1_test.csv")]
    assert main(["check", *halves, "--decode", "--workers", "1"]) == 0
    assert r"dark\xff" in said().out


def test_train_and_evaluate_with_odd_names(odd, tmp_path, said):
    output = tmp_path / "run$\x1b[31m"
    flags = [*TRAIN_FLAGS, "--epochs", "1"]
    assert main(["train", "--data", str(odd), "--validation", str(odd), "--output", str(output), *flags]) == 0
    assert r"run$\x1b[31m/model.keras" in said().out
    classes = read_data_set(odd).classes
    assert read_card(output / "model.keras").labels == classes
    assert main(["evaluate", str(output), "--data", str(odd), "--clips", "1"]) == 0
    captured = said()
    assert r"$bright$\x1b[31m" in captured.out and r"dark\xff" in captured.out
    assert json.loads((output / "scores" / "scores.json").read_text())["data"] == str(odd)
    with open(output / "scores" / "classes.csv", encoding="utf-8", errors="surrogateescape", newline="") as file:
        assert [row[0] for row in csv.reader(file)][1:] == list(classes)
    assert main(["predict", str(output), str(odd), "--json", "--clips", "1"]) == 0
    best = json.loads(said().out)[0]["predictions"][0]["label"]
    assert best in classes


def test_training_on_a_bad_file_names_it(odd, tmp_path, said):
    shutil.copytree(odd, tmp_path / "bad")
    for file in (tmp_path / "bad").rglob("*.mp4"):
        file.write_bytes(b"no video")
    flags = ["--data", str(tmp_path / "bad"), "--output", str(tmp_path / "run"), *TRAIN_FLAGS]
    assert main(["train", *flags]) == 1
    error = said().err
    assert any(f"{shown}.mp4: cannot be opened as a video" in error for shown in SHOWN)


def test_what_a_card_says_is_not_obeyed(trained, two_classes, tmp_path, said):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    card = json.loads((run / "model.json").read_text())
    odd = "\x1b[31mred\x9b\u202e\r"
    card |= {"net": odd, "licence": odd, "trained_on": odd, "seen": {}}
    (run / "model.json").write_text(json.dumps(card))
    said()
    assert main(["evaluate", str(run), "--data", str(two_classes), "--output", str(tmp_path / "scores")]) == 0
    assert r"\x1b[31mred\x9b\u202e\r" in said().out
    assert main(["extract", str(run), "--data", str(two_classes), "--output", str(tmp_path / "features")]) == 0
    assert r"\x1b[31mred" in said().out


def test_names_with_a_dash_are_taken_by_every_verb(trained, two_classes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(two_classes / "bright" / "clip ü 0.mp4", "-M8q.mp4")
    shutil.copy(two_classes / "bright" / "clip ü 0.mp4", "-a=b.mp4")
    shutil.copy(two_classes / "bright" / "clip ü 0.mp4", "--top")
    shutil.copytree(trained, "-run")
    assert main(["predict", "-run", "-M8q.mp4", "--top", "1", "-a=b.mp4", "--json", "--", "-M8q.mp4", "--top"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["video"] for row in rows] == ["-M8q.mp4", "-a=b.mp4", "-M8q.mp4", "--top"]
    assert all(len(row["predictions"]) == 1 for row in rows)
    assert main(["evaluate", "-run", "--data", str(two_classes), "--clips", "1"]) == 0
    capsys.readouterr()
    assert main(["predict", "-run", "-none.mp4"]) == 2
    assert "there is no flag --none.mp4, and no file -none.mp4" in capsys.readouterr().err
    assert main(["predict", "-run", "-M8q.mp4", "--tops=3"]) == 2
    assert "there is no flag --tops; did you mean --top" in capsys.readouterr().err
    assert main(["predict", "--", "--help", "-h"]) == 1
    assert "--help does not exist" in capsys.readouterr().err


def test_a_terminal_without_unicode(trained, two_classes):
    """The C locale's encoding has no ü: it is printed as an escape."""
    video = str(two_classes / "bright" / "clip ü 0.mp4")
    command = [sys.executable, "-m", "keras_res3d.commands.main", "predict", str(trained), video]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert b"clip \\xfc 0.mp4\n" in done.stdout and b"bright" in done.stdout
