"""Which file a model's name means. Nothing here loads Keras, so that a wrong name is reported at once."""

from __future__ import annotations

import pathlib

from keras_res3d.export.formats import format_of, suffixes
from keras_res3d.io import half_replaced
from keras_res3d.remote import as_path, local_copy
from keras_res3d.weights.catalog import entries
from keras_res3d.weights.formats.keras_archive import check_archive

_EXPECTED = (
    "expected a folder of keras-res3d train, a .keras file, an export, or the name of published weights (keras-res3d "
    "weights)"
)


def is_published(name) -> bool:
    """Whether a name is that of published weights, such as "res3d18/sports1m", and no file or folder here."""
    return str(name) in {entry.name for entry in entries()} and not pathlib.Path(name).exists()


def model_file(path) -> pathlib.Path:
    """The `.keras` file, or the export, that a user's path means; one in a store is fetched.

    Args:
        path: a folder that holds `model.keras`, a `.keras` file, or an export.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: it is something else, or a `.keras` file that is damaged.
    """
    path = as_path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist{half_replaced(path)}; {_EXPECTED}")
    if path.is_dir() and not (path / "saved_model.pb").exists():
        if not (path / "model.keras").is_file():
            raise ValueError(f"{path} is a folder without a model (model.keras or saved_model.pb); {_EXPECTED}")
        path = path / "model.keras"
    if not path.is_dir() and not path.is_file():
        raise ValueError(f"{path} is a pipe or a device; {_EXPECTED}")
    path = local_copy(path)
    if path.suffix == ".keras":
        _check_archive(path)
    else:
        _check_export(path)
    return path


def _check_export(path: pathlib.Path) -> None:
    name = path.name.lower()
    if name.endswith((".weights.h5", ".pth", ".pt", ".caffemodel", ".safetensors")):
        raise ValueError(f"{path} holds weights without a net; build the net with weights={str(path)!r} and save it")
    if name.endswith((".h5", ".hdf5")):
        raise ValueError(
            f"{path} is in Keras' old HDF5 format; load it with keras.models.load_model and write it again with "
            "keras_res3d.save_model, as a .keras file"
        )
    try:
        format_of(path)
    except ValueError as error:
        raise ValueError(f"{path} is neither a .keras file nor an export ({suffixes()}, SavedModel)") from error


def _check_archive(path: pathlib.Path) -> None:
    """Raises ValueError where Keras should not open a `.keras` file."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a .keras file")
    try:
        check_archive(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged, cut short or not a .keras file: {error}") from error
