"""What must be true of a `.keras` archive before Keras, or a reader of its weights, may open it."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator

from keras_res3d.nets.architecture import LARGEST_CLIP
from keras_res3d.remote import opened
from keras_res3d.untrusted import check_claims, parse_json, reasons
from keras_res3d.weights.formats.hdf5 import try_in_child

CONFIG = "config.json"
# The names under which Keras keeps the shape of a batch, and those of numbers that a layer takes memory for.
_SHAPES = ("batch_shape", "batch_input_shape")
_SIZES = ("filters", "units", "kernel_size", "strides", "pool_size", "padding", "cropping", "size", "groups",
          "dilation_rate")  # fmt: skip
_LARGEST_SIZE = 2**20
_MAX_RATIO = 8


def check_archive(path) -> None:
    """Checks that an archive is whole, unpacks to little more than it has, and describes a model that can be built.

    Raises:
        OSError: it cannot be read.
        ValueError: the reason, without its name.
    """
    with reasons(), opened(path) as file, zipfile.ZipFile(file) as archive:
        check_claims(archive.infolist(), os.path.getsize(path), _MAX_RATIO)
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"the checksum of its part {damaged} is wrong")
        if CONFIG not in archive.namelist():
            raise ValueError(f"it is a zip archive, but not a Keras model: it has no {CONFIG}")
        config = archive.read(CONFIG)
    _check_config(config)
    try_in_child(path)


def _check_config(text: bytes) -> None:
    try:
        config = parse_json(text, dict, nan=True)
    except ValueError as error:
        raise ValueError(f"{CONFIG}: {error}") from error
    for name, value in _members(config):
        is_clip = name in _SHAPES and isinstance(value, list) and len(value) == 5
        sizes = zip(value[1:], LARGEST_CLIP, strict=True) if is_clip else ((n, _LARGEST_SIZE) for n in _numbers(value))
        for size, largest in sizes:
            if isinstance(size, int) and not 0 <= size <= largest:
                raise ValueError(f"{CONFIG}: {name} is {str(value)[:80]}; expected sizes up to {largest:,}")


def _members(config: object) -> Iterator[tuple[str, object]]:
    """The shapes and sizes in a configuration, wherever they stand."""
    waiting = [config]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield from ((name, value) for name, value in each.items() if name in (*_SHAPES, *_SIZES))
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _numbers(value: object) -> Iterator[int]:
    if isinstance(value, list):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int):
        yield value
