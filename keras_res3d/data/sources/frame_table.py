"""Reads a video's table of frames from its packets, without decoding anything.

The table says which frames a file holds, when each is shown, where decoding may start, and whether parts are missing.
Frames are numbered in the order in which they are shown, which is the order in which the decoder returns them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np

from keras_res3d.data.sources.container import Medium
from keras_res3d.data.sources.pictures import may_start, shows_picture
from keras_res3d.data.types import VideoError

# MPEG-4 in AVI marks a delayed frame by a packet of one byte, which yields no picture (many HMDB51 files have one).
PLACEHOLDER_BYTES = 1
# MPEG-4 in AVI with packed B-frames ends up to this many frames short of what it promises, in good files too.
UNTIMED_TAIL = 2
# 18 hours at 30 frames a second. A table can claim millions of packets in a file of a few kilobytes.
MAX_PACKETS = 2_000_000
# No real packet and its entry in the table take less.
PACKET_BYTES = 4
# How the time of a packet that has none is held.
_NO_TIME = -(2**63)
# Decoding times that step back by more seconds than this begin anew: files that were put behind one another.
_RESTART_SECONDS = 0.5
# Formats whose header names a duration, or its bytes, in place of a number of frames.
_WITH_DURATION = ("matroska,webm", "flv", "asf")
# Where the header is that names them.
_HEADER = 4096
# What their frames may end short of it: seconds, or a share of it.
_SHORT_SECONDS, _SHORT_SHARE = 0.5, 0.02
# Between two Matroska packets lie headers of some dozen bytes.
_HEADER_BYTES = 1024
# ASF's object of file properties, and where the file's bytes are in it.
_ASF_PROPERTIES, _ASF_BYTES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"), 40
# EBML, the marks of Matroska: its header, its one large element, and what fills space.
_EBML, _SEGMENT, _VOID = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\xec"


@dataclass(frozen=True)
class FrameTable:
    """What the packets of a video say.

    Args:
        seconds: when each frame is shown, float64, ascending.
        pts: the same in the stream's ticks; None where a decoded frame cannot be told by its time stamp.
        keys: frame numbers at which decoding may start, ascending; empty without `pts`.
        key_dts: when the packets of `keys` are decoded, in ticks.
        first: (pts, dts) of the first packet; None where no time stamp leads to it.
        promised: how many frames the header names, 0 if it names none.
        damage: what says that parts of the file are missing, or None.
    """

    seconds: np.ndarray
    pts: np.ndarray | None
    keys: np.ndarray
    key_dts: np.ndarray
    first: tuple | None
    promised: int
    damage: str | None = None


class _Packets:
    """The packets of one stream; on the way, what tells of missing parts, from all streams where the format needs it.

    Attributes:
        end: when the last packet of all streams ends, in seconds.
        hole: (bytes, seconds) of the largest stretch that belongs to no packet.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream):
        self._container, self._stream = container, stream
        self.end, self.hole = -math.inf, (0, 0.0)

    def __iter__(self) -> Iterator[av.Packet]:
        name = self._container.format.name
        return self._of_all_streams() if name in _WITH_DURATION else self._container.demux(self._stream)

    def _of_all_streams(self) -> Iterator[av.Packet]:
        ticks = {stream.index: float(stream.time_base or 0) for stream in self._container.streams}
        mine, place = self._stream.index, None
        for packet in self._container.demux():
            shown = packet.dts if packet.pts is None else packet.pts
            if shown is not None:
                begin = shown * ticks.get(packet.stream_index, 0)
                # A hole where time steps back is the seam of files that were put behind one another.
                lost = 0 if place is None or packet.pos is None else packet.pos - place
                if lost > self.hole[0] and begin > self.end - _RESTART_SECONDS:
                    self.hole = (packet.pos - place, self.end)
                self.end = max(self.end, begin + (packet.duration or 0) * ticks.get(packet.stream_index, 0))
            if packet.pos is not None and packet.pos >= 0:
                place = packet.pos + packet.size
            if packet.stream_index == mine:
                yield packet


