"""transfer, similarity and search-videos from the command line, on made features and real files."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from keras_res3d.commands.main import main
from tests.tasks.made_features import made_pairs, separable, write_csv, write_features, write_ucf101


@pytest.fixture
def ucf101(tmp_path):
    ids, labels = write_ucf101(tmp_path)
    rng = np.random.default_rng(0)
    values = np.eye(12)[[int(label == "Diving") for label in labels]] + 0.05 * rng.uniform(size=(len(ids), 12))
    return write_features(tmp_path / "features", ids, [None] * len(ids), pool5=values, prob=values[:, :2])


def test_svm_over_three_splits(ucf101, tmp_path, capsys):
    words = ["--layout", "ucf101", "--lists", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main(["transfer", "svm", str(ucf101), *words]) == 0
    text = capsys.readouterr().out
    assert "ucf101 split 3" in text and "mean of splits" in text and "the paper's Res3D: 83.1 %" in text
    found = json.loads((tmp_path / "out" / "svm.json").read_text())
    assert [row["name"] for row in found["rows"]] == ["pool5", "prob"] and found["rows"][0]["mean"] == 1.0
    assert found["features"]["model"]["net"] == "made"
    rows = list(csv.DictReader((tmp_path / "out" / "svm.csv").read_text().splitlines()))
    assert len(rows) == 6 and rows[0]["split"] == "ucf101 split 1" and rows[0]["train"] == "16"


def test_svm_of_csv_lists_and_of_test_features(tmp_path, capsys):
    values, labels = separable(24, classes=2)
    ids = [f"a/{number}.mp4" for number in range(24)]
    whole = write_features(tmp_path / "whole", ids, labels, pool5=values)
    lines = [(name, label, name) for name, label in zip(ids, labels, strict=True)]
    train, test = (str(write_csv(tmp_path / f"{name}.csv", part))
                   for name, part in (("train", lines[:12]), ("test", lines[12:])))  # fmt: skip
    assert main(["transfer", "svm", str(whole), "--train-list", train, "--test-list", test, "--C", "1"]) == 0
    assert "100.0" in capsys.readouterr().out
    held_out = write_features(tmp_path / "held", ids[12:], labels[12:], pool5=values[12:])
    first = write_features(tmp_path / "first", ids[:12], labels[:12], pool5=values[:12])
    assert main(["transfer", "svm", str(first), "--test", str(held_out), "--layers", "pool5"]) == 0
    assert "100.0" in capsys.readouterr().out


def test_pca_draws_figure_3(ucf101, tmp_path, capsys):
    words = ["--layout", "ucf101", "--lists", str(tmp_path), "--output", str(tmp_path / "out")]
    words += ["--layers", "pool5", "--dimensions", "1,10,300,all"]
    assert main(["transfer", "pca", f"mine={ucf101}", f"other={ucf101}", *words]) == 0
    captured = capsys.readouterr()
    assert "left out: 300" in captured.err and "the paper's Res3D: 56.7 % at 10 dimensions" in captured.out
    assert Image.open(tmp_path / "out" / "pca.png").size[0] > 600
    rows = list(csv.DictReader((tmp_path / "out" / "pca.csv").read_text().splitlines()))
    assert [(row["name"], row["dimensions"]) for row in rows[::3]] == [
        ("mine", "1"), ("mine", "10"), ("mine", ""), ("other", "1"), ("other", "10"), ("other", "")
    ]  # fmt: skip
    assert all(float(row["value"]) == 1.0 for row in rows)


def test_knn_among_all(tmp_path, capsys):
    values, labels = separable(24)
    folder = write_features(tmp_path / "f", [f"{number}.mp4" for number in range(24)], labels, pool5=values)
    assert main(["transfer", "knn", str(folder), "--k", "1,5"]) == 0
    text = capsys.readouterr().out
    assert "recall@1" in text and "recall@5" in text and "each against the others" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pcb", "x"], "the task is pcb; expected svm, pca, knn, finetune"),
        (["svm"], "called with 0 folders"),
        (["svm", "nowhere", "--layout", "ucf101", "--lists", "."], "holds no features"),
        (["svm", "x", "--splits", "one", "--layout", "ucf101"], "--splits is one"),
        (["pca", "a/x", "b/x"], "two FEATURES are called alike"),
        (["pca", "=a/x"], "=a/x has no name; expected FOLDER or NAME=FOLDER"),
        (["finetune", "--layout", "ucf101", "--data", "x"], "--output is required for finetune"),
    ],
)
def test_wrong_calls(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["transfer", *words]) == 1
    assert message in capsys.readouterr().err


def test_similarity_of_a_folder(tmp_path, capsys):
    values, ids, rows = made_pairs()
    folder = write_features(tmp_path / "f", [f"aslan/{name}.avi" for name in ids], [None] * 40, pool5=values)
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("".join(f"{one} {other} {same}\n" for one, other, same in rows))
    words = ["--pairs", str(pairs), "--folds", "4", "--output", str(tmp_path / "out")]
    assert main(["similarity", str(folder), *words]) == 0
    assert "accuracy 100.0 %, standard error 0.0; AUC 100.0 %" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "similarity.json").read_text())
    assert found["numbers_a_pair"] == 12 and found["pairs"] == 40 and not found["paper_percent"]
    assert Image.open(tmp_path / "out" / "roc.png").size[0] > 400
    pairs.write_text(pairs.read_text().replace("v1 ", "w1 "))
    assert main(["similarity", str(folder), *words]) == 1
    assert "have no features: w1" in capsys.readouterr().err


def test_search_videos_writes_a_page(tmp_path, make_video, capsys):
    ids = ["a/<b>&1.mp4", "a/2.mp4", "b/3.mp4", "b/gone.mp4"]
    for number, name in enumerate(ids[:3]):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        level = np.linspace(40 * number, 40 * number + 100, 20).astype("uint8")
        make_video(tmp_path / "videos" / name, np.broadcast_to(level[:, None, None, None], (20, 48, 64, 3)))
    folder = write_features(tmp_path / "f", ids, ["a", "a", "b", "b"], pool5=[[1, 0], [1, 0.1], [0.2, 1], [0, 1]])
    page = tmp_path / "page.html"
    words = ["--k", "3", "--output", str(page), "--root", str(tmp_path / "videos")]
    assert main(["search-videos", str(folder), str(tmp_path / "videos" / ids[0]), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "a/2.mp4" in lines[2] and "0.995" in lines[2] and "b/3.mp4" in lines[3]
    text = page.read_text()
    assert text.count("data:image/webp;base64,") == 3 and "<script" not in text and "http" not in text
    assert "&lt;b&gt;&amp;1.mp4" in text and "<b>&1" not in text
    assert "gone.mp4" in text and "No picture." in text
    assert main(["search-videos", str(folder), "a/2.mp4", "--json", "--k", "1"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == ids[0]
    assert main(["search-videos", str(folder), "other.mp4"]) == 1
    assert "other.mp4 is not one of the 4 videos" in capsys.readouterr().err
