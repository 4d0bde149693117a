"""Which camera or address is meant, what FFmpeg opens for it, and how it is named in messages: without passwords."""

from __future__ import annotations

import os
import re
import sys
from typing import NamedTuple

import av
import av.device

from keras_res3d.data.sources.container import FORMATS
from keras_res3d.data.types import VideoError

# Addresses begin with one of these. A file is named by its path.
SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "udp", "tcp", "rtp")
# What a playlist or a description of a stream may lead to: never a file of this machine.
_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,rtp,srtp,rtmp,rtmps,rtmpt,rtmpts,crypto"
_STREAM_FORMATS = f"{FORMATS},rtsp,sdp,rtp,hls,mpjpeg,mjpeg,h264,hevc,m4v"
# FFmpeg's input for cameras, and what it needs to be told, by Python's name of the system.
DEVICES: dict[str, tuple[str, dict[str, str]]] = {
    "linux": ("v4l2", {}),
    # The rate that it takes by default, 29.97, is one that no camera of a Mac has.
    "darwin": ("avfoundation", {"framerate": "30"}),
    "win32": ("dshow", {}),
}


class Place(NamedTuple):
    """What `av.open` takes.

    Args:
        name: what messages call it; no password is in it.
        file: the first argument.
        format: of a device, None where it is found out.
        options: for FFmpeg.
    """

    name: str
    file: str
    format: str | None
    options: dict[str, str]


def shown(address: str) -> str:
    """An address as it may be printed: user, password, query, and path from the first `=` on are left out."""
    scheme, _, rest = address.partition("://")
    hidden = "***@" if "@" in rest else ""
    rest = rest.rpartition("@")[2]
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    # Some recorders take the password as a part of the path: /user=admin&password=...
    kept = path if "=" not in path else path[: path.index("=")].rpartition("/")[0] + "/..."
    more = "?..." if re.search(r"[?#]", rest) else ""
    return f"{scheme}://{hidden}{host}{slash}{kept}{more}"


def place_of(source: int | str, timeout: float) -> Place:
    """What a number, a name or an address means.

    Args:
        source: number of a camera of this machine, its device or name; or an address.
        timeout: seconds that an address may take to answer.

    Raises:
        VideoError: an address of an unknown kind, or no such camera; the message has the cameras that there are.
    """
    text = os.fspath(source) if not isinstance(source, int) else str(source)
    return _stream(text, timeout) if "://" in text else _device(text.strip())


def _stream(address: str, timeout: float) -> Place:
    scheme = address.partition("://")[0].strip().lower()
    if scheme not in SCHEMES:
        raise VideoError(f"{shown(address)}: addresses of {scheme} are not read; expected one that begins with "
                         f"{', '.join(f'{name}://' for name in SCHEMES)}, or the path of a file, "
                         "which may be in a store: s3:// or gs://")  # fmt: skip
    # Over TCP no packet is lost, and it passes firewalls; what only speaks UDP is asked that way afterwards. FFmpeg
    # looks at a new stream for up to 5 seconds, which must leave time for the answer.
    looking = f"{int(1e6 * min(5, timeout / 2))}"
    options = {"format_whitelist": _STREAM_FORMATS, "protocol_whitelist": _PROTOCOLS, "rtsp_flags": "prefer_tcp",
               "analyzeduration": looking}  # fmt: skip
    return Place(shown(address), address.strip(), None, options)


def cameras() -> list[tuple[str, str]]:
    """(what FFmpeg opens, what it is called) of every camera of this machine."""
    if sys.platform not in DEVICES:
        return []
    try:
        found = av.device.enumerate_input_devices(DEVICES[sys.platform][0])
    except (av.error.FFmpegError, OSError, ValueError, NotImplementedError):
        return []
    return [(device.name, device.description) for device in found
            if "video" in device.media_types or not device.media_types]  # fmt: skip


def _device(text: str) -> Place:
    if sys.platform not in DEVICES:
        raise VideoError(f"camera {text}: cameras of {sys.platform} cannot be read; give the address of a stream")
    format, options = DEVICES[sys.platform]
    name = f"camera {text}"
    if sys.platform == "linux" and (text.isdecimal() or text.startswith("/")):
        file = f"/dev/video{text}" if text.isdecimal() else text
        if not os.path.exists(file):
            raise VideoError(f"{name}: there is no {file}; {_there(cameras())}")
        return Place(name, file, format, options)
    there = cameras()
    if text.isdecimal():
        matches = [device for device, _ in there[int(text) : int(text) + 1]]
    else:
        matches = [device for device, called in there if text.casefold() in (device.casefold(), called.casefold())]
    if not matches:
        raise VideoError(f"{name}: there is no such camera; {_there(there)}")
    # DirectShow is told what a name is of.
    return Place(name, f"video={matches[0]}" if format == "dshow" else matches[0], format, options)


def _there(found: list[tuple[str, str]]) -> str:
    if not found:
        return "this machine has no camera that can be read; plug one in, or give the address of a stream"
    listed = (f"{number} ({device}{f', {called}' if called not in ('', device) else ''})"
              for number, (device, called) in enumerate(found))  # fmt: skip
    return f"the cameras are {', '.join(listed)}"
