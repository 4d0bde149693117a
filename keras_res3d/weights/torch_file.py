"""Reader of PyTorch's `.pth` without PyTorch: the zip of a pickle and raw storages that `torch.save` writes.

The pickle is read as data: the opcodes that a state dict needs are interpreted here, and nothing is ever imported,
looked up or called.
"""

from __future__ import annotations

import math
import pathlib
import pickletools
import zipfile
from typing import NamedTuple

import numpy as np

from keras_res3d.weights.source import Source, WeightsError

_ZIP = b"PK\x03\x04"
_LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
_RESAVE = "with PyTorch at hand, save it anew: torch.save(torch.load(FILE, weights_only=True), NEW)"
_STORAGES = {
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch HalfStorage": "<f2",
    "torch BFloat16Storage": "<u2",
    "torch LongStorage": "<i8",
}
_DICT, _TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
_MAX_PICKLE_BYTES = 1 << 20  # torchvision's largest video net has 60 kB
_MAX_DIMENSIONS = 32


class _Global(NamedTuple):
    """A name that the pickle refers to. It stays a name."""

    name: str


class _Archive:
    """The zip: its pickle and its storages, each read once and checked against its CRC."""

    def __init__(self, path: pathlib.Path, archive: zipfile.ZipFile):
        self.archive = archive
        self.budget = path.stat().st_size
        self.elements = self.budget  # over all tensors; generous, since an element takes 2 bytes at least
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(pickles) != 1:
            raise WeightsError(f"{len(pickles)} entries named data.pkl in the zip; expected one, as torch.save writes")
        self.prefix = pickles[0].removesuffix("data.pkl")
        order = f"{self.prefix}byteorder"
        if order in archive.namelist() and self.read("byteorder", 16) != b"little":
            raise WeightsError(f"big-endian storages; {_RESAVE} on a little-endian machine")
        self.storages = {}

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

    def storage(self, reference) -> np.ndarray:
        """The storage of a persistent id `("storage", type, key, device, elements)`, floats as float32."""
        match reference:
            case ("storage", _Global(name), str(key), str(), int(count)):
                pass
            case _:
                raise WeightsError("a persistent id that is no storage")
        if name not in _STORAGES:
            raise WeightsError(f"storage type {name}; expected one of {', '.join(_STORAGES)}")
        if key not in self.storages:
            data = self.read(f"data/{key}")
            dtype = np.dtype(_STORAGES[name])
            if len(data) != count * dtype.itemsize:
                raise WeightsError(f"storage {key} has {len(data):,} bytes for {count:,} elements of {dtype.itemsize}")
            self.storages[key] = name, _as_float32(np.frombuffer(data, dtype), name)
        known, storage = self.storages[key]
        if known != name or len(storage) != count:
            raise WeightsError(f"storage {key} is used as {name} and as {known}")
        return storage

    def tensor(self, arguments) -> np.ndarray:
        """A view of a storage from the arguments of `_rebuild_tensor_v2`, its bounds checked."""
        match arguments:
            case (np.ndarray() as storage, int(offset), tuple(size), tuple(stride), *_):
                pass
            case _:
                raise WeightsError("a tensor that is not made of a storage, an offset, sizes and strides")
        numbers = (offset, *size, *stride)
        if len(size) != len(stride) or len(size) > _MAX_DIMENSIONS or any(type(n) is not int or n < 0 for n in numbers):
            raise WeightsError("a tensor whose offset, sizes and strides are not integers from 0, as many of each")
        elements = math.prod(size)
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


