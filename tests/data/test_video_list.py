"""Lists of videos without labels."""

import os

import pytest

from keras_res3d.data.types import DataError
from keras_res3d.data.video_list import is_address, is_video_list, listed_videos


def test_a_text_file_has_a_path_a_line(tmp_path):
    path = tmp_path / "list.TXT"
    (tmp_path / " odd .mp4").write_text("")
    path.write_bytes("\ufeffa b.mp4\r\n\n  sub/c.mp4 \r/abs/d.mp4\n odd .mp4\n".encode() + b"\xff.mp4")
    assert is_video_list(path)
    found = listed_videos(path)
    expected = ["a b.mp4", "sub/c.mp4", "/abs/d.mp4", " odd .mp4", os.fsdecode(b"\xff.mp4")]
    assert found == [os.path.join(tmp_path, name) for name in expected]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.mp4,x\nsub/b.mp4,y\n",
        "label;Video\nx;a.mp4\n\ny;sub/b.mp4\n",
        '"path"\ta\n"a.mp4"\t1\nsub/b.mp4\t\n',
    ],
)
def test_a_csv_file_has_a_column_of_paths(tmp_path, text):
    path = tmp_path / "list.csv"
    path.write_text(text)
    assert listed_videos(path) == [str(tmp_path / "a.mp4"), str(tmp_path / "sub" / "b.mp4")]


def test_a_list_beside_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("a.mp4\n")
    assert listed_videos("list.txt") == ["a.mp4"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.txt", b"\n \n", "names no video; expected a path on each line"),
        ("x.csv", b"", "names no video; expected a header"),
        ("x.csv", b"a.mp4\nb.mp4\n", "line 1: header is 'a.mp4'; expected a column path or video, or a list that ends"),
        ("x.csv", b"path,label\n,x\n", "line 2: empty path"),
        ("x.csv", b'path\n"a.mp4\n', "malformed"),
        ("x.txt", b"\0\1\2\xff" * 99, "is not UTF-8"),
        ("x.txt", b"a\0b.mp4\n", "line 1: a NUL character"),
        ("x.txt", b"a.mp4\nrtsp://me:secret@cam/1\n", "line 2: is an address"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        listed_videos(path)
    assert "secret" not in str(caught.value)


def test_what_is_a_list_and_what_an_address(tmp_path):
    (tmp_path / "a.txt").mkdir()
    assert not is_video_list(tmp_path / "a.txt") and not is_video_list("nowhere.csv")
    assert is_address("rtsp://cam/1") and is_address("HTTP://cam") and not is_address("C:/video.mp4")
    assert not is_address("a.mp4") and not is_address("folder//a.mp4")
