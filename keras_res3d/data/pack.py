"""Writing packed shards: child processes decode, and only whole shards are kept, so that a kill costs one at most."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from keras_res3d.data.children import Outcome, map_in_children
from keras_res3d.data.cluster import PLACES, map_on_cluster
from keras_res3d.data.images import encode_jpeg
from keras_res3d.data.open import open_video
from keras_res3d.data.sources.shards import (
    ENTRY,
    FORMAT,
    MANIFEST,
    ShardIndex,
    check_names,
    check_resize,
    quick_faults,
    read_manifest,
    sizes_in,
)
from keras_res3d.data.types import DataError, DataSet, Example, PathLike, labels_of
from keras_res3d.io import atomic_path, digest, only_one, sweep, write_atomically
from keras_res3d.remote import StorePath, as_path, is_remote, size_of
from keras_res3d.tables import as_json
from keras_res3d.untrusted import check, read_json

SETTINGS = "packing.json"
# How frames are resized. Earlier shards, whose frames FFmpeg's scaler made, can be read but not added to.
RESIZER = "OpenCV INTER_LINEAR"
# A record is a protocol buffer, which ends at 2 GiB.
MAX_RECORD_BYTES = 2**31 - 2**20
MIN_SIDE = 8
LENGTH_BYTES, CRC_BYTES = 8, 4


class Encoded(NamedTuple):
    """A video as a record holds it.

    Args:
        jpegs: its frames.
        seconds: when each is shown, float64.
        faults: how many faults decoding met.
        fault: the first one's text, "" where there is none.
    """

    jpegs: list[bytes]
    seconds: np.ndarray
    faults: int
    fault: str


def encode_video(task: tuple) -> Encoded:
    """Decodes a video, and encodes its frames.

    Args:
        task: (path, first_frame, frames, resize, quality), as of `open_video` and `pack`.

    Raises:
        VideoError: it cannot be decoded.
        ValueError: its frames are more than a record holds.
    """
    path, first_frame, frames, resize, quality = task
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open_video(path, first_frame, frames) as video:
            stream = video.frames(range(video.num_frames), size=resize)
            jpegs, size = [], 0
            for _, pixels in stream:
                jpegs.append(encode_jpeg(pixels, quality))
                size += len(jpegs[-1])
                if size > MAX_RECORD_BYTES:
                    raise ValueError(f"{path}: {video.num_frames} frames are more than a record holds (2 GiB); cut it "
                                     "into parts, or give a smaller resize")  # fmt: skip
            text = str(caught[0].message) if caught else ""
            return Encoded(jpegs, np.asarray(video.seconds, np.float64), video.faults, text)


class _Video(NamedTuple):
    """A video to be packed, or what came of it."""

    name: str
    label: str | list[str]
    example: Example
    outcome: Outcome


def label_of(data_set: DataSet, example: Example) -> str | list[str]:
    """What a manifest says of a video: the name of its class, in a multi-label data set the names of all."""
    names = [data_set.classes[number] for number in labels_of(example)]
    return names[0] if getattr(example, "labels", None) is None else names


@contextlib.contextmanager
def _writing(path: pathlib.Path) -> Iterator[None]:
    """TensorFlow's error at a full or failing disk, as an OSError."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(f"{path} cannot be written ({error.message}); make room and run the same command again, which "
                      "goes on after the last whole shard") from error  # fmt: skip


