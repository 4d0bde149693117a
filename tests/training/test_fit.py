"""The training run: what is saved, what stops it, what each option changes."""

import csv
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d.cards import read_card
from keras_res3d.data.clips import Sampling
from keras_res3d.data.sources.motion import motion_data_set
from keras_res3d.nets.zoo import ZOO
from keras_res3d.training import stream as stream_module
from keras_res3d.training.compile import compile_by_recipe, twin_of
from keras_res3d.training.fit import prepare_net, train
from keras_res3d.training.recipes import TrainingOptions, batch_norm_momentum
from keras_res3d.training.scored import scored_weights
from keras_res3d.training.validate import ValidateVideos
from tests.training.runs import SAMPLING as SAMPLING_OF_TINY
from tests.training.runs import Few, run, tiny_net

NARROW = replace(ZOO["d10"], width=4)
SAMPLING = Sampling(frames=4, stride=2, resize=(32, 32), crop=(32, 32))


def test_moving_statistics_follow_short_runs():
    assert batch_norm_momentum(0.999, 10**6) == 0.999
    assert batch_norm_momentum(0.999, 100) == pytest.approx(0.9)
    assert batch_norm_momentum(0.999, 3) == 0.5
    assert batch_norm_momentum(None, 100) is None


def _run(tmp_path, name, seed=0, **changes):
    options = TrainingOptions(**{"epochs": 2, "batch_size": 8, "seed": seed, **changes})
    data = Few("train", 32)
    net = prepare_net(NARROW, SAMPLING, 8, options, len(data))
    history = train(net, data, SAMPLING, tmp_path / name, options, validation=Few("test", 16))
    return net, history


def test_a_run_writes_log_models_and_cards_and_repeats_exactly(tmp_path):
    first, history = _run(tmp_path, "a")
    again, _ = _run(tmp_path, "b")
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights(), strict=True))
    rows = list(csv.DictReader((tmp_path / "a" / "log.csv").read_text().splitlines()))
    assert [float(row["loss"]) for row in rows] == pytest.approx(history["loss"])
    assert {"clips_per_second", "data_wait", "learning_rate", "seconds"} <= set(rows[0])
    assert all(0 <= float(row["data_wait"]) <= 1 for row in rows)
    assert set(history) == {"loss", "clip@1", "val_loss", "val_video@1"}
    card = read_card(tmp_path / "a" / "model.keras")
    assert card.labels == motion_data_set("train").classes and card.sampling == SAMPLING
    assert card.training["epochs_done"] == 2 and card.training["batch_size"] == 8
    loaded = keras.models.load_model(tmp_path / "a" / "model.keras")
    assert all(np.array_equal(a, b) for a, b in zip(loaded.get_weights(), first.get_weights(), strict=True))
    assert read_card(tmp_path / "a" / "best.keras").training["val_video@1"] == max(history["val_video@1"])
    assert not list((tmp_path / "a").glob("*checkpoint*"))


def test_seeds_give_other_weights():
    nets = [prepare_net(NARROW, SAMPLING, 8, TrainingOptions(seed=seed), 32) for seed in (0, 0, 1)]
    kernels = [net.get_layer("conv1").kernel.numpy() for net in nets]
    assert np.array_equal(kernels[0], kernels[1]) and not np.array_equal(kernels[0], kernels[2])


def test_nan_stops_the_run_names_the_step_and_leaves_nothing_bad(tmp_path):
    with pytest.raises(RuntimeError, match=r"NaN or infinite (at|by) step \d+"):
        run(tmp_path, learning_rate=1e30, epochs=6)
    saved = tmp_path / "model.keras"
    assert not saved.exists() or all(np.isfinite(w).all() for w in keras.models.load_model(saved).get_weights())


