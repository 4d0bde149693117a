"""A file that was opened before is not read again, gives the same frames, and is read again once it has changed."""

import os

import numpy as np
import pytest

from keras_res3d.data.sources import known_tables, video_file
from keras_res3d.data.sources.known_tables import KnownTables
from keras_res3d.data.sources.video_file import Video

COUNT = 40
LONG_AGO = 1_000_000_000


@pytest.fixture
def reads(monkeypatch):
    """The names of the files whose packets were read, by tables that know none yet."""
    found = []
    monkeypatch.setattr(video_file, "_TABLES", KnownTables())
    inner = known_tables.read_frame_table
    monkeypatch.setattr(known_tables, "read_frame_table", lambda *args: (found.append(args[0].name), inner(*args))[1])
    return found


def _write(make_video, path, seed=0, count=COUNT, age=LONG_AGO):
    levels = np.random.default_rng(seed).integers(0, 255, (count, 1, 1, 3), np.uint8)
    make_video(path, np.ascontiguousarray(np.broadcast_to(levels, (count, 32, 48, 3))))
    if age:
        os.utime(path, (age, age))
    return path


def _frames(path, numbers):
    with Video(path) as video:
        return video.num_frames, np.stack([pixels for _, pixels in video.frames(numbers)])


@pytest.mark.parametrize("numbers", [range(COUNT), [0], [COUNT - 1], [3, 17, 33]])
def test_what_is_known_gives_the_same_frames(make_video, tmp_path, reads, numbers):
    path = _write(make_video, tmp_path / "a.mp4")
    (count, first), (again, second) = _frames(path, numbers), _frames(path, numbers)
    assert count == again == COUNT and np.array_equal(first, second) and reads == [str(path)]


def test_times_that_a_user_changes_are_the_users_own(make_video, tmp_path, reads):
    path = _write(make_video, tmp_path / "a.mp4")
    with Video(path) as video:
        found = video.seconds.copy()
        video.seconds += 100
    with Video(path) as video:
        assert np.array_equal(video.seconds, found) and len(reads) == 1


def test_a_file_that_changed_or_may_still_change_is_read_again(make_video, tmp_path, reads):
    path = _write(make_video, tmp_path / "a.mp4")
    _frames(path, [0])
    _write(make_video, path, count=30)
    assert _frames(path, [29])[0] == 30 and len(reads) == 2
    _write(make_video, path, age=None)
    assert [_frames(path, [0])[0] for _ in range(2)] == [COUNT] * 2 and len(reads) == 4


def test_formats_without_an_index_and_bytes_are_read_again(make_video, tmp_path, reads):
    path = _write(make_video, tmp_path / "a.avi")
    for source in (path, path, path.read_bytes()):
        _frames(source, [5])
    assert len(reads) == 3


def test_tables_are_kept_up_to_so_many_bytes(make_video, tmp_path, reads, monkeypatch):
    paths = [_write(make_video, tmp_path / f"{name}.mp4") for name in "abc"]
    with Video(paths[0]) as video:
        size = known_tables._bytes_of(video._table)
    assert size > 2 * 8 * COUNT
    reads.clear()
    monkeypatch.setattr(video_file, "_TABLES", KnownTables(2 * size))
    for path in (*paths[:2], paths[0], paths[2], paths[0], paths[1]):
        _frames(path, [0])
    assert [os.path.basename(name)[0] for name in reads] == ["a", "b", "c", "b"]
