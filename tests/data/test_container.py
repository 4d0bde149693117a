"""Opening: which stream, from where, and what is refused."""

import io

import av
import numpy as np
import pytest
from PIL import Image

from keras_res3d.data.sources.container import Medium, open_container
from keras_res3d.data.sources.video_file import Video
from keras_res3d.data.types import VideoError

MAX_PIXELS = 10_000_000


@pytest.fixture(scope="module")
def pixels():
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 255, (40, 6, 8, 3), np.uint8), np.ones((1, 8, 8, 1), np.uint8))


def with_streams(path, *streams):
    """A file of several video streams, each (codec, number of frames, height, width, disposition)."""
    with av.open(str(path), "w") as container:
        opened = []
        for codec, frames, height, width, disposition in streams:
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.disposition = disposition
            opened.append((stream, frames, np.zeros((height, width, 3), np.uint8)))
        for number in range(max(frames for _, frames, _ in opened)):
            for stream, frames, picture in opened:
                if number < frames:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture + number, format="rgb24")))
        for stream, *_ in opened:
            container.mux(stream.encode(None))
    return path


def test_a_bound_on_the_size_of_frames(tmp_path, make_video, pixels):
    path = make_video(tmp_path / "a.mp4", pixels[:2])
    with pytest.raises(VideoError, match=r"a\.mp4: frames are .*; expected at most 100 pixels"):
        open_container(Medium(path), 100)


PLAIN, DEFAULT = av.stream.Disposition(0), av.stream.Disposition.default
SMALL, LARGE = ("mpeg4", 20, 48, 64), ("mpeg4", 20, 96, 128)


@pytest.mark.parametrize(("name", "streams", "best"), [
    ("a.mkv", [(*SMALL, PLAIN), (*LARGE, PLAIN)], 1),
    ("a.mkv", [(*LARGE, PLAIN), (*SMALL, PLAIN)], 0),
    ("a.mkv", [(*LARGE, PLAIN), (*SMALL, DEFAULT)], 1),
    ("a.mkv", [(*SMALL, DEFAULT), (*LARGE, PLAIN)], 0),
    ("a.mov", [("mjpeg", 1, 144, 192, PLAIN), (*SMALL, PLAIN)], 1),
    ("a.mkv", [(*SMALL, DEFAULT), (*SMALL, DEFAULT)], 0),
])
def test_the_best_stream_and_any_other_by_its_number(tmp_path, name, streams, best):
    path = with_streams(tmp_path / name, *streams)
    container, stream = open_container(Medium(path), MAX_PIXELS)
    assert (stream.height, stream.width) == streams[best][2:4]
    assert stream.index == container.streams.video[best].index
    container.close()
    for number, (_, frames, height, width, _) in enumerate(streams):
        with Video(path, stream=number, strict=True) as video:
            assert next(video.frames([frames - 1]))[1].shape == (height, width, 3)
    for number in (2, -1, True, "0"):
        with pytest.raises(VideoError, match=rf"a\.m..: stream {number!r} was asked for, and it has 2 video streams"):
            Video(path, stream=number)


def test_a_song_with_a_cover_is_no_film(tmp_path, make_video, pixels):
    film = make_video(tmp_path / "a.mp4", pixels)
    with pytest.raises(VideoError, match="it has 1 video stream; expected a number from 0 to 0"):
        Video(film, stream=1)
    song = tmp_path / "b.mkv"
    cover = io.BytesIO()
    Image.fromarray(pixels[0]).save(cover, "jpeg")
    with av.open(str(song), "w") as container:
        sound = container.add_stream("aac", rate=44100)
        container.add_attachment("cover.jpg", "image/jpeg", cover.getvalue())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with pytest.raises(VideoError, match=r"b\.mkv: has a cover picture and no film"):
        Video(song)


class Silent(io.BytesIO):
    """Does not say where it is after `seek`, as tf.io.gfile.GFile does not."""

    def seek(self, *place):
        super().seek(*place)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts"])
