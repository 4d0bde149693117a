"""One door to every weights file: its content chooses the reader, and what is not finite is refused."""

from __future__ import annotations

import pathlib

import numpy as np

from keras_res3d.weights.formats.caffe import CAFFE
from keras_res3d.weights.formats.keras import KERAS
from keras_res3d.weights.formats.safetensors import SAFETENSORS
from keras_res3d.weights.formats.torch import TORCH
from keras_res3d.weights.source import Format, Source, WeightsError

# In this order a file is tried: Caffe's has no mark of its own and comes last.
FORMATS = (
    KERAS,
    SAFETENSORS,
    TORCH,
    CAFFE,
)
BY_NAME = {format.name: format for format in FORMATS}
SUFFIXES = tuple(suffix for format in FORMATS for suffix in format.suffixes)
_HEAD_BYTES = 512


def looks_like_html(head: bytes) -> bool:
    """Whether a file's first bytes are those of a web page, which some servers send in place of a file."""
    head = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return head.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml"))


def format_of(path) -> Format:
    """The format that a file's content is of, whatever its name.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: the file is empty, a web page, or of no known format.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist or is not a file; expected a file of weights")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise WeightsError(f"{path} is empty; expected a file of weights")
    if looks_like_html(head):
        raise WeightsError(f"{path} is a web page, not a file of weights; download the file itself")
    for format in FORMATS:
        if format.holds(path, head):
            return format
    if head.startswith(b"PK"):
        raise WeightsError(
            f"{path} is a zip file, but not a whole one of Keras or PyTorch: it is damaged, cut short, or something "
            "else; fetch or save it again"
        )
    known = ", ".join(f"{format.name} ({', '.join(format.suffixes)})" for format in FORMATS)
    raise WeightsError(f"{path} is of no known format, judged by its content; the known ones are {known}")


def read_tensors(path) -> Source:
    """The tensors of a weights file of any known format, all finite.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: the format is unknown, the file is damaged or hostile, or it has NaN or infinite values, in which
            case the message names the tensors.
    """
    path = pathlib.Path(path)
    format = format_of(path)
    tensors = format.read(path)
    # The sum alone may overflow, so it only tells which tensors to look at.
    with np.errstate(all="ignore"):
        suspects = [name for name, tensor in tensors.items() if not np.isfinite(tensor.sum())]
    faulty = [name for name in suspects if not np.isfinite(tensors[name]).all()]
    if faulty:
        raise WeightsError(f"{path} has NaN or infinite values in {', '.join(faulty)}; such a net cannot be used")
    return Source(path, format.family, tensors, format.frames(path))
