"""The formats, one row each, and the loader of any of them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from dataclasses import dataclass

from keras_res3d.export import runners, writers


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        suffix: of the file; "" for a folder.
        quantizations: what `quantize` may be.
        form: the form that its runtime runs faster, taken where the caller names none.
        write: `write(graph, path, request)`.
        runner: `runner(path, threads)`.
    """

    suffix: str
    quantizations: tuple[str, ...]
    form: str
    write: Callable
    runner: Callable


FORMATS = {
    # TensorFlow's and OpenVINO's own 3-D convolutions are fast; the 2-D form moves more memory there.
    "saved_model": Format("", ("none",), "3d", writers.write_saved_model, runners.SavedModelRunner),
    "litert": Format(
        ".tflite", ("none", "float16", "dynamic", "int8"), "2d", writers.write_litert, runners.LiteRTRunner
    ),
    "onnx": Format(".onnx", ("none", "int8"), "2d", writers.write_onnx, runners.OnnxRunner),
    "openvino": Format(".xml", ("none", "float16", "int8"), "3d", writers.write_openvino, runners.OpenVINORunner),
}
FORMS = ("2d", "3d")


def format_of(path) -> str:
    """The name of the format of an exported file or folder.

    Raises:
        ValueError: `path` is not an export.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        if (path / "saved_model.pb").exists():
            return "saved_model"
    else:
        for name, row in FORMATS.items():
            if row.suffix and path.suffix == row.suffix:
                return name
    suffixes = ", ".join(row.suffix for row in FORMATS.values() if row.suffix)
    raise ValueError(f"{path} is not an export; expected a SavedModel folder or a file that ends in one of {suffixes}")


def load_runner(path, threads: int | None = None) -> runners.Runner:
    """An exported net as a function: `runner(clips)` gives scores, `(batch, classes)` float32.

    Args:
        path: a SavedModel folder, or a .tflite, .onnx or OpenVINO .xml file.
        threads: of the CPU; None: all. A SavedModel uses TensorFlow's own setting.

    Returns:
        A callable with `input_shape`, `dtype` and `card`; it refuses clips of another shape or dtype.

    Raises:
        ValueError: not an export.
        FileNotFoundError: there is no such file.
        ImportError: the runtime is not installed; the message has the extra to install.
    """
    row = FORMATS[format_of(path)]
    if not pathlib.Path(path).exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    return row.runner(path, threads)
