"""OpenVINO: an .xml file with its .bin, converted from a SavedModel; int8 comes from NNCF."""

from __future__ import annotations

import tempfile

import numpy as np

from keras_res3d.export.formats.base import CARD_NAME, Format, Request, Runner, missing_extra, threads_or_all
from keras_res3d.export.formats.nncf import quantized
from keras_res3d.export.formats.saved_model import write as write_saved_model


def write(graph, path, request: Request) -> None:
    """The .xml file and the .bin beside it."""
    try:
        import openvino
    except ImportError as error:
        raise missing_extra("openvino", error) from error
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(graph, folder)
        model = openvino.convert_model(folder)
        if request.quantize == "int8":
            model = quantized(model, request.calibration, "openvino")
        model.set_rt_info(request.card.to_json(), ["keras_res3d", CARD_NAME])
        openvino.save_model(model, str(path), compress_to_fp16=request.quantize == "float16")


class OpenVINORunner(Runner):
    """Through OpenVINO on the CPU, tuned for one clip at a time.

    Args:
        path: the .xml file; its .bin lies beside.
        threads: of the CPU; None takes all.
        precision: the type in which float32 layers compute: "f32", or "bf16" where the CPU has it.
    """

    def __init__(self, path, threads: int | None = None, precision: str = "f32"):
        try:
            import openvino
        except ImportError as error:
            raise missing_extra("openvino", error) from error
        super().__init__(path)
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads_or_all(threads),
        }
        core = openvino.Core()
        model = core.read_model(str(path))
        if model.has_rt_info(["keras_res3d", CARD_NAME]):
            self.card_text = model.get_rt_info(["keras_res3d", CARD_NAME]).astype(str)
        self._compiled = core.compile_model(model, "CPU", config)
        self.input_shape = tuple(n.get_length() for n in list(self._compiled.input(0).partial_shape)[1:])
        self.dtype = np.dtype(self._compiled.input(0).element_type.to_dtype())
        sizes = self._compiled.output(0).partial_shape
        self.classes = sizes[-1].get_length() if sizes.rank.is_static and sizes[-1].is_static else None
        self._request = self._compiled.create_infer_request()

    def _run(self, clips: np.ndarray) -> np.ndarray:
        # Clips are copied into the request: where OpenVINO shares the caller's array, a later call may write into it.
        with self._one_call:
            return np.array(self._request.infer([clips], share_inputs=False)[self._compiled.output(0)], np.float32)


# OpenVINO's own 3-D convolutions are fast; the 2-D form moves more memory there.
OPENVINO = Format(
    "openvino",
    suffix=".xml",
    form="3d",
    quantizations={"2d": ("none", "float16", "int8"), "3d": ("none", "float16", "int8")},
    write=write,
    runner=OpenVINORunner,
)
