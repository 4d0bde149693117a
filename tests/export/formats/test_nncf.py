"""int8 of the formats that have no quantiser of their own."""

import pytest


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("form", ["2d", "3d"])
def test_nncf_quantises(exported, format, form):
    for name in {"onnx": ("onnx", "tf2onnx", "onnxruntime"), "openvino": ("openvino",)}[format]:
        pytest.importorskip(name)
    pytest.importorskip("nncf")
    _, whole = exported(format, form=form)
    _, found = exported(format, "int8", form=form)
    assert found.size_bytes < 0.6 * whole.size_bytes and found.top1_agreement == 1
