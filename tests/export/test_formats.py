"""Which format a path is."""

import pytest

from keras_res3d.export.formats import FORMATS, FORMS, format_of, load_runner


def test_rows():
    assert list(FORMATS) == ["saved_model", "litert", "onnx", "openvino"]
    for row in FORMATS.values():
        assert row.form in FORMS and set(row.quantizations) == set(FORMS)
        assert "none" in row.quantizations["3d"] and set(row.quantizations["3d"]) <= set(row.quantizations["2d"])
        # Where a form has less, the reason is there for the message.
        assert bool(row.limit) == (row.quantizations["3d"] != row.quantizations["2d"])


def test_format_of(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    assert format_of(tmp_path) == "saved_model"
    assert [format_of(f"net{suffix}") for suffix in (".tflite", ".onnx", ".xml")] == ["litert", "onnx", "openvino"]
    for path in (tmp_path / "net.keras", tmp_path / "net"):
        with pytest.raises(ValueError, match=r"is not an export; expected .*\.tflite, \.onnx, \.xml"):
            format_of(path)
    with pytest.raises(FileNotFoundError):
        load_runner(tmp_path / "net.tflite")


@pytest.mark.parametrize("name", ["net.tflite", "net.onnx"])
def test_a_damaged_file_is_named(tmp_path, name):
    if name.endswith(".onnx"):
        pytest.importorskip("onnxruntime")
    (tmp_path / name).write_bytes(b"damaged" * 20)
    with pytest.raises(ValueError, match=rf"{name} cannot be read as a \w+ export: ") as caught:
        load_runner(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_damaged_saved_model_is_named(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="cannot be read as a saved_model export"):
        load_runner(tmp_path)
