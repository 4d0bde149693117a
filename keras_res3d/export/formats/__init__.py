"""The export formats and the loader of any of them. A new format is one file here and one entry in `FORMATS`."""

from __future__ import annotations

from keras_res3d import cards
from keras_res3d.export.formats.base import Format, Runner, first_line
from keras_res3d.export.formats.litert import LITERT
from keras_res3d.export.formats.onnx import ONNX
from keras_res3d.export.formats.openvino import OPENVINO
from keras_res3d.export.formats.saved_model import SAVED_MODEL
from keras_res3d.io import half_replaced
from keras_res3d.remote import as_path, is_remote, local_copy

FORMATS: dict[str, Format] = {row.name: row for row in (SAVED_MODEL, LITERT, ONNX, OPENVINO)}
FORMS = ("2d", "3d")


def suffixes() -> str:
    """How the files of the formats end, for a message."""
    return ", ".join(row.suffix for row in FORMATS.values() if row.suffix)


def format_of(path) -> str:
    """The name of the format of an exported file or folder.

    Raises:
        ValueError: `path` is not an export.
    """
    path = as_path(path)
    if path.is_dir():
        if (path / "saved_model.pb").exists():
            return "saved_model"
    else:
        for name, row in FORMATS.items():
            if row.suffix and path.suffix == row.suffix:
                return name
    raise ValueError(
        f"{path} is not an export; expected a SavedModel folder or a file that ends in one of {suffixes()}"
    )


def load_runner(path, threads: int | None = None, **options) -> Runner:
    """An exported net as a function: `runner(clips)` gives scores, `(batch, classes)` float32.

    Args:
        path: a SavedModel folder, or a .tflite, .onnx or OpenVINO .xml file; it may be an address in a store.
        threads: of the CPU; None takes all. A SavedModel uses TensorFlow's own setting.
        options: of the format's own runner: OpenVINO has `precision`, "f32" or "bf16".

    Returns:
        A callable with `input_shape`, `dtype` and `card`; it refuses clips of another shape or dtype.

    Raises:
        ValueError: `path` is not an export, or is damaged.
        FileNotFoundError: there is no such file.
        ImportError: the runtime is not installed; the message has the extra to install.
    """
    if hint := half_replaced(path):
        raise FileNotFoundError(f"{path} does not exist{hint}")
    row = FORMATS[format_of(path)]
    if not as_path(path).exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    try:
        runner = row.runner(local_copy(path) if is_remote(path) else path, threads, **options)
        _ = runner.card  # read now, so that a damaged one is known at once
        return runner
    except (ImportError, FileNotFoundError):
        raise
    except Exception as error:  # runtimes raise whatever they like
        raise ValueError(f"{path} cannot be read as a {row.name} export: {first_line(error)}") from error


def read_card(path) -> cards.ModelCard | None:
    """The card of a model: the one that an export holds, or the one beside a .keras file or in its folder.

    Args:
        path: an export of any format, a .keras file, or a folder of `keras-res3d train`.

    Returns:
        The card, or None where there is none.

    Raises:
        ValueError: the export or the card is damaged.
        ImportError: the export's runtime is not installed; the message has the extra to install.
    """
    path = as_path(path)
    try:
        format_of(path)
    except ValueError:
        return cards.read_card(path)
    return load_runner(path).card if path.exists() else None
