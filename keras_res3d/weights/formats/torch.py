"""Reader of what `torch.save` writes, without PyTorch.

Since PyTorch 1.6 that is a zip of a pickle and raw storages; before, it was a stream of pickles and raw storages. The
suffix (`.pth`, `.pt`, `.tar`, `.bin`, `.ckpt`) says nothing about which it is.
"""

from __future__ import annotations

import io
import math
import pathlib
import pickle
import pickletools
import struct
import zipfile
from typing import NamedTuple

import numpy as np

from keras_res3d.weights.source import Format, WeightsError, zip_names

# Bytes of an element of every storage type that PyTorch has had; those that a net's tensors may be of; and the others,
# which an optimizer's state may hold.
READ = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "<u2",
        "LongStorage": "<i8"}  # fmt: skip
SIZES = {name: np.dtype(code).itemsize for name, code in READ.items()} | {
    "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1, "UntypedStorage": 1,
    "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
}  # fmt: skip
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_HEAD = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
_LEGACY_PROTOCOL = 1001
_RESAVE = "with PyTorch at hand, save it anew: torch.save(torch.load(FILE, weights_only=True), NEW)"
_MAX_PICKLE_BYTES = 1 << 20  # torchvision's largest video net has 60 kB
_MAX_DIMENSIONS = 32
# Where training checkpoints keep the net: PyTorch Lightning, torchvision's reference script, the PyTorch tutorials.
_STATE_DICTS = ("state_dict", "model", "model_state_dict")
# What wrappers put before every name: torch.compile, DataParallel, a LightningModule that holds `self.model`.
_PREFIXES = ("_orig_mod.", "module.", "model.")
_NEEDLESS = "which no state dict needs; nothing was run"


class Global(NamedTuple):
    """A name that the pickle refers to. It stays a name: it is never imported."""

    module: str
    name: str

    def __str__(self):
        return f"{self.module}.{self.name}"


class Inert:
    """Stands for an object that the pickle would have made by calling `origin`, which was not called."""

    def __init__(self, origin: Global):
        self.origin = origin

    def append(self, item) -> None:
        """Forgets it."""

    def extend(self, items) -> None:
        """Forgets them."""


class Storage(NamedTuple):
    """A persistent id: where a tensor's elements lie."""

    type: str
    key: str
    elements: int


class Tensor(NamedTuple):
    """What `_rebuild_tensor_v2` was to be called with; read only if the net needs it."""

    arguments: tuple


_ORDERED_DICT, _TENSOR = Global("collections", "OrderedDict"), Global("torch._utils", "_rebuild_tensor_v2")
_OPCODES = (
    "PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE",
    "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES",
    "SHORT_BINBYTES", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND",
    "APPENDS", "SETITEM", "SETITEMS", "GLOBAL", "STACK_GLOBAL", "BINPERSID", "REDUCE", "NEWOBJ", "BUILD",
)  # fmt: skip
_CODES = {opcode.name: ord(opcode.code) for opcode in pickletools.opcodes}


class _Dispatch(dict):
    """The opcodes that checkpoints have, by code; any other is refused by name."""

    def __missing__(self, code: int):
        name = pickletools.code2op[chr(code)].name if chr(code) in pickletools.code2op else f"{code:#x}"
        raise WeightsError(f"pickle opcode {name}, which no state dict needs")