class _ShardWriter:
    """One shard in the making; a context manager.

    Args:
        path: the file that is written.
        name: that messages give it.
    """

    def __init__(self, path: pathlib.Path, name: pathlib.Path):
        import tensorflow as tf

        self.path, self.name = path, name
        # As bytes: TensorFlow takes no text for a name that is not UTF-8.
        self.writer, self.position = tf.io.TFRecordWriter(os.fsencode(path)), 0
        self.counts, self.offsets, self.sizes, self.seconds, self.videos = [0], [], [], [], []

    def __enter__(self) -> _ShardWriter:
        return self

    def __exit__(self, kind, *error: object) -> None:
        # After an error the file goes away; that it cannot be closed either would hide the reason.
        with contextlib.suppress(OSError) if kind else contextlib.nullcontext(), _writing(self.name):
            self.writer.close()

    def add(self, video: _Video) -> None:
        """Appends a video's record."""
        from tensorflow.train import BytesList, Example, Feature, Features, FloatList, Int64List

        encoded, group = video.outcome.value, video.example.group
        data = Example(features=Features(feature={
            "frames": Feature(bytes_list=BytesList(value=encoded.jpegs)),
            "seconds": Feature(float_list=FloatList(value=encoded.seconds)),
            "label": Feature(int64_list=Int64List(value=labels_of(video.example))),
            "name": Feature(bytes_list=BytesList(value=[_bytes(video.name)])),
            "group": Feature(bytes_list=BytesList(value=[_bytes(group or "")])),
        })).SerializeToString(deterministic=True)  # fmt: skip
        with _writing(self.name):
            self.writer.write(data)
        start, place, content = self.position + LENGTH_BYTES + CRC_BYTES, 0, hashlib.sha256()
        for jpeg in encoded.jpegs:
            place = data.index(jpeg, place)
            self.offsets.append(start + place)
            self.sizes.append(len(jpeg))
            place += len(jpeg)
            content.update(jpeg)
        self.position = start + len(data) + CRC_BYTES
        self.counts.append(self.counts[-1] + len(encoded.jpegs))
        self.seconds.append(encoded.seconds)
        self.videos.append({
            "name": video.name, "label": video.label, "group": group, "frames": len(encoded.jpegs),
            "sha256": content.hexdigest(), "faults": encoded.faults,
            **({"fault": encoded.fault} if encoded.fault else {}),
        })  # fmt: skip

    def index(self) -> bytes:
        """The ShardIndex of what was added, as a file's bytes."""
        numbers = (np.array(column, np.int64) for column in (self.counts, self.offsets, self.sizes))
        return ShardIndex(*numbers, np.concatenate(self.seconds)).to_bytes()


def _bytes(name: str) -> bytes:
    """A name as UTF-8; one that is not UTF-8 on disk has its own bytes."""
    return name.encode("utf-8", "surrogateescape")


def _json(value) -> str:
    return as_json(value, indent=1)


def _entry_path(folder: pathlib.Path, shard: str) -> pathlib.Path:
    """Where a finished shard's entry waits for the manifest."""
    return folder / f".{shard}.json"


def _settings(data_set: DataSet, names: list[str], resize: tuple, quality: int, shard_bytes: int) -> dict:
    """What decides the shards' bytes, for the record and to see whether a folder belongs to this data set."""
    listed = hashlib.sha256()
    for name, example in zip(names, data_set.examples, strict=True):
        size = size_of(example.path)
        label, part = label_of(data_set, example), (example.group, example.first_frame, example.frames)
        listed.update(json.dumps([name, label, *part, size]).encode() + b"\n")
    # Said only where it is so, since shards that were packed before have no word of it.
    one_way = {} if getattr(data_set, "reverse_safe", True) else {"reverse_safe": False}
    return {
        "format": FORMAT, "source": {"name": data_set.name, "sha256": listed.hexdigest()}, **one_way,
        "classes": list(data_set.classes), "mirror_safe": data_set.mirror_safe, "resize": list(resize),
        "resizer": RESIZER, "quality": quality, "shard_bytes": shard_bytes,
    }  # fmt: skip


def _names(data_set: DataSet) -> list[str]:
    """Names of the videos inside the shards: their paths below the folder that they share."""
    paths = [os.path.abspath(example.path) for example in data_set.examples]
    base = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = [os.path.relpath(path, base).replace(os.sep, "/") for path in paths]
    return [name if example.first_frame is None else f"{name}#{example.first_frame}"
            for name, example in zip(names, data_set.examples, strict=True)]