def _as_float32(values: np.ndarray, storage: str) -> np.ndarray:
    if values.dtype == np.int64:
        return values
    if storage == "torch BFloat16Storage":
        # bfloat16 is the upper half of a float32.
        return (values.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # a double too large becomes infinite, and is refused by name later
        return values.astype(np.float32, copy=False)


class _PickleReader:
    """A stack machine for the opcodes of a pickled state dict. Values are containers, numbers, texts and arrays."""

    # Opcodes that push their own argument, and those that push something new.
    PUSH = frozenset({"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"})
    NEW = {  # noqa: RUF012
        "EMPTY_DICT": dict,
        "EMPTY_LIST": list,
        "EMPTY_TUPLE": tuple,
        "NONE": lambda: None,
        "NEWTRUE": lambda: True,
        "NEWFALSE": lambda: False,
    }
    IGNORED = frozenset({"PROTO", "FRAME"})
    PUT, GET = frozenset({"BINPUT", "LONG_BINPUT", "MEMOIZE"}), frozenset({"BINGET", "LONG_BINGET"})
    TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}  # noqa: RUF012

    def __init__(self, archive: _Archive):
        self.archive = archive
        self.stack, self.marks, self.memo = [], [], {}

    def load(self, data: bytes):
        """What the pickle describes. Raises WeightsError on anything but a state dict's opcodes and names."""
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return self.stack.pop()
            self._step(opcode.name, argument)
        raise WeightsError("a pickle without an end")

    def _step(self, name, argument):
        if name in self.PUSH:
            self.stack.append(argument)
        elif name in self.NEW:
            self.stack.append(self.NEW[name]())
        elif name in self.PUT:
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in self.GET:
            self.stack.append(self.memo[argument])
        elif name in self.TUPLES:
            self.stack.append(tuple([self.stack.pop() for _ in range(self.TUPLES[name])][::-1]))
        elif name not in self.IGNORED:
            step = getattr(self, f"_{name.lower()}", None)
            if step is None:
                raise WeightsError(f"pickle opcode {name}, which no state dict needs")
            step(argument)

    def _popped_to_mark(self) -> list:
        mark = self.marks.pop()
        items, self.stack[mark:] = self.stack[mark:], []
        return items

    def _mark(self, _):
        self.marks.append(len(self.stack))

    def _tuple(self, _):
        self.stack.append(tuple(self._popped_to_mark()))

    def _global(self, argument):
        if argument not in (_DICT, _TENSOR, *_STORAGES):
            raise WeightsError(f"refers to {argument.replace(' ', '.')}, which no state dict needs; nothing was run")
        self.stack.append(_Global(argument))

    def _stack_global(self, _):
        attribute, module = self.stack.pop(), self.stack.pop()
        self._global(f"{module if isinstance(module, str) else '?'} {attribute if isinstance(attribute, str) else '?'}")

    def _binpersid(self, _):
        self.stack.append(self.archive.storage(self.stack.pop()))

    def _reduce(self, _):
        arguments, function = self.stack.pop(), self.stack.pop()
        if function == _Global(_DICT) and arguments == ():
            self.stack.append({})
        elif function == _Global(_TENSOR):
            self.stack.append(self.archive.tensor(arguments))
        else:
            raise WeightsError("calls something that is neither OrderedDict() nor _rebuild_tensor_v2")

    def _build(self, _):
        self.stack.pop()  # the state dict's `_metadata`

    def _set(self, items):
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(target, dict) or not isinstance(key, str | int):
                raise WeightsError("a dictionary with keys that are no names")
            target[key] = value

    def _setitem(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _setitems(self, _):
        self._set(self._popped_to_mark())

    def _append(self, _):
        item = self.stack.pop()
        list.append(self.stack[-1], item)

    def _appends(self, _):
        items = self._popped_to_mark()
        list.extend(self.stack[-1], items)


def _refuse_other_formats(path: pathlib.Path) -> None:
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(_ZIP):
        return
    if head[257:262] == b"ustar":
        raise WeightsError(f"{path} is PyTorch's legacy tar format (before 0.2); {_RESAVE}")
    if head[2:].startswith(_LEGACY_MAGIC):
        raise WeightsError(f"{path} is PyTorch's legacy format (before 1.6), a pickle without a zip; {_RESAVE}")
    if head.startswith(b"\x80") or head[:1] in (b"(", b"c", b"}", b"]"):
        raise WeightsError(f"{path} is a bare pickle, which is never run; expected a .pth in PyTorch's zip format")
    raise WeightsError(f"{path} is not a zip; expected a .pth as torch.save writes it since PyTorch 1.6")


def _state_dict(loaded, path: pathlib.Path) -> dict[str, np.ndarray]:
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not loaded:
        raise WeightsError(f"{path} holds no state dict (names to tensors); save model.state_dict()")
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, np.ndarray):
            raise WeightsError(f"{path}: {key} is {type(value).__name__}, not a tensor; save model.state_dict() alone")
    return loaded


def read_pth(path) -> Source:
    """A state dict saved by `torch.save` (zip format) as a `Source`; nothing in the file is executed.

    Raises:
        WeightsError: another format (legacy ones are named), a damaged zip, a pickle that wants anything but tensors, a
            tensor that reaches beyond its storage.
    """
    path = pathlib.Path(path)
    _refuse_other_formats(path)
    try:
        with zipfile.ZipFile(path) as file:
            archive = _Archive(path, file)
            loaded = _PickleReader(archive).load(archive.read("data.pkl", _MAX_PICKLE_BYTES))
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise WeightsError(f"{path}: the zip is damaged ({error}); fetch the file again") from error
    except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        raise WeightsError(f"{path}: the pickle is malformed ({type(error).__name__}: {error})") from error
    return Source(path, "pth", _state_dict(loaded, path))