def test_bytes_and_file_objects_give_the_frames_of_the_file(tmp_path, make_video, pixels, name):
    path = make_video(tmp_path / name, pixels, options={"g": "10"})
    data = path.read_bytes()
    with Video(path) as video:
        whole = [frame for _, frame in video.frames(range(40))]
    with open(path, "rb") as file:
        file.seek(100)
        for source, called in ((data, f"the video of {len(data)} bytes"), (file, str(path)),
                               (io.BytesIO(data), f"the video of {len(data)} bytes"),
                               (Silent(data), f"the video of {len(data)} bytes")):  # fmt: skip
            with Video(source, strict=True) as video:
                assert video.path == called and video.num_frames == 40
                for number in (39, 3, 20, 0, 25):
                    assert np.array_equal(next(video.frames([number]))[1], whole[number])
                video._reopen()
                assert np.array_equal(next(video.frames([30]))[1], whole[30])
        assert not file.closed


def test_faults_of_what_is_not_on_disk_are_named():
    with pytest.raises(VideoError, match=r"^the video of 4 bytes: cannot be opened as a video"):
        Video(b"film")
    with pytest.raises(VideoError, match=r"^the video of 0 bytes: is empty"):
        Video(b"")

    class Pipe(io.RawIOBase):
        name = "pipe"

        def readable(self):
            return True

    with pytest.raises(VideoError, match="pipe: cannot be sought in; read it whole"):
        Video(Pipe())
    Pipe.name = 3
    with pytest.raises(VideoError, match="the file object: cannot be sought in"):
        Video(Pipe())


def test_what_is_in_memory_opens_no_other_file(tmp_path, make_video):
    real = make_video(tmp_path / "real.mp4", np.zeros((3, 48, 64, 3), np.uint8))
    for text in (f"ffconcat version 1.0\nfile {real}\n",
                 f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{real}\n#EXT-X-ENDLIST\n"):  # fmt: skip
        with pytest.raises(VideoError, match="cannot be opened"):
            Video(text.encode())


def test_animated_webp_is_refused_by_name_and_gif_is_read_with_its_delays(tmp_path):
    pictures = [Image.new("RGB", (32, 24), (20 * number, 0, 0)) for number in range(10)]
    for name in ("a.webp", "a.gif"):
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], duration=[40] * 5 + [200] * 5)
    with pytest.raises(VideoError, match=r"a\.webp: cannot be opened as a video \(it is WebP.*convert it"):
        Video(tmp_path / "a.webp")
    with Video(tmp_path / "a.gif", strict=True) as video:
        assert np.allclose(np.diff(video.seconds), [0.04] * 5 + [0.2] * 4)
        reds = [int(frame[0, 0, 0]) for _, frame in video.frames(range(10))]
    assert np.abs(np.array(reds) - 20 * np.arange(10)).max() < 8


@pytest.mark.parametrize(("name", "codec", "options"), [
    ("a.mts", "libx264", {}), ("a.m2ts", "libx264", {"mpegts_m2ts_mode": "1"}),
    ("a.vob", "mpeg2video", {}), ("a.ogv", "libvpx", {}), ("a.3gp", "h263", {}), ("a.m4v", "mpeg4", {}),
])
def test_names_of_known_formats(tmp_path, make_video, pixels, name, codec, options):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    kinds = {"mts": "mpegts", "m2ts": "mpegts", "ogv": "ogg", "m4v": "mp4"}
    size = (288, 352) if codec == "h263" else (48, 64)
    frames = np.zeros((20, *size, 3), np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None, None] * 10
    path = make_video(tmp_path / name, frames, codec=codec, container_options=options,
                      container_format=kinds.get(name.split(".")[1]))  # fmt: skip
    with Video(path, strict=True) as video:
        levels = [int(frame.mean()) for _, frame in video.frames(range(video.num_frames))]
        assert len(levels) == 20 and np.abs(np.array(levels) - 10 * np.arange(20)).max() < 8
