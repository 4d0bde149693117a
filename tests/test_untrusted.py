"""JSON and .npz files of any content are read right, or refused with one kind of error and a true reason."""

from __future__ import annotations

import io
import json
import math
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_res3d.untrusted import MAX_DEPTH, Npz, Range, check, parse_json, read_json


@pytest.mark.parametrize(("text", "told"), [
    ("", "Expecting value"), ("{", "Expecting property name"), (b"\xff\xfe\x00", "codec can't decode"),
    ("\0", "Expecting"), *(('{"a": 1}'.encode(f"utf-{bits}"), "codec can't decode") for bits in (16, 32)),
    ('{"a": 1}'.encode("utf-16-le"), "Expecting property name"), (b'"\xed\xb2\x80"', "codec can't decode"),
    ("[" * 10**6, "nested too deeply"), ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "deeper than 100"),
    ("9" * 5000, "5,000 characters.*too large"), ("18446744073709551616", "too large"), ("-1" + "0" * 19, "too large"),
    ("1e999", "not finite"), ("NaN", "not finite"), ("[-Infinity]", "not finite"),
    ('{"a": 1, "b": 2, "a": 1}', "^it has 'a' twice in an object; expected each name once$"),
    ('[{"x": [{"long' + "g" * 200 + '": 1, "long' + "g" * 200 + '": 2}]}]', "gg.*206 characters.* twice in an object"),
    ('"\\ud800"', "no text"), ('{"a\\udfff": 1}', "no text"),
])  # fmt: skip
def test_text_that_is_refused(text, told):
    with pytest.raises(ValueError, match=told) as caught:
        parse_json(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_text_that_is_read(tmp_path):
    name = b"\xe9.mp4".decode("utf-8", "surrogateescape")  # not UTF-8 on disk
    value = {"a": [1, -2.5, None, True, 2**63 - 1], "b": {"": "\u96ea"}, name: name}
    (tmp_path / "a.json").write_text(json.dumps(value))
    assert read_json(tmp_path / "a.json") == value
    (tmp_path / "a.json").write_text(json.dumps(value), "utf-8-sig")
    assert read_json(tmp_path / "a.json") == value
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(parse_json(deep)) == deep
    assert math.isnan(parse_json("[NaN, 1e999]", nan=True)[0])


SCHEMA = {"name": str, "rows": Range(0, 10), "rate?": (Range(0.5, 2, whole=False), None), "parts": [{"file": str}],
          "about": {str: (int, [int])}, "flag?": bool}  # fmt: skip
GOOD = {"name": "a", "rows": 3, "rate": 1.5, "parts": [{"file": "x", "more": 1}], "about": {"a": 1, "b": [2]}, "z": 0}


def test_what_fits_a_schema():
    check(GOOD, SCHEMA)
    check({**GOOD, "rate": None, "flag": False}, SCHEMA)
    check({name: value for name, value in GOOD.items() if name != "rate"}, SCHEMA)


@pytest.mark.parametrize(("changed", "told"), [
    ({"name": 1}, "^name is 1; expected a string$"), ({"rows": True}, "^rows is True; expected a whole number"),
    ({"rows": 11}, "from 0 to 10$"), ({"rows": 1.0}, "whole number"), ({"rate": 3}, "number from 0.5 to 2 or null$"),
    ({"parts": {}}, "^parts is {}; expected a list$"), ({"parts": [{}]}, r"^parts\[0\].file is missing$"),
    ({"parts": [1]}, r"^parts\[0\] is 1; expected an object$"), ({"about": {"a": "b"}}, "^about.a is 'b'; expected a"),
    ({"about": {"a": [None]}}, r"^about.a\[0\] is None"), ({"flag": 0}, "^flag is 0; expected true or false$"),
    ({"name": "x" * 10**5, "rows": "y" * 10**5}, r"y\.\.\. \(100,002 characters\)"),
])  # fmt: skip
def test_what_does_not_fit_is_told_by_its_place(changed, told):
    with pytest.raises(ValueError, match=told):
        check({**GOOD, **changed}, SCHEMA)


def test_an_object_that_lacks_a_name():
    with pytest.raises(ValueError, match=r"^name is missing$"):
        check({}, SCHEMA)
    for value in ([], None, 1, "a"):
        with pytest.raises(ValueError, match=r"^it is .*; expected an object$"):
            check(value, SCHEMA)


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def member(header: bytes, data: bytes = b"", version=b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + data


def archive(path, content: bytes, name="a.npy", kind=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", kind) as file:
        file.writestr(name, content)
    return path


def test_arrays_come_back(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.int64).reshape(2, 3), "b": np.asfortranarray(np.eye(3, 2)),
              "c": np.zeros((0, 4)), "d": np.float32(3), "e": np.array([True])}  # fmt: skip
    with Npz(npz(tmp_path / "a.npz", **arrays)) as file:
        assert file.names == list(arrays)
        for name, expected in arrays.items():
            found = file.read(name, np.asarray(expected).dtype, tuple(None for _ in np.shape(expected)))
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("header", "data"), [
    (b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }", b""),
    (b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }", bytes(8)),
    (b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", bytes(8)),
    (b"{'descr': '|V8', 'fortran_order': False, 'shape': (1,), }", bytes(8)),
    (b"{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,), }", bytes(8)),
    (b"{'descr': '<U0', 'fortran_order': False, 'shape': (99999999999,), }", b""),
    (b"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 36893488147419103232), }", b""),
    (b"{'descr': ('<f8', (1000000000,)), 'fortran_order': False, 'shape': (1,), }", bytes(8)),
    (b"(" * 9000, b""), (b"-" * 9000 + b"1", b""), (b"{'descr': '<f8'}", b""), (b"\0" * 40, b""),
])  # fmt: skip
def test_headers_that_ask_for_more_than_the_file_has_or_for_no_numbers(tmp_path, header, data):
    path = archive(tmp_path / "a.npz", member(header, data))
    tracemalloc.start()
    with Npz(path) as file, pytest.raises(ValueError):
        file.read("a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_archives_that_are_refused(tmp_path):
    content = member(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000,), }", bytes(8 * 10**6))
    with pytest.raises(ValueError, match="compressed"):
        Npz(archive(tmp_path / "a.npz", content, kind=zipfile.ZIP_DEFLATED))
    for data in (b"", b"PK\x03\x04" + bytes(50), b"PK\x05\x06" + b"\xff" * 18, bytes(100)):
        (tmp_path / "b.npz").write_bytes(data)
        with pytest.raises((ValueError, OSError)):
            Npz(tmp_path / "b.npz")
    with Npz(npz(tmp_path / "c.npz", a=np.zeros(3))) as file:
        for name, dtype, shape in (("b", None, None), ("a", np.float32, None), ("a", np.float64, (4,)),
                                   ("a", None, (3, 1))):  # fmt: skip
            with pytest.raises(ValueError):
                file.read(name, dtype, shape)


@settings(max_examples=40, deadline=None)
@given(flips=st.lists(st.integers(0, 10**9), max_size=6), cut=st.none() | st.floats(0, 1))
def test_a_damaged_npz_is_a_value_error_or_read(tmp_path_factory, flips, cut):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.arange(10.0), b=np.arange(3))
    data = bytearray(buffer.getvalue())
    for flip in flips:
        data[flip // 8 % len(data)] ^= 1 << (flip % 8)
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(data if cut is None else data[: int(cut * len(data))])
    start = time.monotonic()
    try:
        with Npz(path) as file:
            for name in file.names:
                file.read(name)
    except (ValueError, OSError):
        pass
    assert time.monotonic() - start < 30


@settings(max_examples=40, deadline=None)
@given(st.recursive(st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6))  # fmt: skip
def test_any_json_is_a_value_error_or_the_value(value):
    text = json.dumps(value)
    try:
        assert json.dumps(parse_json(text)) == text
    except ValueError as error:
        assert any(word in str(error) for word in ("too large", "not finite", "no text"))


def test_a_small_file_takes_little_memory(tmp_path):
    (tmp_path / "small.json").write_text('{"a": 1}')
    tracemalloc.start()
    try:
        assert read_json(tmp_path / "small.json") == {"a": 1}
        assert tracemalloc.get_traced_memory()[1] < 2**18
    finally:
        tracemalloc.stop()
