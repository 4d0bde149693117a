"""Writing a folder of features that several processes may fill at once, and that a later run completes.

A process that wants work holds the folder's lock for a moment, looks which videos are done and which are claimed, and
claims some of the rest in a file of its own. It holds the lock of that file as long as it lives, so that the claims of
a process that was killed are seen to be void. A store, such as s3://bucket/features, has no locks: there nothing is
claimed, and processes that write at the same time may compute a video twice, which harms nothing.
"""

from __future__ import annotations

import collections
import contextlib
import csv
import datetime
import hashlib
import io
import json
import os
import pathlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from keras_res3d.io import locked, sweep, write_atomically
from keras_res3d.remote import StorePath, as_path
from keras_res3d.tasks.feature_folder import (
    HEADER,
    PART_FORMATS,
    USUAL,
    open_part,
    part_format,
    parts,
    read_header,
    videos_in_parts,
    write_header,
    write_part,
)
from keras_res3d.tasks.feature_parts.base import SETTINGS, VideoRow, settings_digest
from keras_res3d.untrusted import read_json

BAD_VIDEOS, CLAIMS = "bad_videos.csv", ".claims"
# Videos that a process claims at a time.
CLAIMED = 8
# A part is written when so much has gathered; a process that is killed loses that at most.
PART_BYTES, PART_SECONDS = 64 << 20, 60


class FeatureWriter:
    """Adds videos to a folder of features. A context manager: what was added is written when it ends, also by an error.

    Args:
        folder: made where it is missing; it may be an address in a store.
        header: of the features; the settings of a header that is there must be the same.
        data: name of the data set, for the record.
        names: of the data set's videos.
        format: of the files, a name in `PART_FORMATS`; None goes on with the folder's own.
        at_once: whether all that is missing is claimed at once, and not a few videos at a time.

    Attributes:
        before: videos that the folder had when this process came.
        missing: videos that it lacked.
        written: good videos that this process wrote.
        others: videos that other processes had claimed when nothing was left to claim.

    Raises:
        ValueError: the folder holds other features, files of another format, or a damaged file.
        ImportError: the files are Parquet, and pyarrow is not installed.
    """

    def __init__(
        self, folder, header: Mapping, data: str, names: Sequence[VideoRow], format: str | None = None,
        at_once: bool = False,
    ):  # fmt: skip
        self._at_once = at_once
        self.folder, self._names = as_path(folder), list(names)
        self._is_shared = not isinstance(self.folder, StorePath)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{folder} is a file; expected a folder, which is made where it is missing")
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            self.header = _agreed(self.folder, header, data, self._names, format)
        self._suffix = part_format(self.header.get("parts", USUAL)).suffix
        self._token, self._count = uuid.uuid4().hex[:8], 0
        self._claim = self.folder / CLAIMS / f"{self._token}.json"
        self._open = contextlib.ExitStack()
        self._seen: set[pathlib.Path | StorePath] = set()
        self._known: dict[str, VideoRow] = {}
        self._attempted: set[str] = set()
        # What of it the claim names: all but the good videos that have come to lie in a part, where others see them.
        self._pending: set[str] = set()
        # Videos that could not be read before are tried again once: the file may be there by now.
        at_start = videos_in_parts(self.folder, self.header)
        self._retry = {id for id, (row, _) in at_start.items() if row.error is not None}
        self._look()
        self._free = collections.deque(filter(self._is_missing, self._names))
        self.missing = len(self._free)
        self.before = len(self._names) - self.missing
        self.written = self.others = 0
        self._waiting: list = []
        self._bytes, self._since = 0, time.monotonic()

    def __enter__(self) -> FeatureWriter:
        if self._is_shared:
            self._claim.parent.mkdir(exist_ok=True)
            self._open.enter_context(locked(self._claim))
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._flush()
            with self._lock():
                self._write_bad()
        finally:
            self._open.close()
            if self._is_shared:
                _remove(self._claim)
                with contextlib.suppress(OSError):
                    self._claim.parent.rmdir()

    def claim(self) -> Iterator[int]:
        """Yields numbers of videos that are missing and that no other process has claimed, until there are none."""
        while True:
            with self._lock():
                # In this order: a process writes its last part before it gives up its claims.
                taken = self._claimed_by_others() if self._is_shared else set()
                self._look()
                mine = self._take(taken)
                self._attempted.update(row.id for row in mine)
                self._pending.update(row.id for row in mine)
                if self._is_shared:
                    write_atomically(self._claim, json.dumps(sorted(self._pending)))
            if not mine:
                self.others = len(self._free)
                return
            yield from (row.number for row in mine)

    def _take(self, taken: set[str]) -> list[VideoRow]:
        """The next videos that are missing and not taken; those that others have taken stay, and may become free."""
        mine: list[VideoRow] = []
        theirs: list[VideoRow] = []
        while self._free and (self._at_once or len(mine) < CLAIMED):
            row = self._free.popleft()
            if self._is_missing(row):
                (theirs if row.id in taken else mine).append(row)
        self._free.extendleft(reversed(theirs))
        return mine

    def add(self, video) -> None:
        """Takes what came of a video (`VideoFeatures`); it is written with those after it."""
        self._waiting.append(video)
        self._bytes += sum(value.nbytes for value in video.values.values())
        if self._bytes >= PART_BYTES or time.monotonic() - self._since >= PART_SECONDS:
            self._flush()

    def bad(self) -> dict[str, str]:
        """The videos of the list that cannot be read, with the reason."""
        known = videos_in_parts(self.folder, self.header)
        found = ((row.id, known[row.id][0].error) for row in self._names if row.id in known)
        return {id: error for id, error in found if error is not None}

    def _lock(self) -> contextlib.AbstractContextManager:
        return locked(self.folder / HEADER)

    def _look(self) -> None:
        """Learns what parts have come since the last look."""
        for path in parts(self.folder):
            if path not in self._seen:
                with open_part(path, self.header) as part:
                    for row in part.videos:
                        if row.error is None or row.id not in self._known:
                            self._known[row.id] = row
                self._seen.add(path)

    def _is_missing(self, row: VideoRow) -> bool:
        if row.id in self._attempted:
            return False
        known = self._known.get(row.id)
        if known is None:
            return True
        return row.id in self._retry if known.error is not None else known.size != row.size

    def _claimed_by_others(self) -> set[str]:
        found: set[str] = set()
        for path in self._claim.parent.glob("*.json"):
            if path == self._claim:
                continue
            try:
                with locked(path, timeout=0) as held:
                    pass
            except TimeoutError:
                with contextlib.suppress(OSError, ValueError):
                    found.update(read_json(path, [str]))
                continue
            if held:  # without locks claims are not looked at, and a video may be computed twice, which harms nothing
                _remove(path)
        return found

    def _flush(self) -> None:
        """Writes what has gathered as a part, whose name sorts behind those of earlier parts."""
        waiting, self._waiting = self._waiting, []
        self._bytes, self._since = 0, time.monotonic()
        if not waiting:
            return
        self._count += 1
        # To the microsecond: of a video that was replaced and computed again within a second, the later row counts.
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S-%f")
        path = self.folder / f"{stamp}-{self._token}-{self._count:05d}{self._suffix}"
        rows = [_row(self._names[video.number], video) for video in waiting]
        good = [video for video in waiting if video.error is None]
        values = {
            layer: np.concatenate([video.values[layer] for video in good]) if good else np.empty((0, width), np.float32)
            for layer, width in self.header["layers"].items()
        }
        seconds = np.concatenate([video.seconds for video in good]) if good else np.empty((0, 2))
        write_part(path, self.header, rows, seconds, values)
        self._pending.difference_update(row.id for row in rows if row.error is None)
        self.written += len(good)

    def _write_bad(self) -> None:
        """The list of the folder's videos that cannot be read; no file where there is none."""
        known = videos_in_parts(self.folder, self.header).values()
        bad = [(row.id, row.error) for row, _ in sorted(known, key=lambda pair: pair[0].id) if row.error is not None]
        path = self.folder / BAD_VIDEOS
        if not bad:
            path.unlink(missing_ok=True)
            return
        text = io.StringIO(newline="")
        csv.writer(text).writerows([("path", "reason"), *bad])
        write_atomically(path, text.getvalue())


