"""What a weights file holds, whatever wrote it: named float arrays, and where they came from."""

from __future__ import annotations

import pathlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


class WeightsError(ValueError):
    """A weights file that cannot be used; the message names the file and what in it is wrong."""


@dataclass(frozen=True)
class Source:
    """The tensors of a weights file, in the file's own names and order of axes.

    Attributes:
        path: the file.
        family: how the tensors are named and laid out: "caffe" (`LAYER/0`, `LAYER/1`, ... for the blobs of a layer),
            "keras" (the same for the variables of a layer) or "torch" (the names of torchvision's state dicts).
        tensors: by name. float32, but for counters.
        frames: clip length of the net that was saved, where the file says so (`.keras`).
    """

    path: pathlib.Path
    family: str
    tensors: dict[str, np.ndarray]
    frames: int | None = None


@dataclass(frozen=True)
class Format:
    """A format of weights files: one value, in one file of `weights.formats`.

    Attributes:
        name: what messages and the catalog call it.
        suffixes: how names of such files end, the usual one first. Files are told apart by their content; suffixes
            say that a text is a path, and how a download is named.
        family: of its tensors, see `Source`.
        holds: whether a file is of this format, from its path and its first 512 bytes.
        read: the tensors of such a file by name. Raises WeightsError where it is damaged or hostile.
        frames: clip length of the net that was saved in a file; None where it does not say.
    """

    name: str
    suffixes: tuple[str, ...]
    family: str
    holds: Callable[[pathlib.Path, bytes], bool]
    read: Callable[[pathlib.Path], dict[str, np.ndarray]]
    frames: Callable[[pathlib.Path], int | None] = lambda path: None


def zip_names(path: pathlib.Path, head: bytes) -> list[str]:
    """The entries of a file that starts as a zip and is a whole one; else none."""
    try:
        if head.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(path) as archive:
                return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        pass
    return []
