"""Work on many files in child processes: a decoder that crashes takes its child down, and the others go on."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import pickle
import queue
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from keras_res3d.io import MAX_WORKERS, reader_threads
from keras_res3d.remote import StoreError, forget_memory

# Items in work or waiting for a slower one before them, for each process.
AHEAD = 4


class Outcome(NamedTuple):
    """What came of one item.

    Args:
        value: what the function returned.
        error: what went wrong in place of a value: an error's text, or how the process ended.
        crashed: whether the item crashed the process; not where somebody killed it, or memory was short.
        lost: whether a store did not answer, which is no fault of the item.
    """

    value: object = None
    error: str | None = None
    crashed: bool = False
    lost: bool = False

    def checked(self) -> Outcome:
        """The outcome itself. Raises StoreError where a store did not answer: that is not to be taken for a result."""
        if self.lost:
            raise StoreError(self.error)
        return self


@contextlib.contextmanager
def _without_the_program() -> Iterator[None]:
    """A process that is started inside the block does not run this one's program.

    `multiprocessing` has every new process run it once more, for what functions it defines; a program without
    `if __name__ == "__main__":` would start all over in each. The functions here are of modules, and need none of it.
    """
    with _STARTING:
        program = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = program


_STARTING = threading.Lock()
# The program is ending: no process is started any more for `Children`.
ENDING = threading.Event()


class _Child:
    """A process that answers (number, item) with (number, Outcome), one at a time."""

    def __init__(self, function: Callable):
        # Started afresh: a copy of this process would hold its threads' locks and its decoders.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(function, theirs), daemon=True)
        try:
            with _without_the_program():
                self.process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"what reads cannot be sent to another process ({error}); a data set of your own, and what is done to "
                "its clips, must be defined in a module that can be imported, not in the program itself"
            ) from error
        theirs.close()
        self.number = None

    def give(self, number: int, item) -> None:
        self.number = number
        with contextlib.suppress(OSError):  # It has died meanwhile; `take` finds out.
            self.pipe.send((number, item))

    def take(self) -> tuple[int, Outcome, bool]:
        """The item's number, its outcome, and whether the process is alive."""
        try:
            return *self.pipe.recv(), True
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
            error = f"crashed the process that decoded it ({how}); convert it, or take it off the list"
            killed = code in (-signal.SIGTERM, -getattr(signal, "SIGKILL", signal.SIGTERM))
            return self.number, Outcome(error=error, crashed=not killed), False

    def stop(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join()


def _serve(function: Callable, pipe) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and stops its children
    forget_memory()
    while True:
        try:
            number, item = pipe.recv()
        except (EOFError, OSError):  # the parent has ended, or was killed
            return
        try:
            pipe.send((number, outcome_of(function, item)))
        except OSError:
            return


def outcome_of(function: Callable, item) -> Outcome:
    """What comes of one item in this process."""
    try:
        return Outcome(function(item))
    except Exception as error:
        return Outcome(error=str(error) or type(error).__name__, lost=isinstance(error, StoreError))


def map_in_children(function: Callable, items: Iterable, workers: int | None = None) -> Iterator[Outcome]:
    """Yields an `Outcome` for each item, in order; an error of the function is in its outcome, and is not raised.

    A store that does not answer is an error of no item, and raises StoreError.

    A few items more than `workers` are worked on ahead of the slowest, so that few results wait.

    Args:
        function: a module's top-level function of one item; items and values travel by pickle.
        items: what it is called with.
        workers: processes, up to 512; None is one for each core.
    """
    workers = reader_threads(workers, MAX_WORKERS)
    numbered, done, first = enumerate(items), {}, 0
    upcoming, idle, busy = next(numbered, None), [], {}
    try:
        while upcoming or busy:
            while upcoming and len(busy) < workers and upcoming[0] < first + AHEAD * workers:
                child = idle.pop() if idle else _Child(function)
                child.give(*upcoming)
                busy[child.pipe] = child
                upcoming = next(numbered, None)
            for pipe in multiprocessing.connection.wait(list(busy)):
                child = busy.pop(pipe)
                number, outcome, alive = child.take()
                done[number] = outcome
                if alive:
                    idle.append(child)
                else:
                    child.stop()
            while first in done:
                yield done.pop(first).checked()
                first += 1
    finally:
        for child in [*idle, *busy.values()]:
            child.stop()


class Children:
    """Processes that call a function for the threads of this one: each call goes to the first that is idle.

    They are started when they are needed.

    Args:
        function: of one item; functions, items and values travel by pickle.
        count: of processes.
    """

    def __init__(self, function: Callable, count: int):
        self._function, self._count, self._closed, self._idle = function, count, False, queue.SimpleQueue()
        for _ in range(count):
            self._idle.put(None)  # one that is not started yet

    def __call__(self, item) -> Outcome:
        """The item's outcome; an error of the function is in it, and is not raised, but for a StoreError."""
        return self.outcome(item).checked()

    def outcome(self, item) -> Outcome:
        """The item's outcome, also where a store did not answer."""
        child, alive = self._idle.get(), False
        try:
            if child is None and ENDING.is_set():
                return Outcome(error="the program is ending")
            child = child or _Child(self._function)
            child.give(0, item)
            _, outcome, alive = child.take()
            return outcome
        finally:
            self._idle.put(self._kept(child, alive))

    def _kept(self, child: _Child | None, alive: bool) -> _Child | None:
        if child is None or (alive and not self._closed):
            return child
        child.stop()
        return None

    def close(self) -> None:
        """Ends the processes, those at work after their item. Later calls are answered, each by a new process."""
        self._closed = True
        for _ in range(self._count):
            try:
                self._idle.put(self._kept(self._idle.get_nowait(), True))
            except queue.Empty:
                return
