"""Reader of the files that Keras 3 writes: `.weights.h5` and `.keras`.

Keras' own loader goes by class and order and may fail halfway; this one goes by layer name.
"""

from __future__ import annotations

import io
import pathlib
import zipfile

import numpy as np

from keras_res3d.untrusted import parse_json
from keras_res3d.weights.formats.hdf5 import CONTENTS, HarmfulFileError, try_in_child
from keras_res3d.weights.formats.keras_archive import CONFIG, check_archive
from keras_res3d.weights.source import Format, WeightsError, zip_names

_HDF5 = b"\x89HDF\r\n\x1a\n"


def _holds(path: pathlib.Path, head: bytes) -> bool:
    return head.startswith(_HDF5) or CONTENTS in zip_names(path, head)


def _hard_links(group):
    """The members of an HDF5 group that are its own; links to elsewhere are refused."""
    import h5py

    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise WeightsError(f"{group.name}/{name} is a link to elsewhere")
        yield group[name]


def _dataset(dataset, budget: int) -> np.ndarray:
    """A dataset that Keras can have written: contiguous, in this file, no larger than it. bfloat16 as float32."""
    size = dataset.size * dataset.dtype.itemsize
    elsewhere = dataset.external or dataset.is_virtual or dataset.chunks or dataset.id.get_storage_size() != size
    if elsewhere or size > budget:
        raise WeightsError(f"{dataset.name} is not stored as Keras stores weights")
    values = dataset[()]
    if dataset.attrs.get("dtype") == "bfloat16":
        values = (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return np.asarray(values)


def _keras_variables(file, budget: int) -> dict[str, np.ndarray]:
    """`LAYER/0`, ... from the groups of a Keras weights file, which carry their layers' names."""
    import h5py

    tensors = {}
    for group in _hard_links(file["layers"]):
        variables = group.get("vars") if isinstance(group, h5py.Group) else None
        if not isinstance(variables, h5py.Group) or not len(variables):
            continue
        layer = variables.attrs.get("name")
        if not isinstance(layer, str):
            raise WeightsError(f"{group.name} has no layer name: saved by an older Keras; save it anew with Keras 3.15")
        for dataset in _hard_links(variables):
            key = f"{layer}/{dataset.name.rsplit('/', 1)[1]}"
            if not isinstance(dataset, h5py.Dataset) or key in tensors:
                raise WeightsError(f"{dataset.name}: expected one variable {key}")
            tensors[key] = _dataset(dataset, budget)
            budget -= tensors[key].nbytes
    return tensors


def _saved_frames(path: pathlib.Path) -> int | None:
    """The clip length in the input layer of a `.keras` file's configuration; None where it is open or not said."""
    try:
        with zipfile.ZipFile(path) as archive:
            layers = parse_json(archive.read(CONFIG), nan=True)["config"]["layers"]
        inputs = [layer["config"] for layer in layers if layer["class_name"] == "InputLayer"]
        frames = inputs[0].get("batch_shape", inputs[0].get("batch_input_shape"))[1]
    except (KeyError, IndexError, TypeError, ValueError, zipfile.BadZipFile):
        return None
    return frames if isinstance(frames, int) else None


def _opened(path: pathlib.Path):
    """What HDF5 is to read, the file or the part of the archive, and its size in bytes; a child has read it before."""
    if not zipfile.is_zipfile(path):
        try_in_child(path)
        return path, path.stat().st_size
    check_archive(path)
    with zipfile.ZipFile(path) as archive:
        contents = archive.read(CONTENTS)
    return io.BytesIO(contents), len(contents)


def read_keras(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The variables of a file as `LAYER/0`, `LAYER/1`, ...

    Raises:
        WeightsError: the file is damaged, not written by Keras 3, or has links and storage that Keras does not write.
    """
    import h5py

    try:
        opened, budget = _opened(path)
        with h5py.File(opened, "r") as file:
            if "layers" not in file and ("model_weights" in file or "layer_names" in file.attrs):
                raise WeightsError(
                    "an .h5 file in the layout of Keras 2, which is not read. Load it with Keras and save it anew, "
                    "model.save_weights('NAME.weights.h5') or model.save('NAME.keras')"
                )
            return _keras_variables(file, budget)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except Exception as error:  # h5py raises errors of nearly every kind at damaged files
        reason = str(error) if type(error) in (ValueError, HarmfulFileError) else f"{type(error).__name__}: {error}"
        raise WeightsError(f"{path}: damaged, or not saved by Keras 3 ({reason})") from error


KERAS = Format("keras", (".keras", ".weights.h5", ".h5"), "keras", _holds, read_keras, _saved_frames)
