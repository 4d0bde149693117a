"""What a weights file holds, whatever wrote it: named float arrays, and where they came from."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

import numpy as np

# How the tensors are named and laid out, by the format of the file.
FAMILIES = {
    "caffemodel": "caffe",
    "caffemodel-v1": "caffe",
    "c3d-v1.0": "caffe",
    "pth": "torch",
    "safetensors": "torch",
    "keras": "keras",
}


class WeightsError(ValueError):
    """A weights file that cannot be used; the message names the file and what in it is wrong."""


@dataclass(frozen=True)
class Source:
    """The tensors of a weights file, in the file's own names and order of axes.

    Attributes:
        path: the file.
        format: a key of `FAMILIES`.
        tensors: by name. Caffe: `LAYER/0`, `LAYER/1`, ... for the blobs of a layer; Keras: the same for the variables
            of a layer; PyTorch: the names of the state dict. float32, but for counters.
        frames: clip length of the net that was saved, where the file says so (`.keras`).
    """

    path: pathlib.Path
    format: str
    tensors: dict[str, np.ndarray]
    frames: int | None = None

    @property
    def family(self) -> str:
        """ "caffe", "torch" or "keras": how tensors are named and laid out."""
        return FAMILIES[self.format]
