"""Which format a path is."""

import pytest

from keras_res3d.export.formats import FORMATS, FORMS, format_of, load_runner


def test_rows():
    assert list(FORMATS) == ["saved_model", "litert", "onnx", "openvino"]
    assert all(row.form in FORMS and "none" in row.quantizations for row in FORMATS.values())


def test_format_of(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    assert format_of(tmp_path) == "saved_model"
    assert [format_of(f"net{suffix}") for suffix in (".tflite", ".onnx", ".xml")] == ["litert", "onnx", "openvino"]
    for path in (tmp_path / "net.keras", tmp_path / "net"):
        with pytest.raises(ValueError, match=r"is not an export; expected .*\.tflite, \.onnx, \.xml"):
            format_of(path)
    with pytest.raises(FileNotFoundError):
        load_runner(tmp_path / "net.tflite")
