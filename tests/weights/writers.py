"""Writers of the original formats, for the tests: `.caffemodel` through protobuf, `.pth` through pickle and zip."""

import collections
import io
import pickle
import zipfile

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_KIND = descriptor_pb2.FieldDescriptorProto


def _messages(package, data_type, packed):
    """Message classes of Caffe's and C3D v1.0's schemas; data_type: FLOAT, or BYTES for the same packed wire form."""
    repeated = {"data", "double_data", "dim", "layer", "layers", "blobs", "bottom", "top"}
    data, double = ("data", data_type), ("double_data", "DOUBLE")
    old_sizes = [(i, n, "INT32") for i, n in enumerate(("num", "channels", "height", "width"), 1)]
    c3d_sizes = [(i, n, "INT32") for i, n in enumerate(("num", "channels", "length", "height", "width"), 1)]
    ends = [(2, "bottom", "STRING"), (3, "top", "STRING")]
    schema = {
        "Shape": [(1, "dim", "INT64")],
        "Blob": [*old_sizes, (5, *data), (6, "diff", "BYTES"), (7, "shape", "Shape"), (8, *double)],
        "C3DBlob": [*c3d_sizes, (6, *data), (7, "diff", "BYTES")],
        "Layer": [(1, "name", "STRING"), (2, "type", "STRING"), (7, "blobs", "Blob"), (6660, "extension", "BYTES")],
        "V1": [*ends, (4, "name", "STRING"), (5, "type", "INT32"), (6, "blobs", "Blob")],
        "C3DLayer": [*ends, (4, "name", "STRING"), (5, "type", "INT32"), (6, "blobs", "C3DBlob")],
        "Net": [(1, "name", "STRING"), (100, "layer", "Layer")],
        "V1Net": [(1, "name", "STRING"), (2, "layers", "V1")],
        "C3DNet": [(1, "name", "STRING"), (2, "layers", "C3DLayer")],
    }
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for name, fields in schema.items():
        message = file.message_type.add(name=name)
        for number, field, kind in fields:
            many = field in repeated and kind != "BYTES"
            label = _KIND.LABEL_REPEATED if many else _KIND.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if kind in schema:
                added.type, added.type_name = _KIND.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                added.type = getattr(_KIND, f"TYPE_{kind}")
            if field in ("data", "double_data", "dim") and many:
                added.options.packed = packed
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in schema}


PACKED, UNPACKED = _messages("packed", "FLOAT", True), _messages("unpacked", "FLOAT", False)
RAW = _messages("raw", "BYTES", True)


def _fill_blob(blob, array, variant, double, raw):
    if variant == "layer":
        blob.shape.dim.extend(array.shape)
    else:
        names = ["num", "channels", *(["length"] if variant == "c3d" else []), "height", "width"]
        for name, size in zip(names, (1,) * (len(names) - array.ndim) + array.shape, strict=True):
            setattr(blob, name, size)
    if double:
        blob.double_data.extend(array.ravel().tolist())
    elif raw:
        blob.data = array.astype("<f4").tobytes()
    else:
        blob.data.extend(array.ravel().tolist())


def caffemodel_bytes(layers, variant="layer", packed=True, double=False, raw=False):
    """layers: {name: [arrays]}. variant: "layer", "v1" (blobs of four axes) or "c3d". raw: fast, for large files."""
    messages = RAW if raw else PACKED if packed else UNPACKED
    net = messages[{"layer": "Net", "v1": "V1Net", "c3d": "C3DNet"}[variant]](name="net")
    target = net.layer if variant == "layer" else net.layers
    # Real files hold layers without blobs, and fields that nobody documents.
    if variant == "layer":
        target.add(name="data", type="ImageData", extension=b"\x08\x01" * 40)
    else:
        target.add(name="data", type=5, top=["data", "label"])
    for name, arrays in layers.items():
        layer = target.add(name=name)
        for array in arrays:
            _fill_blob(layer.blobs.add(), array, variant, double, raw)
    return net.SerializeToString()


def write_caffemodel(path, layers, **options):
    path.write_bytes(caffemodel_bytes(layers, **options))
    return path

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class Name(collections.namedtuple("Name", "module name")):
    """A global of a pickle, written without the module being there."""

    def __call__(self):
        raise AssertionError("never called")


class Tensor:
    """A tensor of a pickle: a storage's key, and a view of it."""

    def __init__(self, key, storage, dtype="Float", offset=0, size=None, stride=None):
        self.key, self.storage, self.dtype, self.offset = key, storage, dtype, offset
        self.size = storage.shape if size is None else size
        steps = np.cumprod((1, *self.size[:0:-1]))[::-1].tolist()
        self.stride = stride or tuple(steps[: len(self.size)])


class _Storage(collections.namedtuple("_Storage", "dtype key elements")):
    pass


class _Pickler(pickle._Pickler):
    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def persistent_id(self, obj):
        if isinstance(obj, _Storage):
            return ("storage", Name("torch", f"{obj.dtype}Storage"), obj.key, "cpu", obj.elements)
        return None

    def save_name(self, obj):
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        self.memoize(obj)

    def save_tensor(self, obj):
        storage = _Storage(obj.dtype, obj.key, obj.storage.size)
        arguments = (storage, obj.offset, tuple(obj.size), tuple(obj.stride), False, collections.OrderedDict())
        self.save_reduce(Name("torch._utils", "_rebuild_tensor_v2"), arguments, obj=obj)

    dispatch[Name] = save_name
    dispatch[Tensor] = save_tensor


def pickled(obj):
    buffer = io.BytesIO()
    _Pickler(buffer, 2).dump(obj)
    return buffer.getvalue()


def write_zip(path, pickle_bytes, storages=None, compression=zipfile.ZIP_STORED):
    """The zip that torch.save writes. storages: {key: bytes}."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle_bytes)
        archive.writestr("archive/byteorder", "little")
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/.data/serialization_id", "0" * 40)
    return path


def state_dict(tensors):
    """{name: array or Tensor} as torch pickles it: an OrderedDict with metadata as an attribute."""
    dtypes = {"float32": "Float", "float64": "Double", "float16": "Half", "int64": "Long", "uint16": "BFloat16"}
    state = collections.OrderedDict()
    for key, (name, value) in enumerate(tensors.items()):
        if isinstance(value, np.ndarray):
            value = Tensor(str(key), value, dtypes[value.dtype.name])
        state[name] = value
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    return state


def write_pth(path, tensors):
    """tensors: {name: array (uint16 stands for bfloat16) or `Tensor`}."""
    state = state_dict(tensors)
    storages = {value.key: value.storage.tobytes() for value in state.values()}
    return write_zip(path, pickled(state), storages)


def write_stream(path, tensors, keys=None, counts=None, system=None):
    """The format before PyTorch 1.6. keys, counts: what the file says of its storages, where it lies."""
    state = state_dict(tensors)
    return stream_of(path, state, {value.key: value.storage for value in state.values()}, keys, counts, system)


def stream_of(path, state, storages, keys=None, counts=None, system=None):
    """That format around anything. storages: {key: array}."""
    system = system or {"protocol_version": 1001, "little_endian": True, "type_sizes": {"long": 4}}
    parts = [LEGACY_MAGIC, 1001, system, state, list(storages) if keys is None else keys]
    data = b"".join(pickled(part) for part in parts)
    for number, (_, storage) in enumerate(storages.items()):
        count = storage.size if counts is None else counts[number]
        data += count.to_bytes(8, "little") + storage.tobytes()
    path.write_bytes(data)
    return path
