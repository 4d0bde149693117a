"""The shared odd and damaged videos, file by file: frames, size, times and faults as FFmpeg has them."""

import json
import warnings

import numpy as np
import pytest

from keras_res3d.data.sources.video_file import Video
from keras_res3d.data.types import VideoError

HEALTHY = (
    "alpha_vp9.webm", "anim.gif", "attach.mkv", "base.mp4", "c601.mp4", "c709.mp4", "editlist.mp4", "gap_1year.mkv",
    "hevc_open.mov", "interlaced.mpg", "intra_refresh.mp4", "late.mkv", "m4_b.avi", "mirror_h.mp4", "mirror_v.mp4",
    "negative.mkv", "one.mp4", "open_gop.mp4", "resolution_change.ts", "skydio.mp4", "ten.mp4", "vfr.mp4",
    "video_bt2020cl_matrix.mp4", "video_ycgco_matrix.mp4", "vp8_altref.webm",
)  # fmt: skip
# Files whose times are not FFmpeg's: it drops a time stamp that is a year late, and it guesses other times where there
# are none; here frames are counted from the start.
OTHER_TIMES = ("gap_1year.mkv", "late.mkv", "negative.mkv")
# What a warning says of damaged files, and how many faults a whole pass counts.
DAMAGED = {
    "odd/cut_base.mkv": (50, "promises 4.00 seconds, 2.00 are there", 1),
    "odd/noise_base.mkv": (76, "hold no frames", 2),
    "hostile/50_part.mkv": (24, "promises 2.00 seconds, 0.96 are there", 1),
    "hostile/50_v8.webm": (23, "promises 2.00 seconds, 0.92 are there", 1),
}
ABSURD = "mp4_2e5_packets.mp4"


@pytest.fixture(scope="module")
def odd(shared_data):
    if not (shared_data / "odd").is_dir():
        pytest.skip("no odd videos among the test data")
    return shared_data / "odd"


def test_every_odd_file_has_its_test(odd):
    names = {path.name for path in odd.iterdir()} - {"README.md", "ffmpeg.json"}
    assert names == {*HEALTHY, ABSURD, *(name[4:] for name in DAMAGED if name.startswith("odd/"))}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_files_are_read_whole_and_by_seeks(odd, name):
    right = json.loads((odd / "ffmpeg.json").read_text())[name]
    width, height = map(int, right["size"].split("x"))
    with warnings.catch_warnings(), Video(odd / name, strict=True) as video:
        warnings.simplefilter("error")
        assert video.num_frames == right["frames"]
        whole = [pixels for _, pixels in video.frames(range(video.num_frames))]
        assert {pixels.shape for pixels in whole[:40]} == {(height, width, 3)}
        assert (np.diff(video.seconds) > 0).all()
        if name not in OTHER_TIMES:
            assert video.seconds[-1] - video.seconds[0] == pytest.approx(right["last"] - right["first"], abs=0.002)
        numbers = np.random.default_rng(0).integers(0, video.num_frames, 40)
        for number in numbers.tolist():
            assert np.array_equal(next(video.frames([number]))[1], whole[number]), number
        assert video.faults == 0


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_warned_of_once_and_refused_when_strict(shared_data, name):
    frames, what, faults = DAMAGED[name]
    path = shared_data / name
    if not path.is_file():
        pytest.skip(f"no {name} among the test data")
    with pytest.warns(UserWarning, match=what) as caught, Video(path) as video:
        assert video.num_frames == frames
        assert len(list(video.frames(range(frames)))) == frames
        assert video.faults == faults
    assert len(caught) == 1 and path.name in str(caught[0].message)
    with pytest.raises(VideoError, match=what):
        Video(path, strict=True)


def test_a_table_that_claims_more_than_the_file_can_hold_is_refused(odd):
    with pytest.raises(VideoError, match=r"packets\.mp4: claims 200000 or more frames in 2380 bytes"):
        Video(odd / ABSURD)


@pytest.mark.parametrize("name", ["late.mkv", "gap_1year.mkv"])
def test_a_gap_of_a_year_is_named_when_resampled(odd, name):
    with pytest.raises(VideoError, match=rf"{name}: .*gap of 3153\d+\.\d seconds"):
        Video(odd / name, fps=15)


@pytest.mark.parametrize("name", ["attach.mkv", "skydio.mp4"])
def test_a_cover_is_there_for_those_who_ask(odd, name):
    cover = {"attach.mkv": 1, "skydio.mp4": 0}[name]
    with Video(odd / name, stream=cover) as video:
        assert video.num_frames == 1 and len(list(video.frames([0]))) == 1
    with Video(odd / name, stream=1 - cover) as video:
        assert video.num_frames == 100
    with pytest.raises(VideoError, match=r"stream 2 was asked for, and it has 2 video streams; expected .* 0 to 1"):
        Video(odd / name, stream=2)


def test_the_real_clips_are_healthy(shared_data):
    for path in sorted((shared_data / "clips").iterdir()):
        with warnings.catch_warnings(), Video(path, strict=True) as video:
            warnings.simplefilter("error")
            assert video.num_frames > 40
