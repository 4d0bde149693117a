"""A native crash while a file is read: the process dies, and the file is named."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_res3d.data.crashes import SLOTS, _Board, crashing, paths_on, reading, watched

# The command with a decoder that crashes at one file.
PROGRAM = """
import ctypes, os, sys
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
from keras_res3d.data.sources import video_file
crash, verb = sys.argv[1], sys.argv[2:]
read = video_file.Video._read
def crashing(self, numbers):
    if crash in self.path:
        ctypes.string_at(0) if verb[0] != "train" else os.abort()
    return read(self, numbers)
video_file.Video._read = crashing
from keras_res3d.commands.main import main
sys.exit(main(verb))
"""


def _decode(path):
    if "crash" in path:
        os.abort()
    if "error" in path:
        raise ValueError(path)


@pytest.fixture(scope="module")
def videos(tmp_path_factory, make_video):
    folder = tmp_path_factory.mktemp("videos")
    for label in "ab":
        (folder / label).mkdir()
        for name in ("good", "bad ü"):
            make_video(folder / label / f"{name}.mp4", np.full((12, 40, 48, 3), 128, np.uint8))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import keras_res3d

    net = keras_res3d.build_model("d10", width=2, input_shape=(8, 32, 32, 3), classes=2)
    path = tmp_path_factory.mktemp("model") / "net.keras"
    keras_res3d.save_model(net, path, labels=("a", "b"), sampling=keras_res3d.Sampling(8, 1, (40, 40), (32, 32)))
    return path


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict", "extract"])
def test_a_native_crash_is_reported_with_the_files_name(verb, videos, model, tmp_path):
    bad = videos / "b" / "bad ü.mp4"
    words = {
        "train": ["train", "--data", str(videos), "--net", "d10", "--width", "2", "--crop", "32", "--epochs", "1",
                  "--batch_size", "4", "--workers", "1", "--output", str(tmp_path / "run")],
        "evaluate": ["evaluate", str(model), "--data", str(videos), "--output", str(tmp_path / "scores")],
        "predict": ["predict", str(model), str(videos / "a" / "good.mp4"), str(bad)],
        "extract": ["extract", str(model), "--data", str(videos), "--output", str(tmp_path / "features")],
    }[verb]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", PROGRAM, os.path.join("b", "bad"), *words], capture_output=True,
                          text=True, timeout=120)  # fmt: skip
    assert done.returncode < 0, done.stderr
    said = next(line for line in done.stderr.splitlines() if "decoder crashed" in line)
    assert said.startswith(f"keras-res3d {verb}: it was killed, or a decoder crashed, while it read ")
    assert str(bad) in said
    if verb == "predict":
        assert said.endswith(f"read {bad}")


def test_the_second_try_names_the_file_that_crashes():
    assert list(crashing(["good", "a crash", "error"], _decode)) == ["a crash"]


def test_the_board_holds_what_is_read(tmp_path):
    with open(tmp_path / "board", "w+b") as file:
        board = _Board(file)
        with board.holding("a \udcff\n.mp4"), board.holding("b" * 9999), board.holding("b" * 9999):
            assert sorted(paths_on(file.read())) == ["a \udcff\n.mp4", "b" * 4094]
        file.seek(0)
        assert paths_on(file.read()) == []
        blocks = [board.holding(str(number)) for number in range(SLOTS + 2)]
        for block in blocks:
            block.__enter__()
        for block in blocks:
            block.__exit__(None, None, None)
        assert len(board._free) == SLOTS


def test_a_process_that_ends_as_it_should_says_nothing(capfd):
    with pytest.raises(KeyError), watched("somebody"), reading("some file"):
        raise KeyError
    with watched("somebody"), reading("some file"):
        pass
    time.sleep(0.3)
    assert capfd.readouterr().err == ""
    with reading("outside of any"):
        pass
