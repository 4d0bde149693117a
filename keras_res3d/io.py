"""Files written whole or not at all, told apart by digest, held by one process at a time; silence; usable cores."""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import hashlib
import itertools
import os
import pathlib
import re
import shutil
import socket
import sys
import tempfile
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import filelock

from keras_res3d.remote import StorePath, as_path, opened, refuse, text_of

MAX_WORKERS = 512  # threads or processes of one call; each holds a video


@contextlib.contextmanager
def silenced(*descriptors: int) -> Iterator[None]:
    """Keeps what native code prints to these file descriptors (1 stdout, 2 stderr) from being seen.

    Where the block raises an error, what was printed is shown after all, on stderr. All threads are silenced.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in descriptors if _is_open(descriptor)}
    with tempfile.TemporaryFile() as said:
        try:
            for descriptor in kept:
                os.dup2(said.fileno(), descriptor)
            yield
        except BaseException:
            said.seek(0)
            with contextlib.suppress(OSError):
                os.write(kept.get(2, 2), said.read())
            raise
        finally:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
            for descriptor, copy in kept.items():
                os.dup2(copy, descriptor)
                os.close(copy)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def output_paths(inputs: Iterable[str | os.PathLike], folder, suffix: str) -> list[pathlib.Path]:
    """A file in `folder` for each input, called after it, and never one for two: a/x.mp4, b/x.mp4 and x.avi get
    x.png, x-2.png and x-3.png.

    Names that differ in nothing but their case, or in how their accents are written, count as the same, as they are to
    some file systems.

    Args:
        inputs: files, or folders, in whose names a dot does not start a suffix.
        folder: where the files go.
        suffix: of the files, with its dot.
    """
    taken: set[str] = set()
    found = []
    for path in map(pathlib.Path, inputs):
        stem = path.name if path.is_dir() else path.stem
        names = (f"{stem}{f'-{number}' if number > 1 else ''}{suffix}" for number in itertools.count(1))
        name, key = next((name, key) for name in names if (key := _alike(name)) not in taken)
        taken.add(key)
        found.append(pathlib.Path(folder, name))
    return found


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def usable_cores() -> int:
    """Processor cores that this process may use, at least 1."""
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()) or 1


def reader_threads(workers: int | None, usual: int = 16) -> int:
    """How many threads, or processes, read videos: as many as asked for, or one for each usable core, up to `usual`.

    Raises:
        ValueError: `workers` is below 1 or above `MAX_WORKERS`.
    """
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise ValueError(f"workers is {workers}; expected None (one per processor core) or 1 to {MAX_WORKERS}")
    return workers or min(usual, usable_cores())


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a Python child: it imports what this process does, wherever it runs.

    Args:
        more: variables that it gets beside this process's own, or in their place.
    """
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), **more}


