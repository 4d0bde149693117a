"""Mirrored training on two logical CPUs, in a process of its own: TensorFlow divides the processor once."""

import json
import pathlib
import subprocess
import sys

import pytest

from keras_res3d.training.distributed import check_built_for, strategy_for
from keras_res3d.training.recipes import TrainingOptions
from tests.training.runs import tiny_net

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = tmp_path_factory.mktemp("mirrored") / "found.json"
    command = [sys.executable, "-m", "tests.training.mirrored", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(path.read_text())


def test_two_replicas_equal_one_device_statistics_included(found):
    assert found["moved"] > 0.01
    assert found["weights"] < 1e-5 and found["loss"] < 1e-5
    assert found["val"][0] == found["val"][1]


def test_gradients_are_clipped_over_all_replicas(found):
    assert found["clipped"] < 1e-5


def test_averaged_weights_and_mixed_targets_are_those_of_one_device(found):
    assert found["mixed"] < 1e-5


def test_several_labels_are_learnt_and_scored_as_on_one_device(found):
    assert len(found["labelled"]) == 6 and max(found["labelled"]) < 1e-5


def test_a_batch_that_does_not_divide_is_refused(found):
    assert "5 clips for 2 replicas" in found["odd"] and "batch_size to 4" in found["odd"]


def test_a_batch_smaller_than_the_replicas_is_refused(found):
    assert "at least 2" in found["too_few"]


def test_without_synchronisation_statistics_are_made_to_agree(found):
    assert found["replicas_before"] > 0.01
    assert found["replicas_after"] == 0 and found["mean"] < 1e-6 and found["kernels"] == 0


def test_every_clip_is_scored_once(found):
    assert found["scored"] == [3, 8] and found["scores_of_one_clip"] < 1e-6 and found["losses"] < 1e-5


def test_a_run_with_dropout_goes_on_bit_for_bit(found):
    assert found["resumed"] == [6, 0, True]


def test_callbacks_on_a_users_model_in_a_strategy(found):
    start, distance, same_history = found["own_resumed"]
    assert (start, distance, same_history) == (8, 0, True)
    assert max(map(abs, found["own_val"])) < 1e-5
    assert found["own_speed"][0] > 0 and 0 <= found["own_speed"][1] <= 1


def test_mirrored_needs_devices(monkeypatch):
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind=None: [])
    with pytest.raises(ValueError, match="cpu_replicas"):
        strategy_for(TrainingOptions(strategy="mirrored"))


def test_processors_are_divided_before_tensorflow_starts():
    tiny_net(TrainingOptions())
    with pytest.raises(RuntimeError, match="fresh process"):
        strategy_for(TrainingOptions(strategy="mirrored", cpu_replicas=7))


def test_nets_belong_to_a_strategy():
    class TwoReplicas:
        num_replicas_in_sync = 2

        def experimental_local_results(self, value):
            return (value,)

    with pytest.raises(ValueError, match="prepare_net"):
        check_built_for(tiny_net(TrainingOptions()), TwoReplicas())
