"""Opens a video file safely, wherever it is, and chooses its stream."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import av
import numpy as np
from av.stream import Disposition

from keras_res3d.data.sources.mp4 import HARMLESS_SAMPLES, claimed_samples
from keras_res3d.data.types import PathLike, VideoError

# Demuxers of the file types in `types.VIDEO_EXTENSIONS`. A playlist (m3u8, ffconcat) or an image sequence that poses
# as a video would open other files or addresses, so anything else is refused, and so is any protocol but files.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpeg,mpegts,mpegvideo,asf,flv,ogg,gif"
# Titles that are not UTF-8 (some HMDB51 files) are no reason to refuse a video. PyAV 19 replaces them by itself, and
# does not know the argument any more.
BROKEN_METADATA = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
# Pictures that players show beside a film.
_COVER = Disposition.attached_pic | Disposition.timed_thumbnails
# FFmpeg's own weight of the default flag against the number of pixels.
_DEFAULT_PIXELS = 5_000_000


@dataclass(frozen=True)
class Medium:
    """A video file where it is: at a path, in memory, or behind a file object.

    Args:
        source: a path, a file's bytes, or a binary file object that can be sought in.
    """

    source: PathLike | bytes | BinaryIO

    @property
    def name(self) -> str:
        """What messages call it."""
        if self.on_disk:
            return os.fspath(self.source)
        name = getattr(self.source, "name", None)
        if isinstance(name, (str, os.PathLike)):
            return os.fspath(name)
        return f"the video of {self.size()} bytes" if self.seekable() else "the file object"

    @property
    def on_disk(self) -> bool:
        """Whether it is a path."""
        return isinstance(self.source, (str, os.PathLike))

    def seekable(self) -> bool:
        """Whether any part of it can be read at any time."""
        return self.on_disk or isinstance(self.source, bytes) or self.source.seekable()

    def size(self) -> int:
        """Bytes of the file."""
        if self.on_disk:
            return os.path.getsize(self.source)
        if isinstance(self.source, bytes):
            return len(self.source)
        with self._opened() as file:
            file.seek(0, io.SEEK_END)
            return file.tell()  # seek of tf.io.gfile.GFile returns nothing

    def head(self, count: int) -> bytes:
        """The first bytes of the file."""
        with self._opened() as file:
            return file.read(count)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """The file at its beginning; a file object is put back to where FFmpeg reads on."""
        if self.on_disk:
            with open(self.source, "rb", buffering=0) as file:
                yield file
        elif isinstance(self.source, bytes):
            yield io.BytesIO(self.source)
        else:
            place = self.source.tell()
            try:
                self.source.seek(0)
                yield self.source
            finally:
                self.source.seek(place)

    def check(self) -> None:
        """Raises VideoError where there is no file to read, or where reading it would fill the memory."""
        if self.on_disk:
            try:
                found = os.stat(self.source)
            except (OSError, ValueError) as error:
                raise VideoError(f"{self.name}: no such file; check the path, or the folder that the list's paths are "
                                 "relative to") from error  # fmt: skip
            if stat.S_ISDIR(found.st_mode):
                raise VideoError(f"{self.name}: is a folder; expected a video file")
            size = found.st_size
        elif self.seekable():
            size = self.size()
        else:
            raise VideoError(f"{self.name}: cannot be sought in; read it whole, and pass the bytes")
        if not size:
            raise VideoError(f"{self.name}: is empty (0 bytes); fetch it again or take it off the list")
        # What `_opened` does for a path, without the time that a generator takes.
        with open(self.source, "rb", buffering=0) if self.on_disk else self._opened() as file:
            claimed = claimed_samples(file, size)
        if claimed > max(size, HARMLESS_SAMPLES):
            raise VideoError(f"{self.name}: its table claims {claimed} samples, and the file has {size} bytes; fetch "
                             "it again or take it off the list")  # fmt: skip

    def for_ffmpeg(self) -> tuple[str | BinaryIO, str]:
        """What `av.open` takes, and the protocols that it may use."""
        if self.on_disk:
            # The prefix keeps FFmpeg from reading a protocol out of the name.
            return "file:" + os.path.abspath(os.fspath(self.source)), "file"
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source), "none"
        self.source.seek(0)
        return self.source, "none"


def open_container(
    medium: Medium, max_pixels: int, stream: int | None = None
) -> tuple[av.container.InputContainer, av.VideoStream]:
    """Opens a video file.

    Args:
        medium: the file.
        max_pixels: larger frames are refused.
        stream: number among the video streams, from 0; None is the best one, as FFmpeg chooses it.

    Returns:
        The container and its video stream.

    Raises:
        VideoError: the file is missing, empty, a folder, no video, without a decoder, or its frames are too large; or
            there is no such stream.
    """
    medium.check()
    file, protocols = medium.for_ffmpeg()
    options = {"format_whitelist": FORMATS, "protocol_whitelist": protocols, "max_pixels": padded(max_pixels)}
    try:
        container = av.open(file, options=options, **BROKEN_METADATA)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        what = _kind(medium) or error
        raise VideoError(f"{medium.name}: cannot be opened as a video ({what}); expected a video file such as MP4, AVI "
                         "or Matroska: convert it, or take it off the list") from error
    try:
        return container, video_stream(medium.name, container, max_pixels, stream)
    except BaseException:
        container.close()
        raise


def video_stream(
    name: str, container: av.container.InputContainer, max_pixels: int, number: int | None = None
) -> av.VideoStream:
    """The video stream of an open container, checked and ready to be decoded.

    Args:
        name: what messages call the video.
        container: opened.
        max_pixels, number: as `max_pixels` and `stream` of `open_container`.

    Raises:
        VideoError: there is no such stream, no decoder for it, or its frames are too large.
    """
    return _checked(name, _choose(name, container, number), max_pixels)


def _kind(medium: Medium) -> str | None:
    """What a file that is no video is instead, where its first bytes tell."""
    head = medium.head(12)
    return "it is WebP, of which no animation is read" if head[:4] == b"RIFF" and head[8:] == b"WEBP" else None


def padded(max_pixels: int) -> str:
    """FFmpeg's own bound, as an option: it counts the padding of its buffers as well."""
    return str(max_pixels + max_pixels // 8 + 65536)


def _choose(name: str, container: av.container.InputContainer, number: int | None) -> av.VideoStream:
    streams = container.streams.video
    if not streams:
        kinds = sorted({stream.type for stream in container.streams}) or ["no streams"]
        raise VideoError(f"{name}: has no video stream ({', '.join(kinds)}); take it off the list")
    if number is None:
        best = max(streams, key=_rank) if len(streams) > 1 else streams[0]
        if best.frames < 2 and best.disposition & _COVER:
            raise VideoError(f"{name}: has a cover picture and no film; take it off the list, or ask for stream 0")
        return best
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not 0 <= number < len(streams):
        count = f"{len(streams)} video streams" if len(streams) > 1 else "1 video stream"
        raise VideoError(f"{name}: stream {number!r} was asked for, and it has {count}; expected a number from 0 to "
                         f"{len(streams) - 1}")  # fmt: skip
    return streams[number]


def _rank(stream: av.VideoStream) -> tuple:
    """The larger the better: a film before a still picture, then what FFmpeg counts, pixels and the default flag."""
    context, flags = stream.codec_context, stream.disposition
    if context is None:
        return (0,)
    pixels = context.width * context.height + _DEFAULT_PIXELS * bool(flags & Disposition.default)
    return 1, not flags & _COVER, stream.frames != 1, pixels


def _checked(name: str, stream: av.VideoStream, max_pixels: int) -> av.VideoStream:
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
    context.options = {"max_pixels": padded(max_pixels)}
    # One thread a video is fastest at the sizes of UCF101, HMDB51 and Kinetics; several videos are read at a time.
    context.thread_type, context.thread_count = "SLICE", 1
    return stream
