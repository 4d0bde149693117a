"""HDF5 files from elsewhere are read by a child process first: libhdf5 crashes at some, and never returns from others.

The child reads everything in the file under limits of processor time, of time by the clock, and of memory. It imports
h5py and NumPy alone. One child serves all files of a process, since its start (0.25 s) costs more than reading a file
of 100 MB; it ends when it has had nothing to do for a while. A file that was read without harm is not tried again
while its size and its time of change stay.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

CONTENTS = "model.weights.h5"  # of a .keras file
_IDLE_SECONDS, _START_SECONDS, _STOP_SECONDS = 60, 120, 5
# A file that changed so lately may change again without another time of change: systems count it in steps.
_CHANGED_NS = 100_000_000


@dataclass(frozen=True)
class Limits:
    """What reading a file may take.

    Attributes:
        cpu_seconds, cpu_seconds_per_gb: of processor time.
        clock_seconds, clock_seconds_per_gb: for slow disks, and a process that has to wait for others.
        memory_mb: of memory, beside four times the file.
    """

    cpu_seconds: float = 5
    cpu_seconds_per_gb: float = 20
    clock_seconds: float = 60
    clock_seconds_per_gb: float = 200
    memory_mb: int = 256


class HarmfulFileError(ValueError):
    """A file that would crash, hang or fill the process that reads it; the message gives the reason alone."""


_known: dict[tuple, bool] = {}


def vouch_for(path) -> None:
    """Notes that a file is known to be good, because its digest was verified: it need not be tried in a child."""
    _known[_key(path)] = True


def try_in_child(path) -> None:
    """Reads an HDF5 file, or that of a `.keras` archive, in a child process.

    Raises:
        HarmfulFileError: the child crashed, or did not end within its limits.
    """
    key, now = _key(path), time.time_ns()
    if key in _known:
        return
    reason = _CHILD.answer(os.path.abspath(os.fsdecode(path)), Limits())
    if reason:
        raise HarmfulFileError(reason)
    if now - key[-1] > _CHANGED_NS:
        _known[key] = True


def _key(path) -> tuple:
    state = os.stat(path)
    return os.path.abspath(path), state.st_ino, state.st_size, state.st_mtime_ns


class _Child:
    """The process that reads files, started at the first; all threads use it by turns."""

    def __init__(self):
        # A program that is frozen into one file would start itself again.
        self._process, self._guard, self._usable = None, threading.Lock(), not getattr(sys, "frozen", False)

    def answer(self, path: str, limits: Limits) -> str:
        """Why the file must not be read here; "" where it may be."""
        with self._guard:
            for _ in range(2):  # an idle child may have ended by itself just now
                process = self._running()
                if process is None:
                    return ""
                with contextlib.suppress(OSError):
                    process.stdin.write(json.dumps([path, vars(limits)]).encode() + b"\n")
                    process.stdin.flush()
                line = _within(process, _clock_seconds(path, limits))
                if line.endswith(b"\n"):
                    return json.loads(line)
                self.stop()
                if process.returncode:
                    return _ended_by(process.returncode)
            return ""

    def _running(self) -> subprocess.Popen | None:
        """The process, or None where none can be started here, so that files are read untried."""
        if self._usable and (self._process is None or self._process.poll() is not None):
            from keras_res3d.io import child_environment  # here alone, since the child does without

            environment = child_environment(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
            command, pipe = [sys.executable, "-c", f"from {__name__} import serve; serve()"], subprocess.PIPE
            try:
                # In a session of its own: Ctrl-C is for the process that works.
                self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL,
                                                 env=environment, start_new_session=True)  # fmt: skip
                self._usable = _within(self._process, _START_SECONDS) == b"\n"
            except (OSError, TypeError):  # TypeError: there is no `sys.executable`
                self._usable = False
            if not self._usable:
                self.stop()
        return self._process

    def stop(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            process.stdin.close()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def _clock_seconds(path: str, limits: Limits) -> float:
    return limits.clock_seconds + limits.clock_seconds_per_gb * os.path.getsize(path) / 2**30


def _within(process: subprocess.Popen, seconds: float) -> bytes:
    """The next line that the process writes; it is killed, and the line is empty, where that takes too long."""
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    try:
        return process.stdout.readline()
    finally:
        timer.cancel()


def _ended_by(code: int) -> str:
    names = {-getattr(signal, "SIGXCPU", 0): "it keeps the HDF5 library busy without end",
             -getattr(signal, "SIGKILL", 0): "the HDF5 library does not come to an end with it"}  # fmt: skip
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return names.get(code, f"it crashes the HDF5 library ({how})")


_CHILD = _Child()
atexit.register(_CHILD.stop)
if hasattr(os, "register_at_fork"):  # a fork gets a child of its own, and no lock that a thread of the other holds
    os.register_at_fork(after_in_child=_CHILD.__init__)


def serve() -> None:
    """Answers each line `[path, limits]` on stdin with a line on stdout: "" or the reason why a file is harmful.

    The first line is empty and says that the process is ready.
    """
    import h5py  # noqa: F401, so that its memory and time are none of a file's

    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is expected here
    answers, sys.stdout = sys.stdout, sys.stderr
    answers.write("\n")
    answers.flush()
    while True:
        with _idle():
            line = sys.stdin.readline()
        if not line:
            return
        path, limits = json.loads(line)
        answers.write(json.dumps(_read(path, Limits(**limits))) + "\n")
        answers.flush()


@contextlib.contextmanager
def _idle() -> Iterator[None]:
    """In the block, the process ends by itself when it has waited long."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.alarm(_IDLE_SECONDS)
    yield
    signal.alarm(0)


