"""Paths in stores: what of pathlib they have, whole writes, and lost connections, which are retried and then named."""

import asyncio
import logging
import os
import pathlib
import pickle
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest

from keras_res3d import asking, remote, untrusted
from keras_res3d.cards import read_card
from keras_res3d.data.open import kind_of, read_data_set
from keras_res3d.data.types import DataError
from keras_res3d.io import (
    atomic_group,
    atomic_path,
    digest,
    half_replaced,
    locked,
    only_one,
    sweep,
    write_atomically,
)
from keras_res3d.remote import StoreError, StorePath, as_path, is_remote, joined, local_copy, readable, refuse
from keras_res3d.untrusted import Npz, read_json

from .stores import SCHEMES, flaky, store_of


@pytest.fixture(scope="module", params=SCHEMES)
def root(request):
    """An empty folder of a store."""
    with store_of(request.param) as folder:
        yield folder


@pytest.fixture
def failures(monkeypatch):
    pytest.importorskip("fsspec")
    with flaky(monkeypatch) as found:
        yield found


def test_local_paths_are_those_of_pathlib_and_need_no_fsspec(tmp_path):
    for path in ("a/b.mp4", tmp_path, "C:/x", "C://x", "s3:/x", "s3/x://y"):
        assert not is_remote(path) and type(as_path(path)) is type(pathlib.Path())
    assert joined(pathlib.Path("a"), "b") == pathlib.Path("a/b")
    file = tmp_path / "a.zip"
    file.touch()
    assert readable(file) is file
    assert local_copy(tmp_path) == tmp_path
    code = "import sys, keras_res3d.io, keras_res3d.data.pack; sys.exit('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("address", ["hdfs://b/x", "gcs://b/x", "S3://b/x", " s3://b/x", "rtsp://me:pw@b/x?key=1"])
def test_an_address_of_no_known_store_is_refused(address, tmp_path, monkeypatch):
    """pathlib would make it a folder of this machine, `./hdfs:/b/x`."""
    monkeypatch.chdir(tmp_path)
    said = r"://b/x: .*:// is no known store; expected s3://, gs:// or memory://, or a local path"
    for ask in (as_path, kind_of, lambda path: write_atomically(path, ""), lambda path: joined(tmp_path, path)):
        with pytest.raises(ValueError, match=said) as found:
            ask(address)
        assert "pw" not in str(found.value) and "key" not in str(found.value)
    assert not is_remote(address) and list(tmp_path.iterdir()) == []
    if address[0] == " ":  # cells of lists are stripped
        return
    (tmp_path / "list.csv").write_text(f"path,label\na.mp4,x\n{address},x\n")
    with pytest.raises(DataError, match=r"line 3: .* is no known store") as found:
        read_data_set(tmp_path / "list.csv")
    assert len(found.value.faults) == 2


def test_parts_of_an_address():
    path = StorePath("s3://bucket//a/../videos/x.tar.mp4/")
    assert str(path) == os.fspath(path) == "s3://bucket/videos/x.tar.mp4" and path.absolute() == path
    assert (path.name, path.stem, path.suffix, path.parts[0]) == ("x.tar.mp4", "x.tar", ".mp4", "s3://")
    assert path.parent / "y.mp4" == path.with_name("y.mp4") == StorePath("s3://bucket/videos/y.mp4")
    assert str(path.with_suffix(".json")) == "s3://bucket/videos/x.tar.json"
    assert str(StorePath("gs://bucket/").parent) == "gs://" and StorePath("gs://") / "b" == StorePath("gs://b")
    assert path / "/local" == pathlib.Path("/local") and path / "../z" == path.with_name("z")
    assert joined(path, "gs://b/c") == StorePath("gs://b/c") == joined(pathlib.Path("x"), "gs://b/c")
    assert path.relative_to(StorePath("s3://bucket")).as_posix() == "videos/x.tar.mp4"
    assert pickle.loads(pickle.dumps(path)) == path and len({path, StorePath(str(path))}) == 1
    assert StorePath("s3://b/a/z") < StorePath("s3://b/a/zz/1") < StorePath("s3://b/b")


