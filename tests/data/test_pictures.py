"""Packets that show nothing, and where decoding may start: any frame by a seek is the frame of a pass."""

import contextlib
import os

import av
import numpy as np
import pytest

from keras_res3d.data.sources import video_file
from keras_res3d.data.sources.pictures import may_start, shows_picture
from keras_res3d.data.sources.video_file import Video

VPX = {"g": "20", "b": "200k"}
OPEN = {"x264-params": "open-gop=1:keyint=15:bframes=3:b-adapt=0:scenecut=0:log-level=none"}
REFRESH = {"x264-params": "intra-refresh=1:keyint=20:log-level=none"}
HEVC = {"preset": "ultrafast", "x265-params": "keyint=15:bframes=3:b-adapt=0:open-gop=1:log-level=none"}
HEVC_REFRESH = {"preset": "ultrafast", "x265-params": "keyint=20:bframes=0:intra-refresh=1:log-level=none"}
FRAGMENTS = "frag_keyframe+empty_moov"
# Codec, options (movflags is the container's), files, and at how many frames decoding may start (None: at several).
KINDS = {
    "h264 in open groups": ("libx264", OPEN, ("a.mp4", "a.ts", "a.mkv"), None),
    "h264 in closed groups": ("libx264", {"g": "15", "bf": "3"}, ("a.mp4", "a.flv"), None),
    "h264 in AVI": ("libx264", {"g": "15", "bf": "3"}, ("a.avi",), 0),
    "h264 in fragments": ("libx264", {"g": "15", "bf": "3", "movflags": FRAGMENTS}, ("a.mp4",), None),
    "h264 with intra refresh": ("libx264", REFRESH, ("a.mp4", "a.ts", "a.mkv"), 1),
    "hevc in open groups": ("libx265", HEVC, ("a.mp4", "a.ts", "a.mkv"), None),
    "hevc with intra refresh": ("libx265", HEVC_REFRESH, ("a.mp4",), 1),
    "vp8": ("libvpx", VPX, ("a.webm", "a.ogg"), None),
    "vp9": ("libvpx-vp9", {**VPX, "cpu-used": "8"}, ("a.webm", "a.mp4"), None),
    "av1": ("libsvtav1", {"preset": "12", "svtav1-params": "keyint=20"}, ("a.mp4",), None),
    "mpeg-2": ("mpeg2video", {"g": "12", "bf": "2"}, ("a.mpg", "a.ts", "a.mkv"), None),
    "mpeg-4": ("mpeg4", {"g": "12", "bf": "2"}, ("a.mp4",), None),
    "mpeg-4 in AVI": ("mpeg4", {"g": "12"}, ("a.avi",), None),
    "mpeg-4 in AVI, packed": ("mpeg4", {"g": "12", "bf": "2"}, ("a.avi",), 0),
    "wmv": ("wmv2", {"g": "15"}, ("a.wmv",), None),
    "gif": ("gif", {}, ("a.gif",), 1),
}


