"""A folder of features on disk: a header, and parts that are .npz files without pickles.

The header, features.json, says what the features are of: the model, its layers, how clips are taken. A part holds some
videos. Its array `about` is JSON text in UTF-8 with a row for each video, its array `seconds` and one array for each
layer have as many rows as those videos have together. A part is written in one step and never changed, and a later run
adds parts, so that processes that write at the same time cannot harm each other.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from keras_res3d.io import atomic_path, write_atomically
from keras_res3d.tables import as_json

HEADER, PART_SUFFIX = "features.json", ".npz"
FORMAT = "keras_res3d features 1"
# What of the header says how features were computed; features that differ in it are never mixed.
SETTINGS = ("format", "model", "layers", "sampling", "step", "per_clip", "normalized")
# What json, zipfile and NumPy raise at damaged files.
_UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError, RuntimeError, RecursionError, EOFError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class VideoRow:
    """What a part says of a video.

    Args:
        id: the video's path as listed.
        label: name of its class, or None.
        group: what it belongs together with, or None.
        number: its place in the list, from 0.
        size: of its file in bytes, by which a file that was replaced is noticed; None where it is no file.
        rows: how many rows of each array are its own; 0 for a video that cannot be read.
        error: why it cannot be read, or None.
    """

    id: str
    label: str | None
    group: str | None
    number: int
    size: int | None
    rows: int
    error: str | None = None


_KINDS = {"id": str, "label": (str, type(None)), "group": (str, type(None)), "number": int,
          "size": (int, type(None)), "rows": int, "error": (str, type(None))}  # fmt: skip


def settings_digest(header: Mapping) -> str:
    """SHA-256 of the settings of a header: two headers that agree in it may share a folder."""
    settings = {name: header[name] for name in SETTINGS}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def read_header(folder) -> dict:
    """The header of a folder of features.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or of another format; names the file.
    """
    path = pathlib.Path(folder) / HEADER
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no features ({HEADER} is missing); keras-res3d extract writes them")
    try:
        header = json.loads(path.read_bytes())
        found = header["format"]
        if found != FORMAT:
            raise ValueError(f"its format is {found!r}; expected {FORMAT!r}")
        for name, kind in (("model", dict), ("layers", dict), ("sampling", dict), ("per_clip", bool), ("data", list)):
            if not isinstance(header[name], kind):
                raise TypeError(f"{name} is {type(header[name]).__name__}")
        settings_digest(header)  # which needs them all
        if not header["layers"] or not all(_count(width) and width for width in header["layers"].values()):
            raise TypeError(f"layers is {header['layers']}")
        return header
    except _UNREADABLE as error:
        raise ValueError(f"{path} is no header of features: {_reason(error)}; extract the features again") from error


def write_header(folder, header: Mapping) -> None:
    """Writes the header, in one step."""
    write_atomically(pathlib.Path(folder) / HEADER, as_json(dict(header)))


def parts(folder) -> list[pathlib.Path]:
    """The parts of a folder, in the order of their names."""
    return sorted(path for path in pathlib.Path(folder).glob(f"*{PART_SUFFIX}") if path.name[0] != ".")


def write_part(path, header: Mapping, videos: Iterable[VideoRow], seconds: np.ndarray,
               values: Mapping[str, np.ndarray]) -> None:  # fmt: skip
    """Writes a part, in one step.

    Args:
        path: of the part.
        header: of the folder.
        videos: the part's videos; their `rows` add up to the rows of the arrays.
        seconds: float64 `(rows, 2)`.
        values: float32 `(rows, width)` for each layer of the header.
    """
    about = {"settings": settings_digest(header), "videos": [asdict(video) for video in videos]}
    arrays = {"about": np.frombuffer(json.dumps(about).encode("ascii"), np.uint8), "seconds": seconds}
    for number, layer in enumerate(header["layers"]):
        arrays[f"layer{number}"] = values[layer]
    with atomic_path(path) as aside, open(aside, "wb") as file:
        np.savez(file, **arrays)


class Part:
    """A part, opened: its videos are read at once, and arrays as they are asked for. A context manager.

    Args:
        path: of the part.
        header: of its folder.

    Attributes:
        videos: a `VideoRow` for each video.
        rows: of each array.

    Raises:
        ValueError: the file is damaged, cut short or no part, or its settings are not the header's; names the file.
    """

    def __init__(self, path, header: Mapping):
        self.path, self._header = pathlib.Path(path), header
        try:
            self._archive = zipfile.ZipFile(path)
        except _UNREADABLE as error:
            raise self._damaged(error) from error
        try:
            self._check_sizes()
            about = json.loads(self._array("about", np.uint8, None).tobytes())
            if about["settings"] != settings_digest(header):
                raise ValueError("its settings are not those of the folder's header")
            self.videos = tuple(map(_video_row, about["videos"]))
            if len({video.id for video in self.videos}) < len(self.videos):
                raise ValueError("it has a video twice")
        except _UNREADABLE as error:
            self.close()
            raise self._damaged(error) from error
        self.rows = sum(video.rows for video in self.videos)

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        self._archive.close()

    def seconds(self) -> np.ndarray:
        """When each row begins and ends, float64 `(rows, 2)`. Raises ValueError where the file is damaged."""
        return self._checked("seconds", np.float64, 2)

    def values(self, layer: str) -> np.ndarray:
        """A layer's features, float32 `(rows, width)`. Raises ValueError where the file is damaged."""
        number = list(self._header["layers"]).index(layer)
        return self._checked(f"layer{number}", np.float32, self._header["layers"][layer])

    def _checked(self, name: str, kind: type, width: int) -> np.ndarray:
        try:
            return self._array(name, kind, (self.rows, width))
        except _UNREADABLE as error:
            raise self._damaged(error) from error

    def _check_sizes(self) -> None:
        """Parts are stored as they are, so that none unpacks to more than its file has."""
        members = self._archive.infolist()
        stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
        if not stored or sum(member.file_size for member in members) > os.path.getsize(self.path):
            raise ValueError("it is compressed")

    def _array(self, name: str, kind: type, shape: tuple[int, int] | None) -> np.ndarray:
        """An array of the archive, whose type and shape are looked at before any memory is taken for it."""
        raw = io.BytesIO(self._archive.read(f"{name}.npy"))
        if np.lib.format.read_magic(raw) != (1, 0):
            raise ValueError(f"{name} is of another version of .npy")
        found, fortran, dtype = np.lib.format.read_array_header_1_0(raw)
        if dtype != kind or fortran or (len(found) != 1 if shape is None else found != shape):
            raise ValueError(f"{name} is {dtype} of shape {found}; expected {np.dtype(kind)} of shape {shape}")
        return np.frombuffer(raw.getbuffer()[raw.tell() :], kind).reshape(found)

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(f"{self.path} is no part of these features, or is damaged or cut short: {_reason(error)}; "
                          "delete it and extract again, which makes only what is missing")  # fmt: skip