def digest(path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with opened(as_path(path)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path) -> None:
    """Makes what was written to a file, or what a folder lists, reach the disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # folders cannot be opened on Windows, which syncs them by itself
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def atomic_path(path) -> AbstractContextManager[pathlib.Path]:
    """Yields where to write a file so that `path` is the old file or the whole new one, whatever happens.

    The file is written under its own name in a hidden folder beside `path`, synced, and moved when the block ends; an
    error in the block leaves `path` as it was. The folder of `path` is made if missing. What killed processes left
    beside `path` is removed. A file for a store is written into a temporary folder, and put into the store when the
    block ends.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
        StoreError: it cannot be put into the store.
    """
    return _written(path, _put_file)


def atomic_group(path, last: bool = False) -> AbstractContextManager[pathlib.Path]:
    """Like `atomic_path`, for what is a folder, or a file with others beside it.

    Yields where to write: `path`'s own name in a hidden folder beside `path`. When the block ends, everything in that
    folder is moved beside `path`, and `path` itself first: where others belong to it, it is what holds their digests,
    so that whoever reads it after a kill between two moves sees that they are not its own. An error in the block leaves
    all as it was. Into a store, where readers do not wait, `path` itself is put last. With `last` it is so everywhere,
    and an old `path` goes before the first move: where `path` is there, the others are whole and belong to it.

    Raises:
        OSError: it cannot be written, for example because the disk is full.
        StoreError: it cannot be put into the store.
    """
    return _written(path, functools.partial(_put_all, last=last))


@contextlib.contextmanager
def _written(path, put: Callable[[pathlib.Path, pathlib.Path], None]) -> Iterator[pathlib.Path]:
    """Yields where to write; when the block ends, `put(hidden folder, path)` moves what was written. A store does both.
    """
    path = as_path(path)
    if isinstance(path, StorePath):
        with path.written() as aside:
            yield aside
        return
    refuse("what is written here", path)
    with _hidden_folder(path) as folder:
        try:
            yield folder / path.name
            put(folder, path)
        except OSError as error:
            raise _naming(error, path, folder) from error


def _put_file(folder: pathlib.Path, path: pathlib.Path) -> None:
    aside = folder / path.name
    os.chmod(aside, 0o644)
    sync(aside)
    os.replace(aside, path)
    sync(path.parent)


def _put_all(folder: pathlib.Path, path: pathlib.Path, last: bool) -> None:
    for file in sorted(folder.rglob("*")):
        sync(file)
    names = sorted(set(os.listdir(folder)) - {OWNER}, key=lambda name: ((name == path.name) == last, name))
    for target in (path.parent / name for name in names if not (folder / name).is_dir()):
        if target.is_dir():  # it would be moved away, and what is in it lost
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if last:
        path.unlink(missing_ok=True)
    for name in names:
        _put(folder / name, path.parent / name, folder / f"{REPLACED}{name}")
    sync(path.parent)


def _put(source: pathlib.Path, target: pathlib.Path, aside: pathlib.Path) -> None:
    """Moves `source` to `target`; a folder that is there, which cannot be replaced in one step, goes to `aside`.

    After a kill between the two moves `sweep` puts it back.
    """
    if not target.is_dir():
        os.replace(source, target)
        return
    os.replace(target, aside)
    try:
        os.replace(source, target)
    except OSError:
        os.replace(aside, target)
        raise


# In the hidden folder of a write: the lock that its process holds, and what was moved away to make room.
OWNER, REPLACED = ".writer.lock", ".replaced."
# The hidden folders are called .NAME.RANDOM~, so that no folder of a user's is taken for one.
_MARK, _HIDDEN = "~", re.compile(r"\..+\.[a-z0-9_]{8}~")
_swept: set[str] = set()


@contextlib.contextmanager
def _hidden_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A hidden folder beside `path`; others see that it is in use, by a lock that goes with its process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep_once(path.parent)
    while True:
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_MARK, dir=path.parent))
        lock = filelock.FileLock(folder / OWNER, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except (filelock.Timeout, FileNotFoundError):  # swept away in the moment before it was locked
            continue
        except (OSError, NotImplementedError):  # a file system without locks: then nobody sweeps either
            break
        if (folder / OWNER).exists():
            break
        lock.release()
    try:
        yield folder
    finally:
        lock.release()
        _remove_folder(folder)


def _remove_folder(folder: pathlib.Path) -> None:
    """Removes a hidden folder, its lock's file last: after a kill on the way it can still be told from a user's."""
    with contextlib.suppress(OSError):
        for each in folder.iterdir():
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each, ignore_errors=True)
            elif each.name != OWNER:
                each.unlink()
        shutil.rmtree(folder)


def _sweep_once(folder: pathlib.Path) -> None:
    """Removes the remains of killed processes from a folder, at this process's first write into it."""
    if str(folder.absolute()) in _swept:
        return
    _swept.add(str(folder.absolute()))
    for name in filter(_HIDDEN.fullmatch, os.listdir(folder)):
        if (folder / name / OWNER).is_file():
            _remove_remains(folder / name)
        else:  # killed before it was locked, and empty; a process that is about to lock it makes another
            with contextlib.suppress(OSError):
                (folder / name).rmdir()


def sweep(path) -> None:
    """Removes what killed writes of `path` left beside it; what a living process writes stays.

    Remains that tell no owner, as those of earlier releases, are removed too: call it where no other process writes
    `path`.
    """
    path = as_path(path)
    if isinstance(path, StorePath):  # which keeps nothing of a write that was cut short
        return
    for remains in _remains(path):
        _remove_remains(remains)


def _remains(path: pathlib.Path) -> list[pathlib.Path]:
    found = path.parent.glob(f"{glob.escape(f'.{path.name}.')}*")
    return [each for each in found if each.is_dir() and not each.is_symlink()]


def _remove_remains(folder: pathlib.Path) -> None:
    """Removes the hidden folder of a write unless its process lives; what it had moved away and not replaced returns.
    """
    lock = filelock.FileLock(folder / OWNER, thread_local=False)
    with contextlib.suppress(OSError, NotImplementedError):  # Timeout is an OSError too
        lock.acquire(timeout=0)
        try:
            for aside in folder.glob(f"{REPLACED}*"):
                target = folder.parent / aside.name.removeprefix(REPLACED)
                if not target.exists():
                    os.replace(aside, target)
        finally:
            lock.release()
        _remove_folder(folder)


def half_replaced(path) -> str:
    """A hint for messages: "" or, where `path` is not there because its replacement was killed, a text that says so."""
    path = as_path(path)
    if isinstance(path, StorePath) or path.exists():
        return ""
    if not any((each / f"{REPLACED}{path.name}").exists() for each in _remains(path)):
        return ""
    return " (a process was killed while it replaced it: run that again)"


def _naming(error: OSError, path: pathlib.Path, folder: pathlib.Path) -> OSError:
    """The error of a write, with the path that its reader knows: a full disk names no file, or the hidden one."""
    if error.filename is not None and str(folder) not in str(error.filename):
        return error
    if error.errno is None:
        return OSError(f"{path} could not be written: {error}")
    return OSError(error.errno, error.strerror, str(path))


def write_atomically(path, data: str | bytes) -> None:
    """Writes bytes, or text as UTF-8, through `atomic_path`; a file name in it that is not UTF-8 keeps its bytes."""
    with atomic_path(path) as aside:
        aside.write_bytes(data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data)


@contextlib.contextmanager
def locked(path, waiting: str = "", timeout: float = -1) -> Iterator[bool]:
    """Holds the lock of `path` among processes; it goes with its owner, however that ends.

    Args:
        path: what is guarded; the lock is a hidden file beside it.
        waiting: printed to stderr once if another process holds the lock.
        timeout: seconds to wait; 0 does not wait, and a number below 0 waits for ever.

    Yields:
        Whether the lock is held: stores and some file systems have none, and a folder that cannot be written needs
        none.

    Raises:
        TimeoutError: another process still holds it.
    """
    path = as_path(path)
    if isinstance(path, StorePath):
        yield False
        return
    lock = filelock.FileLock(_lock_of(path))
    try:
        held = _acquire(lock, waiting, timeout)
    except (OSError, NotImplementedError) as error:
        if isinstance(error, TimeoutError):
            raise
        held = False
    try:
        yield held
    finally:
        lock.release()


def _acquire(lock: filelock.BaseFileLock, waiting: str, timeout: float) -> bool:
    pathlib.Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if waiting:
            print(waiting, file=sys.stderr)
        lock.acquire(timeout=timeout)
    return True


def _lock_of(path) -> pathlib.Path:
    path = pathlib.Path(path)
    return path.with_name(f".{path.name}.lock")


_held: set[tuple[int, str]] = set()
_HOLDER = re.compile(r"process \d+ on [\w.-]{1,100}")


@contextlib.contextmanager
def only_one(path, does: str, place=None, advice: str = "wait for it, or choose another output") -> Iterator[None]:
    """Lets one process at a time do something to `path`; a second one is refused at once.

    A call inside the block, of the same thread for the same path, goes through. The folder of `path` is made if
    missing, and goes again if nothing comes to lie in it. In a store, which has no locks, nobody is refused.

    Args:
        path: what is guarded, as of `locked`.
        does: for the message: "trains in".
        place: what the message names; None: `path`.
        advice: what to do, for the message.

    Raises:
        ValueError: another process, or thread, is at it; the message names it where it is known.
    """
    path = as_path(path)
    if isinstance(path, StorePath):
        yield
        return
    lock, key = _lock_of(path), (threading.get_ident(), str(path.absolute()))
    if key in _held:
        yield
        return
    missing = [each for each in lock.parents if not each.exists()]
    with contextlib.ExitStack() as stack:
        holder = _holder(lock)  # before the lock is tried, which may empty its file
        try:
            held = stack.enter_context(locked(path, timeout=0))
        except TimeoutError:
            raise ValueError(f"another run{holder} {does} {place or path}; {advice}") from None
        if held:
            _write_holder(lock)
        _held.add(key)
        try:
            yield
        finally:
            _held.discard(key)
            if held:  # a process that waits for a removed file asks again
                with contextlib.suppress(OSError):  # Windows keeps a file that is locked
                    lock.unlink()
                    for folder in missing:
                        folder.rmdir()


def _holder(lock: pathlib.Path) -> str:
    """Who holds a lock, for a message: " (process 4711 on its-host)", or "" where its file does not tell."""
    try:
        text = text_of(lock, "utf-8", "replace").strip()
    except OSError:
        return ""
    return f" ({text})" if _HOLDER.fullmatch(text) else ""


def _write_holder(lock: pathlib.Path) -> None:
    """Leaves word of this process in its lock's file; where locks are made of files, their text is not ours."""
    with contextlib.suppress(OSError):
        if not text_of(lock, errors="replace") or _holder(lock):
            lock.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
