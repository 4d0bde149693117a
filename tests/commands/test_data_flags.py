"""--skip_missing: what is missing is counted, listed in the run's folder, and must not change while a run goes on."""

import shutil

import pytest

from keras_res3d.commands.main import main
from keras_res3d.training.steps import StepWatch

from .conftest import TRAIN_FLAGS


@pytest.fixture
def lists(two_classes, tmp_path):
    """A training list of eight videos, of which two are gone, one of them with an odd name."""
    shutil.copytree(two_classes, tmp_path / "v")
    lines = [f"v/{label}/clip ü {n}.mp4,{label}" for n in range(4) for label in ("dark", "bright")]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines, '"v/two\nlines.mp4",dark', ""]))
    (tmp_path / "v" / "dark" / "clip ü 3.mp4").unlink()
    return tmp_path


def stop_at(monkeypatch, step):
    take = StepWatch._take

    def taking(self, iterator):
        if self.step == step:
            raise KeyboardInterrupt
        return take(self, iterator)

    monkeypatch.setattr(StepWatch, "_take", taking)


@pytest.mark.slow
def test_train_lists_what_is_missing_and_resumes_with_the_same_files_alone(lists, monkeypatch, capsys):
    flags = ["train", "--data", str(lists / "list.csv"), "--validation", str(lists / "list.csv"),
             "--output", str(lists / "run"), *TRAIN_FLAGS, "--epochs", "4", "--checkpoint_steps", "1"]
    assert main(flags) == 1
    assert "2 faults" in capsys.readouterr().err
    flags.append("--skip_missing")
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        assert main(flags) == 130
    said = capsys.readouterr().err
    assert r"2 of 9 videos are missing and left out: " in said and r"v/two\nlines.mp4" in said
    missing = f"{lists}/v/dark/clip ü 3.mp4\n{lists}/v/two\\nlines.mp4\n"
    assert (lists / "run" / "skipped_missing.txt").read_text() == 2 * missing
    shutil.copy(lists / "v" / "dark" / "clip ü 2.mp4", lists / "v" / "dark" / "clip ü 3.mp4")
    assert main(flags) == 1
    said = capsys.readouterr().err
    assert "an unfinished run that differs:" in said and "data.videos: 7 before, 8 now" in said
    assert "data.missing videos left out: 2 before, 1 now" in said
    (lists / "v" / "dark" / "clip ü 2.mp4").unlink()
    assert main(flags) == 1
    assert "data.digest: other videos or labels, with the digest" in capsys.readouterr().err
    (lists / "v" / "dark" / "clip ü 3.mp4").rename(lists / "v" / "dark" / "clip ü 2.mp4")
    assert main(flags) == 0
    said = capsys.readouterr().out
    assert "going on at step" in said and said.rstrip().endswith(", skipped_missing.txt")
    shutil.copy(lists / "v" / "dark" / "clip ü 2.mp4", lists / "v" / "dark" / "clip ü 3.mp4")
    shutil.copy(lists / "v" / "dark" / "clip ü 2.mp4", lists / "v" / "two\nlines.mp4")
    assert main([*flags, "--overwrite"]) == 0
    assert not (lists / "run" / "skipped_missing.txt").exists()


def test_evaluate_and_pack_say_what_is_missing(lists, trained, tmp_path, capsys):
    data = ["--data", str(lists / "list.csv")]
    scores = ["--clips", "1", "--output", str(tmp_path / "scores")]
    assert main(["evaluate", str(trained), *data, *scores]) == 1
    capsys.readouterr()
    assert main(["evaluate", str(trained), *data, *scores, "--skip_missing"]) == 0
    said = capsys.readouterr()
    assert "7 videos of 2 classes" in said.out and said.err.count("2 of 9 videos are missing and left out: ") == 1
    assert main(["pack", *data, "--output", str(tmp_path / "shards"), "--workers", "1", "--skip_missing"]) == 0
    said = capsys.readouterr()
    assert "packing 7 videos of 2 classes" in said.out and "2 of 9 videos are missing" in said.err
