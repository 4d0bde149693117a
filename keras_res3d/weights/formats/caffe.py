"""Reader of `.caffemodel`: Caffe's LayerParameter and V1 files, and C3D v1.0's with blobs of its own.

The file carries no schema, so the few fields that matter are declared here. The floats, nearly all of the file, are
found by walking the wire format and copied once; protobuf parses what is left: names and shapes.
"""

from __future__ import annotations

import math
import pathlib

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from keras_res3d.weights.formats.wire import BYTES, VARINT, Field, Scanner, WireError
from keras_res3d.weights.source import Source, WeightsError

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
        raise WeightsError(f"{path}: {error}. The file is damaged, or no .caffemodel") from error
    if not layers:
        raise WeightsError(f"{path}: no layer with weights in it; expected a .caffemodel, no .prototxt or .solverstate")
    return kind, layers


def read_caffemodel(path) -> Source:
    """A `.caffemodel` as a `Source`; blobs are named `LAYER/0`, `LAYER/1`, ... Errors as of `read_blobs`."""
    kind, layers = read_blobs(path)
    tensors = {f"{name}/{i}": blob for name, blobs in layers.items() for i, blob in enumerate(blobs)}
    return Source(pathlib.Path(path), kind, tensors)
