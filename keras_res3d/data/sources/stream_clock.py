"""Time in a stream that has no end: when each frame is shown, and which frame is shown at each tick of a clock."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

from keras_res3d.data.clips import TICK_TOLERANCE_SECONDS

# A time stamp that steps back further, or ahead further, than this begins anew.
_BACK_SECONDS, _AHEAD_SECONDS = 1.0, 10.0


class StreamClock:
    """When frames are shown, in seconds from the first one on, over all breaks.

    Attributes:
        breaks: how often time began anew.
    """

    def __init__(self):
        self.breaks, self._by_arrival = 0, False
        self._stamp = self._seconds = self._arrived = None

    def begin(self, by_arrival: bool) -> None:
        """A stream is opened.

        Args:
            by_arrival: whether its time stamps mean nothing.
        """
        self._by_arrival, self._stamp = by_arrival, None

    def seconds(self, stamp: float | None, arrived: float) -> tuple[float, bool]:
        """When a frame is shown, and whether time begins anew with it.

        Args:
            stamp: the frame's own time stamp in seconds, or None.
            arrived: by this machine's clock.
        """
        if self._by_arrival:
            stamp = arrived
        elif stamp is None:  # one without a time among others, or a stream that has none
            stamp = arrived if self._stamp is None else self._stamp + arrived - self._arrived
        first, begins = self._seconds is None, False
        step = 0.0 if self._stamp is None else stamp - self._stamp
        if first:
            self._seconds = 0.0
        elif self._stamp is None or not -_BACK_SECONDS <= step <= _AHEAD_SECONDS:
            begins, step = True, arrived - self._arrived
            self.breaks += 1
        self._seconds += max(0.0, step)
        # A stamp that steps back a little is that of a frame that comes too late; those after it count from the latest.
        self._stamp = stamp if self._stamp is None or begins else max(stamp, self._stamp)
        self._arrived = arrived
        return self._seconds, begins or first


class Ticks:
    """The frame that is shown at each tick of a clock, as `clips.at_frame_rate` tells it of a whole video."""

    def __init__(self, fps: float | None):
        self._fps, self._shown, self._start, self._count = fps, None, 0.0, 0
        self._last, self._gaps = 0.0, []

    def due(self, seconds: float, pixels: Callable, begins: bool) -> Iterator[tuple[float, Callable]]:
        """(time, pixels) of the ticks that are known with this frame: those of the frame before it.

        Args:
            seconds: when the frame is shown.
            pixels: makes its pixels.
            begins: whether time begins anew with it.
        """
        if self._fps is None:
            yield seconds, pixels
            return
        if begins:
            self._shown, self._start, self._count, self._gaps = None, seconds, 0, []
        else:
            yield from self._before(seconds)
            self._gaps = [*self._gaps[-8:], seconds - self._last]
        self._shown, self._last = pixels, seconds

    def rest(self) -> Iterator[tuple[float, Callable]]:
        """The ticks of the last frame, which is shown for as long as those before it were."""
        if self._fps is not None and self._shown is not None:
            yield from self._before(self._last + (statistics.median(self._gaps) if self._gaps else 1 / self._fps))

    def _before(self, seconds: float) -> Iterator[tuple[float, Callable]]:
        while self._shown and (tick := self._start + self._count / self._fps) + TICK_TOLERANCE_SECONDS < seconds:
            self._count += 1
            yield tick, self._shown
