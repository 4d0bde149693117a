"""Reader of `.caffemodel`: Caffe's LayerParameter and V1 files, and C3D v1.0's with blobs of its own.

The file carries no schema, so the few fields that matter are declared here. The floats, nearly all of the file, are
found by walking the wire format and copied once; protobuf parses what is left: names and shapes.
"""

from __future__ import annotations

import math
import pathlib
from typing import NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from keras_res3d.weights.source import Format, WeightsError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTHS = {FIXED64: 8, FIXED32: 4}
# Real files hold a few thousand fields; each takes some 40 microseconds and 200 bytes, and a flood of empty messages
# would take minutes and gigabytes.
MAX_FIELDS = 20_000


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

# message: field, number, type (of descriptor_pb2's names), repeated. "BlobShape" is the only message-typed one.
SCHEMA = {
    "BlobShape": [("dim", 1, "INT64", True)],
    "BlobProto": [
        *[(name, number, "INT32", False) for number, name in enumerate(("num", "channels", "height", "width"), 1)],
        ("data", 5, "FLOAT", True),
        ("shape", 7, "BlobShape", False),
        ("double_data", 8, "DOUBLE", True),
    ],
    "C3DBlobProto": [
        *[(n, i, "INT32", False) for i, n in enumerate(("num", "channels", "length", "height", "width"), 1)],
        ("data", 6, "FLOAT", True),
    ],
    # bytes, not string: a name that is not UTF-8 is still a name.
    "LayerParameter": [("name", 1, "BYTES", False)],
    "V1LayerParameter": [("name", 4, "BYTES", False)],
}
# Field of NetParameter: format, message, number of its blobs.
_LAYERS = {100: ("caffemodel", "LayerParameter", 7), 2: ("caffemodel-v1", "V1LayerParameter", 6)}
_MAX_BLOBS = 64
_MAX_HEADER_BYTES = 4096
_MAX_DIMENSIONS = 32


