"""The table of frames that the packets promise."""

import struct
import warnings

import av
import numpy as np
import pytest

from keras_res3d.data.sources import frame_table
from keras_res3d.data.sources.container import Medium, open_container
from keras_res3d.data.sources.frame_table import read_frame_table
from keras_res3d.data.sources.video_file import Video
from keras_res3d.data.types import VideoError

MAX_PIXELS = 10_000_000


def table_of(path):
    container, stream = open_container(Medium(path), MAX_PIXELS)
    with container:
        return read_frame_table(Medium(path), container, stream)


@pytest.fixture(scope="module")
def pixels():
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 255, (40, 6, 8, 3), np.uint8), np.ones((1, 8, 8, 1), np.uint8))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_frames_out_of_order_are_numbered_as_shown(tmp_path, make_video, pixels, name):
    table = table_of(make_video(tmp_path / name, pixels, codec="libx264", options={"g": "10", "bf": "2"}))
    assert np.allclose(np.diff(table.seconds), 1 / 25, atol=2e-3) and len(table.seconds) == 40
    assert len(table.pts) == 40 and (np.diff(table.pts) > 0).all()
    assert table.keys[0] == 0 and len(table.keys) >= 4 and len(table.key_dts) == len(table.keys)
    assert table.promised == (40 if name == "a.mp4" else 0)


def test_avi_with_b_frames_is_counted_and_without_them_timed(tmp_path, make_video, pixels):
    plain = table_of(make_video(tmp_path / "a.avi", pixels, options={"g": "10"}))
    assert {0, 10, 20, 30} <= set(plain.keys.tolist()) and plain.promised == 40
    ordered = table_of(make_video(tmp_path / "b.avi", pixels, options={"g": "10", "bf": "2"}))
    assert ordered.pts is None and not len(ordered.keys) and len(ordered.seconds) == 40
    assert (np.diff(ordered.seconds) > 0).all()


def test_real_placeholders_are_no_frames(shared_data):
    name = "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi"
    table = table_of(shared_data / "clips" / name)
    assert len(table.seconds) == table.promised == 83


def test_files_put_behind_one_another_are_read_to_the_end(tmp_path, make_video, pixels):
    for name in ("a.mkv", "a.ts"):
        path = make_video(tmp_path / name, pixels, codec="libx264", options={"g": "10", "bf": "2"})
        path.write_bytes(path.read_bytes() * 2)
        with warnings.catch_warnings(), Video(path, strict=True) as video:
            warnings.simplefilter("error")
            assert video.num_frames == 80, name
            assert np.allclose(np.diff(video.seconds), 0.04, atol=2e-3), name
            whole = [frame for _, frame in video.frames(range(80))]
            assert all(np.array_equal(whole[i], whole[i + 40]) for i in range(40)), name
            assert np.array_equal(next(video.frames([57]))[1], whole[57]), name


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.ts", "a.avi", "a.flv"])
def test_a_negative_start_is_no_damage(tmp_path, make_video, pixels, name):
    path = make_video(tmp_path / name, pixels, codec="libx264", options={"g": "5", "bf": "0"}, pts=range(-10, 30))
    with warnings.catch_warnings(), Video(path, strict=True) as video:
        warnings.simplefilter("error")
        # MP4 leaves out what lies before the start; other formats move the start.
        assert video.num_frames == (30 if name in ("a.mp4", "a.mov") else 40)
        assert len(list(video.frames(range(video.num_frames)))) == video.num_frames


def with_sound(path, pixels, seconds):
    """A video with a longer sound track."""
    with av.open(str(path), "w") as container:
        video, sound = container.add_stream("mpeg4", rate=25), container.add_stream("pcm_s16le", rate=8000)
        video.height, video.width, video.pix_fmt = *pixels[0].shape[:2], "yuv420p"
        for number in range(int(25 * seconds)):
            if number < len(pixels):
                container.mux(video.encode(av.VideoFrame.from_ndarray(pixels[number], format="rgb24")))
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 320), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, 320 * number
            container.mux(sound.encode(frame))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return path


