"""Reading lists of videos: every fault named, with its line."""

import io
import os
import subprocess
import sys

import pytest

from keras_res3d.data.open import (
    embedded_test_split,
    is_motion,
    is_packed,
    kind_of,
    list_videos,
    open_video,
    read_data_set,
    videos_in,
)
from keras_res3d.data.sources import video_file
from keras_res3d.data.types import DataError, DataSet, Example, VideoError


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_of_class_folders(tmp_path):
    touch(tmp_path / "walk" / "b ü.mp4", tmp_path / "walk" / "a.AVI", tmp_path / "run" / "deep" / "c.mkv",
          tmp_path / "run" / "notes.txt", tmp_path / ".hidden" / "d.mp4")
    data = read_data_set(tmp_path)
    assert data.classes == ("run", "walk") and data.mirror_safe and len(data) == 3
    assert [(os.path.basename(e.path), e.label, e.group) for e in data.examples] == [
        ("c.mkv", 0, None), ("a.AVI", 1, None), ("b ü.mp4", 1, None)]
    assert read_data_set(str(tmp_path), classes=["walk", "run", "jump"]).examples[0].label == 1


def test_folder_faults_are_listed_together(tmp_path):
    touch(tmp_path / "walk" / "a.mp4", tmp_path / "empty" / "notes.txt")
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError) as caught:
        read_data_set(tmp_path, classes=["run"])
    assert len(caught.value.faults) == 3
    for word in ("'empty'", "'bare'", "'walk'"):
        assert word in str(caught.value)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no class folder"):
        read_data_set(tmp_path / "none")


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_with_any_line_end_and_mark(tmp_path, start, end):
    touch(tmp_path / "v" / "ein Tag ü.mp4", tmp_path / "v" / "a,b.mp4", tmp_path / "c.avi")
    lines = ["path,label,group", "v/ein Tag ü.mp4,walk,g1", '"v/a,b.mp4",run,', "",
             f"{tmp_path / 'c.avi'}, walk ,g2", ""]
    (tmp_path / "list.csv").write_bytes(start + end.join(lines).encode())
    data = read_data_set(tmp_path / "list.csv")
    assert data.classes == ("run", "walk")
    assert data.examples == (Example(str(tmp_path / "v" / "ein Tag ü.mp4"), 1, "g1"),
                             Example(str(tmp_path / "v" / "a,b.mp4"), 0, None),
                             Example(str(tmp_path / "c.avi"), 1, "g2"))


def test_every_fault_of_a_csv_is_listed_with_its_line(tmp_path):
    touch(tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "c.mp4", tmp_path / "d.mp4")
    (tmp_path / "list.csv").write_text(
        "path,label\na.mp4,walk\nmissing.mp4,walk\nb.mp4,\nc.mp4,walk,more\n./a.mp4,walk\n,walk\nd.mp4,fly\n"
        "just text\n")
    with pytest.raises(DataError) as caught:
        read_data_set(tmp_path / "list.csv", classes=("walk", "run"))
    expected = {3: "missing file", 4: "empty label", 5: "malformed: 3 fields",
                6: f"duplicate of line 2, {tmp_path}/a.mp4", 7: "empty path", 8: "'fly' is not one of",
                9: "malformed: 1 fields"}
    assert len(caught.value.faults) == len(expected)
    for line, what in expected.items():
        assert any(f.startswith(f"line {line}: ") and what in f for f in caught.value.faults), (line, what)
    assert "list.csv: 7 faults" in str(caught.value)


@pytest.mark.parametrize(("text", "what"), [
    (b"path,label\na\0.mp4,b\n", "line 2: a path with a NUL"),
    (b"", "is empty"), (b"file,class\na.mp4,b\n", "header is 'file,class'"), (b"path,label\n", "no video at all"),
    (b"path,label\n\xff\xfe,a\n", "not UTF-8"), (b'path,label\n"a.mp4,b\n', "malformed"),
])
def test_lists_that_are_no_lists(tmp_path, text, what):
    (tmp_path / "list.csv").write_bytes(text)
    with pytest.raises(DataError, match=what):
        read_data_set(tmp_path / "list.csv")
    assert issubclass(DataError, ValueError)


def test_names_that_are_nothing():
    with pytest.raises(DataError, match="no such file or folder"):
        read_data_set("/nowhere/at/all")
    with pytest.raises(DataError, match="motion/train or motion/test"):
        read_data_set("motion/valid")


def test_what_a_path_is(tmp_path):
    touch(tmp_path / "folders" / "walk" / "a.mp4", tmp_path / "frames" / "1.jpg", tmp_path / "list.csv",
          tmp_path / "list.txt", tmp_path / "a.MP4", tmp_path / "b.webp", tmp_path / "packed" / "manifest.json",
          tmp_path / "classes" / "manifest.json", tmp_path / "classes" / "walk" / "a.mp4",
          tmp_path / "packed" / ".half" / "a")
    expected = {"folders": "folders", "frames": "frames", "list.csv": "csv", "list.txt": "csv", "a.MP4": "video",
                "b.webp": "video", "packed": "packed", "classes": "folders", "none": "nothing"}
    assert {name: kind_of(tmp_path / name) for name in expected} == expected
    assert kind_of("motion") == kind_of("motion/test") == kind_of("motion/other") == "motion"
    assert is_motion("motion") and not is_motion(tmp_path) and is_packed(tmp_path / "packed")
    splits = {"motion": "motion/test", "motion/test": "motion/test", "textures/train": "textures/test", tmp_path: None}
    assert {name: embedded_test_split(name) for name in splits} == splits
    for name in ("a.MP4", "frames"):
        with pytest.raises(DataError, match="is a single video"):
            read_data_set(tmp_path / name)
    with pytest.raises(DataError, match="packed shards, which has no list of files"):
        list_videos(tmp_path / "packed")


