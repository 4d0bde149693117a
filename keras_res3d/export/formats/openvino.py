"""OpenVINO: an .xml file with its .bin, converted from a SavedModel; int8 comes from NNCF."""

from __future__ import annotations

import pathlib
import re
import tempfile

import numpy as np

from keras_res3d.export.formats.base import CARD_NAME, Format, Request, Runner, missing_extra, threads_or_all
from keras_res3d.export.formats.nncf import quantized
from keras_res3d.export.formats.saved_model import write as write_saved_model
from keras_res3d.export.report import ExportError
from keras_res3d.io import digest
from keras_res3d.nets.padding import reads, same_pads

# What the .xml file calls the SHA-256 of its .bin file, and what stands there until it is known.
WEIGHTS_DIGEST, _UNKNOWN = "weights_sha256", "0123456789abcdef" * 4


def write(graph, path, request: Request) -> None:
    """The .xml file and the .bin beside it."""
    try:
        import openvino
    except ImportError as error:
        raise missing_extra("openvino", error) from error
    # Within the hidden folder of the write, so that a kill leaves nothing elsewhere.
    with tempfile.TemporaryDirectory(dir=pathlib.Path(path).parent) as folder:
        write_saved_model(graph, folder)
        model = openvino.convert_model(folder)
        _drop_dead_taps(model)
        if request.quantize == "int8":
            model = quantized(model, request.calibration, "openvino", max_drop=request.max_drop)
        model.set_rt_info(request.card.to_json(), ["keras_res3d", CARD_NAME])
        model.set_rt_info(_UNKNOWN, ["keras_res3d", WEIGHTS_DIGEST])
        openvino.save_model(model, str(path), compress_to_fp16=request.quantize == "float16")
    _put_digest(pathlib.Path(path))


def _put_digest(path: pathlib.Path) -> None:
    """Writes the digest of the .bin file into the .xml file, which is moved first: they are known to belong together.
    """
    text, place = path.read_bytes(), _UNKNOWN.encode()
    if text.count(place) != 1:
        raise ExportError(f"OpenVINO wrote the place of the digest {text.count(place)} times; expected once")
    path.write_bytes(text.replace(place, digest(path.with_suffix(".bin")).encode()))


def _check_pair(path: pathlib.Path) -> None:
    """Raises ValueError where the .bin file is missing, or is not the one that the .xml file was written with."""
    weights = path.with_suffix(".bin")
    again = "a process was killed, or is at work, between writing the two: export the model again"
    if not weights.exists():
        raise ValueError(f"{weights.name} is missing beside it; {again}")
    known = re.search(rf'<{WEIGHTS_DIGEST} value="([0-9a-f]{{64}})"'.encode(), path.read_bytes())
    if known and known[1].decode() != digest(weights):  # earlier releases wrote no digest
        raise ValueError(f"{weights.name} beside it is of another export; {again}")


def _drop_dead_taps(model) -> None:
    """Leaves out the first and last temporal taps of 3-D kernels that meet nothing but zero padding; in place."""
    import openvino.opset13 as opset

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Convolution" or len(node.input(1).get_partial_shape()) != 5:
            continue
        frames, positions = node.input(0).get_partial_shape()[2], node.get_output_partial_shape(0)[2]
        kernel = node.input_value(1).get_node()
        if frames.is_dynamic or positions.is_dynamic or kernel.get_type_name() != "Constant":
            continue
        given = node.get_attributes()
        pads = _pads(node, given)
        strides, dilations = given["strides"], given["dilations"]
        sizes = frames.get_length(), positions.get_length(), kernel.get_output_shape(0)[2]
        found = _live(*sizes, pads[0][0], strides[0], dilations[0])
        if found is None:
            continue
        taps, pads[0][0], pads[1][0] = found
        weights = opset.constant(np.ascontiguousarray(kernel.data[:, :, taps]))
        trimmed = opset.convolution(node.input_value(0), weights, strides, *pads, dilations)
        trimmed.set_friendly_name(node.get_friendly_name())
        node.output(0).replace(trimmed.output(0))


def _live(frames: int, positions: int, extent: int, before: int, stride: int,
          dilation: int) -> tuple[slice, int, int] | None:  # fmt: skip
    """The taps to keep and the padding before and after that goes with them; None where all are needed."""
    counts = reads(frames, range(-before, extent * dilation - before, dilation), stride, positions)
    live = [tap for tap, count in enumerate(counts) if count]
    if not live or len(live) == extent:
        return None
    first, last = live[0], live[-1]
    begin = before - first * dilation
    end = (positions - 1) * stride + (last - first) * dilation + 1 - frames - begin
    # Where frames at either end are read by no tap, the padding would have to be less than none.
    return (slice(first, last + 1), begin, max(0, end)) if begin >= 0 and end > -stride else None


def _pads(node, given: dict) -> list[list[int]]:
    """The padding before and after each axis of a convolution."""
    if given["auto_pad"] == "valid":
        return [[0] * len(given["strides"]) for _ in range(2)]
    if given["auto_pad"] == "explicit":
        return [list(given["pads_begin"]), list(given["pads_end"])]
    sizes, extents = (node.input(number).get_partial_shape()[2:] for number in (0, 1))
    axes = zip(sizes, extents, given["strides"], given["dilations"], strict=True)
    pads = [same_pads(size.get_length(), (extent.get_length() - 1) * step + 1, stride)
            for size, extent, stride, step in axes]  # fmt: skip
    # Of an odd number of zeros "same_upper" puts the one more after, "same_lower" before.
    return [list(side) for side in zip(*pads, strict=True)][:: 1 if given["auto_pad"] == "same_upper" else -1]


class OpenVINORunner(Runner):
    """Through OpenVINO on the CPU, tuned for one clip at a time.

    Args:
        path: the .xml file; its .bin lies beside.
        threads: of the CPU; None takes all.
        precision: the type in which float32 layers compute: "f32", or "bf16" where the CPU has it.
    """

    runtime = "OpenVINO"

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
        _check_pair(self.path)
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
