"""Killed at any moment, a run goes on where it was; what is on disk is whole, and belongs to the run that asks."""

import csv
import io
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from keras_res3d.commands.main import main
from keras_res3d.data.types import VideoError
from keras_res3d.training import checkpoint
from keras_res3d.training.fit import train
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.training.resume import ResumeExactly
from keras_res3d.training.steps import StepWatch
from tests.processes import holding
from tests.training.runs import SAMPLING, Damaged, Few, run, tiny_net

STATE = {"identity": None, "step": 3, "metrics": 0, "callbacks": [], "history": {"epoch": [0], "history": {}}}
ROOT = pathlib.Path(__file__).resolve().parents[2]


def kill_in_a_process(step, **arguments):
    """Starts the run in a new process, which is killed by SIGKILL before it takes the batch of that step; None: never.

    A run that is left alone writes `weights.npz`.
    """
    command = [sys.executable, "-m", "tests.training.runs", json.dumps({"die_at": step, **arguments})]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == (0 if step is None else -signal.SIGKILL), done.stderr


def log_of(folder, scored=True):
    """The columns of log.csv that do not depend on the clock."""
    names = ["epoch", "loss", "clip@1", "learning_rate"] + ["val_video@1"] * scored
    rows = list(csv.DictReader((folder / "log.csv").read_text().splitlines()))
    return [{name: row[name] for name in names} for row in rows]


def same_weights(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


@pytest.mark.parametrize("options", [
    {"dropout": 0.5, "mixup": 0.2, "ema": 0.9, "label_smoothing": 0.1, "checkpoint_steps": 1},
    {"dropout": 0.5, "steps_per_execution": 4, "checkpoint_steps": 2, "optimizer": "adamw"},
    pytest.param({"checkpoint_steps": 2, "optimizer": "adamw"}, marks=pytest.mark.slow),
    pytest.param({"dropout": 0.5, "precision": "mixed_bfloat16", "smallest_area": 0.5}, marks=pytest.mark.slow),
    pytest.param({"precision": "mixed_float16", "steps_per_execution": 3, "checkpoint_steps": 2},
                 marks=pytest.mark.slow),
])  # fmt: skip
def test_killed_and_resumed_equals_left_alone_bit_for_bit(tmp_path, options):
    step = random.randrange(1, 10)
    kill_in_a_process(step, output=str(tmp_path / "killed"), **options)
    left = checkpoint.load(tmp_path / "killed")
    every = options.get("checkpoint_steps", 5)
    reached = left[1]["step"] if left else 0
    assert max(0, step - max(every, options.get("steps_per_execution", 1))) <= reached <= step, step
    resumed, history = run(tmp_path / "killed", resume=True, **options)
    alone, expected = run(tmp_path / "alone", **options)
    assert history == expected, step
    assert same_weights(resumed, alone), step
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "alone") and len(log_of(tmp_path / "alone")) == 2
    for name in ("model.keras", "best.keras"):
        models = [keras.models.load_model(tmp_path / folder / name) for folder in ("killed", "alone")]
        assert same_weights(*models), name
    assert not list((tmp_path / "killed").glob("*checkpoint*"))


@pytest.mark.slow
def test_killed_on_two_replicas_and_resumed_equals_left_alone_bit_for_bit(tmp_path):
    """Each in a process of its own, since TensorFlow divides the processor once."""
    options = {"strategy": "mirrored", "cpu_replicas": 2, "dropout": 0.5, "checkpoint_steps": 2}
    step = random.randrange(3, 10)
    kill_in_a_process(step, output=str(tmp_path / "killed"), **options)
    assert checkpoint.load(tmp_path / "killed")[1]["step"] in (step, step - 1)
    kill_in_a_process(None, output=str(tmp_path / "killed"), resume=True, **options)
    kill_in_a_process(None, output=str(tmp_path / "alone"), **options)
    killed, alone = (np.load(tmp_path / name / "weights.npz") for name in ("killed", "alone"))
    assert all(np.array_equal(killed[name], alone[name]) for name in alone.files), step
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "alone")