class PickleReader(pickle._Unpickler):
    """A pickle read as data: names stay names, and nothing is ever imported, called or given attributes.

    The standard library's unpickler in Python, not the one in C: a file can make that one fill memory with a memo of
    any size, or overflow the stack with a deeply nested key, before anything of ours is asked.

    Args:
        data: bytes that start with a pickle.
        closed: refuse every name that a plain state dict does not need. A training checkpoint has others beside the net
            (`argparse.Namespace`), which then become `Inert`.

    Attributes:
        loaded: what the pickle describes.
        end: where in `data` it stopped.
        storages: what it refers to, by key.

    Raises:
        WeightsError: the pickle is malformed, or has opcodes or calls that no checkpoint has.
    """

    def __init__(self, data: bytes, closed: bool = False):
        self.file, self.closed = io.BytesIO(data), closed
        super().__init__(self.file)
        self.storages: dict[str, Storage] = {}
        self.loaded = self._load()
        self.end = self.file.tell()

    def _load(self):
        try:
            return super().load()
        except WeightsError:
            raise
        except (pickle.UnpicklingError, struct.error, EOFError, ValueError, TypeError, LookupError, AttributeError,
                ArithmeticError) as error:  # fmt: skip
            raise WeightsError(f"the pickle is malformed ({type(error).__name__}: {error})") from error

    def find_class(self, module: str, name: str) -> Global:
        found = Global(module, name)
        if self.closed and found not in (_ORDERED_DICT, _TENSOR):
            raise WeightsError(f"refers to {found}, {_NEEDLESS}")
        return found

    def persistent_load(self, reference) -> Storage:
        match reference:
            # Streams before PyTorch 1.6 end with the view that the storage is of another; None since 0.4.
            case ("storage", Global() as type_, str(key), str(), int(elements)):
                pass
            case ("storage", Global() as type_, str(key), str(), int(elements), None):
                pass
            case _:
                raise WeightsError("a persistent id that is not a storage")
        if type_.module not in ("torch", "torch.storage") or type_.name not in SIZES:
            raise WeightsError(f"a storage refers to {type_}; expected one of {', '.join(SIZES)}")
        storage = Storage(type_.name, key, elements)
        known = self.storages.setdefault(key, storage)
        if elements < 0 or known != storage:
            raise WeightsError(f"storage {key} is of {elements} {type_} here, of {known.elements} {known.type} before")
        return storage

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global):
            raise WeightsError("it calls something that is not a name")
        if function == _ORDERED_DICT:
            if arguments != ():
                raise WeightsError("calls OrderedDict with arguments, which no state dict needs")
            self.append({})
        else:
            self.append(Tensor(arguments) if function == _TENSOR else Inert(function))

    def load_newobj(self) -> None:
        _, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global) or function in (_ORDERED_DICT, _TENSOR):
            raise WeightsError("pickle opcode NEWOBJ of something that is made otherwise")
        self.append(Inert(function))

    def load_build(self) -> None:
        self.stack.pop()  # the state dict's `_metadata`, or the state of something inert

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def load_setitems(self) -> None:
        self._set(self.pop_mark())

    def _set(self, items: list) -> None:
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int | float | None | Global | Inert):
                # A deeply nested tuple would overflow the stack when it is hashed.
                raise WeightsError("a dictionary with keys that are not names")
            if isinstance(target, dict):
                target[key] = value
            elif not isinstance(target, Inert):
                raise WeightsError(f"items for a {type(target).__name__}, which is not a dictionary")

    dispatch = _Dispatch((code, pickle._Unpickler.dispatch[code]) for code in map(_CODES.get, _OPCODES))
    dispatch |= {
        _CODES["REDUCE"]: load_reduce,
        _CODES["NEWOBJ"]: load_newobj,
        _CODES["BUILD"]: load_build,
        _CODES["SETITEM"]: load_setitem,
        _CODES["SETITEMS"]: load_setitems,
    }


class _File:
    """A checkpoint opened: what its pickle describes, and the bytes of its storages."""

    loaded: object

    def raw(self, storage: Storage) -> bytes:
        """The bytes of a storage."""
        raise NotImplementedError


class _Archive(_File):
    """The zip: its pickle and its storages, each read once and checked against its CRC."""

    def __init__(self, path: pathlib.Path, archive: zipfile.ZipFile):
        self.archive = archive
        self.budget = path.stat().st_size
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(pickles) != 1:
            raise WeightsError(f"{len(pickles)} entries named data.pkl in the zip; expected one, as torch.save writes")
        self.prefix = pickles[0].removesuffix("data.pkl")
        order = f"{self.prefix}byteorder"
        if order in archive.namelist() and self.read("byteorder", 16) != b"little":
            raise WeightsError(f"big-endian storages; {_RESAVE} on a little-endian machine")
        self.loaded = PickleReader(self.read("data.pkl", _MAX_PICKLE_BYTES)).loaded

    def read(self, name: str, limit: int | None = None) -> bytes:
        try:
            info = self.archive.getinfo(self.prefix + name)
        except KeyError:
            raise WeightsError(f"no entry {name} in the zip") from None
        if info.compress_type != zipfile.ZIP_STORED:
            raise WeightsError(f"entry {name} is compressed, which torch.save never does")
        self.budget -= info.file_size
        if self.budget < 0 or (limit is not None and info.file_size > limit):
            raise WeightsError(f"entry {name} claims {info.file_size:,} bytes, more than there can be")
        return self.archive.read(info)

    def raw(self, storage: Storage) -> bytes:
        return self.read(f"data/{storage.key}")