def test_nan_after_good_epochs_keeps_their_model_and_checkpoint(tmp_path, monkeypatch):
    shares = stream_module.mixup_shares

    def poisoned(options, step, batch):
        return shares(options, step, batch) * np.float32(np.nan if step == 7 else 1)

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="at step 8 of 10"):
        patched.setattr(stream_module, "mixup_shares", poisoned)
        run(tmp_path, mixup=1.0)
    kept = keras.models.load_model(tmp_path / "model.keras")
    assert all(np.isfinite(weight).all() for weight in kept.get_weights())
    net, _ = run(tmp_path, mixup=1.0, resume=True)
    alone, _ = run(tmp_path / "alone", mixup=1.0)
    assert all(np.array_equal(a, b) for a, b in zip(net.get_weights(), alone.get_weights(), strict=True))


def test_classes_must_agree(tmp_path):
    data = Few("train", 8)
    net = keras_res3d.build_model(NARROW, input_shape=(4, 32, 32, 3), classes=7)
    with pytest.raises(ValueError, match="7 outputs"):
        train(net, data, SAMPLING, tmp_path)


def test_early_stopping_needs_and_heeds_validation(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="early_stopping"):
        run(tmp_path, early_stopping=1, validation=0)
    monkeypatch.setattr(ValidateVideos, "scores", lambda self: {"val_loss": 1.0, "val_video@1": 0.5})
    _, history = run(tmp_path, early_stopping=2, epochs=9)
    assert len(history["loss"]) == 3
    assert read_card(tmp_path / "best.keras").training["epochs_done"] == 1


def test_iterations_end_in_the_middle_of_an_epoch(tmp_path):
    _, history = run(tmp_path, iterations=7)
    assert len(history["loss"]) == 2
    assert read_card(tmp_path / "model.keras").training["steps_done"] == 7


@pytest.mark.parametrize("change", [
    {"mixup": 0.4}, {"label_smoothing": 0.2}, {"smallest_area": 0.3}, {"ema": 0.9}, {"clip_norm": 0.01},
    {"optimizer": "adamw"}, {"precision": "mixed_bfloat16"}, {"precision": "mixed_float16"},
    {"clips_per_video": 2}, {"seed": 1}, {"warmup": 0.5}, {"weight_decay": 0.5},
])  # fmt: skip
def test_every_option_changes_what_is_learnt(tmp_path, plain, change):
    net, history = run(tmp_path, epochs=1, validation=0, **change)
    assert np.isfinite(history["loss"]).all()
    assert any(not np.array_equal(a, b) for a, b in zip(net.get_weights(), plain, strict=True))
    stored = keras.models.load_model(tmp_path / "model.keras")
    assert {layer.dtype_policy.name for layer in (*stored.layers, *net.layers)} == {"float32"}
    assert all(np.array_equal(a, b) for a, b in zip(stored.get_weights(), net.get_weights(), strict=True))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run(tmp_path_factory.mktemp("plain"), epochs=1, validation=0)[0].get_weights()


@pytest.mark.parametrize("change, tolerance", [
    ({"steps_per_execution": 3}, 1e-5), ({"fused_batch_norm": False}, 1e-4), ({"workers": 1}, 0),
    ({"checkpoint_steps": 1}, 0),
])  # fmt: skip
def test_options_that_change_the_speed_alone(tmp_path, plain, change, tolerance):
    net, _ = run(tmp_path, epochs=1, validation=0, **change)
    for a, b in zip(net.get_weights(), plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_averaged_weights_are_the_moving_average_of_every_step():
    options = TrainingOptions(ema=0.5, warmup=0.0, schedule="constant", learning_rate=0.1)
    net = tiny_net(options)
    clips = np.random.default_rng(0).integers(0, 256, (4, 4, 24, 24, 3), np.uint8)
    kernel, average = net.get_layer("fc8").kernel, None
    with twin_of(net, options, SAMPLING_OF_TINY) as twin:
        compile_by_recipe(twin, options, 3)
        for _ in range(3):
            twin.train_on_batch(clips, np.zeros(4, np.int32))
            value = kernel.numpy()
            average = value if average is None else 0.5 * average + 0.5 * value
        with scored_weights(twin):
            np.testing.assert_allclose(kernel.numpy(), average, atol=1e-6)
        assert np.array_equal(kernel.numpy(), value)


def test_tensorboard_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"keras-res3d\[tensorboard\]"):
        run(tmp_path, tensorboard=True)