class Interrupt(keras.callbacks.Callback):
    """The user presses Ctrl-C before a batch, counted from 0."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.batch:
            raise KeyboardInterrupt


def test_interrupted_runs_are_those_of_the_same_settings_alone(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, epochs=1, checkpoint_steps=1, callbacks=[Interrupt(2)])
    with pytest.raises(ValueError, match=r"options.learning_rate: 0.05 before, 0.1 now") as error:
        run(tmp_path, epochs=1, learning_rate=0.1, videos=32, resume=True)
    assert "data.videos: 40 before, 32 now" in str(error.value) and "--overwrite" in str(error.value)
    run(tmp_path, epochs=1, workers=1, steps_per_execution=2, resume=True)
    assert len(log_of(tmp_path)) == 1


@pytest.mark.slow
def test_the_command_goes_on_by_itself(tmp_path, monkeypatch, capsys):
    flags = ["train", "--data", "motion", "--net", "d10", "--width", "2", "--crop", "16", "--iterations", "3",
             "--checkpoint_steps", "1", "--output", str(tmp_path / "run")]  # fmt: skip
    take = StepWatch._take

    def interrupted(self, iterator):
        if self.step == 2:
            raise KeyboardInterrupt
        return take(self, iterator)

    with monkeypatch.context() as patched:
        patched.setattr(StepWatch, "_take", interrupted)
        assert main(flags) == 130
    assert main([*flags, "--seed", "3"]) == 1
    assert "options.seed: 0 before, 3 now" in capsys.readouterr().err
    assert main(flags) == 0
    assert "going on at step 2 of 3" in capsys.readouterr().out
    assert len(log_of(tmp_path / "run", scored=False)) == 1


def test_bad_videos_stop_a_run_which_goes_on_without_them_exactly(tmp_path):
    """Stopped by a bad video, then told to skip it, then killed: the same as one run that was told to skip at once."""

    def trained(folder, **how):
        options = TrainingOptions(**{**how.pop("options", {}), "epochs": 3, "batch_size": 8, "learning_rate": 0.05})
        net = tiny_net(options)
        data, held_out = Damaged("train", 40, {3, 17, 18}), Damaged("test", 16, {5})
        return net, train(net, data, SAMPLING, tmp_path / folder, options, held_out, **how)

    skip = {"on_bad_video": "skip", "checkpoint_steps": 1}
    with pytest.raises(VideoError, match=r"is damaged; the run can go on: .*on_bad_video be skip"):
        trained("stopped", options={"checkpoint_steps": 1})
    with pytest.raises(KeyboardInterrupt):
        trained("stopped", options=skip, resume=True, callbacks=[Interrupt(3)])
    assert checkpoint.load(tmp_path / "stopped") is not None
    resumed, history = trained("stopped", options=skip, resume=True)
    alone, expected = trained("alone", options=skip)
    assert history == expected and same_weights(resumed, alone)
    lists = [(tmp_path / folder / "bad_videos.txt").read_text().splitlines() for folder in ("stopped", "alone")]
    assert len(lists[1]) == 4 and sorted(lists[0]) == sorted(lists[1])
    assert all(line.endswith("is damaged") for line in lists[1])


VALUES = [np.arange(5, dtype=np.float32), np.array(7, np.int64), np.array([1, 2], np.uint32)]


def test_values_and_state_come_back(tmp_path):
    assert checkpoint.load(tmp_path) is None
    checkpoint.save(tmp_path, VALUES, {"step": 3, "rows": [{"loss": 0.1}]})
    values, state = checkpoint.load(tmp_path)
    assert state == {"step": 3, "rows": [{"loss": 0.1}]}
    assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(values, VALUES, strict=True))


@pytest.mark.parametrize("where", ["numpy.savez", "os.fsync", "os.replace"])
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch, where):
    checkpoint.save(tmp_path, VALUES, {"step": 3})

    def full(file, *_, **__):
        if where == "numpy.savez":
            file.write_bytes(b"PK half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match=f"No space.*{checkpoint.FILE}"):
        patched.setattr(where, full)
        checkpoint.save(tmp_path, VALUES, {"step": 4})
    assert checkpoint.load(tmp_path)[1] == {"step": 3}
    assert os.listdir(tmp_path) == [checkpoint.FILE]


def test_remains_of_a_killed_write_are_swept_away(tmp_path):
    checkpoint.save(tmp_path, VALUES, {"step": 3})
    aside = tmp_path / f".{checkpoint.FILE}.abcd"
    aside.mkdir()
    (aside / checkpoint.FILE).write_bytes(b"PK half")
    assert checkpoint.load(tmp_path)[1] == {"step": 3}
    assert os.listdir(tmp_path) == [checkpoint.FILE]


@pytest.mark.parametrize("damage", [
    lambda data: data[:-100],
    lambda data: b"",
    lambda data: data.replace(b"\x80\x3f", b"\x80\x3e"),
])  # fmt: skip
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    checkpoint.save(tmp_path, VALUES, {"step": 3})
    path = tmp_path / checkpoint.FILE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("state", [
    {"step": "3"}, {"step": -1}, {"step": 3}, [], {**STATE, "metrics": None}, {**STATE, "callbacks": [{}]},
    {**STATE, "history": []}, {**STATE, "step": 2**60},
], ids=range(8))  # fmt: skip
def test_a_state_of_any_content_is_refused(tmp_path, state):
    checkpoint.save(tmp_path, VALUES, STATE)
    assert ResumeExactly(tmp_path).start_step == 3
    checkpoint.save(tmp_path, VALUES, state)
    with pytest.raises(ValueError, match=rf"{checkpoint.FILE} is damaged"):
        ResumeExactly(tmp_path)


def test_a_header_that_asks_for_gigabytes_is_refused_without_them(tmp_path):
    np.savez(tmp_path / checkpoint.FILE, state=np.frombuffer(b"{}", np.uint8), v00000=np.zeros(4, np.float32))
    data = (tmp_path / checkpoint.FILE).read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(tmp_path / checkpoint.FILE, "w") as other:
        for name in archive.namelist():
            other.writestr(name, archive.read(name).replace(b"(4,), }          ", b"(4000000000,), } "))
    with pytest.raises(ValueError, match=r"16 bytes for shape \(4000000000,\)"):
        checkpoint.load(tmp_path)


def test_restore_takes_all_or_nothing():
    variables = [keras.Variable(np.zeros(2, np.float32)), keras.Variable(np.zeros(3, np.float32))]
    with pytest.raises(ValueError, match="differ"):
        checkpoint.restore(variables, [np.ones(2, np.float32), np.ones(4, np.float32)])
    assert all((variable.numpy() == 0).all() for variable in variables)


def test_differences_name_the_field():
    before = {"options": {"seed": 0, "ema": 0.0}, "data": {"videos": 3}, "validation": None}
    now = {"options": {"seed": 1, "ema": 0.0}, "data": {"videos": 3}, "validation": {"videos": 2}}
    assert checkpoint.differences(before, now) == [
        "options.seed: 0 before, 1 now", "validation: None before, {'videos': 2} now",
    ]  # fmt: skip
    assert checkpoint.differences(before, before) == []


def test_runs_begun_before_an_option_came_can_go_on():
    def options(**changes):
        net = tiny_net(TrainingOptions())
        return checkpoint.identity(net, Few("train", 8), None, SAMPLING, TrainingOptions(**changes), "")["options"]

    before = options()
    assert "momentum" in before and not {"brightness", "reverse", "one_way", "largest_stride"} & set(before)
    assert checkpoint.differences(before, options(brightness=0.2, one_way="a")) == [
        "brightness: None before, 0.2 now", "one_way: None before, a now"]


def test_a_folder_that_another_process_trains_in_is_refused(tmp_path, capsys):
    with holding(tmp_path / "model.keras", "trains in") as other:
        with pytest.raises(ValueError, match=rf"another run \(process {other.pid} on .+\) trains in {tmp_path}; wait"):
            run(tmp_path)
        assert main(["train", "--data", "motion", "--output", str(tmp_path)]) == 1
        assert f"another run (process {other.pid} on " in capsys.readouterr().err
    run(tmp_path, epochs=1, videos=8, validation=0)
    assert sorted(os.listdir(tmp_path)) == ["log.csv", "model.json", "model.keras"]


@pytest.mark.slow
def test_a_second_process_is_refused_and_the_run_goes_on(tmp_path):
    """It is started in the middle of the run."""
    said = []

    def another(batch, logs=None):
        if not said:
            same = json.dumps({"die_at": None, "output": str(tmp_path)})
            command = [sys.executable, "-m", "tests.training.runs", same]
            said.append(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300).stderr)

    _, history = run(tmp_path, epochs=1, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=another)])
    assert f"another run (process {os.getpid()} on " in said[0] and f"trains in {tmp_path}; wait for it" in said[0]
    assert len(history["loss"]) == len(log_of(tmp_path)) == 1
    assert not list(tmp_path.glob(".*"))
