"""Fine-tuning over splits: every split is trained and scored, finished ones are not trained again."""

import json
import shutil

import pytest

from keras_res3d import recipe, transfer_finetune
from keras_res3d.commands.main import main
from keras_res3d.tasks.transfer import finetune
from tests.docs.world import narrow, write_videos


@pytest.fixture
def ucf101(tmp_path, monkeypatch):
    """A small data set in UCF101's layout with two splits, and narrow nets."""
    narrow(monkeypatch)
    write_videos(tmp_path)
    lists = tmp_path / "ucfTrainTestlist"
    for part in ("train", "test"):
        shutil.copy(lists / f"{part}list01.txt", lists / f"{part}list02.txt")
    return {"layout": "ucf101", "lists": lists, "splits": (1, 2)}


@pytest.mark.slow
def test_each_split_is_trained_and_scored_once(ucf101, tmp_path, monkeypatch):
    options = recipe(finetune.RECIPE, iterations=2, batch_size=2, frames=4, crop=32)
    lines, data = [], tmp_path / "UCF-101"

    def call(**changes):
        arguments = {**ucf101, "options": options, "clips": 2, "report": lines.append, **changes}
        return transfer_finetune(data, tmp_path / "runs", **arguments)

    found = call()
    assert [score.measure for score in found.scores] == ["clip@1", "video@1"] * 2  # no video@5 of two classes
    assert [score.split for score in found.scores[::2]] == ["ucf101 split 1", "ucf101 split 2"]
    assert found.paper == {"Res3D": 85.8, "C3D": 82.3} and found.scores[0].train == 8 and found.scores[0].test == 2
    assert len(lines) == 2 and (tmp_path / "runs" / "split2" / "model.keras").exists()
    card = json.loads((tmp_path / "runs" / "split1" / "model.json").read_text())
    assert card["training"]["recipe"] == "finetune_ucf101" and "split 1" in card["trained_on"]
    assert 0 <= found.mean(measure="video@1") <= 1

    monkeypatch.setattr(finetune, "train", None)  # nothing is trained again
    assert call().summary() == found.summary()
    with pytest.raises(ValueError, match="finished run with other settings \\(learning_rate\\)"):
        call(options=recipe(finetune.RECIPE, iterations=2, batch_size=2, frames=4, crop=32, learning_rate=0.5))
    with pytest.raises(ValueError, match=r"finished run of another net \(architecture\.temporal_kernels: .*\); choose"):
        call(net="mc1")
    (tmp_path / "runs" / "split2").rename(tmp_path / "runs" / "aside")
    shutil.copytree(tmp_path / "runs" / "split1", tmp_path / "runs" / "split2")
    with pytest.raises(ValueError, match="holds a finished run on ucf101 split 1, not on ucf101 split 2"):
        call()


@pytest.mark.slow
def test_the_command(ucf101, tmp_path, capsys):
    assert main(["train", "--data", str(tmp_path / "train.csv"), "--net", "sr18", "--frames", "4", "--crop", "32",
                 "--iterations", "1", "--output", str(tmp_path / "run")]) == 0  # fmt: skip
    words = ["--layout", "ucf101", "--data", str(tmp_path / "UCF-101"), "--lists", str(ucf101["lists"])]
    words += ["--splits", "1", "--weights", str(tmp_path / "run"), "--clips", "2", "--output", str(tmp_path / "runs")]
    assert main(["transfer", "finetune", *words, "--iterations", "1", "--batch_size", "2"]) == 0
    text = capsys.readouterr().out
    assert "video@1" in text and "the paper's Res3D: 85.8 %" in text and "sr18" in text
    assert json.loads((tmp_path / "runs" / "finetune.json").read_text())["features"]["recipe"] == "finetune_ucf101"
