"""Reader of `.safetensors` files with the names of a state dict."""

from __future__ import annotations

import pathlib

import numpy as np

from keras_res3d.weights.formats.torch import plain_names
from keras_res3d.weights.source import Format, WeightsError

# Of the JSON that names the tensors; a net of a thousand has 100 kB. Each byte takes ten of memory to read.
_MAX_HEADER_BYTES = 8 << 20


def _holds(path: pathlib.Path, head: bytes) -> bool:
    """The file starts with the length of its JSON header, then the header."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length <= path.stat().st_size


def read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name. Raises WeightsError where its library refuses it."""
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > _MAX_HEADER_BYTES:
        raise WeightsError(f"{path}: its header has {header:,} bytes; expected at most {_MAX_HEADER_BYTES:,}")
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
    return plain_names(tensors)


SAFETENSORS = Format("safetensors", (".safetensors",), "torch", _holds, read_safetensors)
