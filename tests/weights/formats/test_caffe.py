"""Hostile .caffemodel files end in an error that names the layer, in bounded memory."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_res3d.weights.formats.caffe import MAX_FIELDS, read_blobs
from keras_res3d.weights.formats.registry import read_tensors
from keras_res3d.weights.source import WeightsError
from tests.weights.writers import caffemodel_bytes, write_caffemodel

ARRAYS = {
    "conv1": [np.arange(2 * 3 * 1 * 2 * 2, dtype=np.float32).reshape(2, 3, 1, 2, 2), np.array([1.5, -2.0], np.float32)],
    "fc": [np.arange(6, dtype=np.float32).reshape(2, 3)],
}
FLAT = {"fc": [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, np.float32)]}


def varint(value):
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def message(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def layer(*blobs, name=b"conv1"):
    return message(100, message(1, name) + b"".join(message(7, blob) for blob in blobs))


def shape(*sizes):
    return message(7, message(1, b"".join(varint(size) for size in sizes)))


def refusal(tmp_path, data):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"net\.caffemodel") as caught:
        read_blobs(path)
    return str(caught.value)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("variant", "arrays", "kind", "double"),
    [
        ("layer", ARRAYS, "caffemodel", False),
        ("layer", ARRAYS, "caffemodel", True),
        ("v1", FLAT, "caffemodel-v1", False),
        ("v1", FLAT, "caffemodel-v1", True),
        ("c3d", ARRAYS, "c3d-v1.0", False),
    ],
)
def test_every_variant_reads_back(tmp_path, variant, arrays, kind, packed, double):
    path = write_caffemodel(tmp_path / "a.caffemodel", arrays, variant=variant, packed=packed, double=double)
    found_kind, found = read_blobs(path)
    assert found_kind == kind
    assert list(found) == list(arrays)
    axes = {"layer": 0, "v1": 4, "c3d": 5}[variant]
    for name, blobs in arrays.items():
        for blob, expected in zip(found[name], blobs, strict=True):
            assert blob.dtype == np.float32
            assert blob.shape == (1,) * (axes - expected.ndim) + expected.shape
            np.testing.assert_array_equal(blob.reshape(expected.shape), expected)


def test_tensors_are_named_layer_and_number(tmp_path):
    source = read_tensors(write_caffemodel(tmp_path / "a.caffemodel", ARRAYS))
    assert list(source.tensors) == ["conv1/0", "conv1/1", "fc/0"]
    assert source.family == "caffe"


def test_packed_data_in_pieces_is_joined(tmp_path):
    pieces = message(5, np.float32([1, 2]).tobytes()) + message(5, np.float32([3]).tobytes())
    path = tmp_path / "a.caffemodel"
    path.write_bytes(layer(shape(3) + pieces))
    np.testing.assert_array_equal(read_blobs(path)[1]["conv1"][0], [1, 2, 3])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"not a net at all, just text", "damaged"),
        (b"\x0a\x03net", "no layer with weights"),
        (layer(shape(3) + message(5, bytes(8))), "layer conv1: blob 0: 2 values for shape \\(3,\\)"),
        (layer(shape(2) + message(5, bytes(12))), "layer conv1: blob 0: 3 values"),
        (layer(shape(2)), "0 values"),
        (layer(shape(1 << 40, 1 << 40) + message(5, bytes(8))), "layer conv1: blob 0: 2 values"),
        (layer(shape((1 << 64) - 2) + message(5, bytes(8))), r"shape \(-2,\)"),
        (layer(shape(*[1] * 40) + message(5, bytes(4))), "up to 32 sizes"),
        (layer(shape(*[1] * 9000) + message(5, bytes(4))), "of names and shapes"),
        (layer(shape(2) + message(5, bytes(7))), "7 bytes of floats"),
        (layer(shape(1) + varint(5 << 3 | 1) + bytes(8)), "expected floats of 4"),
        (layer(*[shape(1) + message(5, bytes(4))] * 65), "65 blobs"),
        (layer(shape(1) + message(5, bytes(4))) * 2, "two of that name"),
        (message(100, varint(1 << 3 | 2) + varint(1 << 60)), "ends .* bytes after"),
        (varint(100 << 3 | 2) + varint(1 << 62), "ends .* bytes after"),
        (message(100, b"\xff" * 12), "more than ten bytes"),
        (message(100, b"\x0b" * 5000), "wire type 3"),
        (layer(shape(1) + message(5, bytes(4)), name=b"\xff\xfe" * 3000), "of names and shapes"),
    ],
)
def test_hostile_files_are_refused_by_layer(tmp_path, data, told):
    assert re.search(told, refusal(tmp_path, data))


def test_deep_nesting_is_never_entered(tmp_path):
    deep = b""
    for _ in range(3000):
        deep = message(6660, deep)
    path = tmp_path / "a.caffemodel"
    path.write_bytes(message(100, message(1, b"odd") + deep) + caffemodel_bytes(ARRAYS))
    assert list(read_blobs(path)[1]) == list(ARRAYS)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
def test_cut_off_files_are_refused(tmp_path, cut):
    whole = caffemodel_bytes(ARRAYS)
    assert "damaged" in refusal(tmp_path, whole[: int(len(whole) * cut)])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_flipped_bytes_read_or_are_refused(tmp_path_factory, data):
    whole = bytearray(caffemodel_bytes(ARRAYS, variant=data.draw(st.sampled_from(["layer", "c3d"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("flip") / "a.caffemodel"
    path.write_bytes(whole)
    try:
        read_blobs(path)
    except WeightsError as error:
        assert "a.caffemodel" in str(error)


# VmHWM, not ru_maxrss: the latter starts at the parent's size and would hide everything below it.
PEAK = """
import pathlib, re, sys
import keras_res3d.weights.formats.caffe as caffe
def high_water():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
before = high_water()
result = None
try:
    result = caffe.read_blobs(pathlib.Path(sys.argv[1]))
