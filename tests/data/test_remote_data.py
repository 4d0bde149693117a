"""Lists, videos and shards in stores: the same clips as from local files, and lost connections that end a run."""

import warnings

import numpy as np
import pytest

from keras_res3d import remote
from keras_res3d.data.batches import training_stream, video_batches
from keras_res3d.data.check import probe
from keras_res3d.data.children import Children, map_in_children
from keras_res3d.data.clips import Sampling
from keras_res3d.data.open import kind_of, list_layout, open_video, read_data_set, videos_in
from keras_res3d.data.pack import pack
from keras_res3d.data.sources.packed import PackedVideoError
from keras_res3d.data.sources.shards import Shard
from keras_res3d.data.types import DataError, VideoError
from keras_res3d.data.video_list import is_address, listed_videos
from keras_res3d.io import write_atomically
from keras_res3d.remote import StoreError, StorePath

from ..stores import SCHEMES, flaky, lose, store_of

SAMPLING = Sampling(frames=4, stride=2, resize=(36, 48), crop=(32, 32))
NAMES = ("run/a ü.mp4", "run/b.mp4", "walk/c.mp4", "walk/d.mkv")


@pytest.fixture(scope="module")
def local(tmp_path_factory, make_video):
    """A folder of class folders, with a list of its videos."""
    pytest.importorskip("fsspec")
    folder, rng = tmp_path_factory.mktemp("videos"), np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(exist_ok=True)
        frames = np.clip(rng.normal(40 + 40 * number, 30, (20, 36, 48, 3)), 0, 255).astype(np.uint8)
        make_video(folder / name, frames)
    lines = ["path,label", *(f"{name},{name.split('/')[0]}" for name in NAMES)]
    (folder / "list.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def put(local, root):
    for file in sorted(local.rglob("*")):
        if file.is_file():
            (root / file.relative_to(local).as_posix()).upload(file)
    return root


@pytest.fixture(scope="module", params=SCHEMES)
def store(request, local):
    """The same in a store."""
    with store_of(request.param) as folder:
        yield put(local, folder / "videos")


@pytest.fixture
def failures(monkeypatch, local):
    with flaky(monkeypatch) as found:
        put(local, StorePath("flaky://videos"))
        yield found


def clips_of(data_set):
    return [clips for clips, *_ in video_batches(data_set, SAMPLING, 8, 2, 1, False)]


def assert_same_clips(data_set, other):
    for one, two in zip(clips_of(data_set), clips_of(other), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_video_of_a_store_has_the_frames_of_the_file(store, local):
    for name in NAMES:
        with open_video(str(store / name)) as there, open_video(local / name) as here:
            assert there.path == str(store / name) and there.num_frames == here.num_frames
            np.testing.assert_array_equal(next(there.clips([range(0, 20, 3)])), next(here.clips([range(0, 20, 3)])))
    assert probe(store / "run/b.mp4") is None and probe(str(store / "list.csv")).startswith(str(store / "list.csv"))
    with pytest.raises(VideoError, match=r"videos/gone\.mp4: no such object.*check the path"):
        open_video(store / "gone.mp4")
    with pytest.raises(VideoError, match=r"a folder of frames cannot be on .*expected a local path"):
        open_video(store / "run", first_frame=3)


def test_lists_and_class_folders_of_a_store(store, local, tmp_path):
    from_list, from_folders = read_data_set(f"{store}/list.csv"), None
    with warnings.catch_warnings(record=True):
        from_folders = read_data_set(str(store))
        expected = read_data_set(local)
    assert kind_of(store) == "folders" and kind_of(f"{store}/list.csv") == "csv" and kind_of(f"{store}/x") == "nothing"
    assert [example.path for example in from_list.examples] == [f"{store}/{name}" for name in NAMES]
    assert from_folders.examples == from_list.examples and from_folders.classes == expected.classes == ("run", "walk")
    assert_same_clips(from_list, expected)
    (tmp_path / "mixed.csv").write_text(f"path,label\n{store}/run/b.mp4,x\n{local}/walk/c.mp4,y\n")
    assert_same_clips(read_data_set(tmp_path / "mixed.csv"), read_data_set(tmp_path / "mixed.csv"))
    assert videos_in(str(store)) == [f"{store}/{name}" for name in NAMES]
    (tmp_path / "names.txt").write_text(f"{store}/run/b.mp4\nlocal.mp4\n")
    assert listed_videos(tmp_path / "names.txt") == [f"{store}/run/b.mp4", f"{tmp_path}/local.mp4"]
    assert not is_address(f"{store}/run/b.mp4") and is_address("rtsp://camera/1")


def test_faults_of_a_list_name_the_addresses(store):
    write_atomically(store.parent / "bad.csv", f"path,label\nvideos/run/b.mp4,x\ngone/1.mp4,x\n{store}/2.mp4,y\n")
    with pytest.raises(DataError) as found:
        read_data_set(f"{store.parent}/bad.csv")
    gone = f"line 3: missing file {store.parent}/gone/1.mp4", f"line 4: missing file {store}/2.mp4"
    assert found.value.faults == gone
    with pytest.warns(UserWarning, match="2 of 3 videos are missing"):
        assert len(read_data_set(f"{store.parent}/bad.csv", skip_missing=True)) == 1
    listing = list_layout("csv", f"{store}/list.csv", str(store))
    assert listing.faults == () and len(listing.rows) == 4


def test_shards_are_written_into_a_store_and_read_from_it(store, local, tmp_path, monkeypatch):
    data_set = read_data_set(local / "list.csv")
    here = pack(data_set, tmp_path / "shards", shard_bytes=60_000, workers=1)
    folder = store.parent / "shards"

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(data_set, str(folder), shard_bytes=60_000, workers=1, progress=stop)
    assert (folder / "shard-00000.tfrecord").is_file() and not (folder / "manifest.json").exists()
    there, seen = pack(data_set, str(folder), shard_bytes=60_000, workers=1), []
    assert there == here and len(here["shards"]) > 1
    contents = {each.name: each.read_bytes() for each in folder.iterdir()}
    assert contents == {each.name: each.read_bytes() for each in (tmp_path / "shards").iterdir()}
    monkeypatch.setattr("keras_res3d.data.pack.map_in_children", lambda *args: seen.append(len(args[1])) or iter(()))
    assert pack(data_set, str(folder), shard_bytes=60_000, workers=1) == here and seen == [0]
    packed = read_data_set(str(folder))
    assert_same_clips(packed, read_data_set(tmp_path / "shards"))
    assert packed.verify() == []
    for block in (1, 5_000):  # bytes that are fetched at a time
        monkeypatch.setattr("keras_res3d.data.sources.packed.BLOCK_BYTES", block)
        assert_same_clips(packed, read_data_set(tmp_path / "shards"))


def test_videos_of_a_store_are_packed_in_other_processes(store, local, tmp_path):
    if store.scheme == "memory":
        pytest.skip("another process has a memory of its own")
    here = pack(read_data_set(local / "list.csv"), tmp_path / "here", workers=1)
    there = pack(read_data_set(f"{store}/list.csv"), tmp_path / "there", workers=1)
    assert there["shards"] == here["shards"]


def test_memory_belongs_to_one_process(local, tmp_path):
    """Another one has a memory of its own, in which every video would be missing."""
    data_set = read_data_set(str(put(local, StorePath("memory://mine/videos")) / "list.csv"))
    with pytest.raises(StoreError, match=r"memory://mine/videos/run/\S.*: memory:// belongs to one process"):
        pack(data_set, tmp_path / "shards", workers=1)
    assert not (tmp_path / "shards" / "manifest.json").exists()


def test_damaged_shards_of_a_store_are_named(store, local):
    folder = store.parent / "damaged"
    pack(read_data_set(local / "list.csv"), folder, workers=1)
    data = read_data_set(str(folder))
    index = folder / "shard-00000.index.npz"
    whole = index.read_bytes()
    write_atomically(index, bytes(len(whole)))
    with pytest.raises(PackedVideoError, match=r"damaged/shard-00000\.index\.npz is not what the manifest says"):
        data.open(0)
    write_atomically(index, whole[:-1])
    with pytest.raises(DataError, match=rf"shard-00000\.index\.npz has {len(whole) - 1} bytes"):
        read_data_set(str(folder))


def test_a_lost_connection_is_no_bad_video(failures, local, tmp_path):
    """It ends the run by its name where a bad video would be left out."""
    data_set = read_data_set("flaky://videos/list.csv")
    said = r"flaky://videos/.* cannot be (read|looked for): the store failed 5 times"
    failures.left = 4
    assert len(clips_of(data_set)) == 1
    failures.left = 10**6
    for read in (
        lambda: list(video_batches(data_set, SAMPLING, 8, on_bad_video="skip")),
        lambda: probe("flaky://videos/run/b.mp4"),
        lambda: read_data_set("flaky://videos/list.csv"),
    ):
        with pytest.raises(StoreError, match=said):
            read()
    stream = training_stream(data_set, SAMPLING, 1, workers=1, last_step=1, on_bad_video="skip")
    with pytest.raises(Exception, match=said) as found:
        next(iter(stream))
    assert "StoreError" in str(found.value)


def test_a_connection_that_is_lost_at_shards(failures, local):
    data_set, said = read_data_set(local / "list.csv"), r"flaky://{}.* cannot be {}: the store failed 5 times"
    failures.left = 4
    pack(data_set, "flaky://shards", workers=1)
    assert failures.left == 0
    packed = read_data_set("flaky://shards")
    failures.left = 4
    assert len(clips_of(packed)) == 1 and failures.left == 0
    Shard._verified.clear()
    failures.left = 10**6
    with pytest.raises(StoreError, match=said.format("shards/shard-00000", "(read|looked for)")):
        list(video_batches(packed, SAMPLING, 8, on_bad_video="skip"))
    with pytest.raises(StoreError, match=said.format("others", "looked for")):
        pack(data_set, "flaky://others", workers=1)
    failures.methods = ("put_file",)
    with pytest.raises(StoreError, match=said.format(r"others/packing\.json", "written")):
        pack(data_set, "flaky://others", workers=1)


def test_a_folder_is_listed_once_however_much_it_holds(failures):
    """A store takes its time for each question: none is asked for each of many files."""
    folder = StorePath("flaky://many")
    for number in range(30):
        write_atomically(folder / f"shard-{number:05d}.tfrecord", b"")
    write_atomically(folder / "manifest.json", "{}")
    failures.calls = []
    assert kind_of("flaky://many") == "packed" and len(failures.calls) < 6
    failures.calls = []
    assert all(path.is_file() and not path.is_dir() for path in folder.iterdir()) and len(failures.calls) == 1
    lines = "".join(f"many/shard-{number:05d}.tfrecord,x\n" for number in range(30))
    write_atomically(StorePath("flaky://list.csv"), f"path,label\n{lines}")
    failures.calls = []
    assert list_layout("csv", "flaky://list.csv", "flaky://").faults == () and len(failures.calls) < 6


def test_a_connection_that_is_lost_while_a_video_is_read(failures, monkeypatch, make_video, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (30, 96, 128, 3), np.uint8)
    for name in ("long.mp4", "long.mkv"):
        StorePath(f"flaky://{name}").upload(make_video(tmp_path / name, frames))
    monkeypatch.setattr(remote, "BLOCK_BYTES", 20_000)
    for name in ("long.mp4", "long.mkv"):
        failures.left = 0
        with open_video(f"flaky://{name}") as video, pytest.raises(StoreError, match=f"{name} cannot be read"):
            stream = video.frames(range(video.num_frames))
            next(stream)
            failures.left = 10**6
            list(stream)


def test_a_lost_connection_in_another_process_ends_the_work():
    outcomes = map_in_children(lose, [0, 1, 2, 3], workers=1)
    assert [next(outcomes).error, next(outcomes).error] == ["a bad video"] * 2
    with pytest.raises(StoreError, match="s3://b/2"):
        next(outcomes)
    children = Children(lose, 1)
    assert children(0).error == "a bad video"
    with pytest.raises(StoreError, match="s3://b/2"):
        children(2)
    children.close()
