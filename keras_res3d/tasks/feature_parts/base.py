"""What a part of a folder of features holds, whatever the format of its file."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from keras_res3d.remote import StoreError, StorePath, as_path
from keras_res3d.untrusted import COUNT, parse_json

# What of a folder's header says how features were computed; features that differ in it are never mixed.
SETTINGS = ("format", "model", "layers", "sampling", "step", "per_clip", "normalized")
# What json, zipfile, NumPy and pyarrow raise at damaged files.
UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError, RuntimeError, RecursionError, EOFError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
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


_SCHEMA = {"id": str, "label": (str, None), "group": (str, None), "number": COUNT, "size": (COUNT, None),
           "rows": COUNT, "error": (str, None)}  # fmt: skip


def settings_digest(header: Mapping) -> str:
    """SHA-256 of the settings of a header: two headers that agree in it may share a folder."""
    settings = {name: header[name] for name in SETTINGS}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def about_text(header: Mapping, videos: Iterable[VideoRow]) -> str:
    """What a part says of its videos: JSON text in ASCII, which has a place for names that are not UTF-8."""
    return json.dumps({"settings": settings_digest(header), "videos": [asdict(video) for video in videos]})


class Part(ABC):
    """A part, opened: its videos are read at once, and arrays as they are asked for. A context manager.

    A format of files opens its file in `_open`, closes it in `close`, and reads from it in `_about` and `_array`. What
    these raise at a damaged file becomes a ValueError that names it.

    Args:
        path: of the part.
        header: of its folder.

    Attributes:
        videos: a `VideoRow` for each video.
        rows: of each array.

    Raises:
        ValueError: the file is damaged, cut short or no part, or its settings are not the header's; names the file.
        StoreError: the store that it lies in does not answer.
    """

    def __init__(self, path, header: Mapping):
        self.path, self.header = as_path(path), header
        try:
            self._open()
        except UNREADABLE as error:
            raise self._damaged(error) from error
        try:
            about = parse_json(self._about(), {"settings": str, "videos": [_SCHEMA]})
            if about["settings"] != settings_digest(header):
                raise ValueError("its settings are not those of the folder's header")
            self.videos = tuple(map(_video_row, about["videos"]))
            if len({video.id for video in self.videos}) < len(self.videos):
                raise ValueError("it has a video twice")
            self.rows = sum(video.rows for video in self.videos)
        except UNREADABLE as error:
            self.close()
            raise self._damaged(error) from error

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def seconds(self) -> np.ndarray:
        """When each row begins and ends, float64 `(rows, 2)`. Raises ValueError where the file is damaged."""
        return self._checked(None)

    def values(self, layer: str) -> np.ndarray:
        """A layer's features, float32 `(rows, width)`. Raises ValueError where the file is damaged."""
        return self._checked(layer)

    def size(self) -> int:
        """Bytes of the file."""
        return self.path.size() if isinstance(self.path, StorePath) else self.path.stat().st_size

    def _checked(self, layer: str | None) -> np.ndarray:
        try:
            return self._array(layer)
        except UNREADABLE as error:
            raise self._damaged(error) from error

    @abstractmethod
    def _open(self) -> None:
        """Opens the file."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the file."""

    @abstractmethod
    def _about(self) -> str | bytes:
        """The text of `about_text`."""

    @abstractmethod
    def _array(self, layer: str | None) -> np.ndarray:
        """A layer's features, or the times of the rows for None, of the type and shape that are promised."""

    def _damaged(self, error: BaseException) -> Exception:
        if isinstance(error, StoreError):  # which says nothing about the file
            return error
        return ValueError(f"{self.path} is no part of these features, or is damaged or cut short: {reason(error)}; "
                          "delete it and extract again, which makes only what is missing")  # fmt: skip


def _video_row(fields: Mapping) -> VideoRow:
    row = VideoRow(**fields)
    if (row.error is None) != (row.rows > 0):
        raise ValueError(f"{row.id!r} has {row.rows} rows")
    return row


def reason(error: BaseException) -> str:
    """What an error says, with its type where it says little alone."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, (KeyError, AttributeError)) else str(error) or kind
