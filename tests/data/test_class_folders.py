"""Class folders: what is read, what is left out and said, and where links lead."""

import itertools
import os
import pathlib

import numpy as np
import pytest

from keras_res3d.data.open import list_videos, read_data_set, read_layout
from keras_res3d.data.types import UNREAD_EXTENSIONS, VIDEO_EXTENSIONS, DataError


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(rows, folder):
    return [str(pathlib.Path(row.path).relative_to(folder)) for row in rows]


def test_every_suffix_of_a_video_is_read(tmp_path):
    for suffix in (".ts", ".mts", ".m2ts", ".ogv", ".vob", ".gif", ".mpg", ".MP4", ".3g2", ".asf"):
        touch(tmp_path / "a" / f"1{suffix}", tmp_path / "b" / f"1{suffix}")
    assert len(read_data_set(tmp_path)) == 20
    assert not VIDEO_EXTENSIONS & UNREAD_EXTENSIONS


@pytest.mark.parametrize("name, codec, container", [
    ("a.ts", "mpeg2video", "mpegts"), ("a.m2ts", "libx264", "mpegts"), ("a.vob", "mpeg2video", "vob"),
    ("a.ogv", "vp8", "ogg"), ("a.m2v", "mpeg2video", "mpeg2video"), ("a.asf", "wmv2", "asf"),
    ("a.f4v", "libx264", "f4v"), ("a.qt", "mpeg4", "mov"), ("a.3g2", "mpeg4", "3g2"),
])
def test_the_files_are_videos_that_decode(name, codec, container, tmp_path, make_video):
    (tmp_path / "a").mkdir()
    frames = np.repeat(np.arange(12, dtype=np.uint8)[:, None, None, None] * 20, 48, 1).repeat(64, 2).repeat(3, 3)
    make_video(tmp_path / "a" / name, frames, codec=codec, container_format=container)
    with read_data_set(tmp_path).open(0) as video:
        levels = next(video.clips([range(12)])).mean((1, 2, 3))
        assert video.num_frames == 12 and video.faults == 0 and np.abs(levels - 20 * np.arange(12)).max() < 12


def test_what_is_left_out_is_counted(tmp_path, recwarn):
    touch(tmp_path / "run" / "a.mp4", tmp_path / "run" / "b.webp", tmp_path / "run" / "c.WEBP",
          tmp_path / "run" / "d.rmvb", tmp_path / "run" / "._a.mp4", tmp_path / "run" / "notes.txt",
          tmp_path / "walk" / "deep" / "b.mp4", tmp_path / "walk" / "deep" / "thumbnail.jpg",
          tmp_path / "walk" / "frames" / "1.jpg", tmp_path / "c.mp4", tmp_path / "walk" / ".hidden" / "d.mp4")
    found = list_videos(tmp_path)
    assert names(found.rows, tmp_path) == ["run/a.mp4", "walk/deep/b.mp4", "walk/frames"] and not found.faults
    assert found.notes == ("files are left out: 1 .rmvb, 2 .webp, 1 beside the class folders, 1 pictures beside "
                           "videos, 1 with a dot in front",)  # fmt: skip
    assert len(read_data_set(tmp_path)) == 3
    assert [str(each.message) for each in recwarn] == [f"{tmp_path}: {found.notes[0]}"]


def test_links_to_files_and_folders_are_followed(tmp_path):
    touch(tmp_path / "far" / "walk" / "a.mp4", tmp_path / "far" / "frames" / "1.png", tmp_path / "far" / "b.mkv")
    data = tmp_path / "data"
    (data / "run").mkdir(parents=True)
    (data / "walk").symlink_to(tmp_path / "far" / "walk")
    (data / "run" / "deep").symlink_to(tmp_path / "far" / "frames")
    (data / "run" / "b.mkv").symlink_to(tmp_path / "far" / "b.mkv")
    assert names(list_videos(data).rows, data) == ["run/b.mkv", "run/deep", "walk/a.mp4"]
    assert read_data_set(data).classes == ("run", "walk")


