"""Several labels a video through every verb: from the list to an export that is asked about a video."""

import csv
import json

import pytest

from keras_res3d.cards import read_card
from keras_res3d.commands.main import main
from keras_res3d.export.formats import load_runner
from tests.labelled import CLASSES, write_list

TRAIN_FLAGS = ["--multi_label", "--net", "d10", "--width", "4", "--frames", "4", "--crop", "32", "--epochs", "10",
               "--batch_size", "8", "--learning_rate", "0.02"]  # fmt: skip


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    return write_list(folder, "train", 32, seed=0), write_list(folder, "test", 16, seed=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, lists):
    output = tmp_path_factory.mktemp("runs") / "several"
    flags = ["--data", str(lists[0]), "--validation", str(lists[1]), "--output", str(output), *TRAIN_FLAGS]
    assert main(["train", *flags]) == 0
    return output


def test_train_writes_what_the_net_is_for(trained):
    card = read_card(trained / "best.keras")
    assert card.multi_label and card.labels == CLASSES
    rows = list(csv.DictReader((trained / "log.csv").open()))
    assert len(rows) == 10 and {"loss", "clip_F1", "val_loss", "val_mAP"} <= set(rows[0])
    assert (trained / "curves.png").exists()


def test_evaluate_reads_the_list_as_the_card_says(trained, lists, tmp_path, capsys):
    assert main(["evaluate", str(trained / "best.keras"), "--data", str(lists[1]), "--output", str(tmp_path)]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["mAP"] > 0.7 and scores["chance"] == 0.5 and scores["videos"] == 16
    classes = list(csv.DictReader((tmp_path / "classes.csv").open()))
    assert [row["class"] for row in classes] == list(CLASSES) and float(classes[0]["average_precision"]) > 0.8
    videos = list(csv.DictReader((tmp_path / "videos.csv").open()))
    assert [row["true"] for row in videos[:4]] == ["", "dark", "moves", "dark|moves"]
    assert 0 <= float(videos[3]["score:moves"]) <= 1 and not (tmp_path / "confusion.png").exists()
    shown = capsys.readouterr().out
    assert "mAP" in shown and "average_precision" in shown and "chance" in shown


def test_predict_marks_the_labels_above_a_half(trained, lists, capsys):
    video = str(lists[1].parent / "test3.mp4")
    assert main(["predict", str(trained), video, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert all(each["given"] == (each["score"] > 0.5) for each in row["predictions"])
    assert len(row["predictions"]) == 2
    assert main(["predict", str(trained), video]) == 0
    lines = capsys.readouterr().out.splitlines()[1:3]
    assert [line.lstrip().startswith("*") for line in lines] == [each["given"] for each in row["predictions"]]


@pytest.mark.slow
def test_an_export_keeps_the_card_and_gives_the_same_scores(trained, lists, tmp_path, capsys):
    path = tmp_path / "exported.tflite"
    data = str(lists[0])
    words = ["--format", "litert", "--output", str(path), "--calibration", data, "--check", data]
    assert main(["export", str(trained), *words]) == 0
    assert "same labels" in capsys.readouterr().out and load_runner(path).card.multi_label
    for model in (path, trained / "model.keras"):
        assert main(["evaluate", str(model), "--data", str(lists[1]), "--output", str(tmp_path / model.stem)]) == 0
    exported, own = (json.loads((tmp_path / name / "scores.json").read_text()) for name in ("exported", "model"))
    assert exported["mAP"] == pytest.approx(own["mAP"], abs=1e-3)
    assert main(["predict", str(path), str(lists[1].parent / "test0.mp4")]) == 0


def test_an_int8_export_is_judged_by_its_labels(trained, lists, tmp_path, capsys):
    path, data = tmp_path / "int8.tflite", str(lists[0])
    words = ["--format", "litert", "--quantize", "int8", "--output", str(path), "--calibration", data]
    assert main(["export", str(trained / "best.keras"), *words, "--min_agreement", "0.8"]) == 0
    assert "same labels" in capsys.readouterr().out and load_runner(path).card.multi_label
    assert main(["evaluate", str(path), "--data", str(lists[1]), "--output", str(tmp_path / "scores")]) == 0
    assert json.loads((tmp_path / "scores" / "scores.json").read_text())["mAP"] > 0.6


def test_check_split_and_pack(lists, tmp_path, capsys):
    words = ["--data", str(lists[0]), "--multi_label"]
    assert main(["check", *words, "--validation", str(lists[1])]) == 0
    shown = capsys.readouterr().out
    assert "8 videos have no label, which is taken for an example of no class" in shown and "moves" in shown
    assert main(["split", *words, "--folds", "4", "--output", str(tmp_path / "folds")]) == 0
    fold = list(csv.DictReader((tmp_path / "folds" / "fold1_test.csv").open()))
    assert sorted({row["label"] for row in fold}) == ["", "dark", "dark|moves", "moves"]
    assert main(["pack", *words, "--resize", "32x32", "--output", str(tmp_path / "shards")]) == 0
    assert main(["check", "--data", str(tmp_path / "shards")]) == 0


@pytest.mark.slow
def test_report(trained, lists, tmp_path):
    words = ["--data", str(lists[1]), "--out", str(tmp_path / "report.html")]
    assert main(["report", str(trained), *words]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "best validation mAP" in page and "average_precision" in page


@pytest.mark.parametrize("verb, words, fault", [
    ("train", ["--class_weight", "balanced", *TRAIN_FLAGS], "class_weight weighs a video by its class"),
    ("train", [word for word in TRAIN_FLAGS if word != "--multi_label"], "empty label"),
])  # fmt: skip
def test_what_does_not_go_together_is_said(verb, words, fault, lists, tmp_path, capsys):
    assert main([verb, "--data", str(lists[0]), "--output", str(tmp_path / "run"), *words]) == 1
    assert fault in capsys.readouterr().err


def test_folders_have_one_label_a_video(tmp_path, lists, capsys):
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "a.mp4").write_bytes((lists[0].parent / "train0.mp4").read_bytes())
    assert main(["check", "--data", str(tmp_path), "--multi_label"]) == 1
    assert "the layout folders gives each video one label" in capsys.readouterr().out
