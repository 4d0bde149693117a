"""Frame tables of files that were opened before: training opens a long video once for each of its windows."""

from __future__ import annotations

import collections
import os
import threading
import time

import av

from keras_res3d.data.sources.container import Medium
from keras_res3d.data.sources.frame_table import FrameTable, read_frame_table

# Bytes of tables that are kept in this process: those of some 600 videos of three minutes.
MAX_BYTES = 2**26
# A file that was written so short a time ago may be written again without another time stamp.
_SETTLED_NS = 2_000_000_000


class KnownTables:
    """The tables of the files that were opened last, as many as fit. Threads may share it."""

    def __init__(self, max_bytes: int = MAX_BYTES):
        self._max_bytes, self._bytes, self._lock = max_bytes, 0, threading.Lock()
        self._tables: collections.OrderedDict[tuple, FrameTable] = collections.OrderedDict()

    def read(self, medium: Medium, container: av.container.InputContainer, stream: av.VideoStream) -> FrameTable:
        """As `read_frame_table`, whose packets are not read again while the file stays as it is."""
        key = _key(medium, container, stream)
        with self._lock:
            if key in self._tables:
                self._tables.move_to_end(key)
                return self._tables[key]
        table = read_frame_table(medium, container, stream)
        if key is not None:
            self._keep(key, table)
        return table

    def _keep(self, key: tuple, table: FrameTable) -> None:
        with self._lock:
            if key not in self._tables:
                self._tables[key] = table
                self._bytes += _bytes_of(table)
            while self._bytes > self._max_bytes:
                self._bytes -= _bytes_of(self._tables.popitem(last=False)[1])


def _key(medium: Medium, container: av.container.InputContainer, stream: av.VideoStream) -> tuple | None:
    """What tells this state of the file from any other, or None where its table is not kept.

    Other formats than MP4, and MP4 in fragments, learn from the packets where they can seek to, so these are read.
    """
    if not medium.on_disk or "mov" not in container.format.name or not stream.frames:
        return None
    try:
        file = os.stat(medium.source)
    except OSError:  # removed since it was opened
        return None
    if time.time_ns() - file.st_mtime_ns < _SETTLED_NS:
        return None
    return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, stream.index


def _bytes_of(table: FrameTable) -> int:
    arrays = (table.seconds, table.pts, table.keys, table.key_dts)
    return sum(array.nbytes for array in arrays if array is not None)
