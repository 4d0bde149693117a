"""What lies in the files: built-in operations, an open batch, the card, int8; and other processes that read them."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_res3d.export.formats import load_runner
from keras_res3d.export.writers import write_onnx, write_openvino

PLAIN_TENSORFLOW = """
import sys, json, numpy as np, tensorflow as tf
path, clips, result = sys.argv[1:]
sys.modules["keras_res3d"] = None  # an import of it would raise
net = tf.saved_model.load(path)
scores = net.signatures["serving_default"](clip=tf.constant(np.load(clips)))["output"]
np.save(result, scores.numpy())
print(json.load(open(path + "/assets/model.json"))["labels"])
"""


@pytest.mark.parametrize(("quantize", "form"), [("none", "2d"), ("none", "3d"), ("float16", "2d"), ("int8", "2d")])
def test_litert_has_builtin_operations_and_an_open_batch(exported, quantize, form):
    options = {} if form == "2d" else {"form": form}
    interpreter = Interpreter(str(exported("litert", quantize, **options)[0]))
    names = {operation["op_name"] for operation in interpreter._get_ops_details()}
    assert names and not any("flex" in name.lower() or "custom" in name.lower() for name in names)
    assert ("CONV_3D" in names) == (form == "3d")
    (clip,) = interpreter.get_input_details()
    assert list(clip["shape_signature"]) == [-1, 4, 32, 32, 3] and clip["dtype"] == np.uint8
    (output,) = interpreter.get_output_details()
    assert output["dtype"] == np.float32


def test_int8_convolutions_are_int8_and_integer_io_is_integer(exported):
    path, _ = exported("litert", "int8", preprocessing=False, integer_io=True)
    interpreter = Interpreter(str(path))
    tensors = {tensor["index"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    convolutions = [op for op in interpreter._get_ops_details() if op["op_name"] == "CONV_2D"]
    assert len(convolutions) == 21
    assert all(tensors[index] == np.int8 for op in convolutions for index in (*op["inputs"][:2], *op["outputs"]))
    assert interpreter.get_input_details()[0]["dtype"] == interpreter.get_output_details()[0]["dtype"] == np.int8


def test_a_saved_model_needs_no_line_of_this_package(exported, clips, card, tmp_path):
    path, _ = exported("saved_model")
    np.save(tmp_path / "clips.npy", clips[:3])
    arguments = [path, tmp_path / "clips.npy", tmp_path / "scores.npy"]
    done = subprocess.run([sys.executable, "-c", PLAIN_TENSORFLOW, *map(str, arguments)],
                          cwd=tmp_path, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.replace("'", '"')) == list(card.labels)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), load_runner(path)(clips[:3]), atol=1e-6)


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("form", ["2d", "3d"])
def test_nncf_quantises(exported, format, form):
    for name in {"onnx": ("onnx", "tf2onnx", "onnxruntime"), "openvino": ("openvino",)}[format]:
        pytest.importorskip(name)
    pytest.importorskip("nncf")
    _, whole = exported(format, form=form)
    _, found = exported(format, "int8", form=form)
    assert found.size_bytes < 0.6 * whole.size_bytes and found.top1_agreement == 1


def test_an_optional_package_that_is_missing_is_named():
    for name, write in (("tf2onnx", write_onnx), ("openvino", write_openvino)):
        if importlib.util.find_spec(name) is None:
            extra = {"tf2onnx": "onnx"}.get(name, name)
            with pytest.raises(ImportError, match=rf"pip install 'keras-res3d\[{extra}\]'"):
                write(None, "net", None)
