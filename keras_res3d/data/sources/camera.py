"""Frames of a camera, or of a stream at an address, as they come.

PyAV reads them, as it reads files, and OpenCV's `VideoCapture` does not: `av.open` takes one time limit that holds for
every protocol, each frame has the stream's own time stamp, and `Colours` makes the same pixels of it as of a file's
frame. `VideoCapture` gives BGR of its own making and no time stamps that hold for streams.

A thread reads, so that no wait of native code holds up the caller: Ctrl-C is answered at once, and a time limit holds
whatever the other side does.
"""

from __future__ import annotations

import errno
import functools
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np

from keras_res3d.data.images import MAX_PIXELS, resize
from keras_res3d.data.sources.addresses import Place, place_of
from keras_res3d.data.sources.colours import Colours
from keras_res3d.data.sources.container import BROKEN_METADATA, padded, video_stream
from keras_res3d.data.sources.stream_clock import StreamClock, Ticks
from keras_res3d.data.types import VideoError

# Formats of bare pictures: what FFmpeg takes for their time is made up of a rate that is made up as well.
_UNTIMED = frozenset({"mpjpeg", "mjpeg", "h264", "hevc", "m4v"})
# Formats whose new parts FFmpeg itself looks for: opened again, they would show their last parts a second time.
_RELOADED = frozenset({"hls"})
# How long frames wait for a caller who has fallen behind, before clips are left out.
_BEHIND_SECONDS = 1.0
# Frames that wait: 8 MB at the size of clips, and few of those that are not resized.
_WAITING, _WAITING_LARGE = 128, 4
# Between one try to reach a stream again and the next.
_AGAIN_SECONDS = 0.5
# A wait for the thread is cut into pieces, so that Windows too answers Ctrl-C.
_SLICE_SECONDS = 0.2
_NO_ANSWER = "no answer within {:g} seconds"
# macOS has no frame yet where another system waits for it.
_NOT_YET_SECONDS = 0.005


class _Item(NamedTuple):
    """A frame on its way from the thread to the caller."""

    seconds: float
    pixels: np.ndarray
    breaks: int
    arrived: float


class Camera:
    """A camera of this machine, or a stream at an address: a context manager that yields (seconds, frame).

        with keras_res3d.Camera("rtsp://192.168.0.7/stream1", size=(128, 171)) as camera:
            for seconds, frame in camera:
                ...

    Frames are uint8 RGB, upright, made and resized as those of files. Their time counts from the first frame, by the
    stream's own time stamps; where a stream has none (MJPEG), by when they arrive. A stream that breaks off is opened
    again. One that says how long it is, such as a file behind HTTP, ends with its last frame.

    Args:
        source: number of a camera of this machine from 0, its device (/dev/video0) or its name; or an address that
            begins with rtsp://, http://, rtmp://, udp:// or tcp://. User and password of an address are never
            printed.
        size: (height, width) in pixels that frames are resized to; None keeps the size that they have.
        fps: None gives every frame; a rate gives the frame that is shown at each tick of that clock.
        timeout: seconds without a frame, at the beginning or later on, after which the camera is given up.
        stream: number among the video streams, from 0; None is the best one, as FFmpeg chooses it.
        max_pixels: larger frames are refused.

    Attributes:
        name: of the camera, or the address, as it may be printed.
        frames: number of frames given so far.
        breaks: how often time began anew: the stream was opened again, or its time stamps leapt.
        faults: packets that could not be decoded.
        behind: whether the last frame had waited for more than a second; never for a stream that has an end.

    Raises:
        VideoError: there is no such camera; while frames are read: it does not answer, is lost, or is no video.
        ValueError: `fps` or `timeout` is not above 0.
    """

    def __init__(
        self,
        source: int | str,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        timeout: float = 10.0,
        stream: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ):
        for what, value in (("fps", fps), ("timeout", timeout)):
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{what} is {value!r}; expected a number above 0")
        self._place = place_of(source, timeout)
        self.name, self.frames, self.breaks, self.behind = self._place.name, 0, 0, False
        self._timeout, self._over = timeout, False
        self._queue: queue.Queue = queue.Queue(_WAITING_LARGE if size is None else _WAITING)
        self._reader = _Reader(self._place, size, fps, timeout, stream, max_pixels, self._queue)
        self._reader.start()
        # One that is not closed goes when nobody has it any more.
        weakref.finalize(self, self._reader.ended.set)

    @property
    def faults(self) -> int:
        """See above."""
        return self._reader.faults

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Camera:
        return self

    def __next__(self) -> tuple[float, np.ndarray]:
        if self._over:
            raise StopIteration
        item = self._wait()
        if isinstance(item, _Item):
            waited = time.monotonic() - item.arrived
            self.frames, self.breaks = self.frames + 1, item.breaks
            self.behind = self._reader.endless and waited > _BEHIND_SECONDS
            return item.seconds, item.pixels
        self._over = True
        if item is None and not self.frames:
            item = VideoError(f"{self.name}: holds no frames")
        raise StopIteration if item is None else item

    def _wait(self) -> _Item | Exception | None:
        # The first time limit is FFmpeg's own, which knows more about what went wrong.
        deadline = time.monotonic() + self._timeout + 2 * _SLICE_SECONDS
        while True:
            try:
                return self._queue.get(timeout=_SLICE_SECONDS)
            except queue.Empty:
                if time.monotonic() > deadline:
                    self.close()
                    return VideoError(f"{self.name}: {self._silence()}")

    def _silence(self) -> str:
        why = f" ({self._reader.trouble})" if self._reader.trouble else ""
        if not self.frames:
            return (f"gives no frame within {self._timeout:g} seconds{why}; check that it is there and that it sends, "
                    "or allow a longer timeout")  # fmt: skip
        return f"is lost after {self.frames} frames, and did not come back within {self._timeout:g} seconds{why}"

    def close(self) -> None:
        """Lets go of the camera."""
        self._over = True
        self._reader.stop()


