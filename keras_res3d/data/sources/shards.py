"""Shards on disk: TFRecord files of JPEG frames, an index beside each, and the manifest that they are held against.

A record is one video, a tf.train.Example with its frames, times, label, group and name. The index says at which byte
each frame stands, so that a clip is read without a look at what comes before it.
"""

from __future__ import annotations

import io
import os
import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from keras_res3d.data.faults import doubled
from keras_res3d.data.images import MAX_PIXELS
from keras_res3d.data.types import DataError, PathLike, VideoError
from keras_res3d.io import digest
from keras_res3d.nets.architecture import LARGEST
from keras_res3d.remote import StorePath, as_path
from keras_res3d.untrusted import COUNT, Npz, Range, check, read_json

# Such a file in a folder says that the folder holds packed shards.
MANIFEST = "manifest.json"
FORMAT = "keras_res3d shards 1"
_VIDEO = {"name": str, "label": (str, [str]), "group?": (str, None), "sha256?": (str, None)}
# Of a shard in the manifest, and in the file in which it waits for the manifest.
ENTRY = {"file": str, "records": COUNT, "frames": COUNT, "bytes": COUNT, "sha256": str, "videos": [_VIDEO],
         "index": {"file": str, "bytes": COUNT, "sha256": str},
         "left_out": [{"name": str, "label": (str, [str]), "fault": str}]}  # fmt: skip
# Earlier releases said less of a shard.
_LISTED = {f"{name}?" if name in ("frames", "left_out") else name: kind for name, kind in ENTRY.items()}
_MANIFEST = {"classes": [str], "shards": [_LISTED], "resize": [Range(1, 2**16)], "records": COUNT,
             "mirror_safe?": bool, "reverse_safe?": bool, "source?": dict}  # fmt: skip


class PackedVideoError(VideoError):
    """Packed shards that cannot be read; the message names the shard and says what to do."""


class ShardIndex(NamedTuple):
    """Where everything stands in a shard.

    Args:
        first: number of each record's first frame in the other arrays, and their end: int64 `(records + 1,)`.
        offsets: where each frame's JPEG begins in the file, in bytes.
        sizes: of each frame's JPEG, in bytes.
        seconds: when each frame is shown, float64.
    """

    first: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    seconds: np.ndarray

    def to_bytes(self) -> bytes:
        """The index as an .npz file; equal indexes give equal bytes."""
        buffer = io.BytesIO()
        np.savez(buffer, **self._asdict())
        return buffer.getvalue()


_KINDS = ShardIndex(first=np.int64, offsets=np.int64, sizes=np.int64, seconds=np.float64)


def read_manifest(folder: PathLike) -> dict:
    """The manifest of a folder of shards.

    Raises:
        DataError: there is none, or it is damaged.
    """
    path = as_path(folder) / MANIFEST
    try:
        manifest = read_json(path, {"format": str})
        found = manifest["format"]
        if found != FORMAT:
            raise DataError(str(folder), [f"{path} has format {found!r}; expected {FORMAT!r}: pack the videos again"])
        check(manifest, _MANIFEST)
        check_resize(manifest["resize"])
        for shard in manifest["shards"]:
            check_names(shard)
        _check_doubles("class", manifest["classes"])
        _check_doubles("file", [each["file"] for shard in manifest["shards"] for each in (shard, shard["index"])])
        return manifest
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(str(folder), [f"{path} is not a manifest of packed shards ({error}); pack the videos again"]
                        ) from error  # fmt: skip


def check_resize(size: Sequence[int], least: int = 1) -> None:
    """Raises ValueError unless frames of (height, width) can be stored: sides up to 16,384 pixels, an 8K frame in all.

    Args:
        size: in pixels.
        least: the shortest side that is taken.
    """
    if len(size) != 2 or min(size) < least or max(size) > LARGEST["crop"] or size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"resize is {'x'.join(map(str, size))}; expected height and width, sides of at least {least} "
                         f"and up to {LARGEST['crop']:,} pixels, {MAX_PIXELS:,} pixels in all")  # fmt: skip


def check_names(shard: dict) -> None:
    """Raises ValueError where an entry names a file that is not in the manifest's own folder."""
    for entry in (shard, shard["index"]):
        name = entry["file"]
        if os.path.basename(name) != name or name in ("", os.curdir, os.pardir) or "\0" in name:
            raise ValueError(f"a shard is called {name[:80]!r}; expected a name in the manifest's folder")


def _check_doubles(what: str, names: list[str]) -> None:
    """Raises ValueError where a manifest lists a class or a file twice."""
    if twice := doubled(names):
        raise ValueError(f"the {what} {twice[0][:80]!r} is listed twice")


