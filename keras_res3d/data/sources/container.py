"""Opens a video file safely, and reads its table of frames from the packets without decoding anything.

The table says which frames a file promises, when each is shown, and where decoding may start. Frames are numbered in
the order in which they are shown, which is the order in which the decoder returns them.
"""

from __future__ import annotations

import itertools
import math
import os
from dataclasses import dataclass

import av
import numpy as np

from keras_res3d.data.types import PathLike, VideoError

# Demuxers of the file types in `types.VIDEO_EXTENSIONS`. A playlist (m3u8, ffconcat) or an image sequence that poses
# as a video would open other files or addresses, so anything else is refused, and so is any protocol but files.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpeg,mpegts,mpegvideo,asf,flv,ogg"
# Titles that are not UTF-8 (some HMDB51 files) are no reason to refuse a video. PyAV 19 replaces them by itself, and
# does not know the argument any more.
BROKEN_METADATA = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
# MPEG-4 in AVI marks a delayed frame by a packet of one byte, which yields no picture (many HMDB51 files have one).
PLACEHOLDER_BYTES = 1


@dataclass(frozen=True)
class FrameTable:
    """What the packets of a video say.

    Args:
        seconds: when each frame is shown, float64, ascending.
        pts: the same in the stream's ticks; None where a decoded frame cannot be told by its time stamp.
        keys: frame numbers at which decoding may start, ascending; empty without `pts`.
        key_dts: when the packets of `keys` are decoded, in ticks.
        first: (pts, dts) of the first packet.
        promised: how many frames the header names, 0 if it names none.
    """

    seconds: np.ndarray
    pts: np.ndarray | None
    keys: np.ndarray
    key_dts: np.ndarray
    first: tuple
    promised: int


def open_container(path: PathLike, max_pixels: int) -> tuple[av.container.InputContainer, av.VideoStream]:
    """Opens a video file.

    Args:
        path: the file.
        max_pixels: larger frames are refused.

    Returns:
        The container and its video stream.

    Raises:
        VideoError: the file is missing, empty, a folder, no video, without a decoder, or its frames are too large.
    """
    name = os.fspath(path)
    if not os.path.exists(name):
        raise VideoError(f"{name}: no such file; check the path, or the folder that the list's paths are relative to")
    if os.path.isdir(name):
        raise VideoError(f"{name}: is a folder; expected a video file")
    if not os.path.getsize(name):
        raise VideoError(f"{name}: is empty (0 bytes); fetch it again or take it off the list")
    try:
        container = av.open(
            # The prefix keeps FFmpeg from reading a protocol out of the name.
            "file:" + os.path.abspath(name),
            options={"format_whitelist": FORMATS, "protocol_whitelist": "file", "max_pixels": _padded(max_pixels)},
            **BROKEN_METADATA,
        )
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(f"{name}: cannot be opened as a video ({error}); expected a video file such as MP4, AVI or "
                         "Matroska: convert it, or take it off the list") from error
    try:
        return container, _video_stream(name, container, max_pixels)
    except BaseException:
        container.close()
        raise


def _padded(max_pixels: int) -> str:
    """FFmpeg's own bound, as an option: it counts the padding of its buffers as well."""
    return str(max_pixels + max_pixels // 8 + 65536)


def _video_stream(name: str, container, max_pixels: int) -> av.VideoStream:
    if not container.streams.video:
        kinds = sorted({stream.type for stream in container.streams}) or ["no streams"]
        raise VideoError(f"{name}: has no video stream ({', '.join(kinds)}); take it off the list")
    stream = container.streams.video[0]
    context = stream.codec_context
    if context is None:
        raise VideoError(f"{name}: no decoder for its video stream; convert it, for example to H.264 in MP4")
    pixels = context.width * context.height
    # FFmpeg holds the same bound while it looks for the size, and then reports a size of 0 x 0.
    if not 0 < pixels <= max_pixels:
        size = f"{context.width} x {context.height}" if pixels else "too large, or of unknown size"
        raise VideoError(f"{name}: frames are {size}; expected at most {max_pixels} pixels a frame (max_pixels): raise "
                         "it if the file is to be trusted")
    # Frames may change size in mid-stream, so the decoder holds the bound as well.
    context.options = {"max_pixels": _padded(max_pixels)}
    # One thread a video is fastest at the sizes of UCF101, HMDB51 and Kinetics; several videos are read at a time.
    context.thread_type, context.thread_count = "SLICE", 1
    return stream


def read_frame_table(path: PathLike, container, stream: av.VideoStream) -> FrameTable:
    """The FrameTable of a freshly opened video, from one pass over its packets.

    Raises:
        VideoError: there are no packets.
    """
    mpeg4 = stream.codec_context.name == "mpeg4"
    packets, passed_over = [], 0
    try:
        for packet in container.demux(stream):
            if packet.size > (PLACEHOLDER_BYTES if mpeg4 else 0) and not packet.is_discard:
                packets.append((packet.pts, packet.dts, packet.is_keyframe))
            elif packet.dts is not None:  # not the one that marks the end
                passed_over += 1
    except av.error.FFmpegError:
        pass  # What could be read so far is what there is; the header's promise is compared with it.
    if not packets:
        raise VideoError(f"{path}: holds no frames; fetch it again or take it off the list")
    pts, dts, _ = (list(column) for column in zip(*packets, strict=True))
    timed = None not in pts and len(set(pts)) == len(pts)
    if "avi" in container.format.name or (mpeg4 and "mov" not in container.format.name):
        # AVI stores no presentation times: with frames out of order those that FFmpeg guesses are wrong, and packed
        # B-frames come back in another order than their time stamps say.
        timed = timed and pts == dts and not passed_over and not stream.codec_context.has_b_frames
    # Matroska stores no decoding times; it goes to a key frame by its presentation time.
    starts = sorted((p, p if d is None else d) for p, d, key in packets if key) if timed else []
    times = sorted(pts if None not in pts else _filled(dts))
    order = np.array(times, np.int64)
    return FrameTable(
        seconds=_seconds(order, stream),
        pts=order if timed else None,
        keys=np.searchsorted(order, [p for p, _ in starts]),
        key_dts=np.array([d for _, d in starts], np.int64),
        first=(pts[0], dts[0]),
        promised=max(0, stream.frames - passed_over),
    )


def _filled(dts: list[int | None]) -> list[int]:
    """Decoding times without gaps, for streams that lack presentation times: order counts, not the exact time."""
    known = [t for t in dts if t is not None]
    if len(known) < len(dts) or any(b <= a for a, b in itertools.pairwise(dts)):
        return list(range(len(dts)))
    return dts


def _seconds(order: np.ndarray, stream: av.VideoStream) -> np.ndarray:
    """Ticks to seconds; where ticks only count frames (no usable time stamps) the average rate sets the pace."""
    base = float(stream.time_base or 0)
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    if not (base > 0 and math.isfinite(base)) or (order.size > 1 and (order == np.arange(order.size)).all()):
        base = 1 / rate
    return order * base
