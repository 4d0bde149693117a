"""Packed shards: the same clips as from the files, resumable writing, and damage that is named before it is used."""

import contextlib
import errno
import io
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from keras_res3d.data import pack as packing
from keras_res3d.data.batches import naming_the_video, training_batches, video_batches
from keras_res3d.data.children import Outcome
from keras_res3d.data.clips import Sampling, even_clips
from keras_res3d.data.open import read_data_set
from keras_res3d.data.pack import pack
from keras_res3d.data.sources import packed as records
from keras_res3d.data.sources import shards
from keras_res3d.data.sources.packed import PackedVideoError
from keras_res3d.data.types import DataError, Example
from keras_res3d.io import atomic_path, digest, locked

VIDEOS, FRAMES = 6, 20


@pytest.fixture(scope="module")
def files(tmp_path_factory, make_video):
    """Six videos of two classes and two groups, as a list; names with spaces and Unicode."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    lines = ["path,label,group"]
    for number in range(VIDEOS):
        shades = np.linspace(30 * number, 30 * number + 60, FRAMES).astype(int)
        texture = np.kron(rng.integers(0, 30, (12, 16, 3)), np.ones((8, 8, 1), int))
        frames = (texture + shades[:, None, None, None]).astype(np.uint8)
        name = f"clip ü {number}.mp4"
        make_video(folder / name, frames)
        lines.append(f"{name},{'walk' if number % 2 else 'run'},g{number % 2}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_data_set(folder / "list.csv")


@pytest.fixture(scope="module")
def packed(files, tmp_path_factory):
    """A folder with these videos in three shards."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    pack(files, folder, shard_bytes=120_000, workers=2)
    return folder


@pytest.fixture
def copy(packed, tmp_path):
    for path in packed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def first_clip(data, i=0, **options):
    with data.open(i, **options) as video:
        return next(video.clips([np.arange(0, 16, 2)], size=(128, 171)))


def test_shards_hold_what_the_files_hold(files, packed):
    data = read_data_set(packed)
    manifest = json.loads((packed / "manifest.json").read_text())
    assert len(manifest["shards"]) > 1 and manifest["records"] == VIDEOS == len(data)
    assert manifest["frames"] == VIDEOS * FRAMES and manifest["left_out"] == []
    assert data.classes == files.classes and data.mirror_safe
    assert [(e.label, e.group) for e in data.examples] == [(e.label, e.group) for e in files.examples]
    assert [e.path for e in data.examples] == [os.path.basename(e.path) for e in files.examples]
    for i in range(VIDEOS):
        with data.open(i) as ours, files.open(i) as theirs:
            assert ours.num_frames == theirs.num_frames and ours.frame_rate == pytest.approx(theirs.frame_rate)
            assert np.array_equal(ours.seconds, theirs.seconds)
            places = even_clips(FRAMES, 4, 3, 3)
            for mine, file in zip(ours.clips(places, (128, 171)), theirs.clips(places, (128, 171)), strict=True):
                assert mine.dtype == np.uint8 and np.abs(mine.astype(int) - file).mean() < 3
    assert data.verify() == [] and not list(packed.glob(".*"))


def test_frames_are_those_that_libjpeg_decodes(packed):
    data = read_data_set(packed)
    with data.open(2) as video:
        (_, found), = video.frames([7])
        raw = os.pread(video._file, int(video._sizes[7]), int(video._offsets[7]))
    assert np.abs(found.astype(int) - np.asarray(Image.open(io.BytesIO(raw)))).mean() < 2


def test_sizes_rates_and_bad_indices(packed):
    data = read_data_set(packed)
    assert first_clip(data, fps=50).shape == (8, 128, 171, 3)
    with data.open(1, fps=5) as video:
        assert video.num_frames == 4 and video.frame_rate == 5
        assert next(video.clips([[0, 3]], size=(64, 86))).shape == (2, 64, 86, 3)
        with pytest.raises(ValueError, match=r"frames 0\.\.4 were asked for; expected 0\.\.3"):
            video.clips([[0, 4]])


def test_times_that_a_user_changes_are_the_users_own(packed):
    data, found = read_data_set(packed), []
    for _ in range(2):
        with data.open(1) as video:
            found.append(video.seconds.copy())
            video.seconds += 100
    assert np.array_equal(*found)


