"""What the ONNX writer does beside calling the converter."""

import subprocess
import sys

import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")

CONVERSION = """
import sys
from keras_res3d import build_model
from keras_res3d.cards import card_of
from keras_res3d.export.formats.base import Request
from keras_res3d.export.formats.onnx import write
from keras_res3d.export.graph import ServingGraph
from keras_res3d.export.measure import peak_memory_bytes

model = build_model("res3d18")
write(ServingGraph(model, model.input_shape[1:]), sys.argv[1], Request("none", None, False, card_of(model)))
print(peak_memory_bytes())
"""


@pytest.mark.parametrize("form", ["2d", "3d"])
def test_weights_are_constants_of_the_file(exported, form):
    pytest.importorskip("onnxruntime")
    path, report = exported("onnx", form=form)
    assert report.largest_difference < 1e-5 and report.form == form
    graph = onnx.load(path).graph
    assert [each.name for each in graph.input] == ["clip"]
    constants = {each.name for each in graph.initializer}
    assert not [node.name for node in graph.node if node.op_type == "Transpose" and node.input[0] in constants]
    assert max(len(each.raw_data) for each in graph.initializer) >= 4 * 4096  # some went around the converter


@pytest.mark.slow
def test_the_conversion_of_a_large_net_takes_little_memory(tmp_path):
    path = tmp_path / "net.onnx"
    done = subprocess.run([sys.executable, "-c", CONVERSION, str(path)], capture_output=True, text=True, check=True)
    assert path.stat().st_size > 7e7
    assert int(done.stdout.split()[-1]) < 3e9
