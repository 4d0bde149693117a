"""Every kind of video and of data set keeps to the same protocol."""

import numpy as np
import pytest

import keras_res3d
from keras_res3d.data.images import encode_jpeg
from keras_res3d.data.open import open_video, read_data_set
from keras_res3d.data.pack import pack
from keras_res3d.data.types import DataSet, VideoSource


@pytest.fixture(scope="module")
def videos(tmp_path_factory, make_video):
    """The same 16 frames as a file, as a folder of frames, packed; and one of the embedded data set's."""
    folder = tmp_path_factory.mktemp("kinds")
    rng = np.random.default_rng(0)
    frames = np.kron(rng.integers(0, 255, (16, 2, 3, 3), np.uint8), np.ones((1, 16, 16, 1), np.uint8))
    (folder / "files" / "a").mkdir(parents=True)
    make_video(folder / "files" / "a" / "a.mp4", frames, codec="libx264", options={"qp": "10"})
    (folder / "frames" / "a" / "a").mkdir(parents=True)
    for number, pixels in enumerate(frames):
        (folder / "frames" / "a" / "a" / f"{number}.jpg").write_bytes(encode_jpeg(pixels, 95))
    pack(read_data_set(folder / "files"), folder / "packed", (32, 48), workers=1)
    return {**{kind: read_data_set(folder / kind) for kind in ("files", "frames", "packed")}, "motion": "motion"}


@pytest.mark.parametrize("kind", ["files", "frames", "packed", "motion"])
def test_one_protocol(videos, kind):
    data = read_data_set(kind) if kind == "motion" else videos[kind]
    assert isinstance(data, DataSet)
    with data.open(0) as video:
        assert isinstance(video, VideoSource) and video.num_frames == 16 and video.faults == 0
        assert video.seconds.shape == (16,) and video.frame_rate == pytest.approx(25)
        whole = [pixels for _, pixels in video.frames(range(16))]
        small = [pixels for _, pixels in video.frames([2, 2, 9], size=(20, 24))]
        assert [pixels.shape for pixels in small] == [(20, 24, 3)] * 3 and np.array_equal(small[0], small[1])
        clips = list(video.clips([[0, 2], [15, 15, 3], [1, 0, 2]]))
        for places, clip in zip([[0, 2], [15, 15, 3], [1, 0, 2]], clips, strict=True):
            assert np.array_equal(clip, [whole[place] for place in places]) and clip.dtype == np.uint8
        assert list(video.clips([])) == [] and list(video.frames([])) == []
        for wanted, message in (([16], r"expected 0\.\.15"), ([-1, 3], r"expected 0\.\.15"), ([3, 1], "ascending")):
            with pytest.raises(ValueError, match=message):
                video.frames(wanted)
        with pytest.raises(ValueError, match=r"expected 0\.\.15"):
            video.clips([[0], [16]])


@pytest.mark.parametrize("kind", ["files", "frames", "packed", "motion"])
def test_frames_by_seconds(videos, kind):
    data = read_data_set(kind) if kind == "motion" else videos[kind]
    with data.open(0) as video:
        whole = [pixels for _, pixels in video.frames(range(16))]
        first = video.seconds[0]
        times = first + np.array([0, 0.0395, 0.041, 0.079, 0.3, 0.3, 0.599, 0.6, 0.63, 0.64])
        # A frame counts as shown a millisecond early.
        shown = [0, 1, 1, 2, 7, 7, 15, 15, 15, 15]
        for pixels, number in zip(video.frames_at(times), shown, strict=True):
            assert np.array_equal(pixels, whole[number])
        assert next(video.frames_at([first + 0.2], size=(20, 24))).shape == (20, 24, 3)
        assert list(video.frames_at([])) == []
        for wrong in ([first - 0.01], [first + 0.65], [float("nan")], [first, 1e9]):
            with pytest.raises(ValueError, match=rf"s were asked for; expected {first:g}\.\.{first + 0.64:g} s"):
                video.frames_at(wrong)
        with pytest.raises(ValueError, match="ascending"):
            video.frames_at([first + 0.2, first])


def test_frames_by_seconds_of_a_video_of_one_frame_and_of_a_clock(videos):
    with open_video(np.zeros((1, 8, 8, 3), np.uint8)) as video:
        assert len(list(video.frames_at([0, 0.04]))) == 1 + 1
    with videos["files"].open(0, fps=5) as video:
        assert video.num_frames == 4 and len(list(video.frames_at([0.1, 0.75]))) == 2


@pytest.mark.parametrize("kind", ["files", "frames", "packed"])
def test_one_clock(videos, kind):
    with videos[kind].open(0, fps=50) as video:
        assert video.num_frames == 32 and video.frame_rate == 50
        assert np.allclose(video.seconds, np.arange(32) / 50, atol=2e-3)
        shown = [pixels for _, pixels in video.frames(range(32))]
    with videos[kind].open(0) as video:
        stored = [pixels for _, pixels in video.frames(range(16))]
    assert all(np.array_equal(pixels, stored[number // 2]) for number, pixels in enumerate(shown))
    with pytest.raises(ValueError, match="fps is -1"):
        videos[kind].open(0, fps=-1)


def test_kinds_of_video_give_the_same_pixels(videos):
    clips = []
    for kind in ("files", "frames", "packed"):
        with videos[kind].open(0) as video:
            clips.append(next(video.clips([range(0, 16, 3)], size=(24, 36))).astype(int))
    assert np.abs(clips[0] - clips[1]).mean() < 6 and np.abs(clips[0] - clips[2]).mean() < 6


def test_a_video_is_public(videos):
    path = videos["files"].examples[0].path
    with keras_res3d.Video(path, size=(24, 36)) as video:
        assert next(video.clips([[0, 1]])).shape == (2, 24, 36, 3)
    with open_video(path, size=(24, 36)) as video:
        assert isinstance(video, keras_res3d.Video)