def test_tensorflow_reads_the_records(packed, files):
    import tensorflow as tf

    features = {"frames": tf.io.FixedLenSequenceFeature([], tf.string, allow_missing=True),
                "label": tf.io.FixedLenFeature([], tf.int64), "name": tf.io.FixedLenFeature([], tf.string)}
    rows = [tf.io.parse_single_example(record, features)
            for record in tf.data.TFRecordDataset(sorted(map(str, packed.glob("*.tfrecord"))))]
    assert [int(row["label"]) for row in rows] == [e.label for e in files.examples]
    assert rows[0]["name"].numpy().decode() == "clip ü 0.mp4"
    assert tf.io.decode_jpeg(rows[3]["frames"][5]).shape == (128, 171, 3) and len(rows[3]["frames"]) == FRAMES


def test_classes_of_another_split(packed):
    data = read_data_set(packed, classes=["jump", "walk", "run"])
    assert [e.label for e in data.examples] == [2, 1] * 3
    with pytest.raises(DataError, match="label 'run' is not one of"):
        read_data_set(packed, classes=["walk"])


def test_batches_from_shards_and_files_agree(files, packed):
    data, sampling = read_data_set(packed), Sampling(frames=4)
    for clips, theirs in zip(training_batches(data, sampling, 3, seed=3),
                             training_batches(files, sampling, 3, seed=3), strict=True):
        assert np.array_equal(clips[1], theirs[1]) and np.abs(clips[0] - theirs[0]).mean() < 3
    for ours, theirs in zip(video_batches(data, sampling, 4, 3), video_batches(files, sampling, 4, 3),
                            strict=True):
        assert np.array_equal(ours[2], theirs[2]) and np.abs(ours[0] - theirs[0]).mean() < 3


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["flipped bit", "huge length", "flipped index"])
def test_damage_is_named_before_a_frame_is_used(copy, damage):
    shard = copy / ("shard-00001.index.npz" if damage == "flipped index" else "shard-00001.tfrecord")
    if damage == "huge length":  # the length of the first record, which would take TensorFlow's reader down
        data = bytearray(shard.read_bytes())
        data[:8] = (2**40).to_bytes(8, "little")
        shard.write_bytes(data)
    else:
        flip(shard, shard.stat().st_size // 2)
    data = read_data_set(copy)
    assert first_clip(data, 0).shape == (8, 128, 171, 3)  # of another shard
    number = json.loads((copy / "manifest.json").read_text())["shards"][0]["records"]
    with pytest.raises(PackedVideoError, match=rf"{shard.name} is not what the manifest says"):
        data.open(number)
    assert len(data.verify()) == 1
    with pytest.raises(ValueError, match=shard.name), naming_the_video():
        list(training_batches(data, Sampling(frames=4), 2))
    with pytest.raises(PackedVideoError, match=shard.name):
        list(video_batches(data, Sampling(frames=4), 2))


def test_truncated_and_missing_shards_are_named_at_once(copy):
    path = copy / "shard-00001.tfrecord"
    path.write_bytes(path.read_bytes()[:-5])
    (copy / "shard-00000.index.npz").unlink()
    with pytest.raises(DataError) as caught:
        read_data_set(copy)
    assert len(caught.value.faults) == 2
    assert "shard-00000.index.npz is missing" in str(caught.value) and "shard-00001.tfrecord has" in str(caught.value)


def test_an_undecodable_frame_is_named_although_digests_agree(copy):
    data = read_data_set(copy)
    with data.open(0) as video:
        offset, size = int(video._offsets[4]), int(video._sizes[4])
    path, manifest = copy / "shard-00000.tfrecord", json.loads((copy / "manifest.json").read_text())
    content = bytearray(path.read_bytes())
    content[offset:offset + size] = bytes(size)
    path.write_bytes(content)
    manifest["shards"][0]["sha256"] = digest(path)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(PackedVideoError, match=r"shard-00000\.tfrecord: clip ü 0\.mp4: frame 4 cannot be decoded"):
        first_clip(read_data_set(copy))


@pytest.mark.parametrize("text, what", [
    ("{", "is not a manifest"), ("[]", "is not a manifest"), ('{"format": "other"}', "has format 'other'"),
    ('{"format": "keras_res3d shards 1", "classes": 3}', "is not a manifest"),
])
def test_manifests_that_are_none(tmp_path, text, what):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=what):
        read_data_set(tmp_path)


def test_a_folder_of_classes_may_hold_a_manifest_of_its_own(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "a.mp4").write_bytes(b"x")
    assert read_data_set(tmp_path).classes == ("walk",)


