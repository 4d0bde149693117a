"""The files of an evaluation, read back; the pictures have what they should, and old files do not stay."""

import csv
import dataclasses
import json
import os

import numpy as np
import pytest
from PIL import Image

from keras_res3d import write_scores
from keras_res3d.io import locked
from keras_res3d.reports.score_files import class_rows
from keras_res3d.scores import Scores

from ..made_scores import two_classes


def _rows(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_files_of_two_classes(tmp_path):
    scores = two_classes()
    names = write_scores(scores, tmp_path, {"model": "mine"})
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["model"] == "mine" and found["video@1"] == scores.video_at_1
    assert found["auc"] == scores.summary()["auc"]
    classes = _rows(tmp_path / "classes.csv")
    assert [row["class"] for row in classes] == ["no", "yes"]
    assert [float(row["f1"]) for row in classes] == pytest.approx([row.f1 for row in scores.class_scores()], rel=1e-6)
    videos = _rows(tmp_path / "videos.csv")
    probabilities = [[float(row["score:no"]), float(row["score:yes"])] for row in videos]
    np.testing.assert_allclose(probabilities, scores.video_probabilities, rtol=1e-6)
    wrong = _rows(tmp_path / "misclassified.csv")
    assert {row["path"] for row in wrong} == {row["path"] for row in videos if row["true"] != row["predicted"]}
    leads = [float(row["score"]) - float(row["true_score"]) for row in wrong]
    assert len(leads) > 3 and leads == sorted(leads, reverse=True)
    confusion = list(csv.reader((tmp_path / "confusion.csv").read_text().splitlines()))
    assert confusion[0] == ["true class", "no", "yes"]
    assert [[int(cell) for cell in row[1:]] for row in confusion[1:]] == scores.confusion.tolist()
    points = [row for row in _rows(tmp_path / "curves.csv") if row["class"] == "yes"]
    area = np.trapezoid([float(row["recall"]) for row in points], [float(row["false_positive_rate"]) for row in points])
    assert area == pytest.approx(found["auc"], abs=1e-5)
    for name in ("roc.png", "precision_recall.png", "confusion.png"):
        assert np.asarray(Image.open(tmp_path / name).convert("L")).std() > 5


def test_files_of_an_earlier_call_do_not_stay(tmp_path):
    write_scores(two_classes(), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    names = write_scores(Scores(("a", "b", "c"), np.eye(3), np.arange(3), np.arange(3)), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", *names} and "roc.png" not in names
    assert (tmp_path / "misclassified.csv").read_text().split() == ["path,true,predicted,score,true_score"]


def test_parquet_has_the_same_columns(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    scores = two_classes()
    assert "videos.parquet" in write_scores(scores, tmp_path, format="parquet")
    table = parquet.read_table(tmp_path / "videos.parquet")
    assert table.column_names == list(scores.video_columns()) and not (tmp_path / "videos.csv").exists()
    np.testing.assert_array_equal(table["score:yes"].to_numpy(), scores.video_probabilities[:, 1])


def test_a_class_without_videos_has_dashes_and_empty_cells(tmp_path):
    scores = dataclasses.replace(two_classes(), labels=("no", "yes", "never"),
                                 probabilities=np.pad(two_classes().probabilities, ((0, 0), (0, 1))))  # fmt: skip
    header, rows = class_rows(scores)
    assert header == ["class", "videos", "right", "predicted", "precision", "recall", "f1"]
    assert rows[2] == ["never", "0", "0", "0", "-", "-", "-"]
    write_scores(scores, tmp_path)
    assert (tmp_path / "classes.csv").read_text().splitlines()[3] == "never,0,0,,0,,,"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_an_evaluation_that_cannot_be_written_leaves_the_earlier_one_whole(tmp_path):
    write_scores(two_classes(), tmp_path, {"model": "old"})
    (tmp_path / "confusion.png").unlink()
    (tmp_path / "confusion.png").mkdir()
    (tmp_path / "confusion.png" / "mine").write_text("kept")
    before = contents(tmp_path)
    with pytest.raises(IsADirectoryError, match=r"confusion\.png"):
        write_scores(two_classes(), tmp_path, {"model": "new"})
    assert contents(tmp_path) == before and (tmp_path / "confusion.png" / "mine").read_text() == "kept"


def test_scores_json_is_gone_until_the_others_are_in_place(tmp_path, monkeypatch):
    """Killed at each move, there is the old evaluation, the new one, or none."""
    replace, seen = os.replace, []

    def watched(source, target):
        if os.path.dirname(target) == str(tmp_path):
            seen.append((os.path.basename(target), (tmp_path / "scores.json").exists()))
        replace(source, target)

    write_scores(two_classes(), tmp_path)
    monkeypatch.setattr(os, "replace", watched)
    names = write_scores(two_classes(), tmp_path)
    assert sorted(name for name, _ in seen) == sorted(names)
    assert seen[-1][0] == "scores.json" and not any(there for _, there in seen)


def test_a_second_process_is_refused(tmp_path):
    with locked(tmp_path / "scores.json"), pytest.raises(ValueError, match="writes scores into"):
        write_scores(two_classes(), tmp_path)