def test_a_video_shorter_than_its_sound_is_whole_and_its_half_is_cut(tmp_path, pixels):
    path = with_sound(tmp_path / "a.mkv", pixels, 6)
    with warnings.catch_warnings(), Video(path, strict=True) as video:
        warnings.simplefilter("error")
        assert video.num_frames == 40
    data = path.read_bytes()
    for kept in (len(data) // 2, len(data) - 100):
        cut = tmp_path / f"{kept}.mkv"
        cut.write_bytes(data[:kept])
        with pytest.warns(UserWarning, match=rf"promises .*{len(data)} bytes, {kept} are there: the file is cut short"):
            Video(cut).close()


def test_noise_that_hides_packets_of_matroska_is_damage(tmp_path, make_video, pixels):
    path = make_video(tmp_path / "a.mkv", np.concatenate([pixels] * 8), codec="mjpeg", pix_fmt="yuvj420p")
    with warnings.catch_warnings(), Video(path, strict=True) as video:
        warnings.simplefilter("error")
        assert video.num_frames == 320
    data = bytearray(path.read_bytes())
    middle = len(data) // 4
    data[middle : middle + 40_000] = np.random.default_rng(0).bytes(40_000)
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"a\.mkv: (\d+ bytes after .* hold no frames|its header promises 12\.80 sec)"):
        Video(path, strict=True)


@pytest.mark.parametrize(("name", "codec", "what"), [
    ("a.flv", "flv", r"promises 1\.\d\d seconds, 0\.\d\d are there"),
    ("a.wmv", "wmv2", r"promises \d+ bytes, \d+ are there"),
])
def test_half_a_file_that_names_its_length_is_cut_short(tmp_path, make_video, pixels, name, codec, what):
    path = make_video(tmp_path / name, pixels, codec=codec)
    with warnings.catch_warnings(), Video(path, strict=True) as video:
        warnings.simplefilter("error")
        assert video.num_frames == 40
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match=what):
        Video(path, strict=True)


def claiming(path, count):
    """Rewrite the sample table of an MP4: it claims so many samples of one byte in one chunk."""
    data = bytearray(path.read_bytes())
    for box, offset, numbers in ((b"stsz", 8, (1, count)), (b"stts", 12, (count,)), (b"stsc", 16, (count,))):
        place = data.index(box) + offset
        data[place : place + 4 * len(numbers)] = struct.pack(f">{len(numbers)}I", *numbers)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("count", "what"), [
    (200_000, r"claims 200000 or more frames in \d+ bytes; expected at most one in 4 bytes"),
    (2_000_000, r"its table claims 2000000 samples, and the file has \d+ bytes"),
    (2**31, r"its table claims 2147483648 samples, and the file has \d+ bytes"),
])
def test_a_table_of_millions_in_a_small_file_is_refused(tmp_path, make_video, pixels, count, what):
    plain = make_video(tmp_path / "a.mov", pixels[:2], codec="png", pix_fmt="rgb24")
    assert len(table_of(plain).seconds) == 2
    with pytest.raises(VideoError, match=rf"a\.mov: {what}"):
        Video(claiming(plain, count))


def test_no_more_packets_are_read_than_a_bound(tmp_path, make_video, pixels, monkeypatch):
    path = make_video(tmp_path / "a.ts", pixels)
    monkeypatch.setattr(frame_table, "MAX_PACKETS", 40)
    assert len(table_of(path).seconds) == 40
    monkeypatch.setattr(frame_table, "MAX_PACKETS", 39)
    with pytest.raises(VideoError, match=r"a\.ts: claims 40 or more frames"):
        table_of(path)


def test_the_end_that_matroska_promises():
    header = b"\x1a\x45\xdf\xa3\x84abcd"
    assert frame_table._segment_end(header + b"\x18\x53\x80\x67\x85hello") == 9 + 5 + 5
    assert frame_table._segment_end(header + b"\xec\x82xy" + b"\x18\x53\x80\x67\x40\x64") == 9 + 4 + 6 + 100
    for unknown in (b"", b"\x1a\x45\xdf\xa3", header, header + b"\x18\x53\x80\x67\x01" + b"\xff" * 7,
                    header + b"\x18\x53\x80\x67\xff", header + b"\x18\x53\x80\x67\x00", b"RIFF"):  # fmt: skip
        assert frame_table._segment_end(unknown) is None