def read_frame_table(medium: Medium, container: av.container.InputContainer, stream: av.VideoStream) -> FrameTable:
    """The FrameTable of a freshly opened video, from one pass over its packets.

    Raises:
        VideoError: there are no packets, or more than a file of its size can hold.
    """
    packets = _Packets(container, stream)
    first, pts, dts, keys, passed_over = _read_packets(medium, packets, container, stream)
    if not pts:
        raise VideoError(f"{medium.name}: holds no frames; fetch it again or take it off the list")
    pieces = _pieces(dts, stream)
    timed = len(pieces) == 1 and _NO_TIME not in pts and len(set(pts)) == len(pts)
    mpeg4, format_name = stream.codec_context.name == "mpeg4", container.format.name
    if "avi" in format_name or (mpeg4 and "mov" not in format_name):
        # AVI stores no presentation times: with frames out of order those that FFmpeg guesses are wrong, and packed
        # B-frames come back in another order than their time stamps say.
        timed = timed and pts == dts and not passed_over and not stream.codec_context.has_b_frames
    # Matroska stores no decoding times; it goes to a key frame by its presentation time.
    starts = sorted((pts[i], pts[i] if dts[i] == _NO_TIME else dts[i]) for i in keys) if timed else []
    order = _ascending(_filled(dts) if _NO_TIME in pts else pts, pieces)
    if starts and keys[0] == 0 and order[0] < pts[0]:
        # What a recording that begins in an open group shows before its first key frame cannot be decoded.
        passed_over += int(np.searchsorted(order, pts[0]))
        order = order[order >= pts[0]]
    promised = max(0, _promised_frames(container, stream) - passed_over)
    return FrameTable(
        seconds=_seconds(order, stream),
        pts=order if timed else None,
        keys=np.searchsorted(order, [p for p, _ in starts]),
        key_dts=np.array([d for _, d in starts], np.int64),
        first=first if len(pieces) == 1 else None,
        promised=promised,
        damage=_damage(medium, container, packets, len(order), promised),
    )