def test_a_manifest_that_names_files_elsewhere_is_refused(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][0]["file"] = "../shard-00000.tfrecord"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"a shard is called '\.\./shard"):
        read_data_set(copy)


def test_each_shard_is_read_for_its_digest_once(packed, monkeypatch):
    monkeypatch.setattr(shards.Shard, "_verified", {})
    read = []
    real = shards.digest
    monkeypatch.setattr(shards, "digest", lambda path: read.append(path.name) or real(path))
    data = read_data_set(packed)
    for _ in range(2):
        for i in range(VIDEOS):
            first_clip(data, i)
    assert len(read) == len(set(read)) == 2 * len(data._shards)


def test_only_the_frames_of_a_clip_are_read(packed, monkeypatch):
    data, sizes = read_data_set(packed), []
    real = os.pread
    with data.open(0) as video:
        monkeypatch.setattr(records.os, "pread", lambda *args: sizes.append(args[1]) or real(*args))
        list(video.clips([[3, 5], [5, 7]]))
    assert sizes == [int(video._sizes[i]) for i in (3, 5, 7)]


def contents(folder):
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def test_an_interrupted_run_goes_on_and_ends_the_same(files, packed, tmp_path, monkeypatch):
    done = []

    def interrupt(number, total):
        done.append(number)
        if number == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(files, tmp_path, shard_bytes=120_000, workers=1, progress=interrupt)
    assert not (tmp_path / "manifest.json").exists() and list(tmp_path.glob("shard-*.tfrecord"))
    started = []
    pack(files, tmp_path, shard_bytes=120_000, workers=1, progress=lambda number, total: started.append(number))
    assert 0 < started[0] <= 4 and contents(tmp_path) == contents(packed)


def test_a_killed_run_goes_on_and_ends_the_same(files, packed, tmp_path):
    code = (f"from keras_res3d.data.open import read_data_set\nfrom keras_res3d.data.pack import pack\n"
            f"pack(read_data_set({files.name!r}), {str(tmp_path)!r}, shard_bytes=120_000, workers=1)")
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        while not (tmp_path / "shard-00000.tfrecord").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "manifest.json").exists()
    with pytest.raises(DataError):
        read_data_set(tmp_path)
    pack(files, tmp_path, shard_bytes=120_000, workers=1)
    assert contents(tmp_path) == contents(packed)


def test_shards_of_an_earlier_release_are_read(copy):
    """Those lack the videos' digests, and Pillow made their JPEGs."""
    buffer, name = io.BytesIO(), "old.mp4"
    Image.new("RGB", (171, 128), (200, 30, 60)).save(buffer, "JPEG", quality=90)
    encoded = packing.Encoded([buffer.getvalue()] * 3, np.arange(3) / 25, 0, "")
    video = packing._Video(name, "run", Example(name, 0), Outcome(encoded))
    entry = packing._write_shard(copy, 0, video, iter(()), [], 1)
    del entry["videos"][0]["sha256"]
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest.update(shards=[entry], records=1)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    data = read_data_set(copy)
    assert data.examples == (Example(name, 0),) and data.verify() == []
    with data.open(0) as opened:
        assert np.abs(next(opened.clips([[0, 2]])).mean((0, 1, 2)) - [200, 30, 60]).max() < 2


@pytest.mark.parametrize("damage", ["{", "3", "[" * 100_000, '{"source": 2}', '{"source": "ab"}'])
def test_damaged_settings_are_named(files, tmp_path, damage):
    (tmp_path / "packing.json").write_text(damage)
    with pytest.raises(ValueError, match=r"packing\.json is damaged|another kind"):
        pack(files, tmp_path, workers=1)
    (tmp_path / "packing.json").rename(tmp_path / "manifest.json")
    with pytest.raises(DataError, match="manifest"):
        read_data_set(tmp_path)


@pytest.mark.parametrize("damage", [
    "3", "{}", "[" * 100_000, {"index": 3}, {"frames": "\0"}, {"left_out": None}, {"file": "a" * 5000}, {"bytes": None},
    {"videos": [1]},
], ids=lambda damage: str(damage)[:20])
def test_a_damaged_entry_of_an_unfinished_run_is_written_again(files, packed, copy, damage):
    manifest = json.loads((copy / "manifest.json").read_text())
    settings = {name: manifest[name] for name in packing._settings(files, packing._names(files), (8, 8), 1, 1)}
    (copy / "manifest.json").unlink()
    (copy / "packing.json").write_text(json.dumps(settings))
    for number, entry in enumerate(manifest["shards"]):
        if number == 1:
            entry = damage if isinstance(damage, str) else {**entry, **damage}
        text = entry if isinstance(entry, str) else json.dumps(entry)
        (copy / f".shard-{number:05d}.tfrecord.json").write_text(text)
    pack(files, copy, shard_bytes=120_000, workers=1)
    assert contents(copy) == contents(packed)


