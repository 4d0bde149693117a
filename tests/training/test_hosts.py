"""Training on several hosts, as processes of this machine, against one process: weights, figures, files, kills."""

import csv
import inspect
import json
import re
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow import trainer as keras_trainer
from tensorflow.python.distribute.values import PerReplicaSpec

from keras_res3d.training import checkpoint, hosts
from keras_res3d.training.recipes import TrainingOptions
from tests.training.runs import tiny_net
from tests.training.workers import distance, history_of, run_case, together, weights_of

# 20 steps; 7 videos are validated, which no number of hosts divides.
TWENTY = {"epochs": 4, "validation": 7, "validation_clips": 2}
CASES = {
    "plain": TWENTY,
    # One video is validated, so that all hosts but one have none.
    "mixed": {"mixup": 0.4, "label_smoothing": 0.1, "ema": 0.9, "clip_norm": 0.1, "epochs": 1, "validation": 1},
    "labelled": {"labelled": True, "mixup": 0.4, "label_smoothing": 0.1, "validation": 5, "epochs": 1},
    "holed": {"holes": [1, 2, 8, 21], "on_bad_video": "skip", "epochs": 1, "validation": 7},
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one plain process makes of a case: weights, history, folder."""
    folder, found = tmp_path_factory.mktemp("alone"), {}

    def result(name):
        if name not in found:
            net, history = run_case(folder / name, **CASES[name])
            found[name] = net.get_weights(), history, folder / name
        return found[name]

    return result


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder in which two workers have run; what they said."""
    folder = tmp_path_factory.mktemp("two")
    ended = together(2, folder, {"plain": CASES["plain"], "plain fit": {}})
    assert [code for code, *_ in ended] == [0, 0], ended
    return folder, ended


def check_case(folder, name, count, alone):
    weights, history, _ = alone(name)
    for index in range(count):
        assert distance(weights, weights_of(folder, name, index)) < 1e-5
        found = history_of(folder, name, index)
        assert found.keys() == history.keys()
        for figure, values in history.items():
            np.testing.assert_allclose(found[figure], values, atol=1e-5, err_msg=figure)


def test_two_hosts_equal_one_process_after_20_steps_statistics_included(two, alone):
    assert distance(tiny_net(TrainingOptions()).get_weights(), alone("plain")[0]) > 0.01  # it learns something
    check_case(two[0], "plain", 2, alone)


def test_the_first_host_alone_writes_and_tells(two):
    folder, ((_, first, *_), (_, second, *_)) = two
    assert {path.name for path in (folder / "plain").iterdir()} == {
        "model.keras", "model.json", "best.keras", "best.json", "log.csv"
    }  # fmt: skip
    with open(folder / "plain" / "log.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]
    assert first.startswith("epoch 1/4") and "val_loss" in first and "worker" not in first
    lines = second.splitlines()
    assert len(lines) == 4 and all(re.match(r"worker 1 \(localhost:\d+\): epoch \d/4", line) for line in lines)
    assert keras.models.load_model(folder / "plain" / "best.keras").count_params() > 0


def test_canary_what_keras_own_fit_does_on_several_hosts(two):
    """Fails where a release of Keras or TensorFlow mends, or changes, what `AcrossHosts` works around."""
    said = history_of(two[0], "plain fit")
    assert said is not None, "Keras' own fit trains on several hosts now: AcrossHosts and this test can go"
    assert "PerReplica" in said, f"Keras' own fit fails in another way than keras-team/keras#20585: {said}"


def test_canary_private_names_that_are_leant_on():
    """Fails where a release of Keras or TensorFlow moves what `AcrossHosts` takes hold of."""
    trainer = keras_trainer.TensorFlowTrainer
    assert list(inspect.signature(trainer._maybe_symbolic_build).parameters) == ["self", "iterator", "data_batch"]
    assert list(inspect.signature(trainer._symbolic_build).parameters) == ["self", "iterator", "data_batch"]
    fit = inspect.getsource(trainer.fit)
    assert "self._maybe_symbolic_build(iterator=epoch_iterator)" in fit and "self.make_train_function()" in fit
    assert "self._distributed_dataset" in inspect.getsource(keras_trainer.TFEpochIterator.__init__)
    assert 'strategy.reduce("MEAN", v, axis=0)' in inspect.getsource(keras_trainer.reduce_per_replica)
    spec = tf.TensorSpec((3, 2))
    assert hosts._of_one_replica(PerReplicaSpec(spec, spec)) == spec == hosts._of_one_replica(spec)
    unbuilt = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    unbuilt.compile("sgd", "mse", metrics=["mae"])
    unbuilt._symbolic_build(data_batch=(spec, tf.TensorSpec((3, 1))))  # shapes are enough
    assert unbuilt._compile_metrics.built and unbuilt._compile_loss.built


def test_one_process_is_alone():
    strategy = tf.distribute.get_strategy()
    assert hosts.hosts_of(strategy) == 1 and hosts.is_chief(strategy) and not hosts.spans_hosts(strategy)
    assert hosts.tell_all(strategy, {"a": 1}) == [{"a": 1}] and list(hosts.own_replicas(strategy)) == [0]
    hosts.agree(strategy, {"a": 1})


def test_hosts_are_joined_before_tensorflow_runs_anything(monkeypatch):
    tf.constant(0) + 1
    config = {"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(RuntimeError, match="call prepare_net, or strategy_for"):
        hosts.make_strategy(1.0)


@pytest.mark.slow
def test_four_hosts_equal_one_process(tmp_path, alone):
    apart = {"synchronized": False, "epochs": 1, "validation": 0}
    ended = together(4, tmp_path, {**CASES, "apart": apart})
    assert [code for code, *_ in ended] == [0] * 4, ended
    for name in CASES:
        check_case(tmp_path, name, 4, alone)
    listed = (tmp_path / "holed" / "bad_videos.txt").read_text().splitlines()
    assert sorted(listed) == sorted((alone("holed")[2] / "bad_videos.txt").read_text().splitlines())
    assert len(listed) >= 4
    # Without synchronised batch norm the hosts still end with the same net.
    first, *others = (weights_of(tmp_path, "apart", index) for index in range(4))
    assert all(distance(first, other) == 0 for other in others)


@pytest.mark.slow
def test_two_hosts_of_two_devices_each_equal_one_process(tmp_path, alone):
    ended = together(2, tmp_path, {"plain": TWENTY, "mixed": CASES["mixed"]}, devices=2)
    assert [code for code, *_ in ended] == [0, 0], ended
    for name in ("plain", "mixed"):
        check_case(tmp_path, name, 2, alone)


# Dropout, checkpoints within an epoch; step 7 is in the second epoch of 5 steps.
KILLED = {"dropout": 0.5, "validation": 3, "epochs": 2, "checkpoint_steps": 2}


@pytest.mark.slow
@pytest.mark.parametrize("victim", [1, 0])
def test_a_killed_worker_ends_all_and_the_job_goes_on(tmp_path, victim):
    (tmp_path / "undisturbed").mkdir()
    (tmp_path / "killed").mkdir()
    assert [code for code, *_ in together(2, tmp_path / "undisturbed", {"job": KILLED})] == [0, 0]
    ended = together(2, tmp_path / "killed", {"job": KILLED}, die_at=(victim, 7))
    died, other = ended[victim], ended[1 - victim]
    assert died[0] == -signal.SIGKILL and other[0] not in (0, -signal.SIGKILL)
    assert other[3] - died[3] < 30
    assert f"worker {victim} (localhost:" in other[2] and "start all workers again" in other[2]
    assert checkpoint.load(tmp_path / "killed" / "job")[1]["step"] == 6
    again = together(2, tmp_path / "killed", {"job": {**KILLED, "resume": True}})
    assert [code for code, *_ in again] == [0, 0], again
    for index in (0, 1):
        expected, found = (weights_of(tmp_path / name, "job", index) for name in ("undisturbed", "killed"))
        assert distance(expected, found) == 0
        assert history_of(tmp_path / "undisturbed", "job", index) == history_of(tmp_path / "killed", "job", index)


@pytest.mark.slow
def test_another_number_of_hosts_goes_on(tmp_path, alone):
    ended = together(2, tmp_path, {"plain": {**TWENTY, "checkpoint_steps": 3}}, die_at=(1, 7))
    assert all(code for code, *_ in ended)
    assert checkpoint.load(tmp_path / "plain")[1]["step"] == 6
    ended = together(4, tmp_path, {"plain": {**TWENTY, "checkpoint_steps": 3, "resume": True}})
    assert [code for code, *_ in ended] == [0] * 4, ended
    check_case(tmp_path, "plain", 4, alone)


@pytest.mark.slow
def test_another_number_of_hosts_is_refused_where_each_normalises_by_itself(tmp_path):
    apart = {"synchronized": False, "epochs": 2, "validation": 0}
    together(2, tmp_path, {"apart": apart}, die_at=(1, 7))
    ended = together(4, tmp_path, {"apart": {**apart, "resume": True}})
    assert all(code for code, *_ in ended)
    assert "replicas: 2 before, 4 now" in ended[0][2]
