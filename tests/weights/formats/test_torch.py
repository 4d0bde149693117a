"""A hostile .pth runs nothing, and what torch.save writes is read back without torch."""

import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_res3d.weights.formats.torch import read_pth
from keras_res3d.weights.source import WeightsError
from tests.weights.writers import (
    LEGACY_MAGIC,
    Name,
    Tensor,
    _Pickler,
    pickled,
    state_dict,
    stream_of,
    write_pth,
    write_stream,
    write_zip,
)  # fmt: skip

STREAMED = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(7, np.int64), "h": np.ones(2, np.float16)}


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
    tensors = read_pth(write_pth(tmp_path / "a.pth", {"a.weight": values, "b": values[0, 0].copy()}))
    np.testing.assert_array_equal(tensors["a.weight"], values)
    assert tensors["a.weight"].dtype == (np.int64 if dtype == "int64" else np.float32)
    np.testing.assert_array_equal(tensors["b"], values[0, 0])


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    values = np.array([1.0, -2.5, 0.0, 1e30], np.float32)
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    found = read_pth(write_pth(tmp_path / "a.pth", {"a": halves}))["a"]
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
    found = read_pth(write_pth(tmp_path / "a.pth", tensors))
    np.testing.assert_array_equal(found["transposed"], grid.T)
    np.testing.assert_array_equal(found["corner"], grid[1:3, 2:5])
    assert found["scalar"] == 19
    assert found["empty"].shape == (0, 3)


def test_a_checkpoint_around_the_state_dict_is_opened(tmp_path):
    storage = np.ones(2, np.float32)
    data = pickled({"epoch": 3, "model": state_dict({"a": Tensor("0", storage)})})
    found = read_pth(write_zip(tmp_path / "a.pth", data, {"0": storage.tobytes()}))
    assert list(found) == ["a"]


class Other:
    """Pickles as an object of a class that is not there: `NEWOBJ` and `BUILD`, or a call with arguments."""

    def __init__(self, module, name, called_with=None):
        self.origin, self.called_with = Name(module, name), called_with


def save_other(pickler, obj):
    if obj.called_with is not None:
        pickler.save_reduce(obj.origin, obj.called_with)
        return
    pickler.save(obj.origin)
    pickler.write(pickle.EMPTY_TUPLE + pickle.NEWOBJ)
    pickler.save({"lr": 0.01, "stages": [30, 40], "self": Other("m", "X", (1,))})
    pickler.write(pickle.BUILD)


def checkpoint():
    """What torchvision's reference script saves: `{"model": ..., "optimizer": ..., "args": Namespace(...)}`."""
    momentum, step = np.full(6, 9, np.float32), np.array([3], np.int32)
    storages = dict(zip("ms", (momentum, step), strict=True))
    optimizer = {
        "state": {0: {"momentum_buffer": Tensor("m", momentum), "step": Tensor("s", step, "Int")}},
        "param_groups": [{"lr": 0.01, "params": [0], "betas": (0.9, 0.999), "foreach": None}],
    }
    around = {
        "optimizer": optimizer,
        "lr_scheduler": {"milestones": Other("collections", "Counter", ({30: 1},)), "_step_count": 4},
        "epoch": 3,
        "args": Other("argparse", "Namespace"),
        "device": Other("torch", "device", ("cuda", 0)),
        "seen": Other("os", "system", ("touch canary",)),
        Name("callbacks", "Checkpoint"): {"best": 1.5},
    }
    return around, storages


@pytest.fixture
def others(monkeypatch):
    monkeypatch.setitem(_Pickler.dispatch, Other, save_other)


