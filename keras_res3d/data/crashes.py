"""A video that crashes its decoder takes the whole process with it: a second process, which waits, names the file.

Threads write the path of the file that they read into memory that a small second process shares. When the first one
dies, the second says which files were being read, and decodes each in a child of its own to find the one that crashes.

Why not decode in children always? Measured on two cores with eight real clips (processor time, three rounds), a clip
for training took 15.4 to 16.6 ms in threads and 15.3 to 16.5 ms in children, a video's ten clips for `evaluate` 48 to
50 ms and 52 to 66 ms, and every child took 0.25 s to start. That is much for a fault which hardly any file has, and
little where many cores are to be used: `training_batches(processes=...)` reads in children, and finds such a file by
itself. Writing a path here takes 5 microseconds. A process that supervises the work, and does not only watch it, would
stand between it and every signal that is sent to it.
"""

from __future__ import annotations

import collections
import contextlib
import mmap
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from keras_res3d.io import child_environment
from keras_res3d.tables import printable

if TYPE_CHECKING:
    from keras_res3d.data.types import DataSet, VideoSource

SLOTS, SLOT_BYTES = 64, 4096  # reads at a time, and bytes of a path with its length
# The second try ends with its process after so many seconds.
PATIENCE_SECONDS = 60


class _Board:
    """The paths that are being read, in memory that survives this process in the one that watches it."""

    def __init__(self, file):
        file.truncate(SLOTS * SLOT_BYTES)
        self._memory, self._free = mmap.mmap(file.fileno(), SLOTS * SLOT_BYTES), collections.deque(range(SLOTS))

    @contextlib.contextmanager
    def holding(self, path: object) -> Iterator[None]:
        try:
            slot = self._free.pop()
        except IndexError:  # more reads at a time than there are slots
            yield
            return
        name = os.fsencode(str(path))[: SLOT_BYTES - 2]
        start = slot * SLOT_BYTES
        self._memory[start + 2 : start + 2 + len(name)] = name
        self._memory[start : start + 2] = len(name).to_bytes(2, "little")
        try:
            yield
        finally:
            self._memory[start : start + 2] = b"\0\0"
            self._free.append(slot)


def paths_on(memory: bytes) -> list[str]:
    """The paths that a board held, each once."""
    slots = [memory[start : start + SLOT_BYTES] for start in range(0, len(memory), SLOT_BYTES)]
    names = [slot[2 : 2 + int.from_bytes(slot[:2], "little")] for slot in slots]
    return list(dict.fromkeys(os.fsdecode(name) for name in names if name))


_BOARDS: list[_Board] = []  # that of the innermost `watched` block is the last


def reading(path: object) -> contextlib.AbstractContextManager[None]:
    """Inside the block this thread reads a video; a process that dies meanwhile is said to have read it.

    Args:
        path: of the video, or what else names it.
    """
    return _BOARDS[-1].holding(path) if _BOARDS else contextlib.nullcontext()


@contextlib.contextmanager
def opened(data_set: DataSet, number: int, fps: float | None = None) -> Iterator[VideoSource]:
    """A data set's open video, which this thread reads inside the block; arguments as of `types.DataSet.open`."""
    with reading(data_set.examples[number].path), data_set.open(number, fps=fps) as video:
        yield video


@contextlib.contextmanager
def watched(who: str) -> Iterator[None]:
    """While the block runs, a second process watches this one, and names what it read if it dies.

    Args:
        who: is said to have died: "keras-res3d train".
    """
    if os.name != "posix":  # there is no way to hand the memory on
        yield
        return
    with tempfile.TemporaryFile() as file, contextlib.ExitStack() as stack:
        board = _Board(file)
        alive, ours = os.pipe()
        stack.callback(os.close, ours)
        command = [sys.executable, "-c", _WATCH, str(alive), str(file.fileno()), who]
        try:
            # In a session of its own: Ctrl-C is for the process that works.
            watcher = subprocess.Popen(command, pass_fds=(alive, file.fileno()), env=child_environment(),
                                       stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        except OSError:  # no process can be started: the work goes on unwatched
            watcher = None
        os.close(alive)
        _BOARDS.append(board)
        try:
            yield
        finally:
            _BOARDS.remove(board)
            if watcher is not None:
                watcher.kill()
                watcher.wait()


# The pipe ends with the process that is watched, however that dies. Nothing is imported before.
_WATCH = """
import os, sys
alive, board, who = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.read(alive, 1)
from keras_res3d.data.crashes import tell
tell(who, os.pread(board, os.fstat(board).st_size, 0))
"""


def tell(who: str, memory: bytes) -> None:
    """Prints what a process that has died was reading, if it read anything.

    Args:
        who: the process.
        memory: of its board.
    """
    from keras_res3d.data.check import probe

    paths = paths_on(memory)
    if not paths:
        return
    signal.signal(signal.SIGALRM, _no_longer)
    signal.alarm(PATIENCE_SECONDS)
    names = ", ".join(map(printable, paths))
    print(f"\n{who}: it was killed, or a decoder crashed, while it read {names}", file=sys.stderr, flush=True)
    for path in crashing(paths, probe):
        print(f"{who}: {printable(path)}: crashes its decoder; convert it, or take it off the list", file=sys.stderr,
              flush=True)  # fmt: skip


def _no_longer(*_: object) -> None:
    raise SystemExit(1)  # the children that try the videos are ended on the way out


def crashing(paths: list[str], decode: Callable) -> Iterator[str]:
    """Yields those of the paths that crash the process that decodes them.

    Args:
        paths: of videos.
        decode: a module's top-level function of a path.
    """
    from keras_res3d.data.children import map_in_children

    for path, outcome in zip(paths, map_in_children(decode, paths), strict=True):
        if outcome.crashed:
            yield path