def _finished(folder: pathlib.Path, settings: dict) -> list[dict]:
    """Entries of the shards that are whole already. Raises ValueError if the folder holds other shards."""
    path = next((folder / name for name in (MANIFEST, SETTINGS) if (folder / name).exists()), None)
    if path is None:
        return []
    try:
        found = read_manifest(folder) if path.name == MANIFEST else read_json(path)
        check(found, {"source": {"sha256?": str}})
        listed = found["source"].get("sha256")
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); choose another folder, or delete this one") from error
    differ = [f"{name} is {found.get(name)!r} there, {value!r} now" for name, value in settings.items()
              if found.get(name) != value and name != "source"]
    if listed != settings["source"]["sha256"]:
        differ.insert(0, "the list of videos differs")
    if differ:
        raise ValueError(f"{folder} holds shards of another kind: {'; '.join(differ)}; choose another folder")
    entries = found.get("shards", [])
    if path.name == SETTINGS:
        entries = map(read_json, sorted(folder.glob(".shard-*.tfrecord.json")))
    whole, sizes = [], sizes_in(folder)
    # What is damaged ends the list, and is written again.
    with contextlib.suppress(ValueError):
        for number, entry in enumerate(entries):
            check(entry, ENTRY)
            check_names(entry)
            if entry["file"] != f"shard-{number:05d}.tfrecord" or not _is_whole(folder, entry, sizes):
                break
            whole.append(entry)
    return whole


def _is_whole(folder: pathlib.Path | StorePath, entry: dict, sizes: Callable[[str], int | None]) -> bool:
    """Whether a shard has the bytes that its entry says, and the entry the counts that the manifest adds up.

    Of a shard in a store its size is looked at alone.
    """
    alone = {"shards": [entry], "records": entry["records"]}
    if quick_faults(alone, sizes):
        return False
    # A store takes objects whole or not at all, and keeps checksums of its own.
    return isinstance(folder, StorePath) or digest(folder / entry["file"]) == entry["sha256"]


def pack(
    data_set: DataSet,
    folder: PathLike,
    resize: tuple[int, int] = (128, 171),
    quality: int = 90,
    shard_bytes: int = 128 * 2**20,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    engine: str = "local",
    ray_address: str | None = None,
) -> dict:
    """Writes a data set's videos into a folder of shards, as JPEG frames.

    If an earlier run of the same call left the folder unfinished, this call goes on after its last whole shard. Damaged
    shards are written again. Videos that cannot be decoded at all are left out, and named in the manifest.

    Args:
        data_set: of video files or folders of frames.
        folder: that the shards are written into; made if missing. It may be an address in a store.
        resize: (height, width) of the frames in pixels, from 8 to 16,384 each, up to 7,680 x 4,320 in all.
        quality: of the JPEGs, 1 to 95.
        shard_bytes: a shard ends with the video that reaches this size.
        workers: processes that decode; None is one for each core, with the engine ray one for each of the cluster.
        progress: called with (videos done, videos in all) as they are done, those of an earlier run first.
        engine: "local" decodes on this host, "ray" on a Ray cluster, whose hosts see the same files. Both write the
            same bytes, and each goes on with what the other has begun.
        ray_address: of the cluster; None is what RAY_ADDRESS says, the cluster of this host, or a new one.

    Returns:
        The manifest.

    Raises:
        ValueError: the folder holds other shards, another run packs into it, or an argument is out of range.
        DataError: files are gone, or no video can be decoded.
        OSError: the folder cannot be written, for example because the disk is full.
        ImportError: the engine is "ray", and Ray is not installed.
    """
    folder, decode = as_path(folder), _decoder(engine, workers, ray_address)
    check_resize(resize, MIN_SIDE)
    if not 1 <= quality <= 95 or shard_bytes < 1:
        raise ValueError(f"quality, shard_bytes are {quality}, {shard_bytes}; expected 1 to 95, at least 1")
    if not all(is_remote(example.path) or os.path.exists(example.path) for example in data_set.examples):
        raise DataError(data_set.name, ["files are gone, or it is not a data set of video files: nothing to pack"])
    names = _names(data_set)
    settings = _settings(data_set, names, resize, quality, shard_bytes)
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder / MANIFEST, "packs into", folder):
        entries = _finished(folder, settings)
        if not (folder / MANIFEST).exists():
            sweep(folder / SETTINGS)
            write_atomically(folder / SETTINGS, _json(settings))
        late = _write(data_set, names, folder, entries, settings, decode, progress or (lambda done, total: None))
        return _conclude(folder, settings, entries, late)


