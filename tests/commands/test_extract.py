"""keras-res3d extract, from the command line."""

import json
import sys

import numpy as np
import pytest

from keras_res3d import read_features
from keras_res3d.commands.extract import ENGINES
from keras_res3d.commands.main import main
from keras_res3d.tasks import feature_net


def test_extract_writes_a_folder_and_a_second_run_completes_it(trained, two_classes, tmp_path, capsys):
    flags = ["--data", str(two_classes), "--layers", "pool5,prob", "--output", str(tmp_path / "out")]
    assert main(["extract", str(trained), *flags, "--show_predictions"]) == 0
    text = capsys.readouterr().out
    assert "d10: pool5 32, prob 2; 8 videos, clips of 4 frames every 8" in text
    lines = text.splitlines()
    shown = lines[lines.index("dark/clip ü 3.mp4") + 1]
    assert shown.split()[1] == "dark" and 0.5 < float(shown.split()[0]) <= 1
    assert "8 videos in" in text and "wrote" in text
    features = read_features(tmp_path / "out")
    assert features.ids[0] == "bright/clip ü 0.mp4" and features.labels == ("bright",) * 4 + ("dark",) * 4
    assert set(features.values) == {"pool5", "prob"}
    np.testing.assert_allclose(np.linalg.norm(features.values["pool5"], axis=1), 1, atol=1e-5)
    assert main(["extract", str(trained / "best.keras"), *flags[:-1], str(tmp_path / "best")]) == 0
    capsys.readouterr()
    assert main(["extract", str(trained), *flags]) == 0
    text = capsys.readouterr().out
    assert "0 videos in" in text and "8 were there already" in text


def test_clips_are_as_the_flags_say(trained, two_classes, tmp_path):
    flags = ["--stride", "1", "--overlap", "2", "--per_clip", "--nonormalize", "--engine", "bfloat16", "--layers",
             "prob", "--workers", "1", "--batch_size", "3"]  # fmt: skip
    assert main(["extract", str(trained), "--data", str(two_classes), "--output", str(tmp_path), *flags]) == 0
    features = read_features(tmp_path)
    assert len(features) == 8 * 6  # 14 frames, clips of 4 begin at 0, 2, ... 10
    assert features.seconds[1].tolist() == [2 / 25, 5 / 25]
    np.testing.assert_allclose(features.values["prob"].sum(axis=1), 1, atol=0.01)
    header = json.loads((tmp_path / "features.json").read_text())
    assert header["model"]["engine"] == "bfloat16" and header["sampling"]["stride"] == 1 and header["step"] == 2


def test_videos_without_labels(trained, two_classes, tmp_path, capsys):
    flags = ["--data", str(two_classes / "dark"), "--unlabelled", "--output", str(tmp_path), "--layers", "prob"]
    assert main(["extract", str(trained), *flags]) == 0
    features = read_features(tmp_path)
    assert features.ids == tuple(f"clip ü {i}.mp4" for i in range(4)) and set(features.labels) == {None}


def test_bad_videos_are_named_and_counted(trained, two_classes, tmp_path, capsys):
    (tmp_path / "videos" / "a").mkdir(parents=True)
    (tmp_path / "videos" / "a" / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "videos" / "a" / "good.mp4").write_bytes((two_classes / "dark" / "clip ü 0.mp4").read_bytes())
    flags = ["--data", str(tmp_path / "videos"), "--output", str(tmp_path / "out")]
    assert main(["extract", str(trained), *flags]) == 0
    captured = capsys.readouterr()
    assert "1 video in" in captured.out and "1 cannot be read (bad_videos.csv)" in captured.out
    assert "bad.mp4" in captured.err
    (tmp_path / "videos" / "a" / "good.mp4").unlink()
    assert main(["extract", str(trained), *flags[:-1], str(tmp_path / "other")]) == 1
    assert "none of 1 videos can be read" in capsys.readouterr().err


def test_public_layouts_give_both_lists_or_one(trained, two_classes, tmp_path):
    for name in ("train", "test"):
        videos = two_classes / "dark"
        rows = [f"clip ü {i}.mp4,dark" for i in (range(3) if name == "train" else [3])]
        (tmp_path / f"{name}.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    flags = ["--layout", "csv", "--lists", str(tmp_path), "--data", str(videos)]
    for subset, count in (("test", 1), ("all", 4)):
        assert main(["extract", str(trained), *flags, "--subset", subset, "--output", str(tmp_path / "out")]) == 0
        assert len(read_features(tmp_path / "out")) == count
    assert read_features(tmp_path / "out").facts["data"][0]["videos"] == 1


def test_features_in_parquet(trained, two_classes, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    flags = ["--data", str(two_classes), "--layers", "pool5,prob", "--output"]
    assert main(["extract", str(trained), *flags, str(tmp_path / "a"), "--format", "parquet"]) == 0
    assert main(["extract", str(trained), *flags, str(tmp_path / "b")]) == 0
    found, right = read_features(tmp_path / "a"), read_features(tmp_path / "b")
    assert found.ids == right.ids and found.labels == right.labels and np.array_equal(found.seconds, right.seconds)
    for layer in ("pool5", "prob"):
        np.testing.assert_allclose(found.values[layer], right.values[layer], atol=2e-5)
    assert len(list((tmp_path / "a").glob("*.parquet"))) == 1 and not list((tmp_path / "a").glob("*.npz"))
    capsys.readouterr()
    assert main(["extract", str(trained), *flags, str(tmp_path / "a")]) == 0
    assert "8 were there already" in capsys.readouterr().out
    assert main(["extract", str(trained), *flags, str(tmp_path / "b"), "--format", "parquet"]) == 1
    assert "in npz files, and parquet was asked for" in capsys.readouterr().err


def test_parquet_without_pyarrow_says_what_to_install(trained, two_classes, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    words = ["extract", str(trained), "--data", str(two_classes), "--output", str(tmp_path / "out")]
    assert main([*words, "--format", "parquet"]) == 1
    text = capsys.readouterr().err
    assert "pip install 'keras-res3d[parquet]'" in text and len(text.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flags, message", [
    (["--layers", "pol5"], "no layer 'pol5'"), (["--overlap", "4"], "expected 0 to 3"), (["--crop", "8"], "clips of"),
    (["--data", "nowhere"], "nowhere"),
])  # fmt: skip
def test_wrong_flags_are_one_line(trained, two_classes, tmp_path, capsys, flags, message):
    words = ["extract", str(trained), "--data", str(two_classes), "--output", str(tmp_path), *flags]
    assert main(words) == 1
    assert message in capsys.readouterr().err


def test_a_missing_model_or_folder_is_named(two_classes, capsys):
    assert main(["extract", "nowhere", "--data", str(two_classes), "--output", "x"]) == 1
    assert "nowhere does not exist" in capsys.readouterr().err
    assert main(["extract", "nowhere", "--data", str(two_classes)]) == 2
    assert "--output" in capsys.readouterr().err


def test_the_engines_are_those_of_the_library():
    assert ENGINES == feature_net.ENGINES


def test_too_many_threads_are_refused_before_a_folder_is_made(trained, two_classes, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(["extract", str(trained), "--data", str(two_classes), "--output", str(output), "--workers=5000"]) == 1
    assert "workers is 5000; expected" in capsys.readouterr().err and not output.exists()
