"""Silence, names of outputs, one process at a time, and what killed processes leave."""

import os
import pathlib
import re
import subprocess
import sys
import threading

import filelock
import pytest

from keras_res3d import io
from keras_res3d.io import atomic_group, atomic_path, half_replaced, only_one, output_paths, silenced, write_atomically
from tests.processes import child, holding, replaced


def test_silence_hides_what_native_code_prints_unless_it_fails(capfd):
    with silenced(1, 2):
        os.write(1, b"progress\n")
        os.write(2, b"remark\n")
    os.write(2, b"after\n")
    assert capfd.readouterr() == ("", "after\n")
    with pytest.raises(ValueError, match="wrong"), silenced(2):
        os.write(2, b"the reason\n")
        raise ValueError("wrong")
    assert capfd.readouterr() == ("", "the reason\n")


def test_no_two_inputs_have_one_output(tmp_path):
    (tmp_path / "x.1").mkdir()
    inputs = ["a/x.mp4", "b/x.mp4", "x.avi", "x-2.mkv", "X.mp4", tmp_path / "x.1", "y.tar.mp4", "e\u0301.mp4",
              "\u00e9.avi"]  # fmt: skip
    found = output_paths(inputs, "out", ".png")
    names = ["x.png", "x-2.png", "x-3.png", "x-2-2.png", "X-4.png", "x.1.png", "y.tar.png", "e\u0301.png",
             "\u00e9-2.png"]  # fmt: skip
    assert found == [pathlib.Path("out", name) for name in names]
    assert output_paths([], "out", ".png") == []


def test_a_child_imports_what_its_parent_does_wherever_it_runs(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "only_here.py").write_text("NAME = 'found'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", "here", *sys.path])
    code = "import os, only_here; print(only_here.NAME, os.environ['MORE'], os.environ['KEPT'])"
    monkeypatch.setenv("MORE", "other")
    monkeypatch.setenv("KEPT", "kept")
    environment = io.child_environment(MORE="more")
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd="/", capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert done.stdout.split() == ["found", "more", "kept"]
    assert all(map(os.path.isabs, environment["PYTHONPATH"].split(os.pathsep)))


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
    path = tmp_path / "folder" / "model"
    with holding(path, "writes") as other:
        said = rf"another run \(process {other.pid} on .+\) writes .*folder; wait for it"
        for _ in range(2):  # who is refused does not wipe out who holds it
            with pytest.raises(ValueError, match=said), only_one(path, "writes", path.parent):
                pass
        (path.parent / ".model.lock").write_text("\x1b[2J")
        with pytest.raises(ValueError, match="another run writes"), only_one(path, "writes"):
            pass
    with only_one(path, "writes"), only_one(path, "writes"):
        pass
    assert not os.listdir(path.parent)


def test_one_thread_at_a_time_and_no_trace(tmp_path):
    path, found = tmp_path / "a" / "b" / "model", []

    def other():
        try:
            with only_one(path, "writes"):
                found.append("held")
        except ValueError as error:
            found.append(str(error))

    with only_one(path, "writes"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert re.match(rf"another run \(process {os.getpid()} on ", found[0])
    assert not os.listdir(tmp_path)
    with only_one(path, "writes"):
        write_atomically(path, "kept")
    assert os.listdir(path.parent) == ["model"]


def test_without_locks_files_are_written_all_the_same(tmp_path, monkeypatch):
    def no_locks(self, timeout):
        raise OSError("no locks on this file system")

    monkeypatch.setattr(filelock.FileLock, "acquire", no_locks)
    (tmp_path / ".model.abcdefgh").mkdir()
    (tmp_path / ".model.abcdefgh" / io.OWNER).touch()
    with only_one(tmp_path / "model", "writes"):
        write_atomically(tmp_path / "model", "text")
    assert (tmp_path / "model").read_text() == "text"
    assert sorted(os.listdir(tmp_path)) == [".model.abcdefgh", "model"]  # nobody can tell whether its writer lives


WRITING = """
with atomic_path(sys.argv[1]) as aside:
    aside.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_the_next_run_sweeps_what_the_dead_left_and_nothing_else(tmp_path):
    """Whatever its name: a part of features, for example, is written once and never again under the same name."""
    users = tmp_path / ".settings.mycamera"
    users.mkdir()
    (tmp_path / ".born.abcd_123~").mkdir()  # killed before it was locked
    with child(WRITING, tmp_path / "living"):
        with child(WRITING, tmp_path / "dead"):
            pass
        assert len(list(tmp_path.glob(".dead.*"))) == 1
        write_atomically(tmp_path / "new", "text")
        names = [name.rsplit(".", 1)[0] if name.startswith(".") else name for name in sorted(os.listdir(tmp_path))]
        assert names == [".living", ".settings", "new"]
        io.sweep(tmp_path / "living")
        assert len(list(tmp_path.glob(".living.*/living"))) == 1
    io.sweep(tmp_path / "living")
    assert sorted(os.listdir(tmp_path)) == [users.name, "new"]


def test_a_folder_is_replaced_wholly_or_put_back(tmp_path):
    """Killed before each move: the old folder, or nothing and a word on it, until the next run puts it back."""
    place, source, seen = tmp_path / "place", tmp_path / "source", []
    target = place / "model.v1"
    (source / target.name).mkdir(parents=True)
    for name in ("weights", "card"):
        (source / target.name / name).write_text("new")
    for steps in range(4):
        with atomic_group(target) as stage:
            stage.mkdir()
            for name in ("weights", "card"):
                (stage / name).write_text("old")
        assert replaced(target, source, steps) == (9 if steps < 2 else 0)
        contents = {file.read_text() for file in target.glob("*")}
        seen.append((*contents, *["gone"] * (not target.exists())))
        assert bool(half_replaced(target)) == (not target.exists())
        io._swept.clear()  # as in a new process
        write_atomically(place / "other", "text")
        assert {file.read_text() for file in target.glob("*")} == (contents or {"old"})
        assert sorted(os.listdir(place)) == ["model.v1", "other"]
    assert seen == [("old",), ("gone",), ("new",), ("new",)]


def test_an_error_leaves_what_was_there(tmp_path):
    write_atomically(tmp_path / "file", "old")
    with pytest.raises(KeyError), atomic_path(tmp_path / "file") as aside:
        aside.write_text("new")
        raise KeyError
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "old"


def test_workers_have_a_range():
    assert io.reader_threads(512) == 512 and 1 <= io.reader_threads(None) <= 16
    for workers in (0, 513, 5000):
        with pytest.raises(ValueError, match=f"workers is {workers}; expected None .* or 1 to 512"):
            io.reader_threads(workers)
