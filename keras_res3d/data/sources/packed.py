"""Videos from packed shards: only the frames that a clip needs are read, each straight from its place in the file."""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Iterator, Sequence

import numpy as np

from keras_res3d.data.images import decode_jpeg
from keras_res3d.data.listing import Row, examples_of, make_listing
from keras_res3d.data.sources.base import Source
from keras_res3d.data.sources.shards import PackedVideoError, Shard, quick_faults, read_manifest, sizes_in
from keras_res3d.data.types import PathLike, one_line
from keras_res3d.remote import BLOCK_BYTES, StorePath


class PackedVideo(Source):
    """One video of a shard, read as RGB frames and clips. A context manager.

    Args:
        shard: the shard that holds it.
        number: of the video's record in the shard.
        stored: (height, width) of its frames in pixels.
        fps: as of `Video`.

    Raises:
        PackedVideoError: the shard is not what its manifest says; when frames are read, one cannot be decoded.
    """

    def __init__(self, shard: Shard, number: int, stored: tuple[int, int], fps: float | None = None):
        self._file = None
        super().__init__(f"{shard.path}: {shard.entry['videos'][number]['name']}")
        index = shard.index()
        part = slice(index.first[number], index.first[number + 1])
        self._offsets, self._sizes, self._stored = index.offsets[part], index.sizes[part], tuple(stored)
        self._number_frames(index.seconds[part], fps)
        self._shard = shard.path
        if not isinstance(shard.path, StorePath):
            self._file = os.open(shard.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def __del__(self):
        self.close()

    def close(self) -> None:
        """Lets go of the shard."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _read(self, numbers: list[int]) -> Iterator[np.ndarray]:
        height, width = self._stored
        for number, data in self._jpegs(numbers):
            try:
                pixels = decode_jpeg(data, height * width)
                if pixels.shape[:2] != self._stored:
                    raise ValueError(f"it is {pixels.shape[1]} x {pixels.shape[0]}; expected {width} x {height}")
            except ValueError as error:
                raise PackedVideoError(f"{self.path}: frame {number} cannot be decoded ({error}); pack the videos "
                                       "again") from error  # fmt: skip
            yield pixels

    def _jpegs(self, numbers: list[int]) -> Iterator[tuple[int, bytes]]:
        """Each number with the JPEG of its frame. Of a store, frames that lie near each other are fetched together."""
        if self._file is not None:
            for number in numbers:
                yield number, os.pread(self._file, int(self._sizes[number]), int(self._offsets[number]))
            return
        begins, ends = self._offsets.tolist(), (self._offsets + self._sizes).tolist()
        start = 0
        while start < len(numbers):
            first, stop = numbers[start], start + 1
            while stop < len(numbers) and ends[numbers[stop]] - begins[first] <= BLOCK_BYTES:
                stop += 1
            data = self._shard.read_range(begins[first], ends[numbers[stop - 1]])
            for number in numbers[start:stop]:
                yield number, data[begins[number] - begins[first] : ends[number] - begins[first]]
            start = stop


def _row(video: dict) -> Row:
    """The row of a manifest's video; where a list of labels stands there, that of a multi-label list."""
    row = Row("", video["name"], video["label"], video.get("group"), digest=video.get("sha256"))
    return row.with_labels(video["label"]) if isinstance(video["label"], list) else row


class PackedDataSet:
    """Packed shards as a `types.DataSet`.

    Shards are compared with the manifest by size here, by SHA-256 once per process before their first frame is used.

    Args:
        folder: that `keras-res3d pack` wrote.
        classes: names in the order of the labels; None means the manifest's.

    Raises:
        DataError: no manifest, shards that do not fit it, or labels that are not among `classes`.
    """

    def __init__(self, folder: PathLike, classes: Sequence[str] | None = None):
        self.name, manifest = str(folder), read_manifest(folder)
        self._token = uuid.uuid4().hex
        faults = quick_faults(manifest, sizes_in(folder))
        self._resize = tuple(manifest["resize"])
        self.mirror_safe = bool(manifest.get("mirror_safe", True))
        self.reverse_safe = bool(manifest.get("reverse_safe", True))
        self._shards = [Shard(folder, entry) for entry in manifest["shards"]]
        # (shard, record in it) of each example.
        self._places = [(shard, number) for shard in self._shards for number in range(len(shard.entry["videos"]))]
        rows = [_row(video) for shard in self._shards for video in shard.entry["videos"]]
        listing = make_listing(self.name, rows, faults, classes, manifest["classes"])
        self.classes, self.examples = listing.classes, examples_of(listing)

    __repr__ = one_line

    def __reduce__(self):
        """Another process reads the manifest itself, since locks do not travel; once, however often this comes."""
        return _reopened, (self.name, self.classes, self._token)

    def __len__(self) -> int:
        return len(self.examples)

    def open(self, i: int, fps: float | None = None, strict: bool = False) -> PackedVideo:
        """Opens a video as `types.DataSet.open` does. Damage is always an error, a PackedVideoError."""
        shard, number = self._places[i]
        return PackedVideo(shard, number, self._resize, fps)

    def verify(self) -> list[str]:
        """Reads every shard and compares it with the manifest.

        Returns:
            What is wrong, a sentence for each fault.
        """
        faults = []
        for shard in self._shards:
            try:
                shard.index()
            except PackedVideoError as error:
                faults.append(str(error))
        return faults


@functools.lru_cache(maxsize=4)
def _reopened(folder: str, classes: tuple[str, ...], token: str) -> PackedDataSet:
    """The copy of a data set in this process; `token` tells it from one of the same folder that was opened later."""
    return PackedDataSet(folder, classes)
