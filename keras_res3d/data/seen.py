"""Which videos a model was trained on, as a few kilobytes: enough to notice that a list to be scored shares some.

A sketch holds the smallest hashes of the videos' names and groups. Two lists that share videos share hashes, and where
a list has more videos than a sketch keeps, each of its videos is in the sketch with the same probability.

A video's name is its class folder and its file, wherever the folder lies. Since `train/run/1.mp4` and `test/run/1.mp4`
have the same name, the size of the file goes with the hash: two videos are the same if both agree.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Iterable

from keras_res3d.data.types import DataSet

# 20 bytes of JSON each. Of a list of n videos a share of KEPT / n is kept: a leak of 50 videos of Sports-1M's million
# is still noticed with a probability of 20 %, one of UCF101 or Kinetics-400's test part always or nearly so.
KEPT = 5_000
_NAME_BYTES, _SIZE_BYTES = 6, 2
# In place of a file's size where there is no file: frame folders, packed shards, the embedded data set.
_NO_SIZE = "0" * 2 * _SIZE_BYTES


def _hash(text: str, size: int = _NAME_BYTES) -> str:
    return hashlib.blake2s(text.encode("utf-8", "surrogateescape"), digest_size=size).hexdigest()


def _smallest(texts: Iterable[str]) -> list[str]:
    return sorted({_hash(text) for text in texts})[:KEPT]


def _name(example) -> str:
    """What names a video wherever its folder lies: its class folder, its file, and where in the file it begins."""
    name = "/".join(pathlib.PurePath(example.path).parts[-2:])
    return f"{name}#{getattr(example, 'first_frame', None) or 1}"


def _size(example) -> str:
    """Four digits that follow from the size of the video's file."""
    return _hash(str(os.path.getsize(example.path)), _SIZE_BYTES) if os.path.isfile(example.path) else _NO_SIZE


def sketch_of(data_set: DataSet) -> dict:
    """The sketch of a data set, ready for JSON: `{"name", "videos", "hashes", "groups"}`."""
    named = sorted(((_hash(_name(example)), example) for example in data_set.examples), key=lambda pair: pair[0])
    groups = {example.group for example in data_set.examples if getattr(example, "group", None)}
    return {
        "name": data_set.name,
        "videos": len(data_set),
        # Only files that are kept are looked at: a list may have a million.
        "hashes": [name + _size(example) for name, example in named[:KEPT]],
        "groups": _smallest(groups),
    }


def shared_with(sketch: dict, data_set: DataSet) -> tuple[int, int]:
    """How many videos and how many groups of `data_set` are in the sketch of another list, as far as it tells.

    Names hash to 6 bytes. The name of an unrelated video matches one of `KEPT` hashes by chance in 1 of 5.6e10 cases.
    """
    known: dict[str, set[str]] = {}
    for entry in sketch.get("hashes", ()):
        known.setdefault(entry[: 2 * _NAME_BYTES], set()).add(entry[2 * _NAME_BYTES :] or _NO_SIZE)
    videos = sum(_is_known(example, known.get(_hash(_name(example)))) for example in data_set.examples)
    groups = set(sketch.get("groups", ()))
    found = {example.group for example in data_set.examples if getattr(example, "group", None)}
    return videos, sum(_hash(group) in groups for group in found)


def _is_known(example, sizes: set[str] | None) -> bool:
    """Whether a video whose name was seen with files of these sizes was seen itself; an unknown size fits any."""
    if not sizes:
        return False
    own = _size(example)
    return own == _NO_SIZE or _NO_SIZE in sizes or own in sizes


def warning_for(sketch: dict, data_set: DataSet) -> str | None:
    """A sentence if `data_set` shares videos or groups with the list of a sketch, otherwise None."""
    if not sketch:
        return None
    videos, groups = shared_with(sketch, data_set)
    if not videos and not groups:
        return None
    parts = [f"{videos} of its {len(data_set)} videos"] if videos else []
    if groups:
        parts.append(f"{groups} of its groups")
    kept = len(sketch.get("hashes", ()))
    at_least = "at least " if kept < sketch.get("videos", kept) else ""
    return (
        f"{data_set.name} shares {at_least}{' and '.join(parts)} with {sketch.get('name', 'the training list')}, which "
        "the model was trained on: its scores say little about videos that the model has not seen"
    )
