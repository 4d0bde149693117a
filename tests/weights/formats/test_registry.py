import zipfile

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from keras_res3d.weights.formats.registry import FORMATS, format_of, read_tensors
from keras_res3d.weights.source import WeightsError
from tests.weights import nets
from tests.weights.writers import write_caffemodel, write_pth, write_stream

ONE = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture(scope="module")
def one_of_each(tmp_path_factory):
    """A file of every format, and of every variant of it: format -> paths."""
    folder, model = tmp_path_factory.mktemp("formats"), nets.build(nets.RES3D)
    save_file(ONE, folder / "a.safetensors")
    model.save(folder / "a.keras")
    model.save_weights(folder / "a.weights.h5")
    return {
        "keras": [folder / "a.keras", folder / "a.weights.h5"],
        "safetensors": [folder / "a.safetensors"],
        "pth": [write_pth(folder / "a.pth", ONE), write_stream(folder / "old.pth", ONE)],
        "caffemodel": [
            write_caffemodel(folder / f"{variant}.caffemodel", {"a": [ONE["a.weight"]]}, variant=variant)
            for variant in ("layer", "v1", "c3d")
        ],
    }


SUFFIXES = [suffix for format in FORMATS for suffix in format.suffixes]


@pytest.mark.parametrize("suffix", [*SUFFIXES, "", ".download", ".zip"])
def test_the_content_chooses_the_reader_whatever_the_name(tmp_path, one_of_each, suffix):
    assert set(one_of_each) == {format.name for format in FORMATS}
    for kind, paths in one_of_each.items():
        for path in paths:
            renamed = tmp_path / f"weights{suffix}"
            renamed.write_bytes(path.read_bytes())
            assert format_of(renamed).name == kind
            source, usual = read_tensors(renamed), read_tensors(path)
            assert (source.family, source.frames) == (format_of(path).family, usual.frames)
            assert all(np.array_equal(source.tensors[name], usual.tensors[name]) for name in usual.tensors)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"\n<!DOCTYPE html><title>404</title>", "a web page"),
        (b"PK\x03\x04" + bytes(100), "a zip file, but not a whole one of Keras or PyTorch"),
        (b"\xff" * 1000, r"of no known format.*pth \(\.pth, \.pt, \.tar, \.bin, \.ckpt\)"),
        (b"\x08\x07\x12\x04onnx", "of no known format"),
    ],
)
def test_what_is_none_of_them_is_named(tmp_path, content, told):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=rf"a\.pth is {told}"):
        read_tensors(tmp_path / "a.pth")


def test_a_cut_zip_and_an_h5_of_keras_2_get_a_line_that_is_true(tmp_path, one_of_each):
    whole = one_of_each["keras"][0].read_bytes()
    (tmp_path / "cut.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"cut\.keras is a zip file, .* cut short"):
        read_tensors(tmp_path / "cut.keras")
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.create_group("model_weights")
    with pytest.raises(WeightsError, match=r"old\.h5: an \.h5 file in the layout of Keras 2.*save it anew"):
        read_tensors(tmp_path / "old.h5")


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64"])
def test_safetensors_of_other_types_become_float32(tmp_path, dtype):
    save_file({"a": np.arange(3).astype(dtype)}, tmp_path / "a.safetensors")
    found = read_tensors(tmp_path / "a.safetensors").tensors["a"]
    assert found.dtype == (np.int64 if dtype == "int64" else np.float32)


def test_bfloat16_safetensors(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    save_file({"a": np.array([1, 2.5], ml_dtypes.bfloat16)}, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(read_tensors(tmp_path / "a.safetensors").tensors["a"], [1, 2.5])


def test_unknown_missing_and_damaged_files(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    with pytest.raises(WeightsError, match=r"a\.npz is a zip file, but not a whole one of Keras or PyTorch"):
        read_tensors(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError, match=r"a\.pth does not exist"):
        read_tensors(tmp_path / "a.pth")
    for suffix in ("caffemodel", "pth", "safetensors", "keras", "weights.h5"):
        for data in (b"", b"<html></html>", b"PK\x03\x04" + bytes(100), b"\xff" * 1000):
            path = tmp_path / f"bad.{suffix}"
            path.write_bytes(data)
            with pytest.raises(WeightsError, match="bad"):
                read_tensors(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_name(tmp_path, value):
    bad = np.array([1, value], np.float32)
    with pytest.raises(WeightsError, match=r"NaN or infinite values in conv1/0, fc/1;"):
        good = np.full(2, 3e38, np.float32)  # its sum overflows, it does not
        read_tensors(write_caffemodel(tmp_path / "a.caffemodel", {"conv1": [bad, good], "fc": [good, bad]}))
    with pytest.raises(WeightsError, match="values in b"):
        read_tensors(write_pth(tmp_path / "a.pth", {"a": good, "b": bad}))


def test_doubles_too_large_for_float32_are_refused(tmp_path):
    path = write_caffemodel(tmp_path / "a.caffemodel", {"fc": [np.array([1e300])]}, double=True)
    with pytest.raises(WeightsError, match="infinite values in fc/0"):
        read_tensors(path)


@pytest.mark.parametrize("suffix", ["keras", "weights.h5"])
def test_keras_files_are_read_by_layer_name(tmp_path, suffix):
    model = nets.build(nets.RES3D)
    path = tmp_path / f"a.{suffix}"
    (model.save if suffix == "keras" else model.save_weights)(path)
    source = read_tensors(path)
    assert source.frames == (8 if suffix == "keras" else None)
    for layer in model.layers:
        for index, variable in enumerate(layer.weights):
            np.testing.assert_array_equal(source.tensors[f"{layer.name}/{index}"], np.asarray(variable))
    assert len(source.tensors) == len(model.weights)


def test_a_flipped_bit_in_a_keras_file_is_found(tmp_path):
    path = tmp_path / "a.keras"
    nets.build(nets.RES3D).save(path)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("model.weights.h5")
        middle = info.header_offset + info.file_size // 2
    data = bytearray(path.read_bytes())
    data[middle] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"a\.keras: damaged"):
        read_tensors(path)


def hostile_h5(path, how):
    with h5py.File(path, "w") as file:
        variables = file.create_group("layers/dense/vars")
        variables.attrs["name"] = "fc8"
        if how == "external file":
            variables.create_dataset("0", (3,), "f4", external=[("/etc/passwd", 0, 12)])
        elif how == "external link":
            variables["0"] = h5py.ExternalLink("/etc/passwd", "/a")
        elif how == "soft link":
            variables["0"] = h5py.SoftLink("/layers")
        elif how == "huge":
            variables.create_dataset("0", (1 << 40,), "f4")
        elif how == "compressed":
            variables.create_dataset("0", data=np.zeros(1 << 20, "f4"), compression="gzip")
        elif how == "nameless":
            del variables.attrs["name"]
            variables.create_dataset("0", data=np.zeros(3, "f4"))
        else:
            variables.create_group("0")


@pytest.mark.parametrize(
    "how", ["external file", "external link", "soft link", "huge", "compressed", "nameless", "group"]
)
def test_hostile_h5_files_are_refused(tmp_path, how):
    path = tmp_path / "a.weights.h5"
    hostile_h5(path, how)
    with pytest.raises(WeightsError, match=r"a\.weights\.h5"):
        read_tensors(path)
