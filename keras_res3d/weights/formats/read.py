"""One door to every weights file: the suffix chooses the reader, and what is not finite is refused."""

from __future__ import annotations

import io
import json
import pathlib
import zipfile

import numpy as np

from keras_res3d.weights.formats.caffe import read_caffemodel
from keras_res3d.weights.formats.torch_file import read_pth
from keras_res3d.weights.source import Source, WeightsError

_CONTENTS = "model.weights.h5"  # of a .keras file


def read_safetensors(path) -> Source:
    """A `.safetensors` file with a state dict's names. Raises WeightsError where its library refuses it."""
    from safetensors import SafetensorError, safe_open

    path = pathlib.Path(path)
    tensors = {}
    try:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118, it is no dictionary
                tensor = file.get_tensor(name)
                counter = np.issubdtype(tensor.dtype, np.integer)
                with np.errstate(over="ignore"):
                    tensors[name] = tensor if counter else tensor.astype(np.float32, copy=False)
    except (SafetensorError, TypeError, ValueError, AttributeError, OSError) as error:
        raise WeightsError(f"{path}: not a readable .safetensors file ({error})") from error
    return Source(path, "safetensors", tensors)


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


def _saved_frames(archive: zipfile.ZipFile) -> int | None:
    """The clip length in the input layer of a `.keras` file's configuration; None where it is open."""
    try:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
        inputs = [layer["config"] for layer in layers if layer["class_name"] == "InputLayer"]
        frames = inputs[0].get("batch_shape", inputs[0].get("batch_input_shape"))[1]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return frames if isinstance(frames, int) else None


def read_keras(path) -> Source:
    """`.weights.h5` or `.keras`, by layer name: Keras' own loader goes by class and order, and may fail halfway.

    Raises:
        WeightsError: damaged, not written by Keras 3, or with links and storage that Keras does not write.
    """
    import h5py

    path = pathlib.Path(path)
    frames = None
    try:
        opened, budget = path, path.stat().st_size
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                if (claimed := sum(info.file_size for info in archive.infolist())) > budget:
                    raise WeightsError(f"its entries claim {claimed:,} bytes in a file of {budget:,}")
                frames = _saved_frames(archive)
                opened = io.BytesIO(archive.read(_CONTENTS))
            budget = opened.getbuffer().nbytes
        with h5py.File(opened, "r") as file:
            return Source(path, "keras", _keras_variables(file, budget), frames)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except (OSError, KeyError, RuntimeError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: damaged, or not saved by Keras 3 ({type(error).__name__}: {error})") from error


READERS = {
    ".caffemodel": read_caffemodel,
    ".pth": read_pth,
    ".pt": read_pth,
    ".safetensors": read_safetensors,
    ".weights.h5": read_keras,
    ".keras": read_keras,
}


def read_tensors(path) -> Source:
    """The tensors of a weights file, chosen by its suffix (a key of `READERS`), all finite.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: an unknown suffix, a damaged or hostile file, or NaN or infinite values, naming the tensors.
    """
    path = pathlib.Path(path)
    suffix = next((suffix for suffix in READERS if path.name.endswith(suffix)), None)
    if suffix is None:
        raise WeightsError(f"{path} is of no known format; expected a name that ends in {', '.join(READERS)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist, or is no file; expected weights ({suffix})")
    source = READERS[suffix](path)
    # The sum alone may overflow, so it only tells which tensors to look at.
    with np.errstate(all="ignore"):
        suspects = [name for name, tensor in source.tensors.items() if not np.isfinite(tensor.sum())]
    faulty = [name for name in suspects if not np.isfinite(source.tensors[name]).all()]
    if faulty:
        raise WeightsError(f"{path} has NaN or infinite values in {', '.join(faulty)}; such a net cannot be used")
    return source