class _Stream(_File):
    """The format before 1.6: five pickles (magic number, protocol, system, object, storage keys), then each storage as
    its number of elements and its raw bytes, in the order of the keys.
    """

    def __init__(self, data: bytes):
        self.data, self.end, self.places = memoryview(data), 0, {}
        magic, protocol, system = (self._next().loaded for _ in range(3))
        if magic != _LEGACY_MAGIC or protocol != _LEGACY_PROTOCOL:
            raise WeightsError(f"magic number and protocol are {magic} and {protocol}; expected PyTorch's legacy ones")
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise WeightsError(f"big-endian storages; {_RESAVE} on a little-endian machine")
        described = self._next(closed=False)
        self.loaded, keys = described.loaded, self._next().loaded
        if not isinstance(keys, list) or len(keys) != len(set(map(str, keys))):
            raise WeightsError("the storage keys are not a list of different names")
        for key in keys:
            self._place(key, described.storages)

    def _next(self, closed: bool = True) -> PickleReader:
        """The next pickle, read."""
        reader = PickleReader(bytes(self.data[self.end : self.end + _MAX_PICKLE_BYTES]), closed)
        self.end += reader.end
        return reader

    def _place(self, key, storages: dict[str, Storage]) -> None:
        """Notes where a storage lies, and steps over it."""
        if not isinstance(key, str) or key not in storages:
            raise WeightsError(f"storage {key} belongs to no tensor")
        storage = storages[key]
        count = int.from_bytes(self.data[self.end : self.end + 8], "little")
        start, stop = self.end + 8, self.end + 8 + count * SIZES[storage.type]
        if count != storage.elements or stop > len(self.data):
            raise WeightsError(f"storage {key} of {storage.elements:,} elements is cut short or of another size")
        self.places[key], self.end = (start, stop), stop

    def raw(self, storage: Storage) -> bytes:
        if storage.key not in self.places:
            raise WeightsError(f"no storage {storage.key} in the file")
        start, stop = self.places[storage.key]
        return self.data[start:stop]


class _Tensors:
    """Arrays from the tensors of a net's state dict: bounds checked, storages read once.

    Args:
        file: the checkpoint.
        elements: how many all tensors together may have. The file's bytes are generous: an element takes 2 at least.
    """

    def __init__(self, file: _File, elements: int):
        self.file, self.elements = file, elements
        self.known: dict[str, np.ndarray] = {}

    def storage(self, storage: Storage) -> np.ndarray:
        """The elements of a storage, floats as float32."""
        if storage.type not in READ:
            raise WeightsError(f"a tensor refers to torch.{storage.type}; expected one of {', '.join(READ)}")
        if storage.key not in self.known:
            data, dtype = self.file.raw(storage), np.dtype(READ[storage.type])
            if len(data) != storage.elements * dtype.itemsize:
                given = f"storage {storage.key} has {len(data):,} bytes"
                raise WeightsError(f"{given} for {storage.elements:,} elements of {dtype.itemsize}")
            self.known[storage.key] = _as_float32(np.frombuffer(data, dtype), storage.type)
        return self.known[storage.key]

    def array(self, tensor: Tensor) -> np.ndarray:
        """A view of a storage, from the arguments of `_rebuild_tensor_v2`."""
        match tensor.arguments:
            case (Storage() as place, int(offset), tuple(size), tuple(stride), *_):
                pass
            case _:
                raise WeightsError("a tensor that is not made of a storage, an offset, sizes and strides")
        numbers = (offset, *size, *stride)
        if (len(size) != len(stride) or len(size) > _MAX_DIMENSIONS
                or any(type(n) is not int or not 0 <= n < 1 << 63 for n in numbers)):  # fmt: skip
            raise WeightsError("a tensor whose offset, sizes and strides are not integers from 0, as many of each")
        storage, elements = self.storage(place), math.prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if elements else 0
        if last >= max(len(storage), 1) or elements > len(storage):
            raise WeightsError(f"a tensor of {size} reaches element {last:,} of a storage of {len(storage):,}")
        self.elements -= elements
        if self.elements < 0:
            raise WeightsError("more tensor elements than the file has bytes")
        if not elements:
            return np.zeros(size, storage.dtype)
        steps = tuple(step * storage.itemsize if n > 1 else 0 for n, step in zip(size, stride, strict=True))
        return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)