def _video_row(fields: Mapping) -> VideoRow:
    row = VideoRow(**fields)
    for name, kind in _KINDS.items():
        value = getattr(row, name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise TypeError(f"{name} of a video is {value!r}")
    if row.rows < 0 or (row.error is None) != (row.rows > 0):
        raise ValueError(f"{row.id!r} has {row.rows} rows")
    return row


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _reason(error: Exception) -> str:
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, (KeyError, AttributeError)) else str(error) or kind


def read_parts(folder, header: Mapping) -> Iterator[Part]:
    """Yields each part of a folder, open until the next one is asked for.

    Raises:
        ValueError: as of `Part`.
    """
    for path in parts(folder):
        with Part(path, header) as part:
            yield part


def videos_in_parts(folder, header: Mapping) -> dict[str, tuple[VideoRow, pathlib.Path]]:
    """Each video of a folder and the part that counts: the newest of those in which it could be read, if any could.

    A video has more than one part where it could not be read at first, or where its file was replaced.

    Raises:
        ValueError: as of `Part`.
    """
    found: dict[str, tuple[VideoRow, pathlib.Path]] = {}
    for part in read_parts(folder, header):
        for video in part.videos:
            before = found.get(video.id)
            if before is None or video.error is None or before[0].error is not None:
                found[video.id] = video, part.path
    return found
