"""What lies in a .tflite file: built-in operations, an open batch, int8 where it was asked for."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_res3d.data.transform import preprocess_input
from keras_res3d.export.formats import load_runner


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
    assert len(convolutions) == 15  # conv1, two of each of five blocks, four projections
    assert all(tensors[index] == np.int8 for op in convolutions for index in (*op["inputs"][:2], *op["outputs"]))
    assert interpreter.get_input_details()[0]["dtype"] == interpreter.get_output_details()[0]["dtype"] == np.int8


@pytest.mark.parametrize("options", [{"quantize": "int8", "preprocessing": False, "integer_io": True}])
def test_quantised_input_takes_floats(exported, model, clips, options):
    runner = load_runner(exported("litert", **options)[0])
    assert runner._input["dtype"] == np.int8 and runner.dtype == np.float32
    floats = preprocess_input(clips)
    np.testing.assert_array_equal(runner(floats).argmax(-1), model.predict_on_batch(floats).argmax(-1))
    with pytest.raises(ValueError, match=r"expected float32 \(preprocessed clips\)"):
        runner(clips)
