"""Damaged copies of good inputs: flipped bits, cuts, repeats, and changes that know JSON, lists and zip archives."""

from __future__ import annotations

import copy
import io
import json
import random
import warnings
import zipfile
from collections.abc import Callable

# What parsers stumble over, put anywhere into any input.
TOKENS = (
    b"\0", b"\r", b"\n", b"\r\n", b",", b";", b"\t", b'"', b"'", b"#", b"|", b"/", b"../", b"\\", b"\xff\xfe",
    b"\xef\xbb\xbf", b"\xc3", b"\xed\xa0\x80", b"-1", b"0", b"1e999", b"NaN", b"Infinity", b"-Infinity", b"null",
    b"true", b"1" * 5000, b"9" * 19, b"18446744073709551616", b"0x7fffffff", b"a" * 300, b"[" * 2000, b"{" * 2000,
    b"(" * 200, b"%s%n", b"$HOME", b"\x1b[2J", b"\xff" * 8, b"\x7f" * 8, b"\x80" * 10, b"\0" * 64, b"\xff\xff\xff\x7f",
    "\u202e\u00e9\u2028".encode(), b"..",
)  # fmt: skip
# What a value of JSON becomes.
VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, 10**9, 10**12, -(10**30), 0.5, -0.0, 1e308, 1e-308, float("nan"),
    float("inf"), "", "a", "x" * 100_000, "../../etc/passwd", "/dev/zero", "\0", "\ud800", "\x1b[2J", "<script>", [],
    [[]], {}, {"a": 1}, [None], [0] * 1000, [1.5, "a", None], list(range(5)),
)  # fmt: skip
_DEEPEST, _LARGEST = 50, 2_000_000


def flipped(data: bytes, rng: random.Random) -> bytes:
    """One to eight bits are the other way."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwritten(data: bytes, rng: random.Random) -> bytes:
    """A token stands over what was there."""
    token, at = rng.choice(TOKENS), rng.randrange(len(data))
    return data[:at] + token + data[at + len(token) :]


def inserted(data: bytes, rng: random.Random) -> bytes:
    """A token, or some random bytes, stand between what was there."""
    token, at = rng.choice((*TOKENS, rng.randbytes(rng.randint(1, 16)))), rng.randrange(len(data) + 1)
    return data[:at] + token + data[at:]


def cut(data: bytes, rng: random.Random) -> bytes:
    """The end is missing."""
    return data[: rng.randrange(len(data))]


def removed(data: bytes, rng: random.Random) -> bytes:
    """A part is missing."""
    at, size = rng.randrange(len(data)), rng.choice((1, 2, 4, 8, 64, len(data) // 4 + 1))
    return data[:at] + data[at + size :]


def repeated(data: bytes, rng: random.Random) -> bytes:
    """A part stands there several times."""
    at, size = rng.randrange(len(data)), rng.choice((1, 4, 16, 64, len(data) // 4 + 1))
    return data[:at] + data[at : at + size] * rng.choice((2, 3, 50)) + data[at + size :]


def numbered(data: bytes, rng: random.Random) -> bytes:
    """A binary number of one to eight bytes is another one."""
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), 2 ** (8 * size - 1) - 1, rng.randrange(256)))
    at = rng.randrange(len(data))
    return data[:at] + value.to_bytes(size, rng.choice(("little", "big"))) + data[at + size :]


BYTES = (flipped, overwritten, inserted, cut, removed, repeated, numbered)


def of_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to four changes that know nothing of the format."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(BYTES)(data or b"\0", rng)
    return data[:_LARGEST]


def of_lines(data: bytes, rng: random.Random) -> bytes:
    """Lines and cells of a list are swapped, doubled, left out or replaced; now and then the bytes are damaged."""
    if rng.random() < 0.4:
        return of_bytes(data, rng)
    lines = data.split(b"\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    cells = lines[at].split(separator := rng.choice((b",", b" ", b"\t", b"/", b".")))
    cell = rng.randrange(len(cells))
    change = rng.randrange(6)
    if change == 0:
        lines[at], lines[other] = lines[other], lines[at]
    elif change == 1:
        lines.insert(at, lines[other])
    elif change == 2:
        del lines[at]
    elif change == 3:
        lines[at] = separator.join([*cells[:cell], rng.choice(TOKENS), *cells[cell + 1 :]])
    elif change == 4:
        lines[at] = separator.join(cells[:cell] + cells[cell + 1 :])
    else:
        return data.replace(b"\n", rng.choice((b"\r", b"\r\n", b"\0", b"\n\n", b"\x0b", b"\xc2\x85", b" ")))
    return b"\n".join(lines)


def _places(value, path: tuple = ()) -> list[tuple]:
    """The paths of all values inside a value of JSON."""
    found = [path]
    if len(path) < _DEEPEST:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, each in inner:
            found += _places(each, (*path, key))
    return found


def _changed(value, path: tuple, change: Callable):
    """The value with `change(container, key)` called for the last step of the path."""
    container = value
    for key in path[:-1]:
        container = container[key]
    change(container, path[-1])
    return value


def of_json(data: bytes, rng: random.Random) -> bytes:
    """A value is another one, is missing, is nested deeply, or stands there twice; now and then bytes are damaged."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return of_bytes(data, rng)
    choice = rng.random()
    if choice < 0.3:
        return of_bytes(data, rng)
    for _ in range(rng.choice((1, 1, 2))):
        path = rng.choice(_places(value))
        new = copy.deepcopy(rng.choice(VALUES))  # a later change may go into it
        if not path:
            value = new if rng.random() < 0.2 else value
        elif choice < 0.5:
            _changed(value, path, lambda container, key: container.pop(key))
        elif choice < 0.55:
            return _with_a_text(value, path, rng.choice((b"[" * 3000 + b"]" * 3000, b"1" * 5000, b"1e400", b"-")))
        elif choice < 0.65:
            _changed(value, path, _doubled)
        else:
            _changed(value, path, lambda container, key, new=new: container.__setitem__(key, new))
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _doubled(container, key) -> None:
    if isinstance(container, list):
        container.insert(key, container[key])
    else:
        container[f"{key}2"] = container[key]