@pytest.mark.parametrize("change", [
    {"first": "text"}, {"seconds": None}, {"offsets": "float"}, {"sizes": "huge"}, {"seconds": "nan"},
    {"first": "0-d"},
], ids=str)
def test_damaged_indexes_are_named_although_digests_agree(copy, change):
    path = copy / "shard-00000.index.npz"
    columns = dict(np.load(path))
    for name, how in change.items():
        column = columns.pop(name)
        made = {"float": lambda c: c.astype(float), "huge": lambda c: c + 2**62, "nan": lambda c: c * np.nan,
                "0-d": lambda c: c[0], "text": lambda c: c.astype(str)}.get(how)
        if made:
            columns[name] = made(column)
    np.savez(path, **columns)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][0]["index"].update(bytes=path.stat().st_size, sha256=digest(path))
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(PackedVideoError, match=r"index .*shard-00000\.index\.npz (cannot be read|does not fit)"):
        first_clip(read_data_set(copy))


def test_an_index_whose_differences_overflow_does_not_fit(tmp_path):
    first = np.array([0, 2**62, -(2**63) + 2**61, 3])
    assert (np.diff(first) > 0).all()  # as numbers of 64 bits
    frames = np.arange(1, 4)
    path = tmp_path / "x.npz"
    path.write_bytes(shards.ShardIndex(first, frames, frames, frames / 25).to_bytes())
    index = {"file": path.name, "bytes": path.stat().st_size, "sha256": digest(path)}
    shard = shards.Shard(tmp_path, {"file": "x", "records": 3, "bytes": 9, "index": index, "videos": []})
    with pytest.raises(PackedVideoError, match="does not fit its shard"):
        shard._read_index()


@pytest.mark.parametrize("change", [
    *({"file": name} for name in ("../x", "/etc/passwd", "a/../b", "..", ".", "", "a\0b", "x/")),
    {"index": {"file": "../x", "bytes": 1, "sha256": ""}}, {"index": None}, {"records": True}, {"records": -1},
    {"bytes": 2**60}, {"videos": [1]}, {"videos": [{"name": "a"}]}, {"videos": [{"name": "a", "label": 3}]},
    {"videos": [{"name": None, "label": "a"}]},
], ids=str)
def test_a_manifest_names_files_of_its_own_folder_and_nothing_but_its_schema(copy, change):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][0].update(change)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest\.json is not a manifest of packed shards") as caught:
        read_data_set(copy)
    assert len(caught.value.faults) == 1


@pytest.mark.parametrize("change", [{"classes": [None]}, {"classes": "ab"}, {"resize": [8]}, {"resize": [8, [8]]},
                                    {"resize": [65536, 65536]},
                                    {"records": 10**30}, {"mirror_safe": "yes"}, {"shards": {}},
                                    {"classes": ["run", "walk", "run"]}], ids=str)  # fmt: skip
def test_a_manifest_of_other_types_is_refused(copy, change):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(DataError, match=r"manifest\.json is not a manifest of packed shards"):
        read_data_set(copy)


def test_a_manifest_that_lists_a_shard_twice_is_refused(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][1] = manifest["shards"][0]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"the file 'shard-00000\.tfrecord' is listed twice"):
        read_data_set(copy)