def test_what_cannot_be_in_a_store_is_refused_by_name(tmp_path):
    for path in ("s3://b/x", StorePath("s3://b/x"), pathlib.Path("s3://b/x")):
        with pytest.raises(ValueError, match=r"s3:/+b/x: the page cannot be on s3://: expected a local path"):
            refuse("the page", path)
    with pytest.raises(ValueError, match="cannot be on memory://: expected a local path"):
        write_atomically(pathlib.Path("memory://x/y"), "made of an address by pathlib")
    refuse("the page", tmp_path)
    assert not pathlib.Path("memory:").exists()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    remote._made.cache_clear()
    with pytest.raises(ImportError, match=r"gs:// needs a package .*pip install 'keras-res3d\[gs\]'"):
        StorePath("gs://bucket/x").exists()
    remote._made.cache_clear()


def test_objects_and_folders(root):
    folder = root / "folder"
    assert not folder.exists() and list(folder.glob("*")) == [] and folder.sizes() == {}
    write_atomically(folder / "b.txt", "bé")
    write_atomically(folder / ".a.json", b"{}")
    write_atomically(folder / "deep" / "c.txt", "")
    assert folder.is_dir() and not folder.is_file() and not folder.is_symlink()
    path = folder / "b.txt"
    assert path.is_file() and not path.is_dir() and path.size() == 3 and path.read_text() == "bé"
    assert [each.name for each in folder.iterdir()] == [".a.json", "b.txt", "deep"]
    assert list(folder.glob("*.txt")) == [path] and list(folder.glob(".a.*")) == [folder / ".a.json"]
    assert folder.below() == [folder / ".a.json", path, folder / "deep" / "c.txt"]
    assert folder.sizes() == {".a.json": 2, "b.txt": 3}
    assert path.read_range(1, 3) == "é".encode() and path.read_range(2, 2) == b""
    write_atomically(path, "other")
    assert path.read_bytes() == b"other" and digest(path).startswith("d9298a10d1b0735837dc4bd85dac6")
    path.unlink()
    path.unlink(missing_ok=True)
    assert not path.exists()
    for ask in (path.read_bytes, path.size, path.open, lambda: local_copy(path)):
        with pytest.raises(FileNotFoundError, match=r"folder/b\.txt: no such object"):
            ask()


def test_a_write_that_fails_leaves_what_was_there(root):
    path = root / "kept.bin"
    write_atomically(path, b"old")
    with pytest.raises(KeyError), atomic_path(path) as aside:
        aside.write_bytes(b"half")
        raise KeyError
    assert path.read_bytes() == b"old"
    with locked(path, timeout=0) as first, locked(path, timeout=0) as second:
        assert (first, second) == (False, False)
    with only_one(path, "writes"), only_one(path, "writes"):  # without locks nobody is refused
        sweep(path)
    assert [each.name for each in root.glob("*kept*")] == ["kept.bin"]
    assert half_replaced(path) == half_replaced(root / "gone") == ""


def test_a_folder_is_replaced_with_what_was_in_it(root):
    path = root / "export"
    for names in (("saved_model.pb", "variables/a", "old"), ("saved_model.pb", "variables/a")):
        with atomic_group(path) as aside:
            for name in names:
                (aside / name).parent.mkdir(parents=True, exist_ok=True)
                (aside / name).write_text(" ".join(names))
    assert [str(each.relative_to(path)) for each in path.below()] == ["saved_model.pb", "variables/a"]
    fetched = local_copy(path)
    assert fetched.name == "export" and (fetched / "variables" / "a").read_text() == "saved_model.pb variables/a"


def test_a_model_is_fetched_with_its_card_once_and_again_when_it_changes(root):
    path = root / "m.keras"
    write_atomically(path, "net")
    write_atomically(path.with_suffix(".json"), "card")
    write_atomically(root / "other.keras", "")
    found = local_copy(path)
    assert sorted(each.name for each in found.parent.iterdir()) == ["m.json", "m.keras"]
    assert local_copy(path) == found and found.read_text() == "net"
    write_atomically(path, "another net")
    assert local_copy(path).read_text() == "another net"


