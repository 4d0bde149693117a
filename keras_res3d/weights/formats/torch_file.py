"""Reader of PyTorch's `.pth` without PyTorch: the zip of a pickle and raw storages that `torch.save` writes since 1.6,
and the stream of pickles and raw storages that it wrote before.
"""

from __future__ import annotations

import io
import pathlib
import pickletools
import zipfile

import numpy as np

from keras_res3d.weights.formats.torch_pickle import STORAGES, PickleReader, Storages
from keras_res3d.weights.source import Source, WeightsError

_ZIP = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_HEAD = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
_LEGACY_PROTOCOL = 1001
_RESAVE = "with PyTorch at hand, save it anew: torch.save(torch.load(FILE, weights_only=True), NEW)"
_MAX_PICKLE_BYTES = 1 << 20  # torchvision's largest video net has 60 kB


class _Archive(Storages):
    """The zip: its pickle and its storages, each read once and checked against its CRC."""

    def __init__(self, path: pathlib.Path, archive: zipfile.ZipFile):
        # Generous: an element takes 2 bytes at least.
        super().__init__(elements=path.stat().st_size)
        self.archive = archive
        self.budget = path.stat().st_size
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(pickles) != 1:
            raise WeightsError(f"{len(pickles)} entries named data.pkl in the zip; expected one, as torch.save writes")
        self.prefix = pickles[0].removesuffix("data.pkl")
        order = f"{self.prefix}byteorder"
        if order in archive.namelist() and self.read("byteorder", 16) != b"little":
            raise WeightsError(f"big-endian storages; {_RESAVE} on a little-endian machine")

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

    def raw(self, key: str, name: str, count: int) -> bytes:
        return self.read(f"data/{key}")


class _Stream(Storages):
    """The format before 1.6: five pickles (magic number, protocol, system, object, storage keys), then each storage as
    its number of elements and its raw bytes, in the order of the keys.

    The object comes before the keys and does not hold the data, so it is read twice: first for the types of the
    storages, which give their sizes, then for the tensors.
    """

    def __init__(self, data: bytes):
        super().__init__(elements=len(data))
        self.data, self.end = memoryview(data), 0
        self.types, self.places = None, {}
        magic, protocol, system = (self._value(self._pickle()) for _ in range(3))
        if magic != _LEGACY_MAGIC or protocol != _LEGACY_PROTOCOL:
            raise WeightsError(f"magic number and protocol are {magic} and {protocol}; expected PyTorch's legacy ones")
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise WeightsError(f"big-endian storages; {_RESAVE} on a little-endian machine")
        self.object = self._pickle()
        self.types = _TypesOfStorages(self.elements)
        PickleReader(self.types).load(self.object)
        keys = self._value(self._pickle())
        if not isinstance(keys, list) or len(keys) != len(set(map(str, keys))):
            raise WeightsError("the storage keys are no list of different names")
        for key in keys:
            self._place(key)

    def _pickle(self) -> bytes:
        """The bytes of the next pickle."""
        window = bytes(self.data[self.end : self.end + _MAX_PICKLE_BYTES])
        for opcode, _, position in pickletools.genops(io.BytesIO(window)):
            if opcode.name == "STOP":
                self.end += position + 1
                return window[: position + 1]
        raise WeightsError("a pickle without an end")

    def _value(self, pickled: bytes):
        return PickleReader(self).load(pickled)

    def _place(self, key) -> None:
        """Notes where a storage lies, and steps over it."""
        if key not in self.types.seen:
            raise WeightsError(f"storage {key} belongs to no tensor")
        name, promised = self.types.seen[key]
        count = int.from_bytes(self.data[self.end : self.end + 8], "little")
        start, stop = self.end + 8, self.end + 8 + count * STORAGES[name].itemsize
        if count != promised or stop > len(self.data):
            raise WeightsError(f"storage {key} of {promised:,} elements is cut short or of another size")
        self.places[key], self.end = (start, stop), stop

    def raw(self, key: str, name: str, count: int) -> bytes:
        if key not in self.places:
            raise WeightsError(f"no storage {key} in the file")
        start, stop = self.places[key]
        return self.data[start:stop]


class _TypesOfStorages(Storages):
    """Stands in while only the types of the storages are wanted: key -> type and number of elements."""

    def __init__(self, elements: int):
        super().__init__(elements)
        self.seen = {}

    def storage(self, reference):
        key, name, count = self.named(reference)
        if self.seen.setdefault(key, (name, count)) != (name, count):
            raise WeightsError(f"storage {key} is used as {name} and as {self.seen[key][0]}")

    def tensor(self, arguments):
        return None


def _is_zip(path: pathlib.Path) -> bool:
    """Whether it is the zip or the older stream; all else is refused by name."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(_ZIP) or head[2:].startswith(_LEGACY_HEAD):
        return head.startswith(_ZIP)
    if head[257:262] == b"ustar":
        raise WeightsError(f"{path} is PyTorch's legacy tar format (before 0.2); {_RESAVE}")
    if head.startswith(b"\x80") or head[:1] in (b"(", b"c", b"}", b"]"):
        raise WeightsError(f"{path} is a bare pickle, which is never run; expected a .pth as torch.save writes it")
    raise WeightsError(f"{path} is no file of PyTorch's; expected a .pth as torch.save writes it")


def _load_zip(path: pathlib.Path):
    with zipfile.ZipFile(path) as file:
        archive = _Archive(path, file)
        return PickleReader(archive).load(archive.read("data.pkl", _MAX_PICKLE_BYTES))


def _load_stream(path: pathlib.Path):
    stream = _Stream(path.read_bytes())
    return PickleReader(stream).load(stream.object)


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
    """A state dict saved by `torch.save` as a `Source`; nothing in the file is executed.

    Raises:
        WeightsError: another format (tar and bare pickles are named), a damaged file, a pickle that wants anything but
            tensors, a tensor that reaches beyond its storage.
    """
    path = pathlib.Path(path)
    zipped = _is_zip(path)
    try:
        loaded = _load_zip(path) if zipped else _load_stream(path)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise WeightsError(f"{path}: the file is damaged ({error}); fetch the file again") from error
    except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        raise WeightsError(f"{path}: the pickle is malformed ({type(error).__name__}: {error})") from error
    return Source(path, "pth", _state_dict(loaded, path))
