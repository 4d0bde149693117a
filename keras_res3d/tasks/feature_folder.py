"""A folder of features on disk: a header, and parts, which are .npz files or Parquet files.

The header, features.json, says what the features are of: the model, its layers, how clips are taken. A part holds some
videos. It is written in one step and never changed, and a later run adds parts, so that processes that write at the
same time cannot harm each other.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_res3d.io import write_atomically
from keras_res3d.remote import StoreError, StorePath, as_path
from keras_res3d.tables import as_json
from keras_res3d.tasks.feature_parts import npz, parquet
from keras_res3d.tasks.feature_parts.base import SETTINGS, UNREADABLE, Part, VideoRow, reason
from keras_res3d.untrusted import Range, check, read_json

HEADER = "features.json"
FORMAT = "keras_res3d features 1"
_SCHEMA = {"model": dict, "layers": {str: Range(1, 2**31)}, "sampling": dict, "per_clip": bool, "data": list,
           "parts?": str, **{name: None for name in SETTINGS if name in ("step", "normalized")}}  # fmt: skip


class PartFormat(NamedTuple):
    """A format of the files that parts are.

    Args:
        suffix: of the files, by which their format is told.
        check: takes names of layers; raises where they cannot be written.
        write: as of `write_part`.
        read: the `Part` of a path and a header.
    """

    suffix: str
    check: Callable
    write: Callable
    read: type[Part]


PART_FORMATS = {
    "npz": PartFormat(npz.SUFFIX, npz.check, npz.write_part, npz.NpzPart),
    "parquet": PartFormat(parquet.SUFFIX, parquet.check, parquet.write_part, parquet.ParquetPart),
}
# That of a new folder for which none is named, and of one whose header names none.
USUAL = "npz"


def part_format(name: str) -> PartFormat:
    """The row of a format of parts.

    Raises:
        ValueError: there is no such format.
    """
    if name not in PART_FORMATS:
        raise ValueError(f"format is {name!r}; expected one of {', '.join(PART_FORMATS)}")
    return PART_FORMATS[name]


def read_header(folder) -> dict:
    """The header of a folder of features.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or of another format; names the file.
    """
    path = as_path(folder) / HEADER
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no features ({HEADER} is missing); keras-res3d extract writes them")
    try:
        header = read_json(path, {"format": str}, nan=True)
        found = header["format"]
        if found != FORMAT:
            raise ValueError(f"its format is {found!r}; expected {FORMAT!r}")
        check(header, _SCHEMA)
        part_format(header.get("parts", USUAL))
        if not header["layers"]:
            raise ValueError("it has no layers")
        return header
    except StoreError:
        raise
    except UNREADABLE as error:
        raise ValueError(f"{path} is no header of features: {reason(error)}; extract the features again") from error


def write_header(folder, header: Mapping) -> None:
    """Writes the header, in one step."""
    write_atomically(as_path(folder) / HEADER, as_json(dict(header)))


def parts(folder) -> list[pathlib.Path | StorePath]:
    """The parts of a folder, in the order of their names."""
    found = (path for row in PART_FORMATS.values() for path in as_path(folder).glob(f"*{row.suffix}"))
    return sorted(path for path in found if path.name[0] != ".")


def write_part(path, header: Mapping, videos: Sequence[VideoRow], seconds: np.ndarray,
               values: Mapping[str, np.ndarray]) -> None:  # fmt: skip
    """Writes a part, in one step.

    Args:
        path: of the part, whose suffix tells its format.
        header: of the folder.
        videos: the part's videos; their `rows` add up to the rows of the arrays.
        seconds: float64 `(rows, 2)`.
        values: float32 `(rows, width)` for each layer of the header.
    """
    _format_of(path).write(path, header, videos, seconds, values)


def open_part(path, header: Mapping) -> Part:
    """A part of a folder with this header, opened.

    Raises:
        ValueError, ImportError: as of its format.
    """
    return _format_of(path).read(path, header)


def _format_of(path) -> PartFormat:
    return next(row for row in PART_FORMATS.values() if str(path).endswith(row.suffix))


def read_parts(folder, header: Mapping) -> Iterator[Part]:
    """Yields each part of a folder, open until the next one is asked for.

    Raises:
        ValueError, ImportError: as of `open_part`.
    """
    for path in parts(folder):
        with open_part(path, header) as part:
            yield part


def videos_in_parts(folder, header: Mapping) -> dict[str, tuple[VideoRow, pathlib.Path]]:
    """Each video of a folder and the part that counts: the newest of those in which it could be read, if any could.

    A video has more than one part where it could not be read at first, or where its file was replaced.

    Raises:
        ValueError, ImportError: as of `open_part`.
    """
    found: dict[str, tuple[VideoRow, pathlib.Path]] = {}
    for part in read_parts(folder, header):
        for video in part.videos:
            before = found.get(video.id)
            if before is None or video.error is None or before[0].error is not None:
                found[video.id] = video, part.path
    return found
