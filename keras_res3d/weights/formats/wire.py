"""The protobuf wire format, field by field: enough to find where things lie without copying them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTHS = {FIXED64: 8, FIXED32: 4}
# Real files hold a few thousand fields; a flood of empty messages would cost minutes and gigabytes.
MAX_FIELDS = 200_000


class WireError(ValueError):
    """Bytes that are not a protobuf message, or more of one than any weights file has."""


class Field(NamedTuple):
    """One field: its number, its wire type, where its tag starts, where its value starts and stops."""

    number: int
    wire: int
    tag: int
    begin: int
    stop: int


class Scanner:
    """Walks messages inside one buffer and counts what it has seen.

    Args:
        buffer: a memoryview of bytes.
    """

    def __init__(self, buffer: memoryview):
        self.buffer = buffer
        self.left = MAX_FIELDS

    def fields(self, begin: int, stop: int):
        """The fields of the message in `buffer[begin:stop]`; a run of unpacked floats is one field.

        Raises:
            WireError: cut off, a length beyond the message, a group, or too many fields.
        """
        while begin < stop:
            self.left -= 1
            if self.left < 0:
                raise WireError(f"more than {MAX_FIELDS:,} fields")
            field = self._field(begin, stop)
            yield field
            begin = field.stop

    def _field(self, at: int, stop: int) -> Field:
        key, begin = self._varint(at, stop)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            end = self._varint(begin, stop)[1]
        elif wire == BYTES:
            length, begin = self._varint(begin, stop)
            end = begin + length
        elif wire in _WIDTHS:
            end = self._run_end(at, stop, _WIDTHS[wire]) if begin == at + 1 else begin + _WIDTHS[wire]
        else:
            raise WireError(f"wire type {wire} at byte {at}; not a protobuf message, or one with groups")
        if end > stop:
            raise WireError(f"field {number} at byte {at} says it ends {end - stop:,} bytes after its message does")
        return Field(number, wire, at, begin, end)

    def _varint(self, at: int, stop: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= stop:
                raise WireError(f"cut off at byte {at}")
            byte = self.buffer[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
        raise WireError(f"a number of more than ten bytes before byte {at}")

    def _run_end(self, at: int, stop: int, width: int) -> int:
        """Where consecutive fields with the one-byte tag at `at` end, found in growing strides."""
        size = width + 1
        count = (stop - at) // size
        if count < 1:
            raise WireError(f"cut off inside the value at byte {at}")
        tags = np.frombuffer(self.buffer, np.uint8, count * size, at)[::size]
        seen, stride = 1, 64
        while seen < count:
            others = np.flatnonzero(tags[seen : seen + stride] != tags[0])
            if others.size:
                return at + size * (seen + int(others[0]))
            seen, stride = min(seen + stride, count), stride * 4
        return at + size * count

    def floats(self, field: Field, width: int) -> np.ndarray:
        """The values of a packed field, or of a run of unpacked ones, as a view. `width`: 4 or 8 bytes each.

        Raises:
            WireError: a wire type that no float has, or a packed length that is no multiple of `width`.
        """
        if field.wire == BYTES:
            count, rest = divmod(field.stop - field.begin, width)
            if rest:
                raise WireError(f"{field.stop - field.begin} bytes of floats of {width} bytes each")
            return np.frombuffer(self.buffer, f"<f{width}", count, field.begin)
        if _WIDTHS.get(field.wire) != width:
            raise WireError(f"field {field.number} has wire type {field.wire}; expected floats of {width} bytes")
        record = np.dtype([("tag", "u1"), ("value", f"<f{width}")])
        return np.frombuffer(self.buffer, record, (field.stop - field.tag) // record.itemsize, field.tag)["value"]
