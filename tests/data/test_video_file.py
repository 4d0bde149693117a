"""Reading frames: real clips against a full decode, odd formats, bad files, memory."""

import fractions
import struct
import tracemalloc
import warnings

import av
import cv2
import numpy as np
import pytest

from keras_res3d.data.clips import even_clips, sliding_clips
from keras_res3d.data.sources import video_file as decode
from keras_res3d.data.sources.container import BROKEN_METADATA
from keras_res3d.data.sources.video_file import Video
from keras_res3d.data.types import VideoError


def full_decode(path):
    with av.open(str(path), **BROKEN_METADATA) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def numbered(count, height=48, width=64):
    """Frames that carry their number as eight bars, the bits of it."""
    bits = np.arange(count)[:, None] >> np.arange(8) & 1
    bars = np.repeat(16 + 224 * bits.astype(np.uint8), width // 8, axis=1)
    return np.broadcast_to(bars[:, None, :, None], (count, height, width, 3))


def number_of(pixels):
    bars = pixels.reshape(pixels.shape[0], 8, -1).mean((0, 2))
    return int((bars > 128) @ (1 << np.arange(8)))


def read(path, indices, **options):
    with Video(path, **options) as video:
        return [pixels for _, pixels in video.frames(indices)]


def test_real_clips_agree_with_a_full_decode(shared_data):
    paths = sorted((shared_data / "clips").iterdir())
    assert len(paths) == 8
    for path in paths:
        expected = full_decode(path)
        count = len(expected)
        with warnings.catch_warnings(), Video(path, strict=True) as video:
            warnings.simplefilter("error")
            assert video.num_frames == count, path.name
            assert (np.diff(video.seconds) > 0).all()
            for wanted in ([count - 1], [count // 2, count - 2], range(3, count, 37), range(0, count, 5)):
                for index, pixels in video.frames(wanted):
                    assert np.array_equal(pixels, expected[index]), (path.name, index)
            assert video.faults == 0


def test_real_clips_have_the_pixels_that_the_released_nets_saw(shared_data):
    """Read and resized by OpenCV, which the nets were trained with. All eight clips have the matrix of BT.601."""
    for path in sorted((shared_data / "clips").iterdir()):
        capture, expected = cv2.VideoCapture(str(path)), []
        while (found := capture.read())[0]:
            expected.append(cv2.resize(found[1], (171, 128))[..., ::-1])
        capture.release()
        with Video(path, size=(128, 171)) as video:
            assert video.num_frames == len(expected), path.name
            found = video.frames(range(len(expected)))
            differences = [np.abs(pixels.astype(int) - expected[number]).mean() for number, pixels in found]
        assert np.mean(differences) < 1, path.name


def test_a_time_stamp_late_by_years_is_refused_when_resampled(tmp_path, make_video):
    ticks, base = [0, 40, 40 + 3 * 10**10], fractions.Fraction(1, 1000)
    path = make_video(tmp_path / "a.mkv", numbered(3), codec="ffv1", pts=ticks, time_base=base)
    with Video(path) as video:
        assert video.num_frames == 3
    with pytest.raises(VideoError, match=r"a\.mkv: frames span \d+ seconds"):
        Video(path, fps=15)


def test_seeking_gives_the_frames_of_a_full_decode(tmp_path, make_video, monkeypatch):
    rng = np.random.default_rng(0)
    frames = np.kron(rng.integers(0, 255, (90, 6, 8, 3), np.uint8), np.ones((1, 8, 8, 1), np.uint8))
    seeks = []
    seek = decode._Reader._seek
    monkeypatch.setattr(decode._Reader, "_seek", lambda *args: seeks.append(seek(*args)) or seeks[-1])
    for name, codec in (("a.mp4", "libx264"), ("a.mkv", "libx264"), ("b.mp4", "mpeg4"), ("a.ts", "libx264")):
        options = {"g": "15", "bf": "2"}
        path = make_video(tmp_path / name, frames, codec=codec, options=options)
        expected = full_decode(path)
        assert len(expected) == 90
        seeks.clear()
        for wanted in ([80], [0, 44, 45, 46, 89], [29, 60], [14, 16, 31], range(0, 90, 20)):
            for index, pixels in zip(wanted, read(path, wanted, strict=True), strict=True):
                assert np.array_equal(pixels, expected[index]), (name, index)
        assert any(seeks), name


def test_avi_with_b_frames_is_counted_from_its_start(tmp_path, make_video):
    rng = np.random.default_rng(0)
    frames = np.kron(rng.integers(0, 255, (50, 6, 8, 3), np.uint8), np.ones((1, 8, 8, 1), np.uint8))
    for codec in ("mpeg4", "libx264"):
        path = make_video(tmp_path / f"{codec}.avi", frames, codec=codec, options={"g": "15", "bf": "2"})
        expected = full_decode(path)
        assert len(expected) == 50
        for wanted in ([40], range(50), [3, 31, 49]):
            for index, pixels in zip(wanted, read(path, wanted, strict=True), strict=True):
                assert np.array_equal(pixels, expected[index]), (codec, index)


def test_clips_are_frames_in_the_order_asked_for(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", numbered(30))
    with Video(path, size=(24, 32)) as video:
        places = [*even_clips(30, 4, 2, clips=3), np.array([28, 29, 29, 29]), np.array([2, 1, 0, 5])]
        for place, clip in zip(places, video.clips(places), strict=True):
            assert clip.shape == (4, 24, 32, 3) and clip.dtype == np.uint8
            assert [number_of(pixels) for pixels in clip] == place.tolist()
        assert next(video.clips([places[0]], size=(10, 16))).shape == (4, 10, 16, 3)


def test_sliding_clips_hold_only_the_frames_that_later_clips_need(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", np.repeat(numbered(60, 240, 320), 10, axis=0), fps=25)
    with Video(path) as video:
        places = sliding_clips(600, 8, 2, 4)
        tracemalloc.start()
        total = sum(clip.nbytes for clip in video.clips(places))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert total > 150e6
    assert peak < 20e6


def test_two_readings_at_once_are_refused(tmp_path, make_video):
    with Video(make_video(tmp_path / "a.mp4", numbered(20))) as video:
        first = video.frames([0, 10])
        next(first)
        next(video.frames([3]))
        with pytest.raises(RuntimeError, match="later reading"):
            next(first)


def test_indices_out_of_range_or_order_are_refused(tmp_path, make_video):
    with Video(make_video(tmp_path / "a.mp4", numbered(5))) as video:
        with pytest.raises(ValueError, match=r"expected 0\.\.4"):
            next(video.frames([5]))
        with pytest.raises(ValueError, match="ascending"):
            next(video.frames([3, 1]))


COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [200, 200, 200]], np.uint8)


def quadrants(height, width):
    """Red, green above blue, white."""
    pixels = np.empty((height, width, 3), np.uint8)
    for i, colour in enumerate(COLOURS):
        rows = slice(0, height // 2) if i < 2 else slice(height // 2, None)
        pixels[rows, slice(0, width // 2) if i % 2 == 0 else slice(width // 2, None)] = colour
    return pixels


def corners(pixels):
    height, width = pixels.shape[:2]
    return np.array([pixels[r, c] for r in (height // 4, height * 3 // 4) for c in (width // 4, width * 3 // 4)], int)


@pytest.mark.parametrize(("codec", "pix_fmt", "height", "width", "name"), [
    ("mpeg4", "yuv420p", 48, 64, "a.mp4"),
    ("mpeg4", "yuv420p", 47, 63, "a.avi"),
    ("libx264", "yuv444p10le", 48, 64, "a.mp4"),
    ("libx264", "yuv444p10le", 47, 63, "a.mkv"),
    ("ffv1", "bgra", 47, 63, "a.mkv"),
    ("ffv1", "gray", 47, 63, "a.mkv"),
    ("ffv1", "gray16le", 48, 64, "a.mkv"),
    ("mjpeg", "yuvj420p", 48, 64, "a.avi"),
])
def test_pixel_formats_keep_their_colours(tmp_path, make_video, codec, pix_fmt, height, width, name):
    frames = np.stack([quadrants(height, width)] * 3)
    path = make_video(tmp_path / name, frames, codec=codec, pix_fmt=pix_fmt)
    expected = COLOURS.astype(int)
    if "gray" in pix_fmt:
        expected = np.repeat(np.rint(expected @ [0.299, 0.587, 0.114])[:, None], 3, axis=1)
    for size in (None, (128, 171)):
        pixels = read(path, [0, 2], size=size)[1]
        assert pixels.shape == (*(size or (height, width)), 3) and pixels.dtype == np.uint8
        assert np.abs(corners(pixels) - expected).max() <= 8, (size, corners(pixels))


def rotated(path, a, b, c, d, x, y):
    """Write a display matrix into an MP4's track header: (px, py) goes to (a px + c py + x, b px + d py + y)."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    data[place:place + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, x << 16, y << 16, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("matrix", "order"), [
    ((0, 1, -1, 0, 48, 0), [2, 0, 3, 1]),  # a quarter clockwise: top left goes to top right
    ((0, -1, 1, 0, 0, 64), [1, 3, 0, 2]),
    ((-1, 0, 0, -1, 64, 48), [3, 2, 1, 0]),
])
def test_rotation_in_the_metadata_comes_out_upright(tmp_path, make_video, matrix, order):
    path = rotated(make_video(tmp_path / "a.mp4", np.stack([quadrants(48, 64)] * 3)), *matrix)
    upright = (48, 64) if matrix[0] else (64, 48)
    for size in (None, (40, 80)):
        pixels = read(path, [1], size=size)[0]
        assert pixels.shape[:2] == (size or upright)
        assert np.abs(corners(pixels) - COLOURS[order].astype(int)).max() <= 8


def test_variable_frame_rate_is_resampled_by_time_stamps(tmp_path, make_video):
    # Half a second at 20 frames a second, then a second at 5.
    ticks = [*range(0, 500, 50), *range(500, 1500, 200)]
    path = make_video(tmp_path / "a.mkv", numbered(15), pts=ticks, time_base=fractions.Fraction(1, 1000))
    with Video(path) as video:
        assert video.num_frames == 15
        assert np.allclose(video.seconds, np.array(ticks) / 1000, atol=2e-3)
        assert [number_of(p) for _, p in video.frames(range(15))] == list(range(15))
    with Video(path, fps=10) as video:
        assert [number_of(p) for _, p in video.frames(range(video.num_frames))] == [
            0, 2, 4, 6, 8, 10, 10, 11, 11, 12, 12, 13, 13, 14]
        assert video.frame_rate == 10
        assert [number_of(p) for p in next(video.clips([np.array([0, 5, 9, 13])]))] == [0, 10, 12, 14]


def cut(path, kept, target):
    data = path.read_bytes()
    target.write_bytes(data[:int(len(data) * kept)])
    return target


def test_a_truncated_file_warns_once_or_raises(tmp_path, make_video):
    rng = np.random.default_rng(0)
    frames = np.kron(rng.integers(0, 255, (60, 6, 8, 3), np.uint8), np.ones((1, 8, 8, 1), np.uint8))
    path = make_video(tmp_path / "a.mp4", frames, container_options={"movflags": "faststart"})
    for half in (cut(path, 0.5, tmp_path / "cut.mp4"),
                 cut(make_video(tmp_path / "b.mp4", frames), 0.5, tmp_path / "late.mp4"),
                 cut(make_video(tmp_path / "b.mkv", frames), 0.5, tmp_path / "cut.mkv"),
                 cut(make_video(tmp_path / "c.avi", frames), 0.5, tmp_path / "cut.avi")):
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                with Video(half) as video:
                    assert 10 < video.num_frames < 60, half
                    assert len(list(video.frames(range(video.num_frames)))) == video.num_frames
            # Matroska names its bytes and its seconds in place of its frames.
            promised = "2.40 seconds" if half.suffix == ".mkv" else "60"
            assert len(caught) == 1 and half.name in str(caught[0].message) and promised in str(caught[0].message)
            with pytest.raises(VideoError, match=promised):
                Video(half, strict=True)
        except VideoError as error:  # an MP4 whose table stood at its end
            assert half.name in str(error) and half.name == "late.mp4"


def blank_packets(path, lost):
    """Overwrite the data of the packets with these numbers by zeros."""
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
    data, place = bytearray(path.read_bytes()), 0
    for number, packet in enumerate(packets):
        place = data.index(packet, place)
        if number in lost:
            data[place:place + len(packet)] = bytes(len(packet))
        place += len(packet)
    path.write_bytes(data)
    return path


def test_lost_frames_are_stood_in_for(tmp_path, make_video):
    path = make_video(tmp_path / "a.mov", numbered(40), codec="png", pix_fmt="rgb24")
    blank_packets(path, {0, *range(25, 40)})
    with pytest.warns(UserWarning, match=r"a\.mov") as caught, Video(path) as video:
        assert video.num_frames == 40
        pixels = [p for _, p in video.frames(range(40))]
        assert video.faults > 0
        assert number_of(next(video.frames([39]))[1]) == 24
    assert len(caught) == 1
    assert [number_of(p) for p in pixels] == [1, *range(1, 25), *[24] * 15]
    with pytest.raises(VideoError, match=r"a\.mov"):
        read(path, range(40), strict=True)


def test_flipped_bytes_are_counted_or_refused(tmp_path, make_video):
    rng = np.random.default_rng(1)
    frames = np.kron(rng.integers(0, 255, (40, 12, 16, 3), np.uint8), np.ones((1, 8, 8, 1), np.uint8))
    path = make_video(tmp_path / "a.avi", frames, options={"g": "10"})
    with av.open(str(path)) as container:
        packet = [bytes(p) for p in container.demux(video=0) if p.size][12]
    data = bytearray(path.read_bytes())
    place = data.index(packet)
    data[place + 40:place + 400] = rng.integers(0, 255, 360, np.uint8).tobytes()
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"a\.avi"), Video(path) as video:
        assert len(list(video.frames(range(40)))) == 40
        assert video.faults >= 1
    with pytest.raises(VideoError, match=r"a\.avi"):
        read(path, range(40), strict=True)


def audio_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_files_that_are_no_video_are_refused_by_name(tmp_path, make_video):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.avi").write_text("a list of videos\n" * 100)
    (tmp_path / "folder.mp4").mkdir()
    audio_only(tmp_path / "sound.mp4")
    real = make_video(tmp_path / "real.mp4", numbered(5))
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile {real.name}\n")
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{real.name}\n#EXT-X-ENDLIST\n")
    (tmp_path / "noise.mkv").write_bytes(np.random.default_rng(0).bytes(5000))
    expected = {"missing.mp4": "no such file", "empty.mp4": "empty", "folder.mp4": "folder", "sound.mp4": "no video",
                "text.avi": "cannot be opened", "concat.mp4": "cannot be opened", "list.mp4": "cannot be opened",
                "noise.mkv": "cannot be opened"}
    for name, what in expected.items():
        with pytest.raises(VideoError, match=what) as caught:
            Video(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(VideoError):
        Video("http://127.0.0.1:9/a.mp4")


def test_nothing_decodable_always_raises(tmp_path, make_video):
    path = blank_packets(make_video(tmp_path / "a.mov", numbered(6), codec="png", pix_fmt="rgb24"), set(range(6)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(VideoError, match=r"a\.mov"):
            read(path, [3])


def test_frames_larger_than_allowed_are_refused_before_decoding(tmp_path, make_video):
    bomb = make_video(tmp_path / "bomb.mp4", np.zeros((1, 8000, 8000), np.uint8), codec="mpeg4", source_format="gray")
    assert bomb.stat().st_size < 1_000_000
    with pytest.raises(VideoError, match=r"bomb\.mp4: frames are (8000 x 8000|too large).*max_pixels"):
        Video(bomb)
    small = make_video(tmp_path / "a.mp4", numbered(2))
    with pytest.raises(VideoError, match=r"a\.mp4: frames are (64 x 48|too large)"):
        Video(small, max_pixels=64 * 48 - 1)
    assert len(read(small, [0, 1], max_pixels=64 * 48)) == 2


def test_names_with_spaces_colons_and_unicode(tmp_path, make_video):
    for name in ("ein Tag ü 日本.mp4", "concat:a|b.mp4", "%03d.mp4"):
        plain = make_video(tmp_path / "plain.mp4", numbered(3))
        assert len(read(plain.rename(tmp_path / name), range(3))) == 3
