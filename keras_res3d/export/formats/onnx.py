"""ONNX: an .onnx file, written by tf2onnx and run by ONNX Runtime; int8 comes from NNCF."""

from __future__ import annotations

import numpy as np

from keras_res3d.export.formats.base import CARD_NAME, Format, Request, Runner, missing_extra, threads_or_all
from keras_res3d.export.formats.nncf import quantized


def write(graph, path, request: Request) -> None:
    """The .onnx file."""
    try:
        import onnx
        import tf2onnx
        from keras.src.export.tf2onnx_lib import patch_tf2onnx
    except ImportError as error:
        raise missing_extra("onnx", error) from error
    # tf2onnx's last release does not know NumPy 2; Keras carries the repair.
    patch_tf2onnx()
    model, _ = tf2onnx.convert.from_function(graph.function, graph.function.input_signature, opset=17)
    if request.quantize == "int8":
        model = quantized(model, request.calibration, "onnx", model.graph.input[0].name)
    model.metadata_props.add(key=CARD_NAME, value=request.card.to_json())
    onnx.save(model, str(path))


class OnnxRunner(Runner):
    """Through ONNX Runtime on the CPU."""

    def __init__(self, path, threads: int | None = None):
        try:
            import onnxruntime
        except ImportError as error:
            raise missing_extra("onnx", error) from error
        super().__init__(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads_or_all(threads)
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (details,) = self._session.get_inputs()
        self._name, self.input_shape = details.name, tuple(details.shape[1:])
        self.dtype = np.dtype({"tensor(uint8)": "uint8", "tensor(float)": "float32"}[details.type])
        sizes = self._session.get_outputs()[0].shape
        self.classes = sizes[-1] if isinstance(sizes[-1], int) else None
        self.card_text = self._session.get_modelmeta().custom_metadata_map.get(CARD_NAME)

    def _run(self, clips: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._name: clips})[0]


ONNX = Format(
    "onnx",
    suffix=".onnx",
    form="2d",
    quantizations={"2d": ("none", "int8"), "3d": ("none", "int8")},
    write=write,
    runner=OnnxRunner,
)
