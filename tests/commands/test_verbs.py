"""train, evaluate and predict on real files, from the command line."""

import csv
import json

import keras
import pytest
from PIL import Image
from sklearn import metrics

from keras_res3d.commands.main import main

from .conftest import TRAIN_FLAGS


def test_train_writes_a_model_with_labels_and_sampling(trained):
    card = json.loads((trained / "model.json").read_text())
    assert card["labels"] == ["bright", "dark"]
    assert card["sampling"]["frames"] == 4 and card["sampling"]["crop"] == [32, 32]
    assert card["sampling"]["resize"] == [37, 49]
    assert card["training"]["epochs_done"] == 12
    rows = list(csv.DictReader((trained / "log.csv").read_text().splitlines()))
    assert len(rows) == 12 and {"loss", "clip@1", "val_video@1"} <= set(rows[0])
    assert keras.models.load_model(trained / "best.keras").output_shape == (None, 2)
    assert not list(trained.glob(".saving*"))


def test_evaluate(trained, two_classes, tmp_path, capsys):
    flags = ["--data", str(two_classes), "--clips", "3", "--output", str(tmp_path)]
    assert main(["evaluate", str(trained), *flags]) == 0
    text = capsys.readouterr().out
    assert "video@1  100.0 %" in text and "bright" in text
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["videos"] == 8 and scores["clips"] == 24 and scores["video@1"] == 1.0
    assert Image.open(tmp_path / "confusion.png").size[0] > 300
    assert (tmp_path / "classes.csv").read_text().startswith("class,videos,right,accuracy")


def test_predict_reports_a_bad_file_and_goes_on(trained, two_classes, tmp_path, capsys):
    good = str(two_classes / "bright" / "clip ü 0.mp4")
    bad = tmp_path / "bad.mp4"
    bad.write_text("not a video")
    assert main(["predict", str(trained), str(bad), good]) == 1
    captured = capsys.readouterr()
    assert "bad.mp4" in captured.err and "bright" in captured.out


def test_predict_json_and_timeline(trained, two_classes, tmp_path, capsys):
    videos = [str(two_classes / label / "clip ü 1.mp4") for label in ("bright", "dark")]
    assert main(["predict", str(trained / "best.keras"), *videos, "--json", "--timeline", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["predictions"][0]["label"] for row in rows] == ["bright", "dark"]
    assert abs(sum(best["score"] for best in rows[0]["predictions"]) - 1) < 1e-5
    assert all(Image.open(row["timeline"]).format == "PNG" for row in rows)
    picture = tmp_path / "one.png"
    assert main(["predict", str(trained), videos[0], "--timeline", str(picture), "--step", "1"]) == 0
    assert Image.open(picture).size[0] > 600


def test_predict_stops_at_nothing_found(trained, capsys):
    assert main(["predict", str(trained)]) == 2
    assert "VIDEO is missing" in capsys.readouterr().err
    assert main(["predict", "nowhere", "video.mp4"]) == 1
    assert "nowhere does not exist" in capsys.readouterr().err


def test_train_refuses_to_overwrite(trained, two_classes, capsys):
    assert main(["train", "--data", str(two_classes), "--output", str(trained), *TRAIN_FLAGS]) == 1
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--net", "sr19"], "did you mean"),
        (["--crop", "8"], "at least 4x16x16"),
        (["--width", "4", "--target_params", "1000"], "one of them"),
        (["--weights", "nothing"], "nothing"),
        (["--freeze", "conv4"], "without --weights"),
        (["--validation", "motion"], "motion"),
    ],
)
def test_train_refusals_leave_nothing_behind(two_classes, tmp_path, flags, message, capsys):
    output = tmp_path / "run"
    assert main(["train", "--data", str(two_classes), "--output", str(output), *flags]) == 1
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_a_video_that_breaks_in_training_is_named(two_classes, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0" * 500)
    lines = ["path,label", *(f"{two_classes}/{label}/clip ü 0.mp4,{label}" for label in ("bright", "dark"))]
    (tmp_path / "data.csv").write_text("\n".join([*lines, f"{broken},dark"]) + "\n")
    flags = ["--data", str(tmp_path / "data.csv"), "--output", str(tmp_path / "run"), *TRAIN_FLAGS]
    assert main(["train", *flags]) == 1
    assert "broken.mp4" in capsys.readouterr().err


def _compare_with_scikit_learn(folder):
    """The figures of a folder of scores are those that scikit-learn has of its table of the videos."""
    found = json.loads((folder / "scores.json").read_text())
    with open(folder / "videos.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    truth, predicted = ([row[name] for row in rows] for name in ("true", "predicted"))
    assert found["videos"] == len(rows) == 54 and found["video@1"] == metrics.accuracy_score(truth, predicted)
    positive = [name == "fight" for name in truth]
    scores = [float(row["score:fight"]) for row in rows]
    # The table has nine digits, in which two scores may still fall together.
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(positive, scores), abs=0.005)
    expected = metrics.average_precision_score(positive, scores)
    assert found["average_precision"]["fight"] == pytest.approx(expected, abs=0.005)
    for average in ("macro", "weighted"):
        rates = metrics.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)[:3]
        assert list(found[average].values()) == pytest.approx(rates)


def test_real_surveillance_clips(shared_data, tmp_path, capsys):
    fight, run = shared_data / "fight", tmp_path / "run"
    flags = ["--data", str(fight / "train.csv"), "--net", "sr18", "--width", "4", "--crop", "16", "--epochs", "1"]
    assert main(["train", *flags, "--output", str(run)]) == 0
    assert main(["evaluate", str(run), "--data", str(fight / "test.csv"), "--clips", "1"]) == 0
    _compare_with_scikit_learn(run / "scores")
    clips = sorted(map(str, (shared_data / "clips").iterdir()))
    capsys.readouterr()
    assert main(["predict", str(run), *clips, "--json", "--clips", "2"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 8