def _with_a_text(value, path: tuple, text: bytes) -> bytes:
    """The JSON with that text, which need not be JSON, in place of a value."""
    _changed(value, path, lambda container, key: container.__setitem__(key, "\u2603here"))
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass").replace('"\u2603here"'.encode(), text)


def of_zip(data: bytes, rng: random.Random) -> bytes:
    """A member of a zip archive is damaged under a right checksum; now and then the archive itself is."""
    if rng.random() < 0.3:
        return of_bytes(data, rng)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # zipfile, zlib and lzma raise errors of nearly every kind at damaged archives
        return of_bytes(data, rng)
    if not members:  # the last one is gone
        return of_bytes(data, rng)
    at = rng.randrange(len(members))
    name, content = members[at]
    change = rng.randrange(8)
    if change == 0:
        del members[at]
    elif change == 1:
        members.append((name, of_bytes(content, rng)))
    elif change == 2:
        members[at] = (of_bytes(name.encode(), rng).decode("utf-8", "replace")[:200] or "a", content)
    elif content.startswith(b"\x93NUMPY"):
        members[at] = (name, _of_npy(content, rng))
    else:
        members[at] = (name, (of_json if content[:1] in b"{[" else of_bytes)(content, rng))
    buffer = io.BytesIO()
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", kind) as archive:
        warnings.simplefilter("ignore")  # of two members of one name
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name.replace("\0", "0")), content)
    return buffer.getvalue()


def _of_npy(content: bytes, rng: random.Random) -> bytes:
    """An array whose header tells another type or shape than it has, or whose bytes are damaged."""
    if rng.random() < 0.4:
        return of_bytes(content, rng)
    header, rest = content[10:].split(b"\n", 1) if b"\n" in content[10:] else (content[10:], b"")
    old, new = rng.choice((
        (b"(", b"(-1, "), (b"(", b"(1000000000000, "), (b"(", b"(0, "), (b"(", b"(1, "), (b"'<", b"'>"),
        (b"'<i8", b"'<f8"), (b"'<f4", b"'<f8"), (b"'<f4", b"'|O"), (b"'|u1", b"'<U9"),
        (b"False", b"True"), (b"}", b", 'x': 1}"),
        (b"'descr'", b"'desc'"), (b"'<f8", b"'<M8[ns]"), (b",)", b")"),
    ))  # fmt: skip
    header = header.replace(old, new, 1)
    return content[:8] + min(len(header) + 1, 65535).to_bytes(2, "little") + header + b"\n" + rest


MUTATIONS = {"bytes": of_bytes, "lines": of_lines, "json": of_json, "zip": of_zip}
