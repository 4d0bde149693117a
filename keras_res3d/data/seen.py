"""Which videos a model was trained on, as a few kilobytes: enough to notice that a list to be scored shares some.

A sketch holds the smallest hashes of the videos' names and groups. Two lists that share videos share hashes, and where
a list has more videos than a sketch keeps, each of its videos is in the sketch with the same probability.
"""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Iterable

from keras_res3d.data.types import DataSet

# 16 bytes of JSON each. Of a list of n videos a share of KEPT / n is kept: a leak of 50 videos of Sports-1M's million
# is still noticed with a probability of 20 %, one of UCF101 or Kinetics-400's test part always or nearly so.
KEPT = 5_000
_BYTES = 6


def _hash(text: str) -> str:
    return hashlib.blake2s(text.encode("utf-8", "surrogateescape"), digest_size=_BYTES).hexdigest()


def _smallest(texts: Iterable[str]) -> list[str]:
    return sorted({_hash(text) for text in texts})[:KEPT]


def _video(example) -> str:
    """What names a video wherever its folder lies: its class folder, its file, and where in the file it begins."""
    name = "/".join(pathlib.PurePath(example.path).parts[-2:])
    return f"{name}#{getattr(example, 'first_frame', None) or 1}"


def sketch_of(data_set: DataSet) -> dict:
    """The sketch of a data set, ready for JSON: `{"name", "videos", "hashes", "groups"}`."""
    groups = {example.group for example in data_set.examples if getattr(example, "group", None)}
    return {
        "name": data_set.name,
        "videos": len(data_set),
        "hashes": _smallest(_video(example) for example in data_set.examples),
        "groups": _smallest(groups),
    }


def shared_with(sketch: dict, data_set: DataSet) -> tuple[int, int]:
    """How many videos and how many groups of `data_set` are in the sketch of another list, as far as it tells.

    Hashes have 6 bytes: two lists of a million unrelated videos share one in 1 of 56 million cases a video.
    """
    known, groups = set(sketch.get("hashes", ())), set(sketch.get("groups", ()))
    videos = sum(_hash(_video(example)) in known for example in data_set.examples)
    found = {example.group for example in data_set.examples if getattr(example, "group", None)}
    return videos, sum(_hash(group) in groups for group in found)
