"""Paths in object stores, such as s3://bucket/videos/a.mp4: read and written through fsspec, lost connections retried.

A `StorePath` has what this package uses of `pathlib.Path`, so that code takes either: `as_path` makes the one or the
other of what a user gives. A local path stays what it was, and fsspec is imported at the first path of a store.
"""

from __future__ import annotations

import atexit
import contextlib
import fnmatch
import functools
import hashlib
import io
import os
import pathlib
import posixpath
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

from keras_res3d.asking import GivenUp, asked, quieten, tell_of_no_credentials
from keras_res3d.regular_files import open_regular

# Schemes of addresses, and the extra that brings what each needs. Others, such as rtsp, are no stores.
STORES = {"s3": "s3", "gs": "gs", "memory": "store"}
# How often something is asked of a store before that is given up, and how long it waits in between: each time twice as
# long as before.
TRIES, PAUSE_SECONDS = 5, 0.5
# Bytes that are read of a video at a time: a store takes about as long to answer as it takes to send these.
BLOCK_BYTES = 4 << 20
# Files that belong to a model's file: its card, OpenVINO's weights, what is recorded of converted weights.
_BESIDE = ("{stem}.json", "{stem}.bin", "{name}.json")
# What begins an address of any kind; a single letter is a drive of Windows.
_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]+://")


class StoreError(RuntimeError):
    """A store that does not answer, or refuses; the message names the path.

    It is no OSError: a lost connection is no fault of the video that was being read, and ends a run where a bad video
    would be left out.
    """


def scheme_of(path: object) -> str | None:
    """The scheme of an address in a store, "s3" of "s3://bucket/a.mp4"; None of a local path."""
    if isinstance(path, StorePath):
        return path.scheme
    scheme, mark, _ = path.partition("://") if isinstance(path, str) else ("", "", "")
    return scheme if mark and scheme in STORES else None


def is_remote(path: object) -> bool:
    """Whether a path is an address in a store."""
    return scheme_of(path) is not None


def as_path(path: str | os.PathLike) -> pathlib.Path | StorePath:
    """The path as an object: a `StorePath` of an address, otherwise a `pathlib.Path`.

    Raises:
        ValueError: it is an address, such as hdfs://host/x or S3://bucket/x, and of no known store.
    """
    if isinstance(path, StorePath):
        return path
    if is_remote(path):
        return StorePath(path)
    if isinstance(path, str) and _ADDRESS.match(path):
        scheme, _, rest = path.partition("://")
        shown = rest.split("?")[0].rpartition("@")[2]  # an address may hold a password
        *others, last = (f"{name}://" for name in STORES)
        raise ValueError(f"{scheme}://{shown}: {scheme}:// is no known store; expected {', '.join(others)} or {last}, "
                         "or a local path")  # fmt: skip
    return pathlib.Path(path)


def joined(folder: pathlib.Path | StorePath, path: str) -> pathlib.Path | StorePath:
    """What a path in a list means: an address or an absolute path itself, otherwise a place in the list's folder.

    Raises:
        ValueError: as of `as_path`.
    """
    return as_path(path) if _ADDRESS.match(path) else folder / path


def refuse(what: str, path: object) -> None:
    """Raises ValueError where what can only be a local path is an address.

    Args:
        what: is refused, to begin the message with: "a folder of frames".
        path: that was given. A `pathlib.Path` that was made of an address is known too, by its "s3:".
    """
    scheme = scheme_of(path)
    if scheme is None and isinstance(path, pathlib.PurePath):
        first = path.parts[0] if path.parts else ""
        scheme = first[:-1] if first[-1:] == ":" and first[:-1] in STORES else None
    if scheme is not None:
        raise ValueError(f"{path}: {what} cannot be on {scheme}://: expected a local path")


def forget_memory() -> None:
    """Says that this process works for another one, and so has nothing of what that one keeps in memory://."""
    _foreign.add("memory")


_foreign: set[str] = set()


@functools.cache
def _made(scheme: str, process: int):
    try:
        import fsspec

        quieten()
        # Without a memory of listings: other processes write too.
        system = fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        extra = STORES[scheme]
        raise ImportError(
            f"{scheme}:// needs a package that is not installed ({error}): pip install 'keras-res3d[{extra}]'"
        ) from error
    tell_of_no_credentials(scheme, system)
    return system


def _tried(path: StorePath, does: str, call: Callable):
    """What `call` returns, tried again where the connection is lost.

    Raises:
        FileNotFoundError: there is no such object.
        ImportError: the store's package is not installed.
        StoreError: the store refuses, or failed every time, or the program is ending.
    """
    try:
        return asked(call, str(path), TRIES, PAUSE_SECONDS)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such object, or no such bucket") from error
    except GivenUp as error:
        raise StoreError(f"{path} cannot be {does}: {error}") from error.__cause__