@pytest.fixture(scope="module")
def moving():
    """A picture that drifts, under noise: every frame differs, and frames refer to one another."""
    rng = np.random.default_rng(0)
    still = np.kron(rng.integers(0, 255, (30, 40, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    drift = [np.roll(still, (3 * i, 5 * i), (0, 1))[:64, :96] for i in range(60)]
    return np.stack(drift) + rng.integers(0, 30, (60, 64, 96, 3), np.uint8)


def made(folder, make_video, frames, codec, options, name):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    pix_fmt = "bgr8" if codec == "gif" else "yuv420p"
    container_options = {key: options[key] for key in ("movflags",) if key in options}
    options = {key: value for key, value in options.items() if key not in container_options}
    with usual_priority():
        return make_video(folder / name, frames, codec=codec, options=options, pix_fmt=pix_fmt,
                          container_options=container_options)  # fmt: skip


@contextlib.contextmanager
def usual_priority():
    """SVT-AV1 gives a superuser's process the priority of real time, for good, and all other processes starve."""
    try:
        yield
    finally:
        if hasattr(os, "sched_setscheduler"):
            for thread in map(int, os.listdir("/proc/self/task")):
                with contextlib.suppress(ProcessLookupError):  # an encoder's thread, which has just ended
                    os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def test_encoding_leaves_the_priority_of_the_process(tmp_path, make_video, moving):
    made(tmp_path, make_video, moving, "libsvtav1", KINDS["av1"][1], "a.mp4")
    if hasattr(os, "sched_setscheduler"):
        assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.parametrize("kind", KINDS)
def test_any_frame_by_a_seek_is_the_frame_of_a_pass(tmp_path, make_video, moving, monkeypatch, kind):
    codec, options, names, starts = KINDS[kind]
    seeks, seek = [], video_file._Reader._seek
    monkeypatch.setattr(video_file._Reader, "_seek", lambda *given: seeks.append(seek(*given)) or seeks[-1])
    for name in names:
        path = made(tmp_path, make_video, moving, codec, options, name)
        with Video(path, strict=True) as video:
            assert video.num_frames == 60, name
            whole = [pixels for _, pixels in video.frames(range(60))]
            assert len({pixels.tobytes() for pixels in whole}) == 60, name
            seeks.clear()
            for number in range(59, -1, -2):
                assert np.array_equal(next(video.frames([number]))[1], whole[number]), (name, number)
            found = len(video._table.keys)
            assert found == starts if starts is not None else found > 1, (name, found)
            assert all(seeks) and bool(seeks) == (starts is None), name


def with_hidden(path, target, every):
    """A copy of a VP8 file in which a packet that shows nothing precedes every so many others, at the same time."""
    with av.open(str(path)) as source, av.open(str(target), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            if number % every == every - 1:
                data = bytearray(bytes(packet))
                data[0] &= ~0x10
                hidden = av.Packet(bytes(data))
                hidden.pts, hidden.dts, hidden.time_base = packet.pts, packet.dts, packet.time_base
                hidden.stream = stream
                copy.mux(hidden)
            packet.stream = stream
            copy.mux(packet)
    return target


@pytest.mark.parametrize("every", [2, 9, 10])
def test_hidden_packets_of_vp8_show_no_picture(tmp_path, make_video, moving, every):
    plain = made(tmp_path, make_video, moving, "libvpx", {"g": "10"}, "a.webm")
    path, shows = with_hidden(plain, tmp_path / "b.webm", every), shows_picture("vp8")
    with av.open(str(path)) as container:
        shown = [shows(packet) for packet in container.demux(video=0) if packet.size]
    assert len(shown) == 60 + 60 // every and sum(shown) == 60
    with Video(path, strict=True) as video:
        assert video.num_frames == 60 and len(video._table.keys) > 3
        whole = [pixels for _, pixels in video.frames(range(60))]
        for number in range(59, -1, -1):
            assert np.array_equal(next(video.frames([number]))[1], whole[number]), number


def vp9(*, profile=0, again=0, inter=1, shown=1):
    """The first byte of a VP9 frame, and three that follow."""
    bits = f"10{profile & 1}{profile >> 1}{'0' if profile == 3 else ''}{again}{inter}{shown}"
    return bytes([int(f"{bits:0<8}", 2), 1, 2, 3])


def superframe(*frames):
    marker = bytes([0b11000000 | len(frames) - 1])
    return b"".join(frames) + marker + bytes(map(len, frames)) + marker


@pytest.mark.parametrize(("data", "shown", "start"), [
    (vp9(inter=0), True, True),
    (vp9(), True, False),
    (vp9(shown=0), False, False),
    (vp9(again=1, shown=0), True, False),
    (vp9(profile=3, shown=0), False, False),
    (vp9(profile=3, inter=0), True, True),
    (vp9(profile=1, inter=0, shown=0), False, True),
    (superframe(vp9(shown=0), vp9()), True, False),
    (superframe(vp9(shown=0), vp9(shown=0)), False, False),
    (superframe(vp9(inter=0, shown=0), vp9()), True, True),
])
def test_vp9_headers(data, shown, start):
    packet = av.Packet(data)
    assert shows_picture("vp9")(packet) is shown and may_start("vp9", None)(packet) is start


AVCC, HVCC = b"\1" + bytes(3) + b"\xff" + bytes(4), b"\1" + bytes(20) + b"\xff" + bytes(4)
EXACT, LATER, INEXACT = b"\6\6\1\xc4\x80", b"\6\6\1\x19\x10\x80", b"\6\6\1\x84\x80"
TITLED = b"\6\5\3abc\6\1\xc4\x80"
LONG = b"\6\5\xff\5" + bytes([7]) * 260 + b"\6\1\xc4\x80"
IDR, SLICE, PARAMETERS = b"\x65abcd", b"\x41abcd", b"\x67abcd"


@pytest.mark.parametrize(("units", "start"), [
    ([IDR], True), ([PARAMETERS, IDR], True), ([SLICE], False), ([EXACT, SLICE], True), ([TITLED, SLICE], True),
    ([LONG, SLICE], True), ([LATER, SLICE], False), ([INEXACT, SLICE], False), ([PARAMETERS], False), ([b"\6"], False),
    ([b"\6\6"], False), ([b"\6\xff\xff", SLICE], False), ([SLICE, IDR], False),
])  # fmt: skip
def test_starts_of_h264_by_lengths_and_by_start_codes(units, start):
    lengths = b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
    codes = b"".join(b"\0\0\0\1" + unit for unit in units)
    assert may_start("h264", AVCC)(av.Packet(lengths)) is start
    assert may_start("h264", b"\0\0\0\1\x67")(av.Packet(codes)) is start
    assert may_start("h264", None)(av.Packet(codes)) is start


@pytest.mark.parametrize(("kind", "start"), [(1, False), (15, False), (16, True), (19, True), (21, True), (24, False)])
def test_starts_of_hevc_by_lengths_and_by_start_codes(kind, start):
    units = [bytes([32 << 1, 1, 9]), bytes([kind << 1, 1, 9, 9])]
    lengths = b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
    codes = b"".join(b"\0\0\1" + unit for unit in units)
    assert may_start("hevc", HVCC)(av.Packet(lengths)) is start
    assert may_start("hevc", b"")(av.Packet(codes)) is start


def test_other_codecs_go_by_the_container():
    assert may_start("mpeg4", b"") is None and shows_picture("h264") is None


@pytest.mark.parametrize("name", ["a.ts", "a.mkv"])
def test_a_recording_that_begins_in_an_open_group_starts_at_its_first_whole_picture(tmp_path, make_video, moving, name):
    path = made(tmp_path, make_video, moving, "libx264", OPEN, name)
    with Video(path) as video:
        whole, start = [pixels for _, pixels in video.frames(range(60))], int(video._table.keys[1])
        begins = int(video._table.pts[start])
    later = tmp_path / f"later{path.suffix}"
    with av.open(str(path)) as source, av.open(str(later), "w") as copy:
        stream, begun = copy.add_stream_from_template(source.streams.video[0]), False
        for packet in source.demux(video=0):
            begun = begun or (packet.is_keyframe and packet.pts == begins)
            if begun and packet.size and packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    with av.open(str(later)) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert min(times) < times[0], "no picture is shown before the first key frame"
    with Video(later, strict=True) as video:
        assert video.num_frames == 60 - start
        found = [pixels for _, pixels in video.frames(range(video.num_frames))]
        assert all(np.array_equal(mine, theirs) for mine, theirs in zip(found, whole[start:], strict=True))
        assert np.array_equal(next(video.frames([video.num_frames - 1]))[1], whole[-1])