@pytest.mark.parametrize("write", ["zip", "stream"])
@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict"])
def test_a_training_checkpoint_gives_its_net_and_the_rest_is_not_run(tmp_path, monkeypatch, others, key, write):
    monkeypatch.chdir(tmp_path)
    around, storages = checkpoint()
    net = state_dict({f"module.{name}": value for name, value in STREAMED.items()})
    storages |= {tensor.key: tensor.storage for tensor in net.values()}
    whole = {key: net, **around}
    if write == "zip":
        path = write_zip(tmp_path / "a.pth", pickled(whole), {k: v.tobytes() for k, v in storages.items()})
    else:
        path = stream_of(tmp_path / "a.pth", whole, storages)
    found = read_pth(path)
    assert list(found) == list(STREAMED)
    assert all(np.array_equal(found[name], STREAMED[name]) for name in STREAMED)
    assert not (tmp_path / "canary").exists()


def test_what_a_nets_tensors_would_need_is_refused_by_name(tmp_path, others):
    for value in (Other("argparse", "Namespace"), Other("torch._utils", "_rebuild_parameter", (1, 2))):
        path = write_zip(tmp_path / "a.pth", pickled({"model": {"fc.weight": value}, "epoch": 3}))
        assert f"fc.weight refers to {value.origin.module}.{value.origin.name}, which no state dict" in refusal(path)
    path = write_zip(tmp_path / "a.pth", pickled(Other("models", "R3D")))
    assert "refers to models.R3D, which no state dict needs; nothing was run; save model.state_dict()" in refusal(path)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "model."])
def test_what_a_wrapper_puts_before_every_name_is_left_out(tmp_path, prefix):
    path = write_pth(tmp_path / "a.pth", {f"{prefix}{name}": value for name, value in STREAMED.items()})
    assert list(read_pth(path)) == list(STREAMED)
    some = {"module.a": STREAMED["a"], "h": STREAMED["h"]}
    assert list(read_pth(write_pth(tmp_path / "a.pth", some))) == ["module.a", "h"]


def test_a_storage_that_is_skipped_is_not_read(tmp_path):
    """An optimizer's state is as large as the net, and may be damaged without harm to it."""
    data = pickled({"model": state_dict({"a": Tensor("0", np.ones(2, np.float32))}),
                    "optimizer": {"m": Tensor("9", np.ones(1000, np.float32))}})  # fmt: skip
    assert list(read_pth(write_zip(tmp_path / "a.pth", data, {"0": np.ones(2, np.float32).tobytes()}))) == ["a"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.", "keys that are not names"),  # a deep key overflows hash()
        (b"\x80\x02}r\xff\xff\xff\xff.", "no state dict"),  # the unpickler in C makes a memo of 64 GB for it
        (b"\x80\x05\x96" + b"\xff" * 7 + b"\x00.", "BYTEARRAY8"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f.", "LONG4"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02ccollections\nOrderedDict\n](K\x01K\x01e\x85R.", "OrderedDict with arguments"),
        (b"\x80\x02ccollections\nOrderedDict\n}U\x01ab.", "SHORT_BINSTRING"),
        (b"\x80\x02]" + b"\x85" * 300_000 + b"Q.", "persistent id that is not a storage"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b}X\x01\x00\x00\x00aRs.", "calls something|malformed"),
        (b"\x80\x02" + b"(K\x01" * 100_000 + b"t" * 100_000 + b".", "no state dict"),
    ],
)
def test_tricks_that_harm_an_unpickler_are_refused(tmp_path, data, told):
    with pytest.raises(WeightsError, match=rf"a\.pth: .*({told})"):
        read_pth(write_zip(tmp_path / "a.pth", data))


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
    assert "not a file of PyTorch's" in refusal(text)
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
        (b"\x80\x02}" + b"(" + b")\x85" * 300_000 + b"K\x01u.", "malformed|keys that are not names"),
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


def test_the_format_before_1_6_reads_as_the_zip_does(tmp_path):
    stream = read_pth(write_stream(tmp_path / "old.pth", STREAMED))
    archive = read_pth(write_pth(tmp_path / "new.pth", STREAMED))
    assert list(stream) == list(archive) == list(STREAMED)
    assert all(np.array_equal(stream[name], archive[name]) for name in STREAMED)


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ({"keys": ["0", "1"]}, "no storage 2"),
        ({"keys": ["0", "1", "2", "2"]}, "not a list of different names"),
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
