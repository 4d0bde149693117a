"""Writing packed shards: child processes decode, and whole shards alone are kept, so that a kill costs one at most."""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import warnings

import numpy as np

from keras_res3d.data.children import map_in_children
from keras_res3d.data.lists import MANIFEST, DataError, open_video
from keras_res3d.data.sources.shards import FORMAT, ShardIndex, digest, quick_faults, read_manifest
from keras_res3d.io import write_atomically

SETTINGS = "packing.json"
# A record is a protocol buffer, which ends at 2 GiB.
MAX_RECORD_BYTES = 2**31 - 2**20
# Entries that wait, shards in the making, and what a killed run leaves of its files.
LEFT_BEHIND = (".shard-", "..shard-", f".{SETTINGS}.", f".{MANIFEST}.")
LENGTH_BYTES, CRC_BYTES = 8, 4


def encode_video(task):
    """(JPEG frames, their times in seconds, number of faults, the first one's text) of a video.

    task: (path, first_frame, frames, resize, quality). Raises VideoError.
    """
    from PIL import Image

    path, first_frame, frames, resize, quality = task
    jpegs = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open_video(path, first_frame, frames) as video:
            for _, pixels in video.frames(range(video.num_frames), size=resize):
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
                jpegs.append(buffer.getvalue())
            if sum(map(len, jpegs)) > MAX_RECORD_BYTES:
                raise ValueError(f"{path}: {len(jpegs)} frames are more than a record holds (2 GiB); cut it into parts")
            text = str(caught[0].message) if caught else ""
            return jpegs, np.asarray(video.seconds, np.float64), video.faults, text


@contextlib.contextmanager
def _writing(path):
    """TensorFlow's error at a full or failing disk, as an OSError."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(f"{path} cannot be written ({error.message}); make room and run the same command again, which "
                      "goes on after the last whole shard") from error


class _ShardWriter:
    """One shard in the making; nothing bears its final name before it is whole."""

    def __init__(self, folder, number):
        import tensorflow as tf

        self.folder, self.name = folder, f"shard-{number:05d}.tfrecord"
        self.part = folder / f".{self.name}.part"
        self.writer, self.position = tf.io.TFRecordWriter(str(self.part)), 0
        self.counts, self.offsets, self.sizes, self.seconds, self.videos = [0], [], [], [], []

    def add(self, name, label, number, group, encoded):
        """Append a video's record. number: of its label."""
        from tensorflow.train import BytesList, Example, Feature, Features, FloatList, Int64List

        jpegs, seconds, faults, fault = encoded
        data = Example(features=Features(feature={
            "frames": Feature(bytes_list=BytesList(value=jpegs)),
            "seconds": Feature(float_list=FloatList(value=seconds)),
            "label": Feature(int64_list=Int64List(value=[number])),
            "name": Feature(bytes_list=BytesList(value=[name.encode()])),
            "group": Feature(bytes_list=BytesList(value=[(group or "").encode()])),
        })).SerializeToString(deterministic=True)
        with _writing(self.part):
            self.writer.write(data)
        start, place = self.position + LENGTH_BYTES + CRC_BYTES, 0
        for jpeg in jpegs:
            place = data.index(jpeg, place)
            self.offsets.append(start + place)
            self.sizes.append(len(jpeg))
            place += len(jpeg)
        self.position = start + len(data) + CRC_BYTES
        self.counts.append(self.counts[-1] + len(jpegs))
        self.seconds.append(seconds)
        self.videos.append({"name": name, "label": label, "group": group, "frames": len(jpegs), "faults": faults,
                            **({"fault": fault} if fault else {})})

    def finish(self, left_out):
        """Give the shard its name, and return its entry in the manifest."""
        with _writing(self.part):
            self.writer.close()
        with open(self.part, "rb") as file:
            os.fsync(file.fileno())
        index = ShardIndex(np.array(self.counts, np.int64), np.array(self.offsets, np.int64),
                           np.array(self.sizes, np.int64), np.concatenate(self.seconds)).to_bytes()
        index_name = self.name.replace(".tfrecord", ".index.npz")
        entry = {"file": self.name, "records": len(self.videos), "frames": self.counts[-1], "bytes": self.position,
                 "sha256": digest(self.part), "index": {"file": index_name, "bytes": len(index),
                                                        "sha256": hashlib.sha256(index).hexdigest()},
                 "videos": self.videos, "left_out": left_out}
        write_atomically(self.folder / index_name, index)
        os.replace(self.part, self.folder / self.name)
        write_atomically(_entry_path(self.folder, self.name), _json(entry))
        return entry

    def abandon(self):
        with contextlib.suppress(OSError), _writing(self.part):
            self.writer.close()
        self.part.unlink(missing_ok=True)


def _json(value):
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _entry_path(folder, shard):
    """Where a finished shard's entry waits for the manifest."""
    return folder / f".{shard}.json"


def _settings(data_set, names, resize, quality, shard_bytes):
    """What decides the shards' bytes, for the record and to see whether a folder belongs to this data set."""
    listed = hashlib.sha256()
    for name, example in zip(names, data_set.examples, strict=True):
        size = os.path.getsize(example.path) if os.path.isfile(example.path) else None
        listed.update(json.dumps([name, data_set.classes[example.label], *example[2:], size]).encode() + b"\n")
    return {"format": FORMAT, "source": {"name": data_set.name, "sha256": listed.hexdigest()},
            "classes": list(data_set.classes), "mirror_safe": data_set.mirror_safe, "resize": list(resize),
            "quality": quality, "shard_bytes": shard_bytes}