def message_classes(schema: dict, package: str) -> dict:
    """Protobuf message classes for `schema` (proto2), in the manner of `SCHEMA`."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for name, fields in schema.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if kind in schema:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                added.type = getattr(kinds, f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in schema}


_MESSAGES = message_classes(SCHEMA, "keras_res3d.caffe")


def _parse(message: str, scanner: Scanner, fields: list[Field]):
    """The protobuf message that these fields of it make."""
    size = sum(field.stop - field.tag for field in fields)
    if size > _MAX_HEADER_BYTES:
        raise WireError(f"{size:,} bytes of names and shapes; expected at most {_MAX_HEADER_BYTES:,}")
    header = b"".join(bytes(scanner.buffer[field.tag : field.stop]) for field in fields)
    return _MESSAGES[message].FromString(header)


def _shape(blob, old: bool) -> tuple[int, ...]:
    if old:
        return (blob.num, blob.channels, blob.length, blob.height, blob.width)
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    return (blob.num, blob.channels, blob.height, blob.width)


def _blob(scanner: Scanner, place: Field) -> tuple[np.ndarray, bool]:
    """A blob as a float32 array of its own shape, and whether it is one of C3D v1.0."""
    fields = list(scanner.fields(place.begin, place.stop))
    # Field 5 is the width in C3D v1.0's blobs and the data in Caffe's.
    old = any(field.number == 5 and field.wire == VARINT for field in fields)
    widths = {6: 4} if old else {5: 4, 8: 8}
    differences = {7} if old else {6, 9}
    header = [field for field in fields if field.number not in widths.keys() | differences]
    shape = _shape(_parse("C3DBlobProto" if old else "BlobProto", scanner, header), old)
    if len(shape) > _MAX_DIMENSIONS or any(size < 0 for size in shape):
        raise WireError(f"shape {shape[:_MAX_DIMENSIONS]}; expected up to {_MAX_DIMENSIONS} sizes from 0")
    parts = [scanner.floats(field, widths[field.number]) for field in fields if field.number in widths]
    count = sum(part.size for part in parts)
    if count != math.prod(shape) or not count:
        raise WireError(f"{count:,} values for shape {shape}, which takes {math.prod(shape):,}")
    values = np.empty(count, np.float32)
    at = 0
    with np.errstate(over="ignore"):  # a double too large becomes infinite, and is refused by name later
        for part in parts:
            values[at : at + part.size] = part
            at += part.size
    return values.reshape(shape), old


def _layer(scanner: Scanner, place: Field, index: int) -> tuple[str, list[np.ndarray], bool]:
    """Name and blobs of a layer, and whether they are blobs of C3D v1.0."""
    _, message, blobs_number = _LAYERS[place.number]
    name_number = SCHEMA[message][0][1]
    name = f"number {index}"
    try:
        fields = list(scanner.fields(place.begin, place.stop))
        names = [field for field in fields if (field.number, field.wire) == (name_number, BYTES)]
        name = _parse(message, scanner, names[-1:]).name.decode("utf-8", "backslashreplace") or name
        places = [field for field in fields if (field.number, field.wire) == (blobs_number, BYTES)]
        if len(places) > _MAX_BLOBS:
            raise WireError(f"{len(places):,} blobs; expected at most {_MAX_BLOBS}")
        blobs = []
        for number, blob_place in enumerate(places):
            try:
                blobs.append(_blob(scanner, blob_place))
            except (WireError, DecodeError) as error:
                raise WireError(f"blob {number}: {error}") from error
    except (WireError, DecodeError) as error:
        raise WireError(f"layer {name}: {error}") from error
    return name, [array for array, _ in blobs], any(old for _, old in blobs)


def read_blobs(path) -> tuple[str, dict[str, list[np.ndarray]]]:
    """The format of a `.caffemodel` and, in the file's order, the blobs of every layer that has any.

    Returns:
        A format ("caffemodel", "caffemodel-v1" or "c3d-v1.0") and a dictionary of layer name to float32 arrays of the
        shapes that the file gives.

    Raises:
        WeightsError: not such a file, cut off, more fields than any net has, a blob without its data, two layers of
            one name.
    """
    path = pathlib.Path(path)
    if not path.stat().st_size:
        raise WeightsError(f"{path} is empty; expected a .caffemodel")
    scanner = Scanner(memoryview(np.memmap(path, np.uint8, mode="r")))
    kind, layers = None, {}
    try:
        places = (field for field in scanner.fields(0, len(scanner.buffer)) if field.number in _LAYERS)
        for index, place in enumerate(field for field in places if field.wire == BYTES):
            name, blobs, old = _layer(scanner, place, index)
            if not blobs:
                continue
            if name in layers:
                raise WireError(f"layer {name}: there are two of that name with blobs")
            layers[name] = blobs
            kind = "c3d-v1.0" if old else kind or _LAYERS[place.number][0]
    except WireError as error:
        raise WeightsError(f"{path}: {error}. The file is damaged, or is not a .caffemodel") from error
    if not layers:
        raise WeightsError(f"{path}: no layer with weights; expected a .caffemodel, not a .prototxt or .solverstate")
    return kind, layers


# How a NetParameter may start: its name, layers, inputs, or layers of a C3D v1.0 or V1 file.
_FIRST_TAGS = (b"\x0a", b"\x12", b"\x1a", b"\xa2\x06")


def _holds(path: pathlib.Path, head: bytes) -> bool:
    return head.startswith(_FIRST_TAGS)


def read_caffemodel(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The blobs of a `.caffemodel` as `LAYER/0`, `LAYER/1`, ... Errors as of `read_blobs`."""
    _, layers = read_blobs(path)
    return {f"{name}/{i}": blob for name, blobs in layers.items() for i, blob in enumerate(blobs)}


CAFFE = Format("caffemodel", (".caffemodel",), "caffe", _holds, read_caffemodel)
