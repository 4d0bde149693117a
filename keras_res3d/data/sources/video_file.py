"""Frames and clips of a video file, read with PyAV: seeking, bounded memory, bad files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import BinaryIO

import av
import numpy as np

from keras_res3d.data.images import MAX_PIXELS
from keras_res3d.data.sources.base import FRAME_RATE, Source
from keras_res3d.data.sources.colours import Colours
from keras_res3d.data.sources.container import Medium, open_container
from keras_res3d.data.sources.frame_table import UNTIMED_TAIL
from keras_res3d.data.sources.known_tables import KnownTables
from keras_res3d.data.types import PathLike, VideoError

# Decoding this many frames costs about as much as one seek, which empties the decoder and starts at a key frame.
SEEK_MARGIN = 8
# Decoders that can leave out a picture which no other one refers to, where it is not asked for: the others stay the
# same, bit for bit.
SKIPPING = frozenset({"h264", "hevc", "mpeg4", "mpeg1video", "mpeg2video"})
_TABLES = KnownTables()


class Video(Source):
    """A video file, read as RGB frames and clips. A context manager; `close` is the other way to let go.

        with keras_res3d.Video("goal.mp4", size=(128, 171)) as video:
            for index, frame in video.frames(range(0, video.num_frames, 10)):
                ...

    Opening reads the file's packets and decodes nothing; those of an MP4 that was opened before are not read again.
    Frames come out upright: rotation and mirroring in the metadata are undone. Their colours follow the matrix and the
    range that the file names.

    Args:
        path: a video file: its path, its bytes, or a binary file object that can be sought in. A file object is read
            from its beginning, stays open, and must not be moved while the video is open.
        size: (height, width) in pixels that frames are resized to, the aspect ratio not kept, as OpenCV's bilinear
            `resize` does (the released nets' preprocessing); None keeps the stored size.
        max_pixels: larger frames are refused before anything is decoded.
        fps: None numbers the frames as stored; a rate numbers the ticks of that clock, by time stamps.
        strict: damage raises VideoError. Otherwise it is counted in `faults`, one warning names the file, and a frame
            that cannot be decoded is stood in for by the last one before it.
        stream: number among the file's video streams, from 0; None is the best one, as FFmpeg chooses it: no cover
            picture, then the largest, the default one before others.

    Attributes:
        num_frames: frames as numbered.
        seconds: when each is shown, float64 `(num_frames,)`.
        frame_rate: frames a second, on average.
        faults: damaged frames and packets met so far.

    Raises:
        VideoError: the file is missing, is no video, is too large, or is damaged and `strict` is set.
    """

    def __init__(
        self,
        path: PathLike | bytes | BinaryIO,
        size: tuple[int, int] | None = None,
        max_pixels: int = MAX_PIXELS,
        fps: float | None = None,
        strict: bool = False,
        stream: int | None = None,
    ):
        medium = Medium(path)
        super().__init__(medium.name, size, strict)
        self._opening, self._max_pixels = (medium, max_pixels, stream), max_pixels
        self._container, self._stream = open_container(*self._opening)
        try:
            self._table = _TABLES.read(medium, self._container, self._stream)
            if self._table.damage:
                self._damaged(self._table.damage)
            seconds = self._table.seconds
            # The times of one frame tell no rate.
            rate = FRAME_RATE if len(seconds) > 1 else float(self._stream.average_rate or FRAME_RATE)
            self._number_frames(seconds, fps, rate)
        except BaseException:
            self.close()
            raise
        self._colours, self._reader = Colours(self.path), None

    def close(self) -> None:
        """Lets go of the file."""
        self._container.close()

    def _read(self, numbers: list[int]) -> Iterator[np.ndarray]:
        reader, pixels = _Reader(self, numbers), None
        self._reader = reader
        for number in numbers:
            frame = reader.read(number)
            if frame is not None:
                pixels = self._to_rgb(frame)
            yield pixels

    def _to_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        return self._colours.rgb(frame)

    def _damaged(self, what: str) -> None:
        self._report(f"{self.path}: {what}")

    def _reopen(self) -> None:
        self._container.close()
        self._container, self._stream = open_container(*self._opening)


class _Reader:
    """Decoded frames by number, ascending, for one call of `Video.frames`."""

    def __init__(self, video: Video, numbers: list[int]):
        self.video, self.table = video, video._table
        timed = self.table.pts is not None and video._stream.codec_context.name in SKIPPING
        self.needed = set(self.table.pts[numbers].tolist()) if timed else None  # pts of the frames to come
        self.pictures = None  # generator of (frame number, frame)
        self.last = self.ahead = None  # newest picture at or before the wanted number; one read past it
        self.returned = None

    def read(self, wanted: int) -> av.VideoFrame | None:
        """The frame of that number, or the last one before it if it cannot be decoded; None for the one returned last.
        """
        if self.video._reader is not self:
            raise RuntimeError(f"{self.video.path}: a later reading took over; finish one first, or open it twice")
        self._approach(wanted)
        self._advance(wanted)
        if self.last is None and self.ahead is None and len(self.table.keys):
            # Nothing came after the seek: decode from the start and stand in with what is there.
            self.pictures = self._from_start()
            self._advance(wanted)
        picture = self.last or self.ahead
        if picture is None:
            raise VideoError(f"{self.video.path}: no frame can be decoded; fetch it again or take it off the list")
        if picture[0] != wanted:
            self._stands_in(wanted, picture[0])
        same, self.returned = picture[0] == self.returned, picture[0]
        return None if same else picture[1]

    def _advance(self, wanted: int) -> None:
        while self.last is None or self.last[0] < wanted:
            if self.ahead is None:
                self.ahead = next(self.pictures, None)
            if self.ahead is None or (self.ahead[0] > wanted):
                return
            self.last, self.ahead = self.ahead, None

    def _stands_in(self, wanted: int, number: int) -> None:
        untimed_tail = self.table.pts is None and self.ahead is None and wanted - number <= UNTIMED_TAIL
        if not untimed_tail:
            self.video._damaged(f"frame {wanted} of {len(self.table.seconds)} cannot be decoded; frame {number} "
                               "stands in for it; lost frames further on are replaced in the same way")

    def _approach(self, wanted: int) -> None:
        """Seek where a key frame lies far enough ahead, and start decoding where it has not begun."""
        keys = self.table.keys
        place = int(np.searchsorted(keys, wanted, side="right")) - 1
        key = int(keys[place]) if place >= 0 else 0
        newest = self.ahead or self.last
        position = -1 if newest is None else newest[0]
        if key > position + SEEK_MARGIN and self._seek(int(self.table.pts[key]), int(self.table.key_dts[place])):
            self.ahead = None
        elif self.pictures is None:
            self.pictures = self._from_start()

    def _seek(self, pts: int, dts: int) -> bool:
        """Continue at, or before, the packet (pts, dts) of a key frame. False where the container cannot."""
        container, stream = self.video._container, self.video._stream
        for place in (pts, dts):  # some containers are searched by one, some by the other
            try:
                container.seek(place, stream=stream, backward=True)
                packets = container.demux(stream)
                first = next(packets)
            except (av.error.FFmpegError, StopIteration):
                continue
            # Right after a seek Matroska knows no decoding time.
            if first.dts <= dts if first.dts is not None else first.is_keyframe and first.pts <= pts:
                # The container may have gone to an earlier packet, from which nothing can be decoded.
                packets = itertools.chain([first], packets)
                packets = itertools.dropwhile(lambda packet: packet.pts != pts or not packet.is_keyframe, packets)
                self.pictures = self._pictures(packets, pts)
                return True
        if self.pictures is not None:
            # The decoder was reading on when the seek lost its place: find it again from the start.
            self.pictures, self.last, self.ahead = self._from_start(), None, None
        return False

    def _from_start(self) -> Iterator[tuple[int, av.VideoFrame]]:
        video = self.video
        try:
            if self.table.first is None:
                raise StopIteration
            place = min(t for t in (*self.table.first, 0) if t is not None)
            video._container.seek(place, stream=video._stream, backward=True)
            packets = video._container.demux(video._stream)
            first = next(packets)
            if (first.pts, first.dts) != self.table.first:
                raise StopIteration
        except (av.error.FFmpegError, StopIteration):
            video._reopen()
            packets = video._container.demux(video._stream)
            first = next(packets)
        return self._pictures(itertools.chain([first], packets), first.pts)

    def _pictures(self, packets, key_pts) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield (frame number, frame) as decoded from here on, none shown before `key_pts`; numbers ascend."""
        count = 0
        for frame in self._decoded(packets):
            if self.table.pts is None:
                number, count = count, count + 1
            elif frame.pts is None or frame.pts < key_pts:
                continue  # Shown before the key frame that decoding started at, so it may lack what it refers to.
            else:
                number = int(np.searchsorted(self.table.pts, frame.pts, side="right")) - 1
            if frame.width * frame.height > self.video._max_pixels:
                raise VideoError(f"{self.video.path}: frame {number} is {frame.width} x {frame.height}; expected at "
                                 f"most {self.video._max_pixels} pixels a frame (max_pixels)")
            if frame.is_corrupt:
                self.video._damaged(f"frame {number} is damaged")
            yield number, frame

    def _decoded(self, packets) -> Iterator[av.VideoFrame]:
        context, ended = self.video._stream.codec_context, False
        while not ended:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self.video._damaged(f"it cannot be read to its end ({error})")
                packet = None
            ended = packet is None
            # An empty packet inside a file is a dropped frame; to the decoder it would mean the end.
            if ended or packet.size:
                if self.needed is not None:
                    skipped = not ended and packet.pts is not None and packet.pts not in self.needed
                    context.skip_frame = "NONREF" if skipped else "DEFAULT"
                try:
                    yield from context.decode(packet)
                except EOFError:
                    return
                except av.error.FFmpegError as error:
                    self.video._damaged(f"a packet cannot be decoded ({error})")