class StorePath(os.PathLike):
    """An address in a store, with those attributes and methods of `pathlib.Path` that the package uses.

    A folder of a store is there when an object is below it. `os.fspath` gives the address.

    Args:
        address: such as "s3://bucket/key".
    """

    def __init__(self, address: str):
        self.scheme, _, key = address.partition("://")
        self.key = posixpath.normpath(key.strip("/")) if key.strip("/") else ""
        self._type: str | None = None  # "file" or "directory" where a listing has just told it

    def __fspath__(self) -> str:
        return f"{self.scheme}://{self.key}"

    __str__ = __fspath__

    def __repr__(self) -> str:
        return f"StorePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StorePath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __lt__(self, other: StorePath) -> bool:
        return self.parts < other.parts

    def __truediv__(self, name: str | os.PathLike) -> StorePath | pathlib.Path:
        name = os.fspath(name)
        return pathlib.Path(name) if os.path.isabs(name) else StorePath(f"{self.scheme}://{self.key}/{name}")

    def __reduce__(self):
        return StorePath, (str(self),)

    @property
    def parts(self) -> tuple[str, ...]:
        return (f"{self.scheme}://", *self.key.split("/"))

    @property
    def name(self) -> str:
        return posixpath.basename(self.key)

    @property
    def stem(self) -> str:
        return pathlib.PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        return pathlib.PurePosixPath(self.name).suffix

    @property
    def parent(self) -> StorePath:
        return StorePath(f"{self.scheme}://{posixpath.dirname(self.key)}")

    def with_name(self, name: str) -> StorePath:
        return self.parent / name

    def with_suffix(self, suffix: str) -> StorePath:
        return self.with_name(self.stem + suffix)

    def absolute(self) -> StorePath:
        return self

    def relative_to(self, folder: StorePath) -> pathlib.PurePosixPath:
        return pathlib.PurePosixPath(self.key).relative_to(folder.key)

    def _ask(self, does: str, call: Callable):
        """`call` of the file system and of the path as that file system has it."""
        if self.scheme in _foreign:
            raise StoreError(f"{self}: memory:// belongs to one process, and another one was to read this for it; use "
                             "a store or a folder that processes share")  # fmt: skip

        def ask():
            system = _made(self.scheme, os.getpid())  # a file system does not outlive a fork
            return call(system, system._strip_protocol(self.key))

        return _tried(self, does, ask)

    def _info(self) -> dict | None:
        try:
            return self._ask("looked for", lambda system, key: system.info(key))
        except FileNotFoundError:
            return None

    def exists(self) -> bool:
        return self._info() is not None

    def is_file(self) -> bool:
        return (self._type or (self._info() or {}).get("type")) == "file"

    def is_dir(self) -> bool:
        return (self._type or (self._info() or {}).get("type")) == "directory"

    def is_symlink(self) -> bool:
        return False

    def size(self) -> int:
        """Bytes of the object. Raises FileNotFoundError where there is none."""
        found = self._info()
        if found is None or found["type"] != "file":
            what = "no such object" if found is None else "is a folder of the store"
            raise FileNotFoundError(f"{self}: {what}")
        return int(found["size"])

    def iterdir(self) -> Iterator[StorePath]:
        """What lies in the folder, in the order of names; the paths know whether they are files or folders.

        Raises:
            FileNotFoundError: there is no folder.
        """
        for name, found in sorted(self._listed().items()):
            child = self / name
            child._type = found["type"]
            yield child

    def glob(self, pattern: str) -> Iterator[StorePath]:
        """What lies in the folder and has such a name; nothing where there is no folder."""
        with contextlib.suppress(FileNotFoundError):
            yield from (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def sizes(self) -> dict[str, int]:
        """The name of each object in the folder, and its bytes; none where there is no folder."""
        try:
            return {name: int(found["size"]) for name, found in self._listed().items() if found["type"] == "file"}
        except FileNotFoundError:
            return {}

    def _listed(self) -> dict[str, dict]:
        """What the store says of each object and folder in the folder, by name."""
        found = self._ask("listed", lambda system, key: system.ls(key, detail=True))
        paths = {each["name"].rstrip("/"): each for each in found}
        children = {path.rpartition("/")[2]: each for path, each in paths.items() if path.strip("/") != self.key}
        return {name: each for name, each in children.items() if name}

    def below(self) -> list[StorePath]:
        """Every object below the folder, however deep, in the order of names."""
        found = self._ask("listed", lambda system, key: system.find(key))
        prefix = f"{self.key}/"
        names = (name.strip("/") for name in found)
        return sorted(self / name.removeprefix(prefix) for name in names if name.startswith(prefix))

    def mkdir(self, *_: object, **__: object) -> None:
        """Does nothing: a store's folders come with their objects."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes the object."""
        try:
            self._ask("removed", lambda system, key: system.rm_file(key))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def read_range(self, start: int, end: int) -> bytes:
        """The object's bytes from `start` up to `end`, which must be there."""

        def ask(system, key: str) -> bytes:
            data = system.cat_file(key, start=start, end=end)
            if len(data) != end - start:
                raise ConnectionError(f"{len(data)} of {end - start} bytes came")
            return data

        return self._ask("read", ask) if end > start else b""

    def read_bytes(self) -> bytes:
        return self._ask("read", lambda system, key: system.cat_file(key))

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return io.TextIOWrapper(io.BytesIO(self.read_bytes()), encoding, errors).read()

    def open(self) -> BinaryIO:
        """The object as a file that is read and sought in; its connection is asked for again where it is lost.

        Raises:
            FileNotFoundError: there is no such object.
        """
        return io.BufferedReader(_Reading(self), BLOCK_BYTES)

    def upload(self, file: pathlib.Path) -> None:
        """Puts a local file at this address, in place of what is there: stores put an object whole or not at all."""
        self._ask("written", lambda system, key: system.put_file(str(file), key))

    def download(self, file: pathlib.Path) -> None:
        """Writes the object into a local file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._ask("read", lambda system, key: system.get_file(key, str(file)))

    @contextlib.contextmanager
    def written(self) -> Iterator[pathlib.Path]:
        """Yields where to write, locally; when the block ends without an error, it is put here.

        That is a file; or a folder, or a file with others beside it, whose own object comes last.
        """
        with tempfile.TemporaryDirectory(prefix="keras_res3d-") as folder:
            aside = pathlib.Path(folder, self.name)
            yield aside
            files = [file for file in sorted(pathlib.Path(folder).rglob("*")) if file.is_file()]
            before = self.below() if aside.is_dir() and self.is_dir() else []
            # What a reader looks for lies at the top: it comes when all else is there.
            for file in sorted(files, key=lambda file: (file == aside, -len(file.parts))):
                (self.parent / file.relative_to(folder).as_posix()).upload(file)
            kept = {str(self.parent / file.relative_to(folder).as_posix()) for file in files}
            for path in before:
                if str(path) not in kept:
                    path.unlink(missing_ok=True)


class _Reading(io.RawIOBase):
    """An object, read range by range: no connection stays open between two reads."""

    def __init__(self, path: StorePath):
        self.name, self._path, self._size, self._place = str(path), path, path.size(), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(f"{self.name}: byte {start + offset} was sought")
        self._place = start + offset
        return self._place

    def readinto(self, buffer) -> int:
        end = min(self._place + len(buffer), self._size)
        data = self._path.read_range(self._place, end)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


def readable(path: pathlib.Path | StorePath) -> pathlib.Path | BinaryIO:
    """What `zipfile` and others open: a local path itself, an object of a store as a file; OSError as of `opened`."""
    file = opened(path)
    if isinstance(path, StorePath):
        return file
    file.close()
    return path


def opened(path: str | os.PathLike) -> BinaryIO:
    """A file to read bytes from, or an object of a store. OSError of what cannot be read, of a pipe and of a device."""
    return path.open() if isinstance(path, StorePath) else open_regular(path)


def text_of(path: str | os.PathLike, encoding: str = "utf-8-sig", errors: str = "strict") -> str:
    """The text of a file, or of an object of a store; errors as of `opened`."""
    with opened(path) as file:
        return file.read().decode(encoding, errors)


def size_of(path: str | os.PathLike) -> int | None:
    """Bytes of a local file; None where there is none, and of a store's objects, since a list may have a million."""
    return os.path.getsize(path) if not is_remote(path) and os.path.isfile(path) else None


@functools.cache
def _own_folder() -> pathlib.Path:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="keras_res3d-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def local_copy(path: str | os.PathLike) -> pathlib.Path:
    """A model's file or folder where libraries can open it: a local path itself.

    An object is fetched with the card and the weights that lie beside it, a folder with all below it, into a temporary
    folder that goes with this process. What was fetched is used again while the store has the same.

    Raises:
        FileNotFoundError: there is no such object.
    """
    path = as_path(path)
    if not isinstance(path, StorePath):
        return path
    if path.is_dir():
        wanted, base = path.below(), path.parent
    else:
        names = {form.format(stem=stem, name=path.name) for form in _BESIDE
                 for stem in (path.stem, path.name.removesuffix(".weights.h5"))}  # fmt: skip
        beside = [path.with_name(name) for name in sorted(names - {path.name})]
        wanted, base = [path, *(each for each in beside if each.is_file())], path.parent
    versions = [each._ask("looked for", lambda system, key: str(system.ukey(key))) for each in wanted]
    version = hashlib.sha256("\n".join([*map(str, wanted), *versions]).encode()).hexdigest()[:16]
    folder = _own_folder() / version
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=_own_folder()) as aside:
            for each in wanted:
                each.download(pathlib.Path(aside, "copy", each.relative_to(base)))
            with contextlib.suppress(OSError):  # another thread was faster
                os.replace(pathlib.Path(aside, "copy"), folder)
    return folder / path.name
