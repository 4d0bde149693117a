"""A pipe that nobody writes to, and a device that never ends, in place of a file: refused at once by each reader."""

import os
import signal

import pytest

from keras_res3d.cards import read_card
from keras_res3d.data.bad_videos import BadVideos
from keras_res3d.data.open import read_layout
from keras_res3d.data.sources.frame_folder import FrameFolder
from keras_res3d.data.types import DataError, VideoError
from keras_res3d.inference.model_file import model_file
from keras_res3d.io import digest, only_one
from keras_res3d.remote import opened, readable, text_of
from keras_res3d.tasks.detection.annotations import read_annotations
from keras_res3d.tasks.similarity import read_pairs
from keras_res3d.tasks.studies.read import read_study
from keras_res3d.training import checkpoint
from keras_res3d.untrusted import read_json
from keras_res3d.weights.formats.registry import read_tensors

SAID = "a pipe or a device|is not a file"


@pytest.fixture(params=["pipe", "device"])
def place(request, tmp_path):
    """Makes what never ends under a name in a folder; whoever waits for it all the same is interrupted."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes")

    def make(name):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if request.param == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/null")  # /dev/zero would take the memory of whoever reads it
        return path

    def waited(*_):
        raise AssertionError("it was read")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(20)
    yield make
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


READERS = {
    "opened": ("a.bin", opened),
    "readable": ("a.zip", readable),
    "text": ("a.txt", text_of),
    "digest": ("a.bin", digest),
    "json": ("a.json", read_json),
    "model": ("a.keras", model_file),
    "export": ("a.tflite", model_file),
    "card": ("model.json", lambda path: read_card(path.with_name("model.keras"))),
    "weights": ("a.weights.h5", read_tensors),
    "pairs": ("pairs.txt", read_pairs),
    "annotations": ("a.json", read_annotations),
    "study": ("a.yaml", read_study),
    "JSON study": ("a.json", read_study),
    "list of a layout": ("train.csv", lambda path: read_layout("kinetics", path, path.parent)),
    "checkpoint": (checkpoint.FILE, lambda path: checkpoint.load(path.parent)),
    "bad videos": ("bad_videos.csv", BadVideos),
}


@pytest.mark.parametrize("name", READERS)
def test_readers_refuse_what_never_ends(place, name):
    file, read = READERS[name]
    path = place(file)
    with pytest.raises((OSError, ValueError), match=SAID) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_frame_that_never_ends_is_a_bad_frame(place):
    folder = place("video/001.jpg").parent
    with pytest.raises((VideoError, DataError), match="no frame can be decoded"), pytest.warns(UserWarning, match=SAID):
        list(FrameFolder(folder).frames([0]))


def test_a_lock_that_never_ends_tells_no_holder(place, tmp_path):
    place(".out.lock")
    with only_one(tmp_path / "out", "writes"):
        pass
