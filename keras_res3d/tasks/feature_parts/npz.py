"""Parts that are .npz files without pickles, which NumPy alone can read.

The array `about` is JSON text in UTF-8 with a row for each video. The array `seconds` and an array for each layer have
as many rows as those videos have together.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping

import numpy as np

from keras_res3d.io import atomic_path
from keras_res3d.remote import readable
from keras_res3d.tasks.feature_parts.base import Part, VideoRow, about_text

SUFFIX = ".npz"


def check(layers: Iterable[str]) -> None:
    """Any layers can be written, and nothing has to be installed for it."""


def write_part(path, header: Mapping, videos: Iterable[VideoRow], seconds: np.ndarray,
               values: Mapping[str, np.ndarray]) -> None:  # fmt: skip
    """Writes a part, in one step; arguments as of `feature_folder.write_part`."""
    about = np.frombuffer(about_text(header, videos).encode("ascii"), np.uint8)
    arrays = {"about": about, "seconds": seconds}
    for number, layer in enumerate(header["layers"]):
        arrays[f"layer{number}"] = values[layer]
    with atomic_path(path) as aside, open(aside, "wb") as file:
        np.savez(file, **arrays)


class NpzPart(Part):
    """A part that is an .npz file."""

    def _open(self) -> None:
        self._archive = zipfile.ZipFile(readable(self.path))

    def close(self) -> None:
        """Lets go of the file."""
        self._archive.close()

    def _about(self) -> bytes:
        # Parts are stored as they are, so that none unpacks to more than its file has.
        members = self._archive.infolist()
        stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
        if not stored or sum(member.file_size for member in members) > self.size():
            raise ValueError("it is compressed")
        return self._read("about", np.uint8, None).tobytes()

    def _array(self, layer: str | None) -> np.ndarray:
        if layer is None:
            return self._read("seconds", np.float64, (self.rows, 2))
        number = list(self.header["layers"]).index(layer)
        return self._read(f"layer{number}", np.float32, (self.rows, self.header["layers"][layer]))

    def _read(self, name: str, kind: type, shape: tuple[int, int] | None) -> np.ndarray:
        """An array of the archive, whose type and shape are looked at before any memory is taken for it."""
        raw = io.BytesIO(self._archive.read(f"{name}.npy"))
        if np.lib.format.read_magic(raw) != (1, 0):
            raise ValueError(f"{name} is of another version of .npy")
        found, fortran, dtype = np.lib.format.read_array_header_1_0(raw)
        if dtype != kind or fortran or (len(found) != 1 if shape is None else found != shape):
            raise ValueError(f"{name} is {dtype} of shape {found}; expected {np.dtype(kind)} of shape {shape}")
        return np.frombuffer(raw.getbuffer()[raw.tell() :], kind).reshape(found)
