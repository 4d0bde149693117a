"""What `evaluate` and `predict` say of flags, models and lists that do not fit."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_res3d import load_model, read_card, save_model
from keras_res3d.commands.main import main
from keras_res3d.data.open import read_data_set
from keras_res3d.data.seen import sketch_of
from keras_res3d.data.sources import video_file


@pytest.mark.parametrize("verb", ["evaluate", "predict", "export"])
def test_help_shows_what_comes_after_the_verb(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert f"keras-res3d {verb} MODEL" in capsys.readouterr().out


@pytest.mark.parametrize("flags", [["--frames", "8"], ["--crop", "48"]])
def test_a_clip_size_that_cannot_be_is_refused(trained, two_classes, flags, capsys):
    video = str(two_classes / "dark" / "clip ü 0.mp4")
    for call in (["predict", str(trained), video], ["evaluate", str(trained), "--data", str(two_classes)]):
        assert main([*call, *flags]) == 1
        said = capsys.readouterr().err
        assert "takes clips of 4 frames of 32 x 32 pixels alone" in said and said.count("\n") == 1


def test_predict_on_a_folder_of_frames(trained, tmp_path, capsys):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(1, 9):
        Image.fromarray(np.full((40, 48, 3), 210, np.uint8)).save(folder / f"{number:06d}.jpg")
    assert main(["predict", str(trained), str(folder), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["predictions"][0]["label"] == "bright"


def test_predict_goes_on_after_a_video_that_is_missing(trained, two_classes, capsys):
    good = str(two_classes / "bright" / "clip ü 0.mp4")
    assert main(["predict", str(trained), "nowhere.mp4", good]) == 1
    said = capsys.readouterr()
    assert "nowhere.mp4" in said.err and "bright" in said.out
    assert main(["predict", str(trained), "nowhere.mp4", "elsewhere.mp4"]) == 1
    assert "no such video: nowhere.mp4, elsewhere.mp4" in capsys.readouterr().err


def test_predict_on_a_folder_of_videos(trained, two_classes, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["predict", str(trained), str(tmp_path / "empty"), str(two_classes), "--json", "--clips", "1"]) == 1
    said = capsys.readouterr()
    assert "empty: is a folder without a video" in said.err and f"{two_classes}: 8 videos" in said.err
    first, *rows = json.loads(said.out)
    assert "error" in first and [row["video"] for row in rows] == sorted(map(str, two_classes.rglob("*.mp4")))
    assert [row["predictions"][0]["label"] for row in rows] == ["bright"] * 4 + ["dark"] * 4


def test_predict_hands_the_stream_on(trained, two_classes, monkeypatch, capsys):
    seen = []

    class Spy(video_file.Video):
        def __init__(self, *args, stream=None, **options):
            seen.append(stream)
            super().__init__(*args, **options)

    monkeypatch.setattr(video_file, "Video", Spy)
    good = str(two_classes / "bright" / "clip ü 0.mp4")
    assert main(["predict", str(trained), good, "--stream", "1"]) == 0 and seen == [1]
    assert main(["predict", str(trained), good, "--stream", "-1"]) == 2
    assert "flag --stream=-1" in capsys.readouterr().err


def test_evaluate_warns_of_videos_that_were_trained_on(trained, two_classes, tmp_path, capsys):
    card = dataclasses.replace(read_card(trained), seen=sketch_of(read_data_set(two_classes)))
    save_model(load_model(trained).model, tmp_path / "net.keras", card)
    shutil.copytree(two_classes / "dark", tmp_path / "videos" / "dark")
    shutil.copytree(two_classes / "bright", tmp_path / "videos" / "bright")
    flags = ["--clips", "1", "--output", str(tmp_path / "scores")]
    assert main(["evaluate", str(tmp_path / "net.keras"), "--data", str(tmp_path / "videos"), *flags]) == 0
    said = capsys.readouterr()
    assert "shares 8 of its 8 videos with" in said.err and "which the model was trained on" in said.err
    assert json.loads((tmp_path / "scores" / "scores.json").read_text())["videos"] == 8


def test_evaluate_goes_on_after_bad_videos_and_names_them(trained, two_classes, tmp_path, capsys):
    shutil.copytree(two_classes, tmp_path / "videos")
    bad = tmp_path / "videos" / "dark" / "clip ü 2.mp4"
    bad.write_bytes(b"no video" * 100)
    call = ["evaluate", str(trained), "--data", str(tmp_path / "videos"), "--clips", "1"]
    call += ["--output", str(tmp_path / "scores")]
    assert main(call) == 1
    said = capsys.readouterr()
    assert said.err.count("clip ü 2.mp4: cannot be opened") == 1 and "left out 1 of 8 videos" in said.out
    found = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert (found["videos"], found["left_out"]) == (7, 1)
    (row,) = found["left_out_videos"]
    assert row["video"] == str(bad) and "cannot be opened" in row["fault"]
    assert main([*call, "--on_bad_video", "stop"]) == 1
    said = capsys.readouterr()
    assert "keras-res3d evaluate: " in said.err and "clip ü 2.mp4: cannot be opened" in said.err
    assert "wrote" not in said.out


def test_train_skips_bad_videos_when_it_is_told_to(two_classes, tmp_path, capsys):
    shutil.copytree(two_classes, tmp_path / "videos")
    bad = tmp_path / "videos" / "bright" / "clip ü 1.mp4"
    bad.write_bytes(b"no video" * 100)
    call = ["train", "--data", str(tmp_path / "videos"), "--validation", str(tmp_path / "videos"), "--net", "d10"]
    call += ["--width", "2", "--frames", "4", "--crop", "32", "--epochs", "1", "--output", str(tmp_path / "run")]
    assert main(call) == 1
    said = capsys.readouterr().err
    assert "clip ü 1.mp4: cannot be opened" in said and "the run can go on" in said
    assert main([*call, "--on_bad_video", "skip", "--processes", "1"]) == 0
    said = capsys.readouterr()
    assert said.err.count("left out: ") == 1 and "1 bad video was skipped" in said.out
    (line,) = (tmp_path / "run" / "bad_videos.txt").read_text().splitlines()
    assert line.startswith(f"{bad}\t{bad}: cannot be opened")
