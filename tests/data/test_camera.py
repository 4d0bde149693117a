"""Cameras and streams: every frame, its true time and its pixels; what breaks off, does not answer or is not there."""

import http.server
import itertools
import socket
import sys
import threading
import time

import numpy as np
import pytest

from keras_res3d import Camera, open_video
from keras_res3d.data.images import encode_jpeg
from keras_res3d.data.sources import addresses, camera
from keras_res3d.data.types import VideoError
from tests.data.servers import http_answer, once, request_of, rtsp_server, serving

LEVELS = np.arange(20, 220, 8)


@pytest.fixture(scope="module")
def recording(tmp_path_factory, make_video):
    """An MPEG-TS file of 25 grey frames, each of its own level, at 25 frames a second."""
    frames = np.broadcast_to(LEVELS[:, None, None, None], (25, 48, 64, 3)).astype(np.uint8)
    path = tmp_path_factory.mktemp("ts") / "x.ts"
    return make_video(path, frames, codec="mpeg2video", options={"g": "5", "qscale": "2"})


def paced(data, size=188 * 20, pause=0.01):
    """Bytes as a camera sends them: a little at a time."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
        time.sleep(pause)


def file_frames(path, size=None, fps=None):
    with open_video(path, fps=fps) as video:
        pixels = [frame for _, frame in video.frames(range(video.num_frames), size=size)]
        return video.seconds - video.seconds[0], np.stack(pixels)


def until_lost(address, **options):
    """(times, frames, the error at the end) of a stream."""
    found = []
    with Camera(address, **options) as stream, pytest.raises(VideoError) as caught:
        found.extend(stream)
    return np.array([time for time, _ in found]), np.stack([frame for _, frame in found]), str(caught.value)


def test_a_stream_gives_the_frames_of_its_file_at_their_times(recording):
    data, size = recording.read_bytes(), (40, 50)
    seconds, pixels = file_frames(recording, size)
    with serving(once(http_answer(paced(data)))) as port:
        times, frames, error = until_lost(f"http://127.0.0.1:{port}/live.ts", size=size, timeout=2)
    assert times == pytest.approx(seconds, abs=1e-6) and np.array_equal(frames, pixels)
    assert "is lost after 25 frames, and did not come back within 2 seconds" in error


@pytest.mark.parametrize("fps", [10, 12.5, 60])
def test_a_clock_gives_the_frames_that_it_gives_of_a_file(recording, fps):
    seconds, pixels = file_frames(recording, fps=fps)
    with serving(once(http_answer([recording.read_bytes()]))) as port:
        times, frames, _ = until_lost(f"http://127.0.0.1:{port}/live.ts", fps=fps, timeout=1.5)
    # What comes after the last frame of a stream that breaks off is not known.
    count = len(times)
    assert times == pytest.approx(seconds[:count], abs=1e-6) and np.array_equal(frames, pixels[:count])
    assert seconds[-1] - times[-1] <= 1 / 25 + 1 / fps


def test_motion_jpeg_has_the_times_at_which_it_arrives():
    pictures = [encode_jpeg(np.full((48, 64, 3), level, np.uint8), 95) for level in LEVELS[:8]]
    head = b"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    parts = [head % len(data) + data + b"\r\n" for data in pictures]

    def body():
        for part in parts:
            yield part
            time.sleep(0.2)

    with serving(once(http_answer(body(), "multipart/x-mixed-replace; boundary=cut"))) as port:
        times, frames, _ = until_lost(f"http://127.0.0.1:{port}/video", timeout=1.5)
    assert len(frames) >= 7 and np.abs(frames[:, 0, 0, 0].astype(int) - LEVELS[: len(frames)]).max() <= 3
    # FFmpeg would say 25 a second, and looks at the first pictures before it gives them.
    assert 0.15 < np.median(np.diff(times)) < 0.3


def test_a_stream_that_breaks_off_is_opened_again(recording):
    data = recording.read_bytes()
    with serving(http_answer([data])) as port, Camera(f"http://127.0.0.1:{port}/x", size=(8, 8), timeout=10) as stream:
        found = [(time, stream.breaks) for time, _ in itertools.islice(stream, 60)]
    assert [count for _, count in found] == [0] * 25 + [1] * 25 + [2] * 10
    assert (np.diff([time for time, _ in found]) >= 0).all() and found[25][0] - found[24][0] > 0.3


def test_a_file_behind_http_ends(tmp_path, make_video):
    frames = np.broadcast_to(LEVELS[:, None, None, None], (25, 48, 64, 3)).astype(np.uint8)
    path = make_video(tmp_path / "x.mkv", frames)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for fps in (None, 10):
            with Camera(f"http://127.0.0.1:{server.server_address[1]}/x.mkv", fps=fps, timeout=5) as stream:
                found = list(stream)
            seconds, pixels = file_frames(path, fps=fps)
            assert [time for time, _ in found] == pytest.approx(seconds, abs=2e-3) and not stream.behind
            assert np.array_equal(np.stack([frame for _, frame in found]), pixels)
        server.shutdown()


def test_a_file_without_a_duration_behind_http_ends(recording):
    data = recording.read_bytes()
    answer = http_answer([data], length=len(data))
    with serving(answer) as port, Camera(f"http://127.0.0.1:{port}/x.ts", timeout=3) as stream:
        assert len(list(stream)) == 25 and stream.breaks == 0


def test_a_file_behind_http_that_breaks_off_does_not_begin_anew(tmp_path, make_video):
    frames = np.random.default_rng(0).integers(0, 256, (50, 48, 64, 3), np.uint8)
    data = make_video(tmp_path / "x.mkv", frames).read_bytes()
    with serving(http_answer([data[: len(data) // 2]], "video/x-matroska", length=len(data))) as port:
        times, _, error = until_lost(f"http://127.0.0.1:{port}/x.mkv", timeout=3)
    assert 10 < len(times) < 40 and "breaks off before its end" in error


def test_a_playlist_that_stands_still_is_not_shown_again(recording):
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nx.ts\n"

    def answer(connection):
        body = recording.read_bytes() if "/x.ts" in request_of(connection) else playlist
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)

    with serving(answer) as port:
        times, frames, error = until_lost(f"http://127.0.0.1:{port}/live.m3u8", timeout=2)
    assert len(frames) == 25 and times[-1] == pytest.approx(0.96) and "is lost" in error


def test_raw_tcp(recording):
    with serving(once(lambda connection: connection.sendall(recording.read_bytes()))) as port:
        times, frames, _ = until_lost(f"tcp://127.0.0.1:{port}", timeout=1.5)
    assert len(frames) == 25 and times[-1] == pytest.approx(0.96)


def test_rtsp_with_a_password(recording):
    data = recording.read_bytes()
    _, pixels = file_frames(recording)
    with serving(once(rtsp_server(data, "me:s3cret"))) as port:
        times, frames, error = until_lost(f"rtsp://me:s3cret@127.0.0.1:{port}/stream1", timeout=3)
        assert np.array_equal(frames, pixels[: len(frames)]) and len(frames) > 20
        assert times == pytest.approx(np.arange(len(frames)) / 25, abs=1e-3)
    assert "s3cret" not in error and f"rtsp://***@127.0.0.1:{port}/stream1: is lost" in error
    refused = pytest.raises(VideoError, match=r"401 Unauthorized.*give its user and password")
    with serving(rtsp_server(data, "me:s3cret")) as port, refused as caught:
        next(Camera(f"rtsp://me:wr0ng@127.0.0.1:{port}/1", timeout=3))
    assert "wr0ng" not in str(caught.value) and caught.value.__cause__ is None


def test_what_does_not_answer_is_given_up():
    with socket.socket() as silent:  # connections are taken, and nothing is ever said
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for scheme in ("rtsp", "http", "tcp"):
            address = f"{scheme}://u:pw1@127.0.0.1:{silent.getsockname()[1]}/x"
            started = time.monotonic()
            with Camera(address, timeout=0.5) as stream, pytest.raises(VideoError, match=r"within 0\.5 sec") as caught:
                next(stream)
            assert "pw1" not in str(caught.value) and time.monotonic() - started < 20
            assert list(stream) == []


def test_what_cannot_be_reached_says_why(recording):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(VideoError, match=r"\*\*\*@127\.0\.0\.1:\d+/x: cannot be opened \(Connection refused\)"):
            next(Camera(f"rtsp://me:pw@127.0.0.1:{taken.getsockname()[1]}/x", timeout=2))
    with serving(http_answer([b"nothing"], status="404 Not Found")) as port, pytest.raises(VideoError, match="404"):
        next(Camera(f"http://127.0.0.1:{port}/x", timeout=2))
    page, refused = http_answer([b"<html>no video</html>" * 99], "text/html"), pytest.raises(VideoError, match="opened")
    with serving(page) as port, refused:
        next(Camera(f"http://127.0.0.1:{port}/x", timeout=2))


def test_a_playlist_does_not_lead_to_files_of_this_machine(recording):
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{recording}\n#EXT-X-ENDLIST\n".encode()
    answer = http_answer([playlist], "application/vnd.apple.mpegurl")
    with serving(answer) as port, pytest.raises(VideoError):
        next(Camera(f"http://127.0.0.1:{port}/x.m3u8", timeout=2))


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("rtsp://192.168.0.7:554/stream1", "rtsp://192.168.0.7:554/stream1"),
        ("rtsp://me:pw@cam/live/1", "rtsp://***@cam/live/1"),
        ("rtsp://me:p@w/x?y@cam/1", "rtsp://***@cam/1"),
        ("http://cam/video?user=me&pwd=pw#x", "http://cam/video?..."),
        ("rtsp://cam/a/user=me_password=pw_channel=1", "rtsp://cam/a/..."),
        ("rtsp://me:pw@[fe80::1]:554/", "rtsp://***@[fe80::1]:554/"),
    ],
)
def test_no_password_is_shown(address, text):
    assert addresses.shown(address) == text


def test_addresses_of_unknown_kinds():
    for address in ("file:///etc/passwd", "concat://a|b", "ftp://me:pw@x/y"):
        with pytest.raises(VideoError, match=r"are not read; expected one that begins with rtsp://") as caught:
            Camera(address)
        assert "pw@" not in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="device files")
def test_a_camera_that_is_not_there_names_those_that_are(monkeypatch):
    monkeypatch.setattr(addresses, "cameras", list)
    with pytest.raises(VideoError, match=r"camera 99: there is no /dev/video99; this machine has no camera"):
        Camera(99)
    monkeypatch.setattr(addresses, "cameras", lambda: [("/dev/video0", "Integrated"), ("/dev/video2", "")])
    there = r"the cameras are 0 \(/dev/video0, Integrated\), 1 \(/dev/video2\)"
    for source in ("99", "/dev/video99", "Webcam"):
        with pytest.raises(VideoError, match=there):
            Camera(source)
    assert addresses.place_of("integrated", 1).file == "/dev/video0"


def test_a_camera_of_this_machine(monkeypatch, tmp_path):
    """FFmpeg's picture generator stands in for the driver: like one, it never ends and keeps its own time."""
    monkeypatch.setitem(addresses.DEVICES, sys.platform, ("lavfi", {}))
    monkeypatch.setattr(addresses, "cameras", lambda: [("testsrc=rate=20:size=64x48,realtime", "Test picture")])
    with Camera("test picture", size=(24, 32), timeout=5) as stream:
        found = list(itertools.islice(stream, 12))
    assert [t for t, _ in found] == pytest.approx(np.arange(12) / 20, abs=1e-6) and stream.name == "camera test picture"
    assert all(frame.shape == (24, 32, 3) and frame.dtype == np.uint8 for _, frame in found) and stream.frames == 12


def test_a_caller_who_falls_behind_is_told(monkeypatch):
    monkeypatch.setitem(addresses.DEVICES, sys.platform, ("lavfi", {}))
    monkeypatch.setattr(addresses, "cameras", lambda: [("testsrc=rate=50:size=64x48,realtime", "x")])
    monkeypatch.setattr(camera, "_BEHIND_SECONDS", 0.3)
    with Camera("x", size=(24, 32), timeout=5) as stream:
        next(stream)
        assert not stream.behind
        time.sleep(0.8)
        next(stream)
        assert stream.behind


@pytest.mark.parametrize("options", [{"fps": 0}, {"timeout": -1}, {"timeout": float("inf")}])
def test_wrong_options(options):
    with pytest.raises(ValueError, match="expected a number above 0"):
        Camera("tcp://127.0.0.1:9", **options)