def _read_packets(medium: Medium, packets: _Packets, container: av.container.InputContainer,
                  stream: av.VideoStream) -> tuple:  # fmt: skip
    """((pts, dts) of the first packet, pts and dts of those that show pictures, starts among them, others' number)."""
    context, file_bytes = stream.codec_context, container.size
    limit = min(MAX_PACKETS, file_bytes // PACKET_BYTES)
    smallest = PLACEHOLDER_BYTES if context.name == "mpeg4" else 0
    shows, starts = shows_picture(context.name), may_start(context.name, context.extradata)
    first, pts, dts, keys, passed_over = None, [], [], [], 0
    # Other formats count what they hold; the number in an AVI's header may be anything.
    if "mov" in container.format.name and stream.frames > limit:
        raise _too_many(medium, stream.frames, file_bytes)
    try:
        # A million packets: what every one of them costs is kept small.
        for packet in itertools.islice(packets, limit + 2):
            if first is None:
                first = packet.pts, packet.dts
            if packet.size > smallest and not packet.is_discard and (shows is None or shows(packet)):
                if packet.is_keyframe and (starts is None or starts(packet)):
                    keys.append(len(pts))
                pts.append(packet.pts)
                dts.append(packet.dts)
            elif packet.dts is not None:  # not the one that marks the end
                passed_over += 1
    except av.error.FFmpegError:
        pass  # What could be read so far is what there is; the header's promise is compared with it.
    if len(pts) + passed_over > limit:
        raise _too_many(medium, len(pts) + passed_over, file_bytes)
    pts, dts = ([_NO_TIME if t is None else t for t in times] if None in times else times for times in (pts, dts))
    return first, pts, dts, keys, passed_over


def _too_many(medium: Medium, packets: int, file_bytes: int) -> VideoError:
    return VideoError(f"{medium.name}: claims {packets} or more frames in {file_bytes} bytes; expected at most one in "
                      f"{PACKET_BYTES} bytes, and {MAX_PACKETS}: fetch it again, take it off the list, or cut it into "
                      "parts")  # fmt: skip


def _pieces(dts: list[int], stream: av.VideoStream) -> list[int]:
    """Where decoding times begin anew, 0 first: files of one format may be put behind one another."""
    if dts == sorted(dts):
        return [0]
    times = np.array(dts)
    known = np.flatnonzero(times != _NO_TIME)
    back = np.diff(times[known]) * float(stream.time_base or 0) < -_RESTART_SECONDS
    return [0, *known[1:][back].tolist()]


def _ascending(ticks: list[int], pieces: list[int]) -> np.ndarray:
    """Ticks in the order in which they are shown; each piece follows the one before it."""
    if len(pieces) == 1:
        return np.array(sorted(ticks), np.int64)
    ordered = [np.sort(piece) for piece in np.split(np.array(ticks), pieces[1:])]
    for before, piece in itertools.pairwise(ordered):
        step = int(np.median(np.diff(piece))) if len(piece) > 1 else 1
        piece += before[-1] + step - piece[0]
    return np.concatenate(ordered)


def _filled(dts: list[int]) -> list[int]:
    """Decoding times without gaps, for streams that lack presentation times: order counts, not the exact time."""
    if _NO_TIME in dts or any(b <= a for a, b in itertools.pairwise(dts)):
        return list(range(len(dts)))
    return dts


def _seconds(order: np.ndarray, stream: av.VideoStream) -> np.ndarray:
    """Ticks to seconds; where ticks only count frames (no usable time stamps) the average rate sets the pace."""
    base = float(stream.time_base or 0)
    if not (base > 0 and math.isfinite(base)) or (order.size > 1 and (order == np.arange(order.size)).all()):
        base = 1 / float(stream.average_rate or stream.guessed_rate or 25)
    return order * base


def _damage(medium: Medium, container: av.container.InputContainer, packets: _Packets, stored: int,
            promised: int) -> str | None:  # fmt: skip
    """What says that parts of the file are missing, for a message, or None."""
    if stored + UNTIMED_TAIL < promised:
        return f"its header promises {promised} frames, {stored} are there: the file is cut short"
    if container.format.name not in _WITH_DURATION:
        return None
    lasts, end, size = (container.duration or 0) / av.time_base, packets.end, container.size
    promised_bytes = _promised_bytes(medium.head(_HEADER))
    if promised_bytes > size:
        times = f"{lasts:.2f} seconds, {end:.2f} are there, and " if lasts > end > 0 else ""
        return f"its header promises {times}{promised_bytes} bytes, {size} are there: the file is cut short"
    if math.isfinite(end) and lasts - end > max(_SHORT_SECONDS, _SHORT_SHARE * lasts):
        return f"its header promises {lasts:.2f} seconds, {end:.2f} are there: the file is cut short or damaged"
    lost, where = packets.hole
    if "matroska" in container.format.name and lost > _HEADER_BYTES:
        return f"{lost} bytes after {where:.2f} seconds hold no frames: the file is damaged"
    return None


def _promised_frames(container: av.container.InputContainer, stream: av.VideoStream) -> int:
    """How many frames the header names; of an MP4 without those that its edit list leaves out, as at a negative start.
    """
    return min(stream.frames, len(stream.index_entries)) if "mov" in container.format.name else stream.frames


def _promised_bytes(head: bytes) -> int:
    """How long the file is by its first bytes, 0 if they do not say."""
    place = head.find(_ASF_PROPERTIES) + _ASF_BYTES
    if place >= _ASF_BYTES:
        return int.from_bytes(head[place : place + 8], "little")
    return _segment_end(head) or 0


def _segment_end(head: bytes) -> int | None:
    """Where Matroska's one large element ends by the file's beginning, or None where it does not say."""
    place = 0
    while head[place : place + 4] in (_EBML, _SEGMENT) or head[place : place + 1] == _VOID:
        mark = 1 if head[place : place + 1] == _VOID else 4
        length = 9 - head[place + mark].bit_length() if place + mark < len(head) else 9
        field = head[place + mark : place + mark + length]
        if length > 8 or len(field) < length:
            return None
        size = int.from_bytes(field, "big") & (1 << 7 * length) - 1
        body = place + mark + length
        if head[place : place + 4] == _SEGMENT:
            return None if size == (1 << 7 * length) - 1 else body + size
        place = body + size
    return None
