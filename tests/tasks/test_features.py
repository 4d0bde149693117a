"""Features in memory and on disk: what is written comes back, and what is damaged is named."""

import json
import os
import shutil
import zipfile

import numpy as np
import pytest

import keras_res3d
from keras_res3d.tasks.feature_folder import FORMAT, write_header, write_part
from keras_res3d.tasks.feature_parts.base import VideoRow
from keras_res3d.tasks.features import Features, as_features, read_features

HEADER = {
    "format": FORMAT, "model": {"name": "sr18", "digest": "0"}, "layers": {"pool5": 3, "odd/naïve name": 2},
    "sampling": {"frames": 8}, "step": 16, "per_clip": True, "normalized": True, "data": [],
}  # fmt: skip
ODD = os.fsdecode(b"b/\xff \n\xe5\xad\x97.mp4")


def row(number, rows=1, error=None, id=None):
    return VideoRow(id or f"a/{number}.mp4", "a", None, number, 100, 0 if error else rows, error)


def part(folder, name, videos, offset=0.0):
    rows = sum(video.rows for video in videos)
    seconds = np.arange(2.0 * rows).reshape(rows, 2) + offset
    values = {layer: np.full((rows, width), offset, np.float32) + np.arange(rows, dtype=np.float32)[:, None]
              for layer, width in HEADER["layers"].items()}  # fmt: skip
    write_part(folder / name, HEADER, videos, seconds, values)


@pytest.fixture
def folder(tmp_path):
    """Two parts; the first holds later videos, a bad one among them, and one that the second part replaces."""
    write_header(tmp_path, HEADER)
    part(tmp_path, "1.npz", [row(3, 2), row(4, error="cut short"), VideoRow(ODD, None, "g", 1, None, 1), row(0)])
    part(tmp_path, "2.npz", [row(0, 2), row(2)], offset=10)
    return tmp_path


def test_rows_come_back_in_the_order_of_the_list(folder):
    features = read_features(folder)
    assert features.ids == ("a/0.mp4", "a/0.mp4", ODD, "a/2.mp4", "a/3.mp4", "a/3.mp4")
    assert features.labels == ("a", "a", None, "a", "a", "a") and features.groups[2] == "g"
    assert features.values["pool5"][:, 0].tolist() == [10, 11, 2, 12, 0, 1]
    assert features.values["odd/naïve name"].shape == (6, 2)
    assert features.seconds[:, 0].tolist() == [10, 12, 4, 14, 0, 2]
    assert features.facts["layers"] == HEADER["layers"] and features.facts["format"] == FORMAT
    assert features.values["pool5"].dtype == np.float32
    assert repr(features) == "<Features: 6 rows of 4 videos, pool5 3, odd/naïve name 2>"


def test_layers_are_chosen(folder):
    assert set(read_features(folder, ["pool5"]).values) == set(read_features(folder, "pool5").values) == {"pool5"}
    with pytest.raises(ValueError, match="no layer 'pool6'; it has pool5"):
        read_features(folder, ["pool6"])
    with pytest.raises(ValueError, match="expected one of pool5"):
        read_features(folder).layer()
    assert read_features(folder, "pool5").layer().shape == (6, 3)


def test_an_earlier_good_part_outlives_a_later_bad_one(folder):
    part(folder, "3.npz", [row(2, error="gone")])
    assert "a/2.mp4" in read_features(folder).ids
    part(folder, "3.npz", [row(4, 1)])
    assert "a/4.mp4" in read_features(folder).ids


def test_a_folder_without_a_single_part_has_no_rows(tmp_path):
    write_header(tmp_path, HEADER)
    features = read_features(tmp_path)
    assert len(features) == 0 and features.values["pool5"].shape == (0, 3)
    with pytest.raises(FileNotFoundError, match="holds no features"):
        read_features(tmp_path / "none")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 0.99])
def test_cut_parts_are_named(folder, share):
    path = folder / "2.npz"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"2\.npz is no part of these features"):
        read_features(folder)


def test_a_flipped_byte_is_found_wherever_it_is(folder):
    path = folder / "2.npz"
    data, good = path.read_bytes(), read_features(folder)
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 0x41
        path.write_bytes(changed)
        try:
            found = read_features(folder)
        except ValueError as error:
            assert "2.npz" in str(error)
        else:  # a byte that zip does not read, such as a time stamp
            assert found.ids == good.ids
            assert all(np.array_equal(found.values[name], good.values[name]) for name in good.values)


