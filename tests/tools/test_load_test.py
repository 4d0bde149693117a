"""The tool that loads commands with many videos: its broken videos cannot be read, its counts notice what is wrong."""

import pathlib
import sys

import pytest

from keras_res3d.data.open import open_video
from keras_res3d.data.types import VideoError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import load_test


@pytest.mark.parametrize("way", [way for way in load_test.BROKEN if "8000" not in way])
def test_nothing_can_be_read_of_a_broken_video(tmp_path, way):
    load_test.BROKEN[way](tmp_path / "0.mp4")
    with pytest.raises(VideoError, match=r"0\.mp4"), open_video(tmp_path / "0.mp4") as video:
        list(video.frames(range(video.num_frames)))


def test_a_share_of_the_videos_is_broken_in_every_way(tmp_path, monkeypatch):
    monkeypatch.setattr(load_test, "BROKEN", {"empty": load_test.BROKEN["empty"], "text": load_test.BROKEN["text"]})
    good, broken = load_test.make_videos(tmp_path / "videos", 8, 0.25)
    assert broken == {"a/0002.mp4": "empty", "a/0006.mp4": "text"}
    assert good == [f"{'ab'[number % 2]}/{number:04}.mp4" for number in (0, 1, 3, 4, 5, 7)]
    assert sorted(path.relative_to(tmp_path / "videos").as_posix() for path in tmp_path.rglob("*.mp4")) == sorted(
        [*good, *broken])  # fmt: skip


def test_what_is_lost_or_told_twice_is_noticed():
    assert load_test.wrong(["videos/a/0.mp4", "b/1.mp4"], ["a/0.mp4", "b/1.mp4"]) == []
    assert load_test.wrong(["a/0.mp4", "a/0.mp4"], ["a/0.mp4", "b/1.mp4"]) == ["a/0.mp4", "b/1.mp4"]
    assert load_test.wrong(["a/0.mp4"], []) == ["a/0.mp4"]


def test_growth_shows_between_the_quarters():
    seen = load_test.Watched("", [*range(8)], [1, 5, 9, 9, 9, 9, 10, 12], [3] * 8)
    assert seen.quarters(seen.memory) == (9, 12) and seen.quarters(seen.descriptors) == (3, 3)


@pytest.mark.slow
def test_every_verb_tells_every_video_once(capsys, tmp_path):
    assert load_test.main(["--videos", "45", "--share", "0.2", "--plot", str(tmp_path / "load.png")]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if " | 36 | 9 | 0 | " in line]
    assert [row[0].strip("| ") for row in rows] == list(load_test.VERBS)
    assert (tmp_path / "load.png").stat().st_size > 10_000