def _names(data_set):
    """Names of the videos inside the shards: their paths below the folder that they share."""
    paths = [os.path.abspath(example.path) for example in data_set.examples]
    base = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = [os.path.relpath(path, base).replace(os.sep, "/") for path in paths]
    return [name if example.first_frame is None else f"{name}#{example.first_frame}"
            for name, example in zip(names, data_set.examples, strict=True)]


def _finished(folder, settings):
    """Entries of the shards that are whole already. Raises ValueError where the folder holds other shards."""
    path = next((folder / name for name in (MANIFEST, SETTINGS) if (folder / name).exists()), None)
    if path is None:
        return []
    found = read_manifest(folder) if path.name == MANIFEST else json.loads(path.read_text(encoding="utf-8"))
    differ = [f"{name} is {found.get(name)!r} there, {value!r} now" for name, value in settings.items()
              if found.get(name) != value and name != "source"]
    if found.get("source", {}).get("sha256") != settings["source"]["sha256"]:
        differ.insert(0, "the list of videos differs")
    if differ:
        raise ValueError(f"{folder} holds shards of another kind: {'; '.join(differ)}; choose another folder")
    entries = found.get("shards", [])
    if path.name == SETTINGS:
        waiting = sorted(folder.glob(".shard-*.tfrecord.json"))
        entries = [json.loads(entry.read_text(encoding="utf-8")) for entry in waiting]
    whole = []
    for number, entry in enumerate(entries):
        part = {"shards": [entry], "records": entry["records"]}
        if entry["file"] != f"shard-{number:05d}.tfrecord" or quick_faults(folder, part) or (
                digest(folder / entry["file"]) != entry["sha256"]):
            break
        whole.append(entry)
    return whole


@contextlib.contextmanager
def _alone(folder):
    """Keeps a second run out of the folder; the lock goes with the process, however it ends."""
    with open(folder / ".lock", "w") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass  # no such locks on this system
        except OSError:
            raise ValueError(f"another run packs into {folder}; wait for it, or choose another folder") from None
        yield
    (folder / ".lock").unlink(missing_ok=True)


def pack(data_set, folder, resize=(128, 171), quality=90, shard_bytes=128 * 2**20, workers=None, progress=None):
    """Write a data set's videos into a folder of shards, as JPEG frames.

    data_set: a `lists.DataSet` of files. resize: (height, width) of the frames. quality: JPEG, 1 to 95. shard_bytes: a
    shard ends with the video that reaches this size. workers: processes that decode (one per core by default).
    progress: called with (videos done, videos in all) as they are done, those of an earlier run first.
    A folder that an earlier run of the same call left unfinished is gone on with, shard by shard; shards that are
    damaged are written again. Videos that cannot be decoded at all are left out, and named in the manifest.
    Returns the manifest. Raises ValueError where the folder holds other shards or an argument is out of range.
    """
    folder = pathlib.Path(folder)
    if not 1 <= quality <= 95 or shard_bytes < 1 or min(resize) < 8 or len(resize) != 2:
        raise ValueError(f"quality, shard_bytes, resize are {quality}, {shard_bytes}, {resize}; expected 1 to 95, at "
                         "least 1, (height, width) of at least 8")
    if not all(os.path.exists(example.path) for example in data_set.examples):
        raise DataError(data_set.name, ["files are gone, or it is not a data set of video files: nothing to pack"])
    names = _names(data_set)
    settings = _settings(data_set, names, resize, quality, shard_bytes)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        entries = _finished(folder, settings)
        if not (folder / MANIFEST).exists():
            write_atomically(folder / SETTINGS, _json(settings))
        late = _write(data_set, names, folder, entries, settings, workers, progress or (lambda done, total: None))
        return _conclude(folder, settings, entries, late)


def _write(data_set, names, folder, entries, settings, workers, progress):
    """Write the shards after `entries`, and append theirs. Returns videos left out after the last one."""
    start = sum(len(entry["videos"]) + len(entry["left_out"]) for entry in entries)
    resize, quality = tuple(settings["resize"]), settings["quality"]
    tasks = [(e.path, e.first_frame, e.frames, resize, quality) for e in data_set.examples[start:]]
    writer, left_out = None, []
    progress(start, len(names))
    try:
        for number, outcome in enumerate(map_in_children(encode_video, tasks, workers), start):
            example = data_set.examples[number]
            label = data_set.classes[example.label]
            if outcome.error:
                left_out.append({"name": names[number], "label": label, "fault": outcome.error})
            else:
                writer = writer or _ShardWriter(folder, len(entries))
                writer.add(names[number], label, example.label, example.group, outcome.value)
                if writer.position >= settings["shard_bytes"]:
                    entries.append(writer.finish(left_out))
                    writer, left_out = None, []
            progress(number + 1, len(names))
        if writer:
            entries.append(writer.finish(left_out))
            writer, left_out = None, []
    finally:
        if writer:
            writer.abandon()
    return left_out


def _conclude(folder, settings, entries, late):
    """Write the manifest, and take away what only an unfinished folder needs."""
    if not entries:
        raise DataError(settings["source"]["name"], [f"{video['name']}: {video['fault']}" for video in late])
    left_out = [video for entry in entries for video in entry["left_out"]] + late
    manifest = {**settings, "records": sum(e["records"] for e in entries), "frames": sum(e["frames"] for e in entries),
                "bytes": sum(e["bytes"] for e in entries), "left_out": left_out, "shards": entries}
    write_atomically(folder / MANIFEST, _json(manifest))
    for path in [folder / SETTINGS, *folder.glob(".*")]:
        if path.name.startswith(LEFT_BEHIND) or path.name == SETTINGS:
            path.unlink(missing_ok=True)
    return manifest