except caffe.WeightsError as error:
    print(error, file=sys.stderr)
print(high_water() - before)
"""


def peak_bytes(path):
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs /proc to measure memory")
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    return int(done.stdout), done.stderr


@pytest.mark.parametrize("unpacked", [False, True])
def test_memory_stays_below_two_and_a_half_times_the_file(tmp_path, unpacked):
    """One layer holds nearly all of it, as in C3D: the worst case for a reader that goes layer by layer."""
    large = np.ones((3000, 5000), np.float32)
    path = tmp_path / "large.caffemodel"
    if unpacked:
        records = np.empty(large.size, [("tag", "u1"), ("value", "<f4")])
        records["tag"], records["value"] = 5 << 3 | 5, 1
        path.write_bytes(layer(shape(*large.shape) + records.tobytes()))
    else:
        write_caffemodel(path, {"fc6-1": [large], "fc7-1": [large[:20]]}, raw=True)
    peak, errors = peak_bytes(path)
    assert not errors
    assert large.nbytes < peak < 2.5 * path.stat().st_size  # below the arrays alone, nothing was measured


@pytest.mark.parametrize("flood", [message(100, b""), message(2, b"")])
def test_floods_of_empty_messages_are_refused_in_bounded_memory(tmp_path, flood):
    path = tmp_path / "flood.caffemodel"
    path.write_bytes(flood * (8_000_000 // len(flood)))
    peak, errors = peak_bytes(path)
    assert f"more than {MAX_FIELDS:,} fields" in errors
    assert peak < 20e6


def test_a_flood_inside_a_blob_is_refused(tmp_path):
    inside = message(100, message(1, b"conv1") + message(7, message(7, b"") * 1_000_000))
    assert f"layer conv1: blob 0: more than {MAX_FIELDS:,} fields" in refusal(tmp_path, inside)


def test_alternating_unpacked_runs_stay_quick(tmp_path):
    """Each run of floats looks ahead; looking ahead over the whole rest each time would take hours."""
    pair = bytes([5 << 3 | 5, 0, 0, 0, 0, 3 << 3 | 5, 0, 0, 0, 0])
    assert "fields" in refusal(tmp_path, layer(shape(1) + pair * 800_000))