def _read(path: str, limits: Limits) -> str:
    """Reads all of a file under its limits; "" or the reason. Errors that Python can handle are for the parent."""
    size = os.path.getsize(path)
    _limit_memory((limits.memory_mb << 20) + 4 * size)
    _limit_cpu(limits.cpu_seconds + limits.cpu_seconds_per_gb * size / 2**30)
    try:
        _read_everything(path)
    except MemoryError:
        return f"reading it takes more than {limits.memory_mb} MB and four times its size"
    finally:
        _limit_memory(None)
        _limit_cpu(None)
    return ""


def _limit_cpu(seconds: float | None) -> None:
    """The process dies (SIGXCPU) when it has worked for so many seconds more; None takes the limit away."""
    with contextlib.suppress(ImportError):
        import resource

        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        soft = hard if seconds is None else int(used + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _limit_memory(more: int | None) -> None:
    """The process gets so many bytes more than it has, on Linux; None takes the limit away."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        pages = 0 if more is None else int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        soft = hard if more is None else pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _read_everything(path: str) -> None:
    """Reads every attribute and every value. A member that cannot be read is passed over, and memory alone is told."""
    import io
    import zipfile

    import h5py

    opened = path
    with _passing_over():
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if CONTENTS not in archive.namelist():
                    return
                opened = io.BytesIO(archive.read(CONTENTS))
        with h5py.File(opened, "r") as file:
            waiting, seen = [file], set()
            while waiting:
                waiting += _members(waiting.pop(), seen)


def _members(group, seen: set) -> list:
    """The groups in a group; its datasets are read. Each object counts once, since links may run in circles."""
    import h5py

    found = []
    with _passing_over():
        _read_attributes(group)
        for name in group:
            with _passing_over():
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    continue
                each = group[name]
                place = h5py.h5o.get_info(each.id).addr
                if place in seen:
                    continue
                seen.add(place)
                if isinstance(each, h5py.Group):
                    found.append(each)
                elif isinstance(each, h5py.Dataset):
                    _read_dataset(each)
    return found


def _read_dataset(dataset) -> None:
    _read_attributes(dataset)
    dataset.id.get_storage_size()
    if not dataset.external and not dataset.is_virtual:  # those read other files, and the readers refuse them
        dataset[()]


def _read_attributes(thing) -> None:
    for name in list(thing.attrs):
        with _passing_over():
            thing.attrs[name]


@contextlib.contextmanager
def _passing_over() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # what the parent meets too, and reports, unless it has more memory
        if "alloc" in str(error):
            raise MemoryError from error