class _Reader(threading.Thread):
    """Reads frames into a queue, and opens the stream again where it breaks off. An error, or None, is the end."""

    def __init__(self, place: Place, size, fps, timeout: float, stream: int | None, max_pixels: int, out: queue.Queue):
        super().__init__(name="keras_res3d camera", daemon=True)
        self._place, self._timeout, self._stream, self._max_pixels, self._out = place, timeout, stream, max_pixels, out
        self.ended, self._clock, self._ticks = threading.Event(), StreamClock(), Ticks(fps)
        self._colours, self._size = Colours(place.name), size
        self.faults, self.endless, self.trouble, self._answered = 0, True, "", False

    def stop(self) -> None:
        """Ends the thread; where native code waits for the other side, a little later."""
        self.ended.set()
        if self.is_alive() and threading.current_thread() is not self:
            self.join(1)

    def run(self) -> None:
        try:
            while not self.ended.is_set():
                if self._read_once():
                    return self._put(None)
                self.ended.wait(_AGAIN_SECONDS)
        except Exception as error:  # whatever it is, the caller waits for it
            self._put(error)

    def _put(self, item: _Item | Exception | None) -> None:
        while not self.ended.is_set():
            try:
                return self._out.put(item, timeout=_SLICE_SECONDS)
            except queue.Full:
                continue

    def _read_once(self) -> bool:
        """Reads until the stream ends or breaks off; returns whether it has come to an end that it announced."""
        try:
            container, stream = self._open()
        except VideoError as error:
            if not self._answered:
                raise
            self.trouble = str(error).removeprefix(f"{self._place.name}: ")
            return False
        with container:
            # A file says how long it is, in seconds or in bytes; those of a playlist are its own.
            reloaded = container.format.name in _RELOADED
            self.endless = container.duration is None and (reloaded or container.size <= 0)
            self._clock.begin(by_arrival=container.format.name in _UNTIMED)
            broke = self._read_frames(container, stream)
            if self.endless:
                if reloaded:
                    raise VideoError(f"{self._place.name}: is lost, its playlist names nothing new ({self.trouble})")
                return False
            if broke:  # opened again, it would begin anew
                raise VideoError(f"{self._place.name}: breaks off before its end ({self.trouble}); fetch the file, and "
                                 "read it from disk")  # fmt: skip
            for seconds, pixels in self._ticks.rest():
                self._put(_Item(seconds, pixels(), self._clock.breaks, time.monotonic()))
            return True

    def _read_frames(self, container: av.container.InputContainer, stream: av.VideoStream) -> bool:
        """Hands on the frames until there are no more; returns whether the stream broke off."""
        broke, packets = False, self._packets(container, stream)
        while not self.ended.is_set():
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                packet, broke = None, True
                self.trouble = _reason(error, self._timeout)
            # An empty packet inside a stream is a dropped frame; to the decoder it would mean the end.
            if packet is None or packet.size:
                for frame in self._decoded(stream.codec_context, packet):
                    self._answered = True
                    self._hand_on(frame, stream.time_base)
            if packet is None:
                self.trouble = self.trouble if broke else "the stream ended"
                break
        return broke

    def _packets(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
        while not self.ended.is_set():
            try:
                yield from container.demux(stream)
                return
            except BlockingIOError:
                self.ended.wait(_NOT_YET_SECONDS)

    def _open(self) -> tuple[av.container.InputContainer, av.VideoStream]:
        place, limit, started = self._place, self._timeout, time.monotonic()
        options = {**place.options, "max_pixels": padded(self._max_pixels)}
        try:
            container = av.open(place.file, format=place.format, options=options, timeout=(limit, limit),
                                **BROKEN_METADATA)  # fmt: skip
        except (av.error.FFmpegError, OSError, ValueError) as error:
            # A wait that is cut short may look like a format that is not known.
            silent = isinstance(error, av.error.ExitError) or time.monotonic() - started > 0.95 * limit
            reason = _NO_ANSWER.format(limit) if silent else _reason(error, limit)
            # The error that is passed over names the address, with its password.
            raise VideoError(f"{place.name}: cannot be opened ({reason}){_advice(error, place)}") from None
        try:
            return container, video_stream(place.name, container, self._max_pixels, self._stream)
        except BaseException:
            container.close()
            raise

    def _decoded(self, context: av.VideoCodecContext, packet: av.Packet | None) -> list[av.VideoFrame]:
        try:
            return context.decode(packet)
        except EOFError:
            return []
        except av.error.FFmpegError as error:
            self.faults, self.trouble = self.faults + 1, _reason(error, self._timeout)
            return []

    def _hand_on(self, frame: av.VideoFrame, time_base: Fraction | None) -> None:
        arrived = time.monotonic()
        stamp = None if frame.pts is None or time_base is None else float(frame.pts * time_base)
        seconds, begins = self._clock.seconds(stamp, arrived)
        for shown_at, pixels in self._ticks.due(seconds, self._maker(frame), begins):
            self._put(_Item(shown_at, pixels(), self._clock.breaks, arrived))

    def _maker(self, frame: av.VideoFrame) -> Callable[[], np.ndarray]:
        """Makes the pixels of a frame where they are asked for, and once: a slower clock leaves frames out."""
        @functools.cache
        def pixels() -> np.ndarray:
            rgb = self._colours.rgb(frame)
            return rgb if self._size is None else resize(rgb, self._size)

        return pixels


def _reason(error: Exception, timeout: float) -> str:
    """Why, without the address."""
    if isinstance(error, av.error.ExitError):
        return _NO_ANSWER.format(timeout)
    if isinstance(error, av.error.InvalidDataError):
        return "what it sends is not understood as video"
    if getattr(error, "errno", None) == errno.EIO:
        return "input/output error: the host is unknown, or it closed the connection"
    return getattr(error, "strerror", None) or type(error).__name__


def _advice(error: Exception, place: Place) -> str:
    if isinstance(error, av.error.HTTPUnauthorizedError):
        return "; give its user and password: rtsp://USER:PASSWORD@HOST/PATH, with % codes for odd characters"
    if isinstance(error, PermissionError):
        return "; ask for the right to use it, on Linux by joining the group video"
    return "; check the address" if place.format is None else "; check that no other program holds it"
