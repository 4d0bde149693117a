"""Files written whole or not at all, told apart by digest, held by one process at a time; silence; usable cores."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import pathlib
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator

import filelock

from keras_res3d.remote import StorePath, as_path, refuse


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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return cores or 1


def reader_threads(workers: int | None) -> int:
    """How many threads read videos: as many as asked for, or one for each usable core, up to 16.

    Raises:
        ValueError: `workers` is below 1.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; expected None (one per processor core) or at least 1")
    return workers or min(16, usable_cores())


def digest(path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    path = as_path(path)
    with path.open() if isinstance(path, StorePath) else open(path, "rb") as file:
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


@contextlib.contextmanager
def atomic_path(path) -> Iterator[pathlib.Path]:
    """Yields where to write a file so that `path` is the old file or the whole new one, whatever happens.

    The file is written under its own name in a hidden folder beside `path`, synced, and moved when the block ends; an
    error in the block leaves `path` as it was. The folder of `path` is made if missing. A file for a store is written
    into a temporary folder, and put into the store when the block ends.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
        StoreError: it cannot be put into the store.
    """
    path = as_path(path)
    if isinstance(path, StorePath):
        with path.written() as aside:
            yield aside
        return
    refuse("what is written here", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        aside = folder / path.name
        yield aside
        os.chmod(aside, 0o644)
        sync(aside)
        os.replace(aside, path)
        sync(path.parent)
    except OSError as error:
        raise _naming(error, path, folder) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def atomic_group(path) -> Iterator[pathlib.Path]:
    """Like `atomic_path`, for what is a folder, or a file with others beside it.

    Yields where to write: `path`'s own name in a hidden folder beside `path`. When the block ends, everything in that
    folder is moved beside `path`, and `path` itself last: it never lies there without what it needs. An error in the
    block leaves all as it was.
    """
    path = as_path(path)
    if isinstance(path, StorePath):
        with path.written() as aside:
            yield aside
        return
    refuse("what is written here", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder / path.name
        for file in sorted(folder.rglob("*")):
            sync(file)
        for name in sorted(os.listdir(folder), key=lambda name: name == path.name):
            _put(folder / name, path.parent / name, folder / f".replaced.{name}")
        sync(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put(source: pathlib.Path, target: pathlib.Path, aside: pathlib.Path) -> None:
    """Moves `source` to `target`; a folder that is there, which cannot be replaced in one step, goes to `aside`."""
    if not target.is_dir():
        os.replace(source, target)
        return
    os.replace(target, aside)
    try:
        os.replace(source, target)
    except OSError:
        os.replace(aside, target)
        raise


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


def sweep(path) -> None:
    """Removes what killed writes of `path` through `atomic_path` left beside it, while no other process writes it."""
    path = as_path(path)
    if isinstance(path, StorePath):  # which keeps nothing of a write that was cut short
        return
    for remains in path.parent.glob(f".{path.name}.*"):
        if remains.is_dir() and not remains.is_symlink():
            shutil.rmtree(remains, ignore_errors=True)


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
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
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