def quick_faults(manifest: dict, sizes: Callable[[str], int | None]) -> list[str]:
    """What can be seen without reading the shards: missing files, wrong sizes, counts that disagree.

    Args:
        manifest: of the shards.
        sizes: as `sizes_in` gives it, of their folder.
    """
    faults = []
    for shard in manifest["shards"]:
        for entry in (shard, shard["index"]):
            found = sizes(entry["file"])
            if found != entry["bytes"]:
                what = "is missing" if found is None else f"has {found} bytes"
                faults.append(f"shard {entry['file']} {what}; the manifest says {entry['bytes']} bytes: pack again")
        if len(shard["videos"]) != shard["records"]:
            faults.append(f"shard {shard['file']} names {len(shard['videos'])} videos in {shard['records']} records")
    total = sum(shard["records"] for shard in manifest["shards"])
    if total != manifest["records"]:
        faults.append(f"the manifest says {manifest['records']} records, its shards {total}")
    return faults


def sizes_in(folder: PathLike) -> Callable[[str], int | None]:
    """A function that gives the size of a folder's file in bytes, None where it is not there; a store is asked once."""
    folder = as_path(folder)
    if isinstance(folder, StorePath):
        return folder.sizes().get
    return lambda name: os.path.getsize(folder / name) if os.path.isfile(folder / name) else None


def _state(path: pathlib.Path | StorePath) -> tuple[int, int]:
    """A file's bytes, and when it changed last in nanoseconds, which a store is not asked for."""
    if isinstance(path, StorePath):
        return path.size(), 0
    state = path.stat()
    return state.st_size, state.st_mtime_ns


class Shard:
    """One shard of a folder, whose bytes are compared with the manifest before the first one is used.

    Args:
        folder: that holds the shard.
        entry: of the shard in the manifest.
    """

    _verified: ClassVar[dict] = {}
    _guard = threading.Lock()

    def __init__(self, folder: PathLike, entry: dict):
        self.path, self.entry = as_path(folder) / entry["file"], entry
        self._index, self._lock = None, threading.Lock()

    def verify(self) -> None:
        """Compares shard and index with the manifest by size and digest, once per process.

        Of a shard in a store the size alone is compared, as `quick_faults` does: its digest would take the whole file
        through the network. The index, which is small, is compared as everywhere.

        Raises:
            PackedVideoError: they differ, or cannot be read.
        """
        index = self.entry["index"]
        for path, entry in ((self.path, self.entry), (self.path.parent / index["file"], index)):
            try:
                size, changed = _state(path)
                key = (str(path), size, changed, entry["sha256"])
                if key in Shard._verified:
                    continue
                trusted = isinstance(path, StorePath) and path == self.path
                good = size == entry["bytes"] and (trusted or digest(path) == entry["sha256"])
            except OSError as error:
                raise PackedVideoError(f"shard {path} cannot be read ({error.strerror}); pack again") from error
            if not good:
                raise PackedVideoError(f"shard {path} is not what the manifest says (SHA-256 or size differ): it is "
                                   "damaged; copy it again, or delete it and pack the videos again")
            with Shard._guard:
                Shard._verified[key] = True

    def index(self) -> ShardIndex:
        """Where everything stands; shard and index are checked at the first call.

        Raises:
            PackedVideoError: as of `verify`, or the index does not fit its shard.
        """
        with self._lock:
            self.verify()
            if self._index is None:
                self._index = self._read_index()
            return self._index

    def _read_index(self) -> ShardIndex:
        path = self.path.parent / self.entry["index"]["file"]
        try:
            with Npz(path) as arrays:
                index = ShardIndex(*map(arrays.read, ShardIndex._fields, _KINDS))
        except (OSError, ValueError) as error:
            raise PackedVideoError(f"index {path} cannot be read ({error}); pack the videos again") from error
        if not self._fits(index):
            raise PackedVideoError(f"index {path} does not fit its shard; pack the videos again")
        return index

    def _fits(self, index: ShardIndex) -> bool:
        first, offsets, sizes, seconds = index
        if first.shape != (self.entry["records"] + 1,):
            return False
        # Without differences, and below without a sum, which could overflow.
        counted = first[0] == 0 and (first[1:] > first[:-1]).all()
        if not (counted and offsets.shape == sizes.shape == seconds.shape == (first[-1],)):
            return False
        inside = (offsets >= 0) & (sizes > 0) & (sizes <= self.entry["bytes"] - offsets)
        return bool(inside.all() and np.isfinite(seconds).all())
