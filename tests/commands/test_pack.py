"""keras-res3d pack, and what reads its folder."""

import json

import pytest

from keras_res3d.commands.main import main


@pytest.fixture(scope="module")
def packed(two_classes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "shards"
    flags = ["--resize", "37x49", "--quality", "95", "--workers", "2"]
    assert main(["pack", "--data", str(two_classes), "--output", str(folder), *flags]) == 0
    return folder


def test_the_manifest(packed, capsys):
    manifest = json.loads((packed / "manifest.json").read_text())
    assert manifest["records"] == 8 and manifest["frames"] == 8 * 14 and manifest["resize"] == [37, 49]
    assert manifest["quality"] == 95 and manifest["classes"] == ["bright", "dark"]
    shard, = manifest["shards"]
    assert shard["records"] == 8 and len(shard["sha256"]) == 64
    assert (packed / shard["file"]).stat().st_size == shard["bytes"]
    assert {video["faults"] for video in shard["videos"]} == {0}


def test_evaluate_and_check_read_shards(packed, trained, tmp_path, capsys):
    flags = ["--data", str(packed), "--clips", "3", "--output", str(tmp_path)]
    assert main(["evaluate", str(trained), *flags]) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["video@1"] == 1.0
    assert main(["check", "--data", str(packed)]) == 0
    assert "0 faults" in capsys.readouterr().out


def test_check_and_evaluate_name_a_damaged_shard(packed, trained, tmp_path, capsys):
    for path in packed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = bytearray((tmp_path / "shard-00000.tfrecord").read_bytes())
    data[5000] ^= 4
    (tmp_path / "shard-00000.tfrecord").write_bytes(data)
    assert main(["check", "--data", str(tmp_path)]) == 1
    assert "shard-00000.tfrecord is not what the manifest says" in capsys.readouterr().out
    assert main(["evaluate", str(trained), "--data", str(tmp_path)]) == 1
    assert "shard-00000.tfrecord is not what the manifest says" in capsys.readouterr().err


def test_videos_left_out_give_exit_code_1(two_classes, tmp_path, capsys):
    (tmp_path / "bad.mp4").write_text("text")
    lines = ["path,label", f"bad.mp4,dark\n{two_classes}/dark/clip ü 0.mp4,dark"]
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    flags = ["--data", str(tmp_path / "list.csv"), "--output", str(tmp_path / "shards"), "--workers", "1"]
    assert main(["pack", *flags]) == 1
    text = capsys.readouterr().out
    assert "left out: " in text and "bad.mp4" in text and "1 left out" in text and "wrote" in text


@pytest.mark.parametrize("flags, message", [
    (["--resize", "128"], "--resize is '128'"), (["--data", "motion"], "nothing to pack"),
    (["--data", "nowhere"], "no such file or folder"), (["--resize", "4x4"], "of at least 8"),
    (["--resize", "20000x20000"], "resize is 20000x20000; expected height and width"),
    (["--resize", "8192x8192"], "33,177,600 pixels in all"), (["--resize", "1000000x8", "--data", "x"], "to 16,384"),
])
def test_refusals(two_classes, tmp_path, flags, message, capsys):
    output = tmp_path / "shards"
    assert main(["pack", "--data", str(two_classes), "--output", str(output), *flags]) == 1
    assert message in capsys.readouterr().err and not output.exists()


def test_of_many_videos_left_out_twenty_are_named(two_classes, tmp_path, capsys):
    for label in ("a", "b"):
        (tmp_path / "v" / label).mkdir(parents=True)
        for number in range(12):
            (tmp_path / "v" / label / f"{number}.mp4").write_bytes(b"no video")
    good = next((two_classes / "dark").glob("*.mp4"))
    (tmp_path / "v" / "a" / "good.mp4").write_bytes(good.read_bytes())
    assert main(["pack", "--data", str(tmp_path / "v"), "--output", str(tmp_path / "shards"), "--workers", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("left out: ") for line in lines) == 20
    assert "... and 4 more of this kind (left out)" in lines


def test_another_quality_is_refused_in_the_same_folder(two_classes, packed, capsys):
    assert main(["pack", "--data", str(two_classes), "--output", str(packed), "--resize", "37x49"]) == 1
    assert "quality is 95 there, 90 now" in capsys.readouterr().err
