"""Parts that are Parquet files, which data frames and databases read: a row for each row of features.

The columns are id, label, group, begin, end, and one for each layer, whose values are lists of a fixed width. The
metadata of the file have the folder's header and, since a video that cannot be read has no row, what the part says of
its videos. Pages are not compressed. The arrays' checksums are in the metadata too, since not every release of pyarrow
finds what is wrong by the checksums of pages.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType

import numpy as np

from keras_res3d.io import atomic_path
from keras_res3d.remote import readable
from keras_res3d.tasks.feature_parts.base import Part, VideoRow, about_text
from keras_res3d.untrusted import parse_json

SUFFIX = ".parquet"
COLUMNS = ("id", "label", "group", "begin", "end")
# Keys of the file's metadata: the header; the videos; CRC-32 of the times and of each layer; SHA-256 of these three.
HEADER_KEY, VIDEOS_KEY, SUMS_KEY = b"keras_res3d.header", b"keras_res3d.videos", b"keras_res3d.crc32"
DIGEST_KEY = b"keras_res3d.sha256"


def check(layers: Iterable[str]) -> None:
    """Says what stands in the way of writing these layers.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: a layer is called as another column is.
    """
    _pyarrow()
    for layer in layers:
        if layer in COLUMNS:
            raise ValueError(f"a layer is called {layer!r}, and so is a column of the Parquet files; write them as npz")


def missing() -> ImportError | None:
    """Why there is no Parquet here, or None where pyarrow is installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        return error
    return None


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    if (error := missing()) is not None:
        text = "Parquet needs pyarrow, which is not installed: pip install 'keras-res3d[parquet]'"
        raise ImportError(text) from error
    import pyarrow
    import pyarrow.parquet

    return pyarrow, pyarrow.parquet


def write_part(path, header: Mapping, videos: Sequence[VideoRow], seconds: np.ndarray,
               values: Mapping[str, np.ndarray]) -> None:  # fmt: skip
    """Writes a part, in one step; arguments as of `feature_folder.write_part`.

    Raises:
        ImportError, ValueError: as of `check`.
    """
    check(header["layers"])
    arrow, parquet = _pyarrow()
    rows = [video for video in videos for _ in range(video.rows)]
    columns = {name: arrow.array([_text(getattr(row, name)) for row in rows], arrow.string()) for name in COLUMNS[:3]}
    columns |= {name: arrow.array(seconds[:, at], arrow.float64()) for at, name in enumerate(COLUMNS[3:])}
    for layer, width in header["layers"].items():
        flat = arrow.array(np.ascontiguousarray(values[layer], np.float32).ravel())
        columns[layer] = arrow.FixedSizeListArray.from_arrays(flat, width)
    about = {HEADER_KEY: json.dumps(dict(header)).encode(), VIDEOS_KEY: about_text(header, videos).encode()}
    sums = [_sum(seconds, np.float64), *(_sum(values[layer], np.float32) for layer in header["layers"])]
    about[SUMS_KEY] = json.dumps(sums).encode()
    table = arrow.table(columns).replace_schema_metadata({**about, DIGEST_KEY: _digest(about)})
    with atomic_path(path) as aside:
        parquet.write_table(table, aside, row_group_size=max(1, len(rows)), compression="none", write_statistics=False,
                            use_dictionary=list(COLUMNS[:3]), write_page_checksum=True)  # fmt: skip


def _text(name: str | None) -> str | None:
    """A name as Parquet can hold it, which has UTF-8 alone; the metadata keep the name as it is."""
    return None if name is None else name.encode("utf-8", "backslashreplace").decode()


def _digest(about: Mapping[bytes, bytes]) -> bytes:
    return hashlib.sha256(b"\n".join(about[key] for key in (HEADER_KEY, VIDEOS_KEY, SUMS_KEY))).hexdigest().encode()


def _sum(values: np.ndarray, kind: type) -> int:
    return zlib.crc32(np.ascontiguousarray(values, kind).data)


class ParquetPart(Part):
    """A part that is a Parquet file.

    Raises:
        ImportError: pyarrow is not installed.
    """

    def _open(self) -> None:
        self._arrow, parquet = _pyarrow()
        with self._plain_errors():
            self._file = parquet.ParquetFile(readable(self.path), page_checksum_verification=True)

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def _about(self) -> bytes:
        about = self._file.schema_arrow.metadata or {}
        if about[DIGEST_KEY] != _digest(about):
            raise ValueError("the checksum of what it says of its videos is wrong")
        self._sums = parse_json(about[SUMS_KEY], [int])
        return about[VIDEOS_KEY]

    def _array(self, layer: str | None) -> np.ndarray:
        names = COLUMNS[3:] if layer is None else (layer,)
        width = 2 if layer is None else self.header["layers"][layer]
        self._check_size(width * (8 if layer is None else 4))
        with self._plain_errors():
            table = self._file.read(columns=list(names), use_threads=False)
        if table.num_rows != self.rows:
            raise ValueError(f"it has {table.num_rows} rows; expected {self.rows}")
        if layer is None:
            found = np.stack([self._numbers(table, name, self._arrow.float64()) for name in names], axis=1)
        else:
            kind = self._arrow.list_(self._arrow.float32(), width)
            found = self._numbers(table, layer, kind).reshape(self.rows, width)
        place = 0 if layer is None else 1 + list(self.header["layers"]).index(layer)
        if _sum(found, found.dtype.type) != self._sums[place]:
            raise ValueError(f"the checksum of {layer or 'the times'} is wrong")
        return found

    def _check_size(self, row_bytes: int) -> None:
        """Values are stored as they are, so that no file unpacks to more than it has."""
        if self.rows * row_bytes > self.size() or self._file.metadata.num_rows != self.rows:
            raise ValueError(f"it is too short for {self.rows} rows, or has {self._file.metadata.num_rows}")

    def _numbers(self, table, name: str, kind) -> np.ndarray:
        column = table.column(name)
        if column.type != kind or column.null_count:
            raise ValueError(f"{name} is {column.type} with {column.null_count} gaps; expected {kind} without any")
        found = column.combine_chunks()
        while isinstance(found, self._arrow.FixedSizeListArray):
            found = found.flatten()
        if found.null_count:
            raise ValueError(f"{name} has {found.null_count} gaps")
        return found.to_numpy(zero_copy_only=False)

    @contextlib.contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """Turns errors of pyarrow, some of which are of no common kind, into ValueErrors."""
        try:
            yield
        except self._arrow.ArrowException as error:
            raise ValueError(str(error)) from error
