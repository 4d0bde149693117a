"""Failures, row 20: a hostile .pth runs nothing; and what torch.save writes reads back without torch."""

import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_res3d.weights.formats.torch_file import read_pth
from keras_res3d.weights.source import WeightsError
from tests.weights.writers import LEGACY_MAGIC, Name, Tensor, pickled, state_dict, write_pth, write_stream, write_zip


class Canary:
    """Pickles into a call of os.system that leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def refusal(path):
    with pytest.raises(WeightsError, match=path.name) as caught:
        read_pth(path)
    return str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64"])
def test_every_storage_type_reads_back(tmp_path, dtype):
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    tensors = read_pth(write_pth(tmp_path / "a.pth", {"a.weight": values, "b": values[0, 0].copy()})).tensors
    np.testing.assert_array_equal(tensors["a.weight"], values)
    assert tensors["a.weight"].dtype == (np.int64 if dtype == "int64" else np.float32)
    np.testing.assert_array_equal(tensors["b"], values[0, 0])


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    values = np.array([1.0, -2.5, 0.0, 1e30], np.float32)
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    found = read_pth(write_pth(tmp_path / "a.pth", {"a": halves})).tensors["a"]
    np.testing.assert_allclose(found, values, rtol=2**-7)


def test_strides_offsets_and_scalars(tmp_path):
    storage = np.arange(20, dtype=np.float32)
    grid = storage.reshape(4, 5)
    tensors = {
        "transposed": Tensor("0", storage, size=(5, 4), stride=(1, 5)),
        "corner": Tensor("0", storage, offset=7, size=(2, 3), stride=(5, 1)),
        "scalar": Tensor("0", storage, offset=19, size=(), stride=()),
        "empty": Tensor("0", storage, size=(0, 3), stride=(3, 1)),
    }
    found = read_pth(write_pth(tmp_path / "a.pth", tensors)).tensors
    np.testing.assert_array_equal(found["transposed"], grid.T)
    np.testing.assert_array_equal(found["corner"], grid[1:3, 2:5])
    assert found["scalar"] == 19
    assert found["empty"].shape == (0, 3)


def test_a_checkpoint_around_the_state_dict_is_opened(tmp_path):
    storage = np.ones(2, np.float32)
    data = pickled({"epoch": 3, "model": state_dict({"a": Tensor("0", storage)})})
    found = read_pth(write_zip(tmp_path / "a.pth", data, {"0": storage.tobytes()})).tensors
    assert list(found) == ["a"]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_hostile_pickle_in_a_zip_runs_nothing(tmp_path, protocol):
    canary = tmp_path / "canary"
    path = write_zip(tmp_path / "a.pth", pickle.dumps({"a": Canary(canary)}, protocol))
    assert "a.pth" in refusal(path)
    assert not canary.exists()


def test_hostile_pickle_that_builds_allowed_names_runs_nothing(tmp_path):
    for name in (Name("builtins", "eval"), Name("os", "system"), Name("torch._utils", "_rebuild_tensor"),
                 Name("collections", "defaultdict"), Name("torch", "FloatStorage.__class__")):  # fmt: skip
        path = write_zip(tmp_path / "a.pth", pickled({"a": name}))
        assert f"refers to {name.module}.{name.name}" in refusal(path)


def test_tar_and_bare_formats_are_refused_by_name_and_hostile_streams_run_nothing(tmp_path):
    canary = tmp_path / "canary"
    bomb = pickle.dumps(Canary(canary), 2)
    bare, legacy, tar, text = (tmp_path / name for name in ("bare.pth", "legacy.pth", "tar.pth", "text.pth"))
    bare.write_bytes(bomb)
    legacy.write_bytes(pickle.dumps(LEGACY_MAGIC, 2) + pickle.dumps(1001, 2) + bomb)
    with tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("pickle")
        info.size = len(bomb)
        archive.addfile(info, io.BytesIO(bomb))
    text.write_text("<html>quota exceeded</html>")
    assert "bare pickle" in refusal(bare)
    assert "no state dict needs; nothing was run" in refusal(legacy)
    assert "legacy tar format" in refusal(tar)
    assert "no file of PyTorch's" in refusal(text)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"offset": 1}, "reaches element 4 of a storage of 4"),
        ({"offset": -1}, "integers from 0"),
        ({"size": (2, 2), "stride": (1 << 60, 1)}, "reaches element"),
        ({"size": (1 << 31, 1 << 31), "stride": (0, 0)}, "reaches element"),
        ({"size": (4, 4), "stride": (0, 0)}, "reaches element 0 of a storage of 4"),
        ({"size": (2,), "stride": (1, 1)}, "as many of each"),
        ({"size": (2.0,), "stride": (1,)}, "integers from 0"),
        ({"dtype": "Double"}, "storage 0 has 16 bytes for 4 elements of 8"),
        ({"dtype": "Int"}, "storage type torch IntStorage|refers to torch.IntStorage"),
    ],
)
def test_tensors_beyond_their_storage_are_refused(tmp_path, change, told):
    tensor = Tensor("0", np.ones(4, np.float32), **change)
    path = write_zip(tmp_path / "a.pth", pickled({"a": tensor}), {"0": bytes(16)})
    with pytest.raises(WeightsError, match=told):
        read_pth(path)


def test_views_cannot_multiply_a_storage(tmp_path):
    storage = np.ones(1000, np.float32)
    tensors = {str(i): Tensor("0", storage) for i in range(2000)}
    assert "more tensor elements" in refusal(write_pth(tmp_path / "a.pth", tensors))


def test_a_flipped_bit_in_a_storage_is_found(tmp_path):
    path = write_pth(tmp_path / "a.pth", {"a": np.arange(1000, dtype=np.float32)})
    data = bytearray(path.read_bytes())
    data[data.index(np.float32([500, 501]).tobytes())] ^= 1
    path.write_bytes(data)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("cut", [0.2, 0.9, 0.999])
def test_a_cut_zip_is_refused(tmp_path, cut):
    path = write_pth(tmp_path / "a.pth", {"a": np.arange(1000, dtype=np.float32)})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut)])
    assert "damaged" in refusal(path)


def test_a_compressed_bomb_is_refused(tmp_path):
    tensor = Tensor("0", np.zeros(5_000_000, np.float32))
    data = pickled({"a": tensor})
    path = write_zip(tmp_path / "a.pth", data, {"0": tensor.storage.tobytes()}, zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(path)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x80\x02}.", "no state dict"),
        (b"\x80\x02K\x01.", "no state dict"),
        (pickled({"epoch": 3}), "epoch is int, not a tensor"),
        (b"\x80\x02", "malformed"),
        (b"\x80\x02}s.", "malformed"),
        (b"\x80\x02h\x07.", "malformed"),
        (b"\x80\x02(ccollections\nOrderedDict\n)\x81.", "NEWOBJ"),
        (b"\x80\x02}" + b"(" + b")\x85" * 300_000 + b"K\x01u.", "malformed|keys that are no names"),
        (b"\x80\x02]" + b"}q\x00" * 400_000 + b".", "claims"),
        (b"\x80\x02" + b"X\xff\xff\xff\x7fab.", "malformed"),
        (b"\x80\x02r\xff\xff\xff\xff.", "malformed"),
    ],
)
def test_malformed_pickles_are_refused(tmp_path, data, told):
    path = write_zip(tmp_path / "a.pth", data)
    with pytest.raises(WeightsError, match=told):
        read_pth(path)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_flipped_pickle_bytes_read_or_are_refused(tmp_path_factory, data):
    state = state_dict({"a": np.ones(4, np.float32), "b": np.ones((2, 2), np.float32)})
    pickle_bytes = bytearray(pickled(state))
    for _ in range(data.draw(st.integers(1, 4))):
        pickle_bytes[data.draw(st.integers(0, len(pickle_bytes) - 1))] = data.draw(st.integers(0, 255))
    storages = {key: bytes(16) for key in "01"}
    path = write_zip(tmp_path_factory.mktemp("flip") / "a.pth", bytes(pickle_bytes), storages)
    try:
        read_pth(path)
    except WeightsError as error:
        assert "a.pth" in str(error)


STREAMED = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(7, np.int64), "h": np.ones(2, np.float16)}


def test_the_format_before_1_6_reads_as_the_zip_does(tmp_path):
    stream = read_pth(write_stream(tmp_path / "old.pth", STREAMED)).tensors
    archive = read_pth(write_pth(tmp_path / "new.pth", STREAMED)).tensors
    assert list(stream) == list(archive) == list(STREAMED)
    assert all(np.array_equal(stream[name], archive[name]) for name in STREAMED)


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ({"keys": ["0", "1"]}, "no storage 2"),
        ({"keys": ["0", "1", "2", "2"]}, "no list of different names"),
        ({"keys": ["0", "1", "2", "9"]}, "belongs to no tensor"),
        ({"counts": [6, 1 << 60, 2]}, "of another size"),
        ({"system": {"little_endian": False}}, "big-endian"),
    ],
)
def test_streams_that_lie_are_refused(tmp_path, lie, told):
    with pytest.raises(WeightsError, match=told):
        read_pth(write_stream(tmp_path / "old.pth", STREAMED, **lie))


@pytest.mark.parametrize("cut", [10, 60, 300, -1, -20])
def test_a_cut_stream_is_refused(tmp_path, cut):
    path = write_stream(tmp_path / "old.pth", STREAMED)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(WeightsError):
        read_pth(path)
