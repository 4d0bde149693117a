"""What a packet's first bytes say: whether it shows a picture, and whether decoding may start at it.

A container's key flag is not always enough. Where decoding may start, by codec:

| codec | a start is |
| --- | --- |
| H.264 | an IDR picture, or a recovery point that is exact at once (recovery_frame_cnt 0, exact_match_flag 1) |
| HEVC | a picture of the types BLA, IDR and CRA (NAL unit types 16 to 23) |
| VP8, VP9 | a key frame by its own header |
| GIF | the first packet alone: later pictures are drawn over earlier ones |
| all others | what the container flags |

Pictures that are shown before the start and decoded after it (open groups of pictures) may lack what they refer to; the
reader leaves them to an earlier start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av

Test = Callable[[av.Packet], bool]

# Kinds of NAL units: the slices of H.264, its IDR slice and its messages; HEVC's slices, and those to start at.
_H264_SLICES, _H264_IDR, _H264_SEI = (1, 2, 5), 5, 6
_HEVC_SLICES, _HEVC_STARTS = range(32), range(16, 24)
_RECOVERY_POINT = 6
# The first two bits of a recovery point that is exact at once: recovery_frame_cnt 0 as ue(v), exact_match_flag.
_EXACT_AT_ONCE = 0b11000000


def shows_picture(codec: str) -> Test | None:
    """A test of whether a packet shows a picture, or None where every packet does.

    Args:
        codec: FFmpeg's name of it. Encoders of VP8 and VP9 write packets that are only referred to ("alt-ref").
    """
    return {"vp8": _vp8_shows, "vp9": _vp9_shows}.get(codec)


def may_start(codec: str, extradata: bytes | None) -> Test | None:
    """A test of whether decoding may start at a packet that the container flags as key, or None where it always may.

    Args:
        codec: FFmpeg's name of it.
        extradata: the codec's parameters as the container holds them; they say how H.264 and HEVC mark NAL units.
    """
    if codec in ("h264", "hevc"):
        split = _nal_units(codec, extradata or b"")
        starts = _h264_starts if codec == "h264" else _hevc_starts
        return lambda packet: starts(split(bytes(packet)))
    return {"vp8": _vp8_starts, "vp9": _vp9_starts, "gif": lambda packet: not packet.pts}.get(codec)


def _vp8_shows(packet: av.Packet) -> bool:
    return bool(memoryview(packet)[0] & 0x10)


def _vp8_starts(packet: av.Packet) -> bool:
    return not memoryview(packet)[0] & 1


def _vp9_shows(packet: av.Packet) -> bool:
    return any(shown for shown, _ in _vp9_frames(memoryview(packet)))


def _vp9_starts(packet: av.Packet) -> bool:
    return next((key for _, key in _vp9_frames(memoryview(packet))), False)


def _vp9_frames(data: memoryview) -> Iterator[tuple[bool, bool]]:
    """(whether it is shown, whether it is a key frame) of each frame; an index at the end divides a superframe."""
    sizes, marker = [len(data)], data[-1]
    if marker & 0xE0 == 0xC0:
        count, width = (marker & 7) + 1, (marker >> 3 & 3) + 1
        index = data[-2 - count * width :]
        if len(index) == 2 + count * width and index[0] == marker:
            sizes = [int.from_bytes(index[1 + i * width : 1 + (i + 1) * width], "little") for i in range(count)]
    place = 0
    for size in sizes:
        if size and place < len(data):
            # Two bits mark the frame, two are the profile; profile 3 has a bit in reserve.
            bits = data[place] << (1 if data[place] & 0x30 == 0x30 else 0)
            again, inter, shown = bits & 8, bits & 4, bits & 2
            yield bool(again or shown), not (again or inter)
        place += size


def _nal_units(codec: str, extradata: bytes) -> Callable[[bytes], Iterator[bytes]]:
    """How a packet is divided: by lengths where the parameters are a configuration record, else by start codes."""
    place = 4 if codec == "h264" else 21
    if len(extradata) > place and extradata[0] == 1:
        width = (extradata[place] & 3) + 1
        return lambda data: _by_lengths(data, width)
    return _by_start_codes


def _by_lengths(data: bytes, width: int) -> Iterator[bytes]:
    place = 0
    while place + width < len(data):
        length = int.from_bytes(data[place : place + width], "big")
        place += width
        if length:
            yield data[place : place + length]
        place += length


def _by_start_codes(data: bytes) -> Iterator[bytes]:
    place = data.find(b"\0\0\1") + 3
    while 3 <= place < len(data):
        following = data.find(b"\0\0\1", place)
        yield data[place:] if following < 0 else data[place:following]
        place = following + 3


def _h264_starts(units: Iterator[bytes]) -> bool:
    recovers = False
    for unit in units:
        kind = unit[0] & 31
        if kind in _H264_SLICES:
            return kind == _H264_IDR or recovers
        if kind == _H264_SEI:
            recovers = recovers or _recovers_at_once(unit)
    return False


def _hevc_starts(units: Iterator[bytes]) -> bool:
    kinds = (unit[0] >> 1 & 63 for unit in units)
    return next((kind in _HEVC_STARTS for kind in kinds if kind in _HEVC_SLICES), False)


def _recovers_at_once(unit: bytes) -> bool:
    """Whether a unit of H.264 messages holds a recovery point from which every picture is exact."""
    data, place = unit[1:].replace(b"\0\0\3", b"\0\0"), 0
    while place + 2 < len(data):
        kind, place = _message_number(data, place)
        size, place = _message_number(data, place)
        if kind == _RECOVERY_POINT:
            return place < len(data) and data[place] & _EXACT_AT_ONCE == _EXACT_AT_ONCE
        place += size
    return False


def _message_number(data: bytes, place: int) -> tuple[int, int]:
    """A message's kind or size, and the place after it: bytes of 255 add up until another one ends the number."""
    total = 0
    while place < len(data):
        total += data[place]
        place += 1
        if data[place - 1] != 255:
            break
    return total, place