def _rewritten(path, **arrays):
    with np.load(path) as archive:
        arrays = {**archive, **arrays}
    np.savez(path, **arrays)


def test_pickles_are_never_loaded(folder):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(folder / "exploded"),))

    for name in ("seconds", "layer0", "about"):
        kept = (folder / "2.npz").read_bytes()
        _rewritten(folder / "2.npz", **{name: np.array([Bomb()], object)})
        with pytest.raises(ValueError, match=r"2\.npz"):
            read_features(folder)
        (folder / "2.npz").write_bytes(kept)
    assert not (folder / "exploded").exists()


@pytest.mark.parametrize("change", [
    {"layer0": np.zeros((3, 4), np.float32)}, {"layer0": np.zeros((4, 3), np.float32)},
    {"layer0": np.zeros((3, 3))}, {"seconds": np.zeros(3)}, {"about": np.zeros(3, np.uint8)},
    {"about": np.frombuffer(b"[" * 100_000, np.uint8)}, {"about": np.frombuffer(b'{"videos": 3}', np.uint8)},
])  # fmt: skip
def test_arrays_of_another_shape_or_type_are_named(folder, change):
    _rewritten(folder / "2.npz", **change)
    with pytest.raises(ValueError, match=r"2\.npz"):
        read_features(folder)


def test_claims_of_huge_arrays_take_no_memory(folder):
    header = np.lib.format.magic(1, 0)
    text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999,), }"
    text += b" " * (117 - len(text)) + b"\n"
    with zipfile.ZipFile(folder / "2.npz", "w") as archive:
        archive.writestr("about.npy", header + len(text).to_bytes(2, "little") + text + b"123")
    with pytest.raises(ValueError, match=r"2\.npz"):
        read_features(folder)
    with zipfile.ZipFile(folder / "2.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("about.npy", bytes(10_000_000))
    with pytest.raises(ValueError, match="compressed"):
        read_features(folder)


def test_parts_of_other_settings_are_not_mixed(folder):
    write_header(folder, {**HEADER, "step": 8})
    with pytest.raises(ValueError, match=r"1\.npz .*settings are not those"):
        read_features(folder)


@pytest.mark.parametrize("text", [
    "", "[]", "{", "[" * 100_000, '{"format": "other"}', json.dumps({**HEADER, "layers": {}}),
    json.dumps({**HEADER, "layers": {"a": "b"}}), json.dumps({**HEADER, "data": 3}), "\xff",
])  # fmt: skip
def test_damaged_headers_are_named(folder, text):
    (folder / "features.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"features\.json"):
        read_features(folder)


def test_as_features_takes_arrays_and_folders(folder):
    features = as_features((np.eye(3), ["a", "b", "a"], [1, 2, None]))
    assert features.layer().shape == (3, 3) and features.labels == ("a", "b", "a")
    assert features.groups == ("1", "2", None) and features.ids == ("0", "1", "2")
    assert np.isnan(features.seconds).all()
    assert as_features(features) is features
    assert as_features(folder).ids == as_features(str(folder)).ids == read_features(folder).ids
    two = as_features(({"a": np.ones((2, 3)), "b": np.ones((2, 1))}, [0, 1]))
    assert set(two.values) == {"a", "b"} and two.labels == ("0", "1")
    assert as_features(np.eye(2)).labels == (None, None)
    shutil.rmtree(folder)


@pytest.mark.parametrize("source, error", [
    (3, TypeError), ((), TypeError), (("a", "b"), TypeError), ((np.eye(2), None, None, None), TypeError),
    (np.ones(3), ValueError), (np.ones((0, 3)), ValueError), (np.array([["a"]]), ValueError),
    (np.full((2, 2), np.nan), ValueError), ((np.eye(2), ["a"]), ValueError), ({}, ValueError),
    (({"a": np.ones((2, 3)), "b": np.ones((3, 1))}, None), ValueError),
])  # fmt: skip
def test_as_features_says_what_it_expects(source, error):
    with pytest.raises(error, match=r"expected|different numbers"):
        as_features(source)


def test_data_frame():
    pandas = pytest.importorskip("pandas")
    frame = as_features((np.eye(2), ["a", "b"])).to_data_frame()
    assert isinstance(frame, pandas.DataFrame) and frame.shape == (2, 7)
    assert frame["label"].tolist() == ["a", "b"] and frame["features.1"].tolist() == [0, 1]


def test_public_names():
    assert keras_res3d.read_features is read_features and keras_res3d.Features is Features
