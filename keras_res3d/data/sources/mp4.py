"""What the tables of an MP4 or QuickTime file claim, read before FFmpeg does.

FFmpeg takes 36 bytes of memory for each sample that a table claims. A table that gives all samples one size claims any
number of them in twenty bytes, so that a file of ten kilobytes could fill the memory before its packets are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

# What such a file begins with.
_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"uuid")
# A few more samples than the file can hold cost little, and a file that is cut short is read as far as it goes.
HARMLESS_SAMPLES = 1_000_000
# In a table of sizes: where the size of all samples is, after the table's name, and their number.
_SIZE, _COUNT = 8, 12
# In a run of a fragment: the flags, the number of samples, and the flags of what is listed for each of them.
_RUN_FLAGS, _RUN_COUNT, _LISTED = 4, 8, 0xF00


def claimed_samples(file: BinaryIO, size: int) -> int:
    """How many samples are claimed without being listed one by one; 0 for files of other formats.

    Args:
        file: the file at its beginning; it is sought in.
        size: bytes of it.
    """
    if file.read(8)[4:] not in _FIRST:
        return 0
    claimed = 0
    for place, length, kind in _boxes(file, size):
        if kind in (b"moov", b"moof"):
            file.seek(place)
            claimed += sum(_claims(file.read(length)))
    return claimed


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[int, int, bytes]]:
    """(place, length, kind) of each box of the file that lies in no other."""
    place = 0
    while place + 8 <= size:
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        length = min(length or size, size - place)
        yield place, length, head[4:8]
        if length < 8:
            return
        place += length


def _claims(tables: bytes) -> Iterator[int]:
    for place in _places(tables, b"stsz"):
        if _number(tables, place + _SIZE):
            yield _number(tables, place + _COUNT)
    for place in _places(tables, b"trun"):
        if not _number(tables, place + _RUN_FLAGS) & _LISTED:
            yield _number(tables, place + _RUN_COUNT)


def _places(tables: bytes, name: bytes) -> Iterator[int]:
    place = tables.find(name)
    while place >= 0:
        yield place
        place = tables.find(name, place + 4)


def _number(tables: bytes, place: int) -> int:
    return int.from_bytes(tables[place : place + 4], "big")
