"""detect evaluate and detect window_weights from the command line, and the exit code of wrong files."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_res3d.commands.main import main


@pytest.fixture
def folder(tmp_path):
    """Annotations of two classes in two videos, and detections: one right, one wrong, one missed."""
    truth = tmp_path / "truth"
    truth.mkdir()
    (truth / "detclasslist.txt").write_text("1 Run\n2 Dive\n")
    (truth / "Run_test.txt").write_text("v1 1.0 2.0\nv2 5 7\n")
    (truth / "Dive_test.txt").write_text("v2 1 4\n")
    (truth / "Ambiguous_test.txt").write_text("v1 8 9\n")
    rows = ["v1,1.12,2.0,Run,0.9,16", "v1,4,5,Run,0.8,16", "v2,1,4.2,Dive,0.7,64"]
    (tmp_path / "found.csv").write_text("\n".join(["video,begin,end,label,score,window", *rows]))
    return tmp_path


def _evaluate(folder, *more):
    words = ["--detections", str(folder / "found.csv"), "--annotations", str(folder / "truth"), *more]
    return main(["detect", "evaluate", *words])


def test_evaluate_prints_and_writes(folder, capsys):
    (folder / "blocked.txt").write_text("v1  # the first\n\nnobody\n")
    assert _evaluate(folder, "--iou", "0.5,0.95", "--output", str(folder / "out")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[2:5]] == [
        ["Run", "2", "0.50000", "0.00000"], ["Dive", "1", "1.00000", "0.00000"], ["mean", "3", "0.75000", "0.00000"],
    ]  # fmt: skip
    assert lines[5] == "2 videos counted; 3 detections; protocol thumos14, suppression none"
    assert "10: 0.56667" in lines[6]  # 0.88 and 0.9375 reach 8 and 9 of 10 thresholds, and one instance none
    found = json.loads((folder / "out" / "scores.json").read_text())
    assert found["mAP"] == [0.75, 0.0] and found["instances"] == {"Run": 2, "Dive": 1}
    with Image.open(folder / "out" / "precision-recall-0.5.png") as picture:
        assert picture.size[0] > 400
    assert _evaluate(folder, "--blocked", str(folder / "blocked.txt"), "--iou", "0.5") == 0
    assert "1 video counted, 1 of 2 blocked ones left out" in capsys.readouterr().out
    assert _evaluate(folder, "--protocol", "activitynet") == 0
    assert "IoU 0.95" in capsys.readouterr().out


def test_evaluate_of_proposals(folder, capsys):
    (folder / "found.csv").write_text("video,begin,end,score\nv1,1.12,2.0,0.9\nv1,4,5,0.8\nv2,1,4.2,0.7\n")
    assert _evaluate(folder, "--proposals", "--output", str(folder / "out")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["10", "0.56667"] in [line.split() for line in lines]  # as of the same moments with classes
    assert lines[-2].startswith("2 videos counted; 3 proposals; IoU 0.5, 0.55, ")
    assert json.loads((folder / "out" / "scores.json").read_text())["average_recall"]["10"] == pytest.approx(17 / 30)
    assert _evaluate(folder, "--proposals", "--iou", "0.5") == 0 and "IoU 0.5\n" in capsys.readouterr().out
    for words, message in ([], "label are missing"), (["--proposals", "--nms", "0.4"], "--nms: proposals have no"), (
            ["--proposals", "--iou", "2"], "above 0 and up to 1"):  # fmt: skip
        assert _evaluate(folder, *words) == 2 and message in capsys.readouterr().err


def test_window_weights_are_written_and_used(folder, capsys):
    words = ["--annotations", str(folder / "truth"), "--output", str(folder / "w.json")]
    assert main(["detect", "window_weights", *words]) == 0
    assert "512 frames" in capsys.readouterr().out
    assert _evaluate(folder, "--window_weights", str(folder / "w.json"), "--nms", "0.4", "--iou", "0.5") == 0
    assert "suppression 0.4" in capsys.readouterr().out


@pytest.mark.parametrize(("row", "words"), [
    ("v1,1,2,Fly,0.5,16", "unknown class 'Fly'"), ("v1,-1,2,Run,0.5,16", "negative time"),
    ("v1,3,2,Run,0.5,16", "reversed times"), ("v1,3,x,Run,0.5,16", "expected video and label"),
])  # fmt: skip
def test_wrong_rows_have_exit_code_2(folder, row, words, capsys):
    (folder / "found.csv").write_text("video,begin,end,label,score,window\n" + row)
    assert _evaluate(folder) == 2
    error = capsys.readouterr().err
    assert error.startswith("keras-res3d detect: ") and words in error and "Traceback" not in error


def test_other_wrong_files_have_exit_code_2(folder, capsys):
    truth = {"database": {"v1": {"duration": 3, "annotations": [{"segment": [1, 2], "label": "Run"}]}}}
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "late.csv").write_text("video,begin,end,label,score\nv1,1,4,Run,1\n")
    words = ["--detections", str(folder / "late.csv"), "--annotations", str(folder / "truth.json")]
    assert main(["detect", "evaluate", *words]) == 2
    assert "time beyond the video: 1 to 4 seconds, and the video has 3" in capsys.readouterr().err
    (folder / "truth" / "Dive_test.txt").unlink()
    for words in (["--detections", "none.csv"], [], ["--blocked", "none.txt"], ["--blocked", "."], ["--nms", "much"],
                  ["--iou", "half"], ["--annotations", "nowhere"], ["--window_weights", "none.mat"]):  # fmt: skip
        assert _evaluate(folder, *words) == 2, words
        assert capsys.readouterr().err.startswith("keras-res3d detect: ")
    assert _evaluate(folder) == 2 and "missing file Dive_test.txt" in capsys.readouterr().err
    (folder / "file").touch()
    assert _evaluate(folder, "--output", str(folder / "file")) == 2 and "a file; evaluate writes a folder" in (
        capsys.readouterr().err)
    assert main(["detect", "evaluate"]) == 2
    assert "--detections and --annotations are required for evaluate" in capsys.readouterr().err
    for words in (["measure"], ["evaluate", "more"], ["run", "--output", "x"], ["train", "--stage", "proposal"]):
        assert main(["detect", *words]) == 2, words


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_video):
    """Two short videos in which squares move, their annotations, and the three networks trained for a step."""
    from keras_res3d.tasks.detection.made import MadeVideos

    folder, videos = tmp_path_factory.mktemp("made"), MadeVideos(2, actions=2, seed=3)
    (folder / "videos").mkdir()
    database = {}
    for number, example in enumerate(videos.examples):
        with videos.open(number) as video:
            frames = np.stack([pixels for _, pixels in video.frames(range(video.num_frames))])
        make_video(folder / "videos" / f"v{number}.mp4", frames)
        truth = videos.annotations()
        rows = [{"segment": truth.spans[row].tolist(), "label": truth.classes[truth.labels[row]]}
                for row in range(len(truth)) if truth.videos[row] == example.path]  # fmt: skip
        database[f"v{number}"] = {"duration": truth.durations[example.path], "annotations": rows}
    (folder / "truth.json").write_text(json.dumps({"database": database}))
    words = ["--videos", str(folder / "videos"), "--annotations", str(folder / "truth.json")]
    words += ["--iterations", "1", "--batch_size", "2", "--lengths", "16,32,64"]
    new = ["--net", "sr18", "--width", "2", "--crop", "32"]
    for stage, more in (("proposal", new), ("classification", new),
                        ("localization", ["--weights", str(folder / "models" / "classification")])):  # fmt: skip
        output = str(folder / "models" / stage)
        assert main(["detect", "train", "--stage", stage, "--output", output, *words, *more]) == 0
    return folder


@pytest.mark.slow
def test_train_run_and_evaluate_go_together(made, capsys):
    words = ["--annotations", str(made / "truth.json"), "--output", str(made / "found"), "--proposal_score", "0"]
    assert main(["detect", "run", str(made / "models"), str(made / "videos"), *words]) == 0
    assert "wrote " in capsys.readouterr().out
    page = (made / "found" / "index.html").read_text()
    written = {"found.csv", "found.json", "v0.png", "v1.png", "index.html"}
    assert page.count('src="data:image/svg+xml') == 2 and set(os.listdir(made / "found")) == written
    for name in ("found.csv", "found.json"):
        words = ["--detections", str(made / "found" / name), "--annotations", str(made / "truth.json"), "--iou", "0.5"]
        assert main(["detect", "evaluate", *words]) == 0
    assert "2 videos counted" in capsys.readouterr().out
    (made / "cut.mp4").write_bytes((made / "videos" / "v0.mp4").read_bytes()[:300])
    words = [str(made / "cut.mp4"), str(made / "videos" / "v1.mp4"), "--output", str(made / "one")]
    assert main(["detect", "run", str(made / "models"), *words]) == 1
    assert "cut.mp4" in capsys.readouterr().err and (made / "one" / "v1.png").exists()
    output = str(made / "models" / "proposal")
    words = ["--videos", str(made / "videos"), "--annotations", str(made / "truth.json"), "--output", output]
    assert main(["detect", "train", "--stage", "proposal", *words]) == 2  # a finished run is not replaced
    words[-1] = str(made / "new")
    more = ["--stage", "localization", "--weights", str(made / "models" / "classification"), "--crop", "24"]
    assert main(["detect", "train", *more, *words]) == 2 and "--crop: the localization" in capsys.readouterr().err
    for flags, message in ((["--label_iou", "0.7,0.5"], "three numbers"), (["--lengths", "16,x"], "whole numbers"),
                           (["--label_iou", "0.3,0.5,0.7"], "background <="), (["--lengths", "32,16"], "ascending"),
                           (["--window_overlap", "1"], "below 1")):  # fmt: skip
        assert main(["detect", "train", "--stage", "proposal", *words, *flags]) == 2
        assert message in capsys.readouterr().err
    assert main(["detect", "run", str(made), str(made / "videos"), "--output", str(made / "x")]) == 2
    shutil.copytree(made / "models", made / "damaged")
    path = made / "damaged" / "localization" / "model.json"
    card = json.loads(path.read_text())
    card["training"]["windows"] = 3
    path.write_text(json.dumps(card))
    assert main(["detect", "run", str(made / "damaged"), str(made / "videos"), "--output", str(made / "x")]) == 2
    assert "localization in" in (error := capsys.readouterr().err) and error.endswith("expected an object\n")
    (made / "no videos").mkdir()
    assert main(["detect", "run", str(made / "models"), str(made / "no videos"), "--output", str(made / "x")]) == 2
    assert "is a folder without a video" in capsys.readouterr().err
    words[1] = str(made / "nowhere")
    assert main(["detect", "train", "--stage", "proposal", *words]) == 2
    assert "nowhere, which is not there; expected a folder of videos" in capsys.readouterr().err
