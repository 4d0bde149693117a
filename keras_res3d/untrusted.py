"""JSON and .npz files of any content: read right, or refused with the reason, in memory of a few times the file.

Whoever reads such a file goes through here. What is wrong is a ValueError that gives the reason alone, since the caller
knows what the file was to be and what to do; only a file that cannot be opened is an OSError.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import re
import reprlib
import zipfile
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from keras_res3d.remote import StoreError, opened

MAX_JSON_BYTES = 256 * 2**20
MAX_DEPTH = 100
_PIECE = 2**16
MAX_VALUES = 10_000_000
# Wider integers are no number of anything here, and overflow in NumPy.
_MAX_INTEGER = 2**63 - 1
# Python reads the bytes of a file name that is not UTF-8 as the surrogates from U+DC80; all others are no text.
_NO_TEXT = re.compile(r"[\ud800-\udc7f\udd00-\udfff]")
_SHOWN = 60
# Of an array in an .npz file, in bytes; NumPy writes 128, and is slow at long ones that are damaged.
_MAX_HEADER = 1024


class Range(NamedTuple):
    """A schema: a number from `low` to `high`, both included; whole numbers alone unless `whole` is False."""

    low: float
    high: float
    whole: bool = True


# How many bytes, rows or videos a file may say that there are: no real one has more.
COUNT = Range(0, 2**50)


def read_json(path, schema: object = None, nan: bool = False) -> object:
    """The value that a JSON file holds; arguments and errors as of `parse_json`.

    Raises:
        OSError: the file cannot be read.
        ValueError: the reason why it is refused, without its name.
    """
    data = bytearray()
    with opened(path) as file:
        # Piece by piece: one call for the limit and a byte would take memory for as many before it looks at the file.
        while len(data) <= MAX_JSON_BYTES and (piece := file.read(_PIECE)):
            data += piece
    return parse_json(bytes(data), schema, nan)


def parse_json(text: str | bytes, schema: object = None, nan: bool = False) -> object:
    """The value of a JSON text.

    Args:
        text: of UTF-8 where it is bytes, with or without a byte order mark.
        schema: what it must be, as of `check`; None takes any value.
        nan: whether NaN and infinite numbers, which are no JSON, are taken.

    Raises:
        ValueError: no JSON, more than `MAX_JSON_BYTES`, nested deeper than `MAX_DEPTH`, an object that has a name
            twice, an integer of more than 64 bits, a string that is no text, or not of the schema.
    """
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"it has more than {MAX_JSON_BYTES // 2**20} MB")
    if isinstance(text, bytes):  # json would guess at UTF-16 and UTF-32, and take encoded surrogates
        text = text.decode("utf-8-sig")
    refuse = None if nan else _not_finite
    try:
        value = json.loads(text, parse_int=_integer, parse_constant=refuse, parse_float=None if nan else _float,
                           object_pairs_hook=_object)  # fmt: skip
    except (RecursionError, MemoryError) as error:
        raise ValueError(f"it is nested too deeply, or too large ({type(error).__name__})") from error
    check_plain(value)
    check(value, schema)
    return value


def _object(members: list[tuple[str, object]]) -> dict:
    """Of two values of a name json would take the last one without a word."""
    if len(found := dict(members)) < len(members):
        seen = set()
        twice = next(name for name, _ in members if name in seen or seen.add(name))
        raise ValueError(f"it has {_short(repr(twice))} twice in an object; expected each name once")
    return found


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(number := int(digits)) > _MAX_INTEGER:
        raise ValueError(f"it has the number {_short(digits)}, which is too large")
    return number


def _float(digits: str) -> float:
    return number if math.isfinite(number := float(digits)) else _not_finite(digits)


def _not_finite(digits: str) -> float:
    raise ValueError(f"it has the number {_short(digits)}, which is not finite")


def check_plain(value: object) -> None:
    """Checks the depth, the extent and the strings of a value of JSON or YAML, in which the same part may recur.

    Raises:
        ValueError: it is nested deeper than `MAX_DEPTH`, has more than `MAX_VALUES` values, or a string is no text.
    """
    level, depth, values = [value], 0, 0
    while level:
        depth, values = depth + 1, values + len(level)
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
        if values > MAX_VALUES:
            raise ValueError(f"it has more than {MAX_VALUES:,} values")
        inner = []
        for each in level:
            if isinstance(each, str):
                if not each.isascii() and _NO_TEXT.search(each):
                    raise ValueError(f"it has the string {_short(repr(each))}, which is no text")
            elif isinstance(each, dict):
                inner += [*each, *each.values()]
            elif isinstance(each, list):
                inner += each
        level = inner


def check(value: object, schema: object, where: str = "it") -> None:
    """Compares a value of JSON with a schema.

    A schema is a type (`int` is never a bool; `float` takes whole numbers too, and NaN or infinity only if the text was
    read so); a `Range`; None for anything; a tuple of schemas, one of which must fit, where None stands for null; a
    list `[schema]` for a list of such values; `{str: schema}` for an object of any names; or a dictionary of names
    and schemas for an object that has them, and others too. A name that ends in "?" may be missing.

    Args:
        value: of `json.loads`.
        schema: what it must be.
        where: what the message calls it.

    Raises:
        ValueError: it does not fit; says where.
    """
    if not _fits(value, schema):
        _explain(value, schema, where)


def _fits(value: object, schema: object) -> bool:
    """The same without words, since a manifest may list a million videos."""
    kind = type(schema)
    if schema is None:
        return True
    if schema is int:
        return type(value) is int
    if schema is float:
        return type(value) in (int, float)
    if kind is Range:
        return type(value) in ((int,) if schema.whole else (int, float)) and schema.low <= value <= schema.high
    if kind is tuple:
        return any(value is None if each is None else _fits(value, each) for each in schema)
    if kind is list:
        return isinstance(value, list) and all(_fits(each, schema[0]) for each in value)
    if kind is dict:
        return isinstance(value, dict) and all(_fits(each, inner) for _, each, inner in _members(value, schema))
    return isinstance(value, schema)


_MISSING, _NOTHING = object(), ()  # a value that is not there, and the schema of no value


def _members(value: dict, schema: dict) -> Iterator[tuple[str, object, object]]:
    """(name, value, schema) of what a schema says of an object's members; `_MISSING`, which fits none, may be a value.
    """
    if str in schema:
        yield from ((name, each, schema[str]) for name, each in value.items())
        return
    for name, inner in schema.items():
        plain = name[:-1] if name[-1] == "?" else name
        if plain in value:
            yield plain, value[plain], inner
        elif plain is name:
            yield plain, _MISSING, _NOTHING


def _explain(value: object, schema: object, where: str) -> None:
    """Raises ValueError, which says where a value does not fit the schema, as deep inside as it can."""
    parts = []
    # A list or an object among several kinds tells better what is wrong in it.
    for kind in schema if type(schema) is tuple else (schema,):
        if type(kind) is list and isinstance(value, list):
            parts += [(each, kind[0], f"{where}[{number}]") for number, each in enumerate(value)]
        elif type(kind) is dict and isinstance(value, dict):
            parts += [(each, inner, _within(where, name)) for name, each, inner in _members(value, kind)]
    for part, inner, place in parts:
        if part is _MISSING:
            raise ValueError(f"{place} is missing")
        check(part, inner, place)
    expected = " or ".join(map(_name, schema if type(schema) is tuple else (schema,)))
    shown = repr(value) if isinstance(value, (str, int, float)) else reprlib.repr(value)
    raise ValueError(f"{where} is {_short(shown)}; expected {expected}")


def _within(where: str, name: str) -> str:
    return _short(name) if where == "it" else f"{where}.{_short(name)}"


_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", list: "a list",
          dict: "an object", None: "null"}  # fmt: skip


def _name(kind: object) -> str:
    if isinstance(kind, Range):
        return f"a {'whole ' * kind.whole}number from {kind.low:,} to {kind.high:,}"
    return _NAMES.get(type(kind) if type(kind) in (list, dict) else kind, str(kind))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text):,} characters)"


class Npz:
    """An .npz file of numbers, as `np.savez` writes it, opened; a context manager. Nothing in it is run.

    Args:
        path: of the file.

    Attributes:
        names: of its arrays, in the file's order.

    Raises:
        OSError: the file cannot be read.
        ValueError: the reason why it is refused, without its name: no whole zip archive, compressed, or entries that
            claim more bytes than the file has.
    """

    def __init__(self, path):
        with reasons():
            self._file, self._archive = opened(path), None
            try:
                size = self._file.seek(0, os.SEEK_END)
                self._archive = zipfile.ZipFile(self._file)
                members = self._archive.infolist()
                packed = next((each.filename for each in members if each.compress_type != zipfile.ZIP_STORED), None)
                if packed is not None:
                    raise ValueError(f"its entry {packed} is compressed")
                check_claims(members, size)
                self.names = [member.filename.removesuffix(".npy") for member in members]
                if len(set(self.names)) < len(members):
                    raise ValueError("it has an array twice")
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Npz:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        if self._archive is not None:
            self._archive.close()
        self._file.close()

    def read(self, name: str, dtype: object = None, shape: tuple | None = None) -> np.ndarray:
        """An array, which cannot be written to; its header is compared with its bytes before memory is taken for it.

        Args:
            name: of the array.
            dtype: that it must have; None takes every kind of number.
            shape: that it must have, where None stands for any size; None takes any.

        Raises:
            ValueError: it is missing, damaged, holds objects, or is of another type or shape.
        """
        with reasons():
            if name not in self.names:
                raise ValueError(f"it has no array {name}")
            raw = io.BytesIO(self._archive.read(f"{name}.npy"))
            if np.lib.format.read_magic(raw) != (1, 0):
                raise ValueError(f"{name} is of another version of .npy")
            found, fortran, kind = np.lib.format.read_array_header_1_0(raw, max_header_size=_MAX_HEADER)
            wanted = found if shape is None else shape
            fits = len(found) == len(wanted) and all(b in (None, a) for a, b in zip(found, wanted, strict=True))
            if kind.kind not in "biuf" or dtype not in (None, kind) or not fits or min(found, default=0) < 0:
                expected = f"; expected {'numbers' if dtype is None else np.dtype(dtype)} of shape {shape or 'any'}"
                raise ValueError(f"{name} is {kind} of shape {_short(str(found))}{expected}")
            data = raw.getbuffer()[raw.tell() :]
            if math.prod(found) * kind.itemsize != len(data):
                raise ValueError(f"{name} has {len(data):,} bytes for shape {_short(str(found))} of {kind}")
            return np.frombuffer(data, kind).reshape(found, order="F" if fortran else "C")


def check_claims(members: list[zipfile.ZipInfo], size: int, ratio: float = 1) -> None:
    """Checks that the entries of a zip archive do not unpack to more than so many times the file.

    Args:
        members: of the archive.
        size: of its file, in bytes.
        ratio: how many times the file's bytes they may claim.

    Raises:
        ValueError: they claim more.
    """
    if (claimed := sum(member.file_size for member in members)) > ratio * size:
        raise ValueError(f"its entries claim {claimed:,} bytes in a file of {size:,}")


@contextlib.contextmanager
def reasons() -> Iterator[None]:
    """What zipfile, its decompressors and NumPy raise at damaged files, which is nearly anything, as a ValueError."""
    try:
        yield
    except (ValueError, StoreError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and not _by_damage(error):
            raise
        raise ValueError(f"{type(error).__name__}: {error}".removesuffix(": ")) from error


def _by_damage(error: OSError) -> bool:
    """Whether a file's content raised the error: bz2 gives it no number, and a place before the file's start is EINVAL.
    """
    return type(error) is OSError and error.filename is None and error.errno in (None, errno.EINVAL)