def test_loops_are_refused_by_name(tmp_path):
    touch(tmp_path / "run" / "a.mp4", tmp_path / "walk" / "deep" / "b.mp4")
    (tmp_path / "walk" / "deep" / "back").symlink_to(tmp_path / "walk")
    (tmp_path / "run" / "self").symlink_to("self")
    with pytest.raises(DataError) as caught:
        read_data_set(tmp_path)
    own, back = caught.value.faults
    assert back == (f"{tmp_path}/walk/deep/back is a link to {tmp_path}/walk, which holds it: a loop; remove the link")
    assert own.startswith(f"{tmp_path}/run/self cannot be followed (")


def test_folders_that_link_to_each_other_many_times_end(tmp_path):
    """Two links in each of 30 folders to the next: two to the power of 30 ways."""
    folders = [tmp_path / "far" / str(number) for number in range(30)]
    for folder in folders:
        folder.mkdir(parents=True)
    touch(folders[-1] / "a.mp4")
    for folder, following in itertools.pairwise(folders):
        for name in ("x", "y"):
            (folder / name).symlink_to(following)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "run").symlink_to(folders[0])
    found = list_videos(tmp_path / "data")
    assert len(found.rows) == 1 and len(found.faults) == 29
    assert found.faults[-1] == f"{tmp_path}/data/run/y is the same folder as {tmp_path}/data/run/x; keep one of them"


def test_links_that_lead_nowhere_are_faults_or_skipped(tmp_path):
    touch(tmp_path / "run" / "a.mp4", tmp_path / "walk" / "b.mp4")
    (tmp_path / "run" / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "run" / "notes.txt").symlink_to(tmp_path / "nowhere.txt")
    found = list_videos(tmp_path)
    assert found.faults == (f"{tmp_path}/run/gone.mp4 is a link to {tmp_path}/nowhere.mp4, which is not there",)
    with pytest.warns(UserWarning, match=r"1 of 3 videos are missing and left out: .*/run/gone\.mp4"):
        data = read_data_set(tmp_path, skip_missing=True)
    assert len(data) == 2 and data.missing == (f"{tmp_path}/run/gone.mp4",)
    (tmp_path / "jump").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="jump is a link to"):
        read_data_set(tmp_path, skip_missing=True)


def test_one_folder_or_video_of_two_classes_is_a_fault(tmp_path):
    touch(tmp_path / "run" / "a.mp4", tmp_path / "walk" / "b.mp4")
    (tmp_path / "walk" / "c.mp4").symlink_to(tmp_path / "run" / "a.mp4")
    (tmp_path / "walk2").symlink_to(tmp_path / "walk")
    assert list_videos(tmp_path).faults == (
        f"{tmp_path}/walk2 is the same folder as {tmp_path}/walk; keep one of them",
        f"{tmp_path}/walk/c.mp4 is the same video as {tmp_path}/run/a.mp4, with the labels 'run' and 'walk'; keep one "
        "of them",
    )


def test_a_folder_that_cannot_be_read_is_a_fault(tmp_path, monkeypatch):
    touch(tmp_path / "run" / "a.mp4", tmp_path / "run" / "closed" / "b.mp4")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert list_videos(tmp_path).faults == (f"{tmp_path}/run/closed cannot be read (Permission denied)",)


def test_files_by_id_are_found_behind_links(tmp_path):
    touch(tmp_path / "far" / "abc_000001_000002.mp4", tmp_path / "far" / "new.ts")
    root = tmp_path / "videos"
    (root / "x").mkdir(parents=True)
    (root / "x" / "link").symlink_to(tmp_path / "far")
    (root / "x" / "back").symlink_to(root)
    (tmp_path / "train.csv").write_text(
        "label,youtube_id,time_start,time_end,split\na,abc,1,2,train\nb,new,3,4,train\nb,gone,3,4,train\n")
    with pytest.raises(DataError, match=r"line 4: missing file gone_000003_000004\.mp4"):
        read_layout("kinetics", tmp_path / "train.csv", root)
    with pytest.warns(UserWarning, match="1 of 3 videos are missing"):
        data = read_layout("kinetics", tmp_path / "train.csv", root, skip_missing=True)
    assert [os.path.basename(example.path) for example in data.examples] == ["abc_000001_000002.mp4", "new.ts"]