def test_a_motion_folder_on_disk_is_that_folder(tmp_path, monkeypatch):
    touch(tmp_path / "motion" / "walk" / "a.mp4")
    monkeypatch.chdir(tmp_path)
    assert read_data_set("motion").classes == ("walk",)


def test_the_embedded_data_set_by_name():
    train, test = read_data_set("motion"), read_data_set("motion/test")
    assert train.name == "motion/train" and len(train) == 1600 and len(test) == 400
    assert read_data_set("motion/test", classes=train.classes).classes == train.classes
    with pytest.raises(DataError, match="motion has"):
        read_data_set("motion", classes=["walk"])


def test_a_data_set_opens_its_videos(tmp_path, make_video):
    import numpy as np

    (tmp_path / "walk").mkdir()
    make_video(tmp_path / "walk" / "a.mp4", np.full((10, 48, 64, 3), 128, np.uint8))
    data = read_data_set(tmp_path)
    assert isinstance(data, DataSet)
    with data.open(0) as video:
        assert video.num_frames == 10
        clips = list(video.clips([np.array([0, 2]), np.array([9, 9])], size=(24, 32)))
        assert [clip.shape for clip in clips] == [(2, 24, 32, 3)] * 2
    with data.open(0, fps=5) as video:
        assert video.num_frames == 2


def test_real_lists(shared_data):
    train = read_data_set(shared_data / "fight" / "train.csv")
    test = read_data_set(shared_data / "fight" / "test.csv", classes=train.classes)
    assert train.classes == test.classes == ("fight", "noFight")
    assert all(e.group is not None for e in train.examples)
    assert not {e.path for e in train.examples} & {e.path for e in test.examples}


def test_lists_and_arithmetic_load_neither_decoder_nor_tensorflow():
    code = ("import sys, keras_res3d.data\n"
            "from keras_res3d.data import clips, labels, open, transform, types\n"
            "from keras_res3d.data.sources import motion\n"
            "open.read_data_set('motion'); labels.label_names('ucf101')\n"
            "print(sorted({'av', 'cv2', 'tensorflow', 'keras', 'PIL'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Spy:
    """Stands in for `Video` and keeps what it was called with."""

    def __init__(self, source, size=None, **options):
        self.source, self.options = source, {"size": size, **options}


def test_what_reaches_the_reader_of_video_files(tmp_path, monkeypatch):
    monkeypatch.setattr(video_file, "Video", Spy)
    data, file = b"RIFF", io.BytesIO(b"RIFF")
    for given, reached in ((data, data), (bytearray(data), data), (memoryview(data), data), (file, file),
                           ("x.webp", "x.webp"), (tmp_path / "none.gif", tmp_path / "none.gif")):
        assert open_video(given).source == reached
    assert open_video("a.mkv", fps=5, strict=True, size=(8, 9), stream=2).options == {
        "size": (8, 9), "fps": 5, "strict": True, "stream": 2}


def test_what_is_no_video_at_all(tmp_path):
    import numpy as np

    for wrong in (None, 5, {"a": 1}):
        with pytest.raises(TypeError, match="expected a path, a video file's bytes, a binary file object, or an array"):
            open_video(wrong)
    with pytest.raises(TypeError, match="open it with mode 'rb'"):
        open_video(io.StringIO("text"))
    (tmp_path / "1.png").write_bytes(b"x")
    for source in (tmp_path, np.zeros((2, 8, 8, 3), np.uint8)):
        with pytest.raises(VideoError, match=r"no streams to choose from; stream 1"):
            open_video(source, stream=1)
    for source in (b"RIFF", np.zeros((2, 8, 8, 3), np.uint8)):
        with pytest.raises(VideoError, match="is no folder of frames; first_frame and frames are for one alone"):
            open_video(source, frames=1)


def test_a_folder_of_frames_at_its_own_rate(tmp_path):
    from PIL import Image

    for number in range(10):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    with open_video(tmp_path, frame_rate=10, fps=5) as video:
        assert video.num_frames == 5


def test_the_videos_of_a_folder(tmp_path):
    touch(tmp_path / "b.mp4", tmp_path / "a" / "z.AVI", tmp_path / "a" / "frames" / "1.jpg", tmp_path / "a" / "n.txt",
          tmp_path / ".hidden" / "c.mp4", tmp_path / ".c.mp4", tmp_path / "empty" / "notes.txt")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = [os.path.relpath(path, tmp_path) for path in videos_in(tmp_path)]
    assert found == ["a/frames", "a/z.AVI", "b.mp4"]
    assert videos_in(tmp_path / "a" / "frames") == [str(tmp_path / "a" / "frames")]
    assert videos_in("nowhere.mp4") == ["nowhere.mp4"]
    with pytest.raises(VideoError, match="empty: is a folder without a video"):
        videos_in(tmp_path / "empty")