def test_json_and_arrays_are_read_within_the_same_limits(root, monkeypatch):
    path, arrays = root / "a.json", root / "a.npz"
    write_atomically(path, '{"a": 1}')
    assert read_json(path, {"a": int}) == {"a": 1}
    with pytest.raises(ValueError, match="a is 1; expected a string"):
        read_json(path, {"a": str})
    with atomic_path(arrays) as aside:
        np.savez(aside, a=np.arange(3), b=np.ones((2, 2)))
    with Npz(arrays) as file:
        assert file.names == ["a", "b"] and file.read("a").tolist() == [0, 1, 2] and file.read("b").sum() == 4
    with atomic_path(arrays) as aside:
        np.savez_compressed(aside, a=np.arange(3))
    with pytest.raises(ValueError, match="is compressed"):
        Npz(arrays)
    for read in (read_json, Npz):
        with pytest.raises(FileNotFoundError, match="gone: no such object"):
            read(root / "gone")
    monkeypatch.setattr(untrusted, "MAX_JSON_BYTES", 7)
    with pytest.raises(ValueError, match="it has more than"):
        read_json(path)


def test_an_object_is_a_file_to_libraries(root, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a", bytes(range(256)) * 100)
        archive.writestr("b", "text")
    path = root / "x.zip"
    path.upload(tmp_path / "x.zip")
    with path.open() as file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None and archive.read("b") == b"text"
        assert file.name == str(path) and file.seek(0, os.SEEK_END) == path.size()
        with pytest.raises(OSError, match="was sought"):
            file.raw.seek(-1)


def test_a_lost_connection_is_tried_again(failures):
    path = StorePath("flaky://b/x")
    failures.left = remote.TRIES - 1
    write_atomically(path, b"whole")
    assert failures.calls == [("put_file", True)] * (remote.TRIES - 1) + [("put_file", False)]
    failures.left, failures.calls = remote.TRIES - 1, []
    assert path.read_bytes() == b"whole" and len(failures.calls) == remote.TRIES
    with path.open() as file:
        failures.left = 2
        assert file.read() == b"whole"


def test_a_connection_that_stays_lost_is_named(failures):
    path = StorePath("flaky://b/x")
    write_atomically(path, b"whole")
    failures.left, failures.calls = 100, []
    said = r"flaky://b(/x)? cannot be {}: the store failed 5 times, the last time with ConnectionResetError: the conn"
    for does, ask in (("read", path.read_bytes), ("looked for", path.exists), ("listed", path.parent.sizes)):
        with pytest.raises(StoreError, match=said.format(does)):
            ask()
    with pytest.raises(StoreError, match=said.format("written")):
        write_atomically(path, b"new")
    assert len(failures.calls) == 4 * remote.TRIES
    failures.left = 0
    assert path.read_bytes() == b"whole"


def test_a_lost_connection_is_no_damage(failures, monkeypatch):
    path = StorePath("flaky://b/model.keras")
    with atomic_path(path) as aside, zipfile.ZipFile(aside, "w") as archive:
        archive.writestr("a.npy", bytes(1000))

    def lose(*_):
        raise StoreError("the store failed")

    monkeypatch.setattr(StorePath, "read_range", lose)
    for read in (read_json, Npz, read_card):
        with pytest.raises(StoreError, match="the store failed"):
            read(path)


def test_a_refusal_is_not_tried_again(failures):
    failures.left, failures.error = 100, PermissionError("Access Denied")
    with pytest.raises(StoreError, match=r"the store refuses it .*Access Denied.*check the credentials"):
        StorePath("flaky://b/x").read_bytes()
    assert failures.calls == [("cat_file", True)]


class HttpError(Exception):
    """As gcsfs has it."""

    code = 401


@pytest.mark.parametrize("error, said", [
    (HttpError("Anonymous caller does not have access"), "the store refuses it .*check the credentials"),
    (OSError("Forbidden: b/x"), "the store refuses it .*check the credentials"),
    (RuntimeError("Your default credentials were not found. To set up"), "the store refuses it .*check the cred"),
    (NotImplementedError(), r"fsspec \d\S* cannot do it \(NotImplementedError\); pip install -U fsspec"),
    (TypeError("cat_file() got an unexpected keyword"), r"fsspec \d\S* cannot do it .*; pip install -U fsspec"),
    (ValueError("Invalid endpoint: localhost:9000"), "a setting of the store is wrong .*endpoint.*AWS_ENDPOINT_URL"),
])  # fmt: skip
def test_what_another_try_does_not_mend_is_told_apart_at_once(failures, error, said):
    failures.left, failures.error = 100, error
    with pytest.raises(StoreError, match=rf"flaky://b/x cannot be read: {said}"):
        StorePath("flaky://b/x").read_bytes()
    assert len(failures.calls) == 1


def test_each_further_try_is_told(failures, capsys):
    write_atomically(StorePath("flaky://b/x\x1b"), b"whole")
    failures.left = 2
    assert StorePath("flaky://b/x\x1b").read_bytes() == b"whole"
    assert capsys.readouterr().err.splitlines() == [
        f"flaky://b/x?: ConnectionResetError: the connection was lost; try {number} of 5 in {pause} s"
        for number, pause in ((2, "0.001"), (3, "0.002"))
    ]


def test_nothing_is_tried_again_when_the_program_ends(failures, monkeypatch):
    """What fetches ends before the threads that read: each would go on asking for minutes."""
    monkeypatch.setattr(remote, "PAUSE_SECONDS", 100)
    failures.left = 100
    threading.Timer(0.2, asking._ENDING.set).start()
    try:
        for calls in (1, 2):
            with pytest.raises(StoreError, match="flaky://b/x cannot be read: the program is ending"):
                StorePath("flaky://b/x").read_bytes()
            assert len(failures.calls) == calls
    finally:
        asking._ENDING.clear()
    code = "import threading\nfrom keras_res3d import asking\n" \
           "threading.Thread(target=lambda: print(asking._ENDING.wait(9))).start()"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"True"


def test_what_is_asked_when_the_program_has_ended_is_given_up(failures):
    """A call that hangs in the store's package too: TensorFlow waits for the thread that made it."""
    asyn = pytest.importorskip("fsspec.asyn")
    write_atomically(StorePath("flaky://b/x"), b"whole")
    said, asks = [], threading.Event()

    async def hang():
        asks.set()
        await asyncio.sleep(100)

    def one(call):
        try:
            asking.asked(call, "s3://b/x", 5, 100)
        except asking.GivenUp as error:
            said.append(str(error))

    threads = [threading.Thread(target=one, args=[lambda: asyn.sync(asyn.get_loop(), hang)], daemon=True)]
    threads[0].start()
    assert asks.wait(5)
    try:
        asking.leave()
        threads.append(threading.Thread(target=one, args=[StorePath("flaky://b/x").read_bytes], daemon=True))
        threads[1].start()
        for thread in threads:
            thread.join(5)
        assert StorePath("flaky://b/x").read_bytes() == b"whole"  # of the first thread, which other hooks may need
    finally:
        asking._LEFT.clear()
    assert said == ["the program is ending"] * 2


def test_the_stores_packages_log_nothing_that_they_raise(monkeypatch):
    mine = logging.getLogger("gcsfs")
    for level, kept in ((logging.NOTSET, logging.CRITICAL), (logging.DEBUG, logging.DEBUG)):
        monkeypatch.setattr(mine, "level", level)
        asking.quieten()
        assert mine.level == kept


def test_an_answer_that_is_cut_short_is_asked_for_again(failures):
    path = StorePath("flaky://b/x")
    write_atomically(path, b"whole")
    with pytest.raises(StoreError, match="5 of 9 bytes came"):
        path.read_range(0, 9)
