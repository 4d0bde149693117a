"""A pickled state dict read as data: the opcodes it needs are interpreted here, and nothing is ever imported, looked
up or called.
"""

from __future__ import annotations

import math
import pickletools
from typing import NamedTuple

import numpy as np

from keras_res3d.weights.source import WeightsError

STORAGES = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch BFloat16Storage": np.dtype("<u2"),
    "torch LongStorage": np.dtype("<i8"),
}
_DICT, _TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
_MAX_DIMENSIONS = 32


class _Global(NamedTuple):
    """A name that the pickle refers to. It stays a name."""

    name: str


class Storages:
    """The storages that a pickle refers to, each read once; `raw(key)` is the file format's own.

    Attributes:
        elements: how many all tensors together may have.
    """

    def __init__(self, elements: int):
        self.elements = elements
        self.known = {}

    def raw(self, key: str, name: str, count: int) -> bytes:
        """The bytes of a storage of `count` elements of type `name`."""
        raise NotImplementedError

    @staticmethod
    def named(reference) -> tuple[str, str, int]:
        """Key, type and number of elements of a persistent id `("storage", type, key, device, elements)`."""
        match reference:
            # Streams before PyTorch 1.6 end with the view that the storage is of another; None since 0.4.
            case ("storage", _Global(name), str(key), str(), int(count)):
                pass
            case ("storage", _Global(name), str(key), str(), int(count), None):
                pass
            case _:
                raise WeightsError("a persistent id that is no storage")
        if name not in STORAGES or count < 0:
            raise WeightsError(f"{count} elements of type {name}; expected one of {', '.join(STORAGES)}")
        return key, name, count

    def storage(self, reference) -> np.ndarray:
        """The storage of a persistent id, floats as float32."""
        key, name, count = self.named(reference)
        if key not in self.known:
            data, dtype = self.raw(key, name, count), STORAGES[name]
            if len(data) != count * dtype.itemsize:
                raise WeightsError(f"storage {key} has {len(data):,} bytes for {count:,} elements of {dtype.itemsize}")
            self.known[key] = name, _as_float32(np.frombuffer(data, dtype), name)
        known, storage = self.known[key]
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


class PickleReader:
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

    def __init__(self, storages: Storages):
        self.storages = storages
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
        if argument not in (_DICT, _TENSOR, *STORAGES):
            raise WeightsError(f"refers to {argument.replace(' ', '.')}, which no state dict needs; nothing was run")
        self.stack.append(_Global(argument))

    def _stack_global(self, _):
        attribute, module = self.stack.pop(), self.stack.pop()
        self._global(f"{module if isinstance(module, str) else '?'} {attribute if isinstance(attribute, str) else '?'}")

    def _binpersid(self, _):
        self.stack.append(self.storages.storage(self.stack.pop()))

    def _reduce(self, _):
        arguments, function = self.stack.pop(), self.stack.pop()
        if function == _Global(_DICT) and arguments == ():
            self.stack.append({})
        elif function == _Global(_TENSOR):
            self.stack.append(self.storages.tensor(arguments))
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