def _row(name: VideoRow, video) -> VideoRow:
    rows = len(video.seconds)
    return VideoRow(name.id, name.label, name.group, name.number, name.size, rows, video.error)


def _remove(claim: pathlib.Path) -> None:
    for path in (claim, claim.with_name(f".{claim.name}.lock")):
        with contextlib.suppress(OSError):
            path.unlink()


def _agreed(folder, header: Mapping, data: str, names: Sequence[VideoRow], format: str | None) -> dict:
    """The folder's header, written where it is new, with a row for this list of videos."""
    sweep(folder / HEADER)
    is_new = not (folder / HEADER).exists()
    agreed = {**header, "parts": format or USUAL} if is_new else read_header(folder)
    if settings_digest(agreed) != settings_digest(header):
        named = [name for name in SETTINGS if agreed.get(name) != header[name]]
        pairs = "; ".join(f"{name} is {agreed[name]}, and {header[name]} was asked for" for name in named)
        raise ValueError(f"{folder} holds features of other settings: {pairs}. Choose another folder")
    own = agreed.get("parts", USUAL)
    if format not in (None, own):
        raise ValueError(f"{folder} holds features in {own} files, and {format} was asked for. Choose another folder")
    part_format(own).check(agreed["layers"])
    if is_new and parts(folder):
        suffixes = " or ".join(row.suffix for row in PART_FORMATS.values())
        raise ValueError(f"{folder} holds {suffixes} files and no {HEADER}; choose another folder")
    lines = "\n".join(f"{row.id}\t{row.label}\t{row.group}" for row in names)
    total = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
    listed = {"name": os.fspath(data), "videos": len(names), "digest": total}
    if listed not in agreed["data"]:
        agreed["data"] = [*agreed["data"], listed]
        write_header(folder, agreed)
    return agreed
