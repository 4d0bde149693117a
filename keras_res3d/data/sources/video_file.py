"""Frames and clips of a video file, read with PyAV: seeking, bounded memory, bad files."""

import operator
import os
import warnings

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from keras_res3d.data.clips import at_frame_rate
from keras_res3d.data.sources.container import VideoError, open_container, read_frame_table, upright_quarter_turns

__all__ = ["Video", "VideoError"]

MAX_PIXELS = 7680 * 4320
# Decoding this many frames costs about as much as one seek, which empties the decoder and starts at a key frame.
SEEK_MARGIN = 8
# MPEG-4 in AVI with packed B-frames ends up to this many frames short of what it promises, in good files too.
UNTIMED_TAIL = 2


class Video:
    """A video file, read as RGB frames and clips. A context manager; `close` is the other way to let go.

    path: a video file. size: (height, width) that frames are resized to, bilinear, aspect ratio not kept (the released
    net's preprocessing); None keeps the stored size. max_pixels: larger frames are refused before anything is decoded.
    fps: None numbers the frames as stored; a rate numbers the ticks of that clock, by time stamps. strict: damage
    raises VideoError; otherwise it is counted in `faults`, frames that cannot be decoded are stood in for by the last
    one before them, and one warning names the file.

    num_frames: frames as numbered. seconds: when each is shown, float64 (num_frames,). frame_rate: frames a second, on
    average. faults: damaged frames and packets met so far. Frames come out upright where the metadata holds a rotation.
    Raises VideoError where the file is missing, no video, too large, or has no frame that can be decoded.
    """

    def __init__(self, path, size=None, max_pixels=MAX_PIXELS, fps=None, strict=False):
        self.path, self.size, self.strict = os.fspath(path), size, strict
        self.faults, self._warned = 0, False
        self._container, self._stream = open_container(self.path, max_pixels)
        self._max_pixels = max_pixels
        try:
            self._table = read_frame_table(self.path, self._container, self._stream)
            self._ticks = None if fps is None else at_frame_rate(self._table.seconds, fps)
            stored, promised = len(self._table.seconds), self._table.promised
            if stored + UNTIMED_TAIL < promised:
                self._report(f"its header promises {promised} frames, {stored} are there: the file is cut short")
        except BaseException:
            self.close()
            raise
        times = self._table.seconds
        self.seconds = times if fps is None else times[0] + np.arange(len(self._ticks)) / fps
        self.num_frames = len(self.seconds)
        lasts = times[-1] - times[0]
        self.frame_rate = float(fps or ((len(times) - 1) / lasts if lasts > 0 else self._stream.average_rate or 25))
        self._reformatter, self._reader = VideoReformatter(), None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Let go of the file."""
        self._container.close()

    def frames(self, indices, size=None):
        """Yield (index, frame) for each index, ascending; a frame is uint8 RGB of shape (height, width, 3).

        indices: frame numbers from 0 to num_frames - 1, in ascending order (repeats allowed). size: (height, width),
        in place of the video's own. Only these frames are converted, and stretches between them are skipped where a
        key frame allows. Raises ValueError on indices out of range or order, VideoError on files as `Video` says.
        """
        indices = np.asarray(list(indices), np.int64)
        if indices.size and (indices.min() < 0 or indices.max() >= self.num_frames):
            raise ValueError(f"{self.path}: frames {indices.min()}..{indices.max()} were asked for; "
                             f"expected 0..{self.num_frames - 1}")
        if (np.diff(indices) < 0).any():
            raise ValueError(f"{self.path}: frame numbers are out of order; expected them ascending")
        reader, shown, pixels = _Reader(self), None, None
        self._reader = reader
        sources = indices if self._ticks is None else self._ticks[indices]
        for index, source in zip(indices.tolist(), sources.tolist(), strict=True):
            if source != shown:
                frame = reader.read(source)
                # A frame that stands in for lost ones is converted once.
                if frame is not None:
                    pixels = self._to_rgb(frame, size or self.size)
                shown = source
            yield index, pixels

    def clips(self, clips, size=None):
        """Yield each clip, in the order given, as uint8 RGB of shape (frames, height, width, 3).

        clips: arrays of frame numbers, such as `clips.even_clips` gives. size: as in `frames`. A clip comes as soon as
        its last frame is decoded, and only frames that later clips still need are held, so that sliding windows over
        an hour of video stay small. Clips that are not in ascending order are right too, but hold more.
        """
        clips = [np.asarray(clip, np.int64) for clip in clips]
        last_use = {}
        for number, clip in enumerate(clips):
            last_use.update(dict.fromkeys(clip.tolist(), number))
        stream, held = self.frames(sorted(last_use), size), {}
        for number, clip in enumerate(clips):
            while any(index not in held for index in clip.tolist()):
                index, pixels = next(stream)
                held[index] = pixels
            yield np.stack([held[index] for index in clip.tolist()])
            for index in set(clip.tolist()):
                if last_use[index] == number:
                    del held[index]

    def _to_rgb(self, frame, size):
        turns = upright_quarter_turns(frame)
        height, width = (frame.height, frame.width) if size is None else map(operator.index, size)
        if size is not None and turns % 2:
            height, width = width, height
        # threads=1: FFmpeg would start a pool of threads for every frame.
        resized = self._reformatter.reformat(frame, width, height, "rgb24", interpolation=Interpolation.FAST_BILINEAR,
                                             threads=1)
        pixels = resized.to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels

    def _report(self, what):
        """Damage: an error when strict, else a fault, and a warning the first time."""
        self.faults += 1
        if self.strict:
            raise VideoError(f"{self.path}: {what}; fetch it again, or read it with strict=False")
        if not self._warned:
            self._warned = True
            warnings.warn(f"{self.path}: {what}", stacklevel=2)

    def _reopen(self):
        self._container.close()
        self._container, self._stream = open_container(self.path, self._max_pixels)


class _Reader:
    """Decoded frames by number, ascending, for one call of `Video.frames`."""

    def __init__(self, video):
        self.video, self.table = video, video._table
        self.pictures = None  # generator of (frame number, frame)
        self.last = self.ahead = None  # newest picture at or before the wanted number; one read past it
        self.returned = None

    def read(self, wanted):
        """The frame of that number, or the last one before it where it cannot be decoded; None where that is the
        frame returned before."""
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

    def _advance(self, wanted):
        while self.last is None or self.last[0] < wanted:
            if self.ahead is None:
                self.ahead = next(self.pictures, None)
            if self.ahead is None or (self.ahead[0] > wanted):
                return
            self.last, self.ahead = self.ahead, None

    def _stands_in(self, wanted, number):
        untimed_tail = self.table.pts is None and self.ahead is None and wanted - number <= UNTIMED_TAIL
        if not untimed_tail:
            self.video._report(f"frame {wanted} of {len(self.table.seconds)} cannot be decoded; frame {number} "
                               "stands in for it, and likewise wherever frames are lost")

    def _approach(self, wanted):
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

    def _seek(self, pts, dts):
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
                self.pictures = self._pictures(first, packets, pts)
                return True
        if self.pictures is not None:
            # The decoder was reading on when the seek lost its place: find it again from the start.
            self.pictures, self.last, self.ahead = self._from_start(), None, None
        return False

    def _from_start(self):
        video = self.video
        try:
            first_pts, first_dts = self.table.first
            place = min(t for t in (first_pts, first_dts, 0) if t is not None)
            video._container.seek(place, stream=video._stream, backward=True)
            packets = video._container.demux(video._stream)
            first = next(packets)
            if (first.pts, first.dts) != self.table.first:
                raise StopIteration
        except (av.error.FFmpegError, StopIteration):
            video._reopen()
            packets = video._container.demux(video._stream)
            first = next(packets)
        return self._pictures(first, packets, first.pts)

    def _pictures(self, first, packets, key_pts):
        """Yield (frame number, frame) as decoded from here on, none shown before `key_pts`; numbers ascend."""
        count = 0
        for frame in self._decoded(first, packets):
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
                self.video._report(f"frame {number} is damaged")
            yield number, frame

    def _decoded(self, first, packets):
        context = self.video._stream.codec_context
        packet, ended = first, False
        while not ended:
            ended = packet is None
            # An empty packet inside a file is a dropped frame; to the decoder it would mean the end.
            if ended or packet.size:
                try:
                    yield from context.decode(packet)
                except EOFError:
                    return
                except av.error.FFmpegError as error:
                    self.video._report(f"a packet cannot be decoded ({error})")
            try:
                packet = None if ended else next(packets, None)
            except av.error.FFmpegError as error:
                self.video._report(f"it cannot be read to its end ({error})")
                packet = None