def test_a_damaged_shard_is_written_again(files, packed, copy, monkeypatch):
    flip(copy / "shard-00001.tfrecord", 1000)
    pack(files, copy, shard_bytes=120_000, workers=1)
    assert contents(copy) == contents(packed)
    monkeypatch.setattr(packing, "_ShardWriter", None)  # all is there: nothing is written
    pack(files, copy, shard_bytes=120_000, workers=1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_an_error_that_says_how_to_go_on(files, tmp_path, monkeypatch):
    @contextlib.contextmanager
    def on_a_full_disk(path):
        with atomic_path(path) as aside:
            aside.symlink_to("/dev/full")
            yield aside

    with monkeypatch.context() as patched:
        patched.setattr(packing, "atomic_path", on_a_full_disk)
        with pytest.raises(OSError, match=r"shard-00000\.tfrecord cannot be written .* goes on"):
            pack(files, tmp_path, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["packing.json"]
    assert pack(files, tmp_path, workers=1)["records"] == VIDEOS


def _full_from(patched, number):
    """From that sync on the disk is full."""
    sync, count = os.fsync, itertools.count()

    def counted(handle):
        if next(count) >= number:
            raise OSError(errno.ENOSPC, "No space left on device")
        return sync(handle)

    patched.setattr(os, "fsync", counted)


@pytest.mark.parametrize(("numbers", "least"), [((0, 3, 9), 3), pytest.param(range(100), 20, marks=pytest.mark.slow)])
def test_a_disk_that_is_full_at_any_write_costs_nothing(files, packed, tmp_path, monkeypatch, numbers, least):
    """Before and after each move of a file; the same call goes on. At least so many calls are stopped."""
    stopped = 0
    for number in numbers:
        folder = tmp_path / str(number)
        with monkeypatch.context() as patched:
            _full_from(patched, number)
            try:
                pack(files, folder, shard_bytes=120_000, workers=1)
                break
            except OSError as error:
                assert str(folder) in str(error) and "No space left" in str(error)
        pack(files, folder, shard_bytes=120_000, workers=1)
        assert contents(folder) == contents(packed), number
        stopped += 1
    assert stopped >= least


def test_shards_that_another_resizer_made_are_left_alone(files, copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["resizer"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="resizer is None there, 'OpenCV INTER_LINEAR' now"):
        pack(files, copy, shard_bytes=120_000)
    assert first_clip(read_data_set(copy)).shape == (8, 128, 171, 3)


def test_shards_of_another_kind_are_left_alone(files, copy):
    with pytest.raises(ValueError, match="quality is 90 there, 80 now"):
        pack(files, copy, shard_bytes=120_000, quality=80)
    with pytest.raises(ValueError, match="quality, shard_bytes are 0"):
        pack(files, copy, quality=0)
    with pytest.raises(DataError, match="nothing to pack"):
        pack(read_data_set("motion"), copy)


def test_two_runs_into_one_folder_are_refused(files, tmp_path):
    with locked(tmp_path / "manifest.json"), pytest.raises(ValueError, match="another run packs into"):
        pack(files, tmp_path, workers=1)
    assert not (tmp_path / "packing.json").exists()


def test_what_killed_writes_left_behind_goes_away(files, packed, tmp_path):
    for name in ("manifest.json", "packing.json", "shard-00000.tfrecord", "shard-00000.index.npz"):
        (tmp_path / f".{name}.x1y2").mkdir()
        (tmp_path / f".{name}.x1y2" / name).write_bytes(b"half")
    pack(files, tmp_path, shard_bytes=120_000, workers=1)
    assert contents(tmp_path) == contents(packed)


def test_videos_that_cannot_be_decoded_are_left_out_and_named(files, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("text")
    data = type(files)((files.examples[0], files.examples[1]._replace(path=str(bad)), files.examples[2]),
                       files.classes, "three")
    manifest = pack(data, tmp_path / "shards", workers=2)
    assert manifest["records"] == 2 and "cannot be opened" in manifest["left_out"][0]["fault"]
    assert [e.label for e in read_data_set(tmp_path / "shards").examples] == [0, 0]
    with pytest.raises(DataError, match=r"bad\.mp4"):
        pack(type(files)((data.examples[1],), files.classes, "one"), tmp_path / "none", workers=1)


def test_damaged_videos_are_packed_with_their_faults(tmp_path, make_video):
    rng = np.random.default_rng(1)
    whole = make_video(tmp_path / "a.avi", rng.integers(0, 255, (60, 48, 64, 3), np.uint8)).read_bytes()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "cut.avi").write_bytes(whole[:len(whole) // 2])
    manifest = pack(read_data_set(tmp_path), tmp_path / "shards", workers=1)
    video, = manifest["shards"][0]["videos"]
    assert video["faults"] >= 1 and "cut short" in video["fault"] and video["frames"] < 60


def test_a_program_without_a_guard_packs(files, tmp_path):
    """Children do not run the program that starts them."""
    program = tmp_path / "program.py"
    program.write_text(
        "from keras_res3d.data.open import read_data_set\nfrom keras_res3d.data.pack import pack\n"
        "print('run')\n"
        f"data = read_data_set({files.name!r})\n"
        f"print(pack(data, {str(tmp_path / 'shards')!r}, workers=2)['records'], 'of', len(data))\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert done.stdout.splitlines() == ["run", f"{VIDEOS} of {VIDEOS}"]
