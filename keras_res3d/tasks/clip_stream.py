"""The clips of many videos, decoded in threads ahead of the network; memory grows with neither lengths nor number."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from keras_res3d.data.clips import Sampling
from keras_res3d.data.crashes import opened
from keras_res3d.data.evaluation import clips_at, evaluation_places
from keras_res3d.data.types import DataSet
from keras_res3d.io import reader_threads

# Seconds between looks at whether the reader of a full queue has gone.
_PATIENCE = 0.2


class Piece(NamedTuple):
    """A clip of a video, or the end of one.

    Args:
        number: of the video in its data set.
        clip: uint8 RGB `(frames, height, width, 3)`; None ends the video.
        seconds: when the clip begins and ends.
        error: with the end of a video, why it could not be read to its end; None where it was.
    """

    number: int
    clip: np.ndarray | None = None
    seconds: tuple[float, float] = (0.0, 0.0)
    error: Exception | None = None


class _Stopped(Exception):
    """The reader wants no more."""


class ClipStream:
    """The clips of videos, several videos at a time: those of one video in order, with those of others between them.

    Args:
        data_set: of the videos.
        numbers: which videos; asked for one at a time, as threads become free.
        sampling: how clips are taken.
        step: frames from the start of a clip to the start of the next.
        ahead: clips that may wait.
        workers: threads; None is one for each core.
    """

    def __init__(self, data_set: DataSet, numbers: Iterable[int], sampling: Sampling, step: int, ahead: int = 32,
                 workers: int | None = None):  # fmt: skip
        self._data_set, self._sampling, self._step = data_set, sampling, step
        self._numbers, self._guard = iter(numbers), threading.Lock()
        self._pieces: queue.Queue[Piece | Exception | None] = queue.Queue(max(1, ahead))
        self._stop = threading.Event()
        self._workers = reader_threads(workers)

    def __iter__(self) -> Iterator[Piece]:
        """Yields the pieces; an error that is none of a video's is raised."""
        threads: list[threading.Thread] = []
        try:
            while len(threads) < self._workers:  # where the machine has no more of them, the others end
                thread = threading.Thread(target=self._work, daemon=True)
                thread.start()
                threads.append(thread)
            running = len(threads)
            while running:
                piece = self._pieces.get()
                if piece is None:
                    running -= 1
                elif isinstance(piece, BaseException):
                    raise piece
                else:
                    yield piece
        finally:
            self._stop.set()
            with contextlib.suppress(queue.Empty):
                while True:
                    self._pieces.get_nowait()
            for thread in threads:
                thread.join()

    def _put(self, piece: Piece | BaseException | None) -> None:
        while not self._stop.is_set():
            try:
                return self._pieces.put(piece, timeout=_PATIENCE)
            except queue.Full:
                continue
        raise _Stopped

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                with self._guard:
                    number = next(self._numbers, None)
                if number is None:
                    break
                self._read(number)
            self._put(None)
        except _Stopped:
            return
        except BaseException as error:
            with contextlib.suppress(_Stopped):
                self._put(error)

    def _read(self, number: int) -> None:
        with contextlib.closing(pieces_of(self._data_set, number, self._sampling, self._step)) as pieces:
            for piece in pieces:
                self._put(piece)


def pieces_of(data_set: DataSet, number: int, sampling: Sampling, step: int) -> Iterator[Piece]:
    """Yields the clips of a video in order, and its end; arguments as of `ClipStream`."""
    error = None
    try:
        with opened(data_set, number, sampling.fps) as video:
            places = evaluation_places(video, sampling, step=step)
            times = ((float(video.seconds[place[0]]), float(video.seconds[place[-1]])) for place in places)
            for seconds, clip in zip(times, clips_at(video, sampling, places), strict=True):
                yield Piece(number, clip, seconds)
    except (ValueError, OSError) as found:
        error = found
    yield Piece(number, error=error)


def batches(pieces: Iterable[Piece], size: int, compute: Callable[[list[Piece]], None],
            ended: Callable[[Piece], object | None]) -> Iterator[object]:  # fmt: skip
    """Calls `compute` with batches of clips across videos, and yields what `ended` gives for each video.

    A video's end is told after its last clip was computed.

    Args:
        pieces: as `ClipStream` gives them.
        size: clips in a batch; the last one may be smaller.
        compute: takes a list of pieces that hold clips.
        ended: takes the piece that ends a video.
    """
    waiting: list[Piece] = []
    ends: list[Piece] = []
    for piece in pieces:
        if piece.clip is None:
            ends.append(piece)
        else:
            waiting.append(piece)
        if len(waiting) == size:
            compute(waiting)
            waiting = []
        if not waiting:
            yield from map(ended, ends)
            ends = []
        elif len(ends) > size:  # many that cannot be read must not wait for ever
            here = {waits.number for waits in waiting}
            yield from (ended(end) for end in ends if end.number not in here)
            ends = [end for end in ends if end.number in here]
    if waiting:
        compute(waiting)
    yield from map(ended, ends)