def _as_float32(values: np.ndarray, storage_type: str) -> np.ndarray:
    if values.dtype == np.int64:
        return values
    if storage_type == "BFloat16Storage":
        # bfloat16 is the upper half of a float32.
        return (values.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # a double too large becomes infinite, and is refused by name later
        return values.astype(np.float32, copy=False)


def plain_names(tensors: dict) -> dict:
    """The tensors under the net's own names: what a wrapper put before every one of them is left out."""
    for prefix in _PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return plain_names({name.removeprefix(prefix): tensor for name, tensor in tensors.items()})
    return tensors


def _state_dict(loaded) -> dict[str, Tensor]:
    """The net's tensors in a checkpoint; what else it holds is skipped."""
    for key in _STATE_DICTS:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if isinstance(loaded, Global | Inert):
        raise WeightsError(f"refers to {getattr(loaded, 'origin', loaded)}, {_NEEDLESS}; save model.state_dict()")
    if not isinstance(loaded, dict) or not loaded:
        raise WeightsError("it holds no state dict (names to tensors); save model.state_dict()")
    for key, value in loaded.items():
        if isinstance(value, Global | Inert):
            raise WeightsError(f"{key} refers to {getattr(value, 'origin', value)}, {_NEEDLESS}")
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{key} is {type(value).__name__}, not a tensor; save model.state_dict() alone")
    return loaded


def _is_zip(path: pathlib.Path) -> bool:
    """Whether it is the zip or the older stream; all else is refused by name."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK\x03\x04") or head[2:].startswith(_LEGACY_HEAD):
        return head.startswith(b"PK\x03\x04")
    if head[257:262] == b"ustar":
        raise WeightsError(f"it is PyTorch's legacy tar format (before 0.2); {_RESAVE}")
    if _is_pickle(head):
        raise WeightsError("it is a bare pickle, which is never run; expected a file as torch.save writes it")
    raise WeightsError("it is not a file of PyTorch's; expected one as torch.save writes it")


def _is_pickle(head: bytes) -> bool:
    return head[:1] in (b"\x80", b"(", b"c", b"}", b"]")


def _arrays(file: _File, path: pathlib.Path) -> dict[str, np.ndarray]:
    tensors = _Tensors(file, path.stat().st_size)
    return plain_names({name: tensors.array(tensor) for name, tensor in _state_dict(file.loaded).items()})


def read_pth(path) -> dict[str, np.ndarray]:
    """The net's tensors in a file of `torch.save`: a state dict, or a training checkpoint that holds one.

    Nothing in the file is executed. Of a checkpoint (`{"model": ..., "optimizer": ..., "args": ...}`) the net alone is
    read; the rest is skipped. A prefix that all names share (`module.`) is left out.

    Raises:
        WeightsError: another format (tar and bare pickles are named), a damaged file, a net's tensors that are made in
            an unknown way, a tensor that reaches beyond its storage.
    """
    path = pathlib.Path(path)
    try:
        if not _is_zip(path):
            return _arrays(_Stream(path.read_bytes()), path)
        with zipfile.ZipFile(path) as archive:
            return _arrays(_Archive(path, archive), path)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise WeightsError(f"{path}: the file is damaged ({error}); fetch the file again") from error
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise WeightsError(f"{path}: the pickle is malformed ({type(error).__name__}: {error})") from error


def _holds(path: pathlib.Path, head: bytes) -> bool:
    zipped = any(name.rpartition("/")[2] == "data.pkl" for name in zip_names(path, head))
    return zipped or _is_pickle(head) or head[257:262] == b"ustar"


TORCH = Format("pth", (".pth", ".pt", ".tar", ".bin", ".ckpt"), "torch", _holds, read_pth)
