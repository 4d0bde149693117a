"""A native crash while a file is read: the process dies, and the file is named."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_res3d.data.crashes import SLOTS, _Board, crashing, paths_on, reading, watched

# Commands with a decoder that crashes at one file, each in a process of its own: what each said, and how it ended.
# TensorFlow is imported once for all of them.
PROGRAM = """
import ctypes, json, os, sys
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import tensorflow, keras
from keras_res3d.data.sources import video_file
from keras_res3d.commands.main import main
crash, commands = sys.argv[1], json.loads(sys.argv[2])
read = video_file.Video._read
def crashing(self, numbers):
    if crash in self.path:
        ctypes.string_at(0) if verb != "train" else os.abort()
    return read(self, numbers)
video_file.Video._read = crashing
found = {}
for verb, words in commands.items():
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(theirs, 2)
        os.close(theirs)
        os.close(ours)
        sys.exit(main(words))
    os.close(theirs)
    with open(ours) as pipe:  # which whoever watches the child writes into after its death, and closes
        said = pipe.read()
    found[verb] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said
print("found:", json.dumps(found))
"""
BAD = "bad ü.mp4"


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
        for name in ("good.mp4", BAD):
            make_video(folder / label / name, np.full((12, 40, 48, 3), 128, np.uint8))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import keras_res3d

    net = keras_res3d.build_model("d10", width=2, input_shape=(8, 32, 32, 3), classes=2)
    path = tmp_path_factory.mktemp("model") / "net.keras"
    keras_res3d.save_model(net, path, labels=("a", "b"), sampling=keras_res3d.Sampling(8, 1, (40, 40), (32, 32)))
    return path


@pytest.fixture(scope="module")
def crashed(videos, model, tmp_path_factory):
    """The exit code of each verb that met the file, and what it said."""
    tmp_path = tmp_path_factory.mktemp("crashed")
    commands = {
        "train": ["train", "--data", str(videos), "--net", "d10", "--width", "2", "--crop", "32", "--epochs", "1",
                  "--batch_size", "4", "--workers", "1", "--output", str(tmp_path / "run")],
        "evaluate": ["evaluate", str(model), "--data", str(videos), "--output", str(tmp_path / "scores")],
        "predict": ["predict", str(model), str(videos / "a" / "good.mp4"), str(videos / "b" / BAD)],
        "extract": ["extract", str(model), "--data", str(videos), "--output", str(tmp_path / "features")],
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", PROGRAM, os.path.join("b", "bad"), json.dumps(commands)],
                          capture_output=True, text=True, timeout=480)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("found:")[2])


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict", "extract"])
def test_a_native_crash_is_reported_with_the_files_name(verb, videos, crashed):
    bad, (code, stderr) = videos / "b" / BAD, crashed[verb]
    assert code < 0, stderr
    said = next(line for line in stderr.splitlines() if "decoder crashed" in line)
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