def _decoder(engine: str, workers: int | None, address: str | None) -> Callable[[list[tuple]], Iterator[Outcome]]:
    """What gives the outcome of `encode_video` for each of many tasks, in order."""
    if engine not in PLACES:
        raise ValueError(f"engine is {engine!r}; expected one of {', '.join(PLACES)}")
    if address is not None and engine != "ray":
        raise ValueError(f"ray_address is {address!r} and engine {engine!r}; expected an address with engine ray alone")
    if engine == "ray":
        return functools.partial(map_on_cluster, encode_video, workers=workers, address=address)
    return lambda tasks: map_in_children(encode_video, tasks, workers)


def _write(data_set, names, folder, entries, settings, decode, progress) -> list[dict]:
    """Writes the shards after `entries`, and appends theirs. Returns the videos left out after the last one."""
    start = sum(len(entry["videos"]) + len(entry["left_out"]) for entry in entries)
    resize, quality = tuple(settings["resize"]), settings["quality"]
    examples, left_out = data_set.examples[start:], []
    tasks = [(e.path, e.first_frame, e.frames, resize, quality) for e in examples]

    def decoded() -> Iterator[_Video]:
        progress(start, len(names))
        outcomes = decode(tasks)
        for number, (example, outcome) in enumerate(zip(examples, outcomes, strict=True), start):
            video = _Video(names[number], label_of(data_set, example), example, outcome)
            if outcome.error:
                left_out.append({"name": video.name, "label": video.label, "fault": outcome.error})
            else:
                yield video
            progress(number + 1, len(names))

    with contextlib.closing(decoded()) as videos:
        for first in videos:
            entries.append(_write_shard(folder, len(entries), first, videos, left_out, settings["shard_bytes"]))
            left_out.clear()
    return left_out


def _write_shard(folder, number, first: _Video, videos: Iterator[_Video], left_out, shard_bytes: int) -> dict:
    """Writes one shard, which begins with `first` and takes `videos` until it is full. Returns its manifest entry."""
    path = folder / f"shard-{number:05d}.tfrecord"
    index_path = folder / path.name.replace(".tfrecord", ".index.npz")
    for each in (path, index_path, _entry_path(folder, path.name)):
        sweep(each)
    with atomic_path(path) as aside:
        with _ShardWriter(aside, path) as shard:
            shard.add(first)
            while shard.position < shard_bytes and (video := next(videos, None)):
                shard.add(video)
        index = shard.index()
        entry = {
            "file": path.name, "records": len(shard.videos), "frames": shard.counts[-1], "bytes": shard.position,
            "sha256": digest(aside), "videos": shard.videos, "left_out": list(left_out),
            "index": {"file": index_path.name, "bytes": len(index), "sha256": hashlib.sha256(index).hexdigest()},
        }  # fmt: skip
        write_atomically(index_path, index)
    write_atomically(_entry_path(folder, path.name), _json(entry))
    return entry


def _conclude(folder: pathlib.Path, settings: dict, entries: list[dict], late: list[dict]) -> dict:
    """Writes the manifest, and takes away what only an unfinished folder needs."""
    if not entries:
        raise DataError(settings["source"]["name"], [f"{video['name']}: {video['fault']}" for video in late])
    left_out = [video for entry in entries for video in entry["left_out"]] + late
    manifest = {
        **settings, "records": sum(e["records"] for e in entries), "frames": sum(e["frames"] for e in entries),
        "bytes": sum(e["bytes"] for e in entries), "left_out": left_out, "shards": entries,
    }  # fmt: skip
    sweep(folder / MANIFEST)
    write_atomically(folder / MANIFEST, _json(manifest))
    sweep(folder / SETTINGS)
    for path in [folder / SETTINGS, *folder.glob(".shard-*.json")]:
        path.unlink(missing_ok=True)
    return manifest
