"""Parts that are .npz files without pickles, which NumPy alone can read.

The array `about` is JSON text in UTF-8 with a row for each video. The array `seconds` and an array for each layer have
as many rows as those videos have together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from keras_res3d.io import atomic_path
from keras_res3d.tasks.feature_parts.base import Part, VideoRow, about_text
from keras_res3d.untrusted import Npz

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
        self._file = Npz(self.path)

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def _about(self) -> bytes:
        return self._file.read("about", np.uint8, (None,)).tobytes()

    def _array(self, layer: str | None) -> np.ndarray:
        if layer is None:
            return self._file.read("seconds", np.float64, (self.rows, 2))
        number = list(self.header["layers"]).index(layer)
        return self._file.read(f"layer{number}", np.float32, (self.rows, self.header["layers"][layer]))
