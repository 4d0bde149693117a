"""The training run: what is decayed, what is saved, what stops it."""

import csv
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d.cards import read_card
from keras_res3d.nets.zoo import ZOO
from keras_res3d.training import fit
from keras_res3d.training.fit import TrainingOptions, batch_norm_momentum, logits_of, prepare_net, train
from keras_res3d.video.clips import Sampling
from keras_res3d.video.motion import motion_data_set

NARROW = replace(ZOO["d10"], width=4)
SAMPLING = Sampling(frames=4, stride=2, resize=(32, 32), crop=(32, 32))


class Few:
    """The first videos of the embedded data set."""

    def __init__(self, split, count):
        whole = motion_data_set(split)
        self.examples, self.classes, self.name = whole.examples[:count], whole.classes, whole.name
        self.open, self.mirror_safe = whole.open, whole.mirror_safe

    def __len__(self):
        return len(self.examples)


def test_moving_statistics_follow_short_runs():
    assert batch_norm_momentum(0.999, 10**6) == 0.999
    assert batch_norm_momentum(0.999, 100) == pytest.approx(0.9)
    assert batch_norm_momentum(0.999, 3) == 0.5
    assert batch_norm_momentum(None, 100) is None


def test_decay_adds_w_to_the_gradient_of_kernels_alone():
    model = keras_res3d.build_model(NARROW, input_shape=(4, 32, 32, 3))
    fit.decay_kernels(model, 0.1)
    decayed = {v.path for v in model.trainable_variables if v.regularizer is not None}
    assert decayed == {v.path for v in model.trainable_variables if v.path.endswith("kernel")}
    kernel = model.get_layer("conv1").kernel
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = kernel.regularizer(kernel)
    assert np.allclose(tape.gradient(loss, kernel.value), 0.1 * kernel.numpy())


def test_logits_share_weights_and_precede_softmax():
    model = keras_res3d.build_model(NARROW, input_shape=(4, 32, 32, 3))
    clip = np.random.default_rng(0).normal(size=(2, 4, 32, 32, 3)).astype("float32")
    assert np.allclose(keras.ops.softmax(logits_of(model)(clip)), model(clip), atol=1e-6)
    assert logits_of(model).get_layer("conv1") is model.get_layer("conv1")


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
    assert set(history) == {"loss", "clip@1", "val_clip@1", "val_video@1"}
    card = read_card(tmp_path / "a" / "model.keras")
    assert card.labels == motion_data_set("train").classes and card.sampling == SAMPLING
    assert card.training["epochs_done"] == 2 and card.training["batch_size"] == 8
    loaded = keras.models.load_model(tmp_path / "a" / "model.keras")
    assert all(np.array_equal(a, b) for a, b in zip(loaded.get_weights(), first.get_weights(), strict=True))
    assert read_card(tmp_path / "a" / "best.keras").training["val_video@1"] == max(history["val_video@1"])


def test_seeds_give_other_weights():
    nets = [prepare_net(NARROW, SAMPLING, 8, TrainingOptions(seed=seed), 32) for seed in (0, 0, 1)]
    kernels = [net.get_layer("conv1").kernel.numpy() for net in nets]
    assert np.array_equal(kernels[0], kernels[1]) and not np.array_equal(kernels[0], kernels[2])


def test_nan_stops_the_run_and_leaves_nothing_bad(tmp_path):
    with pytest.raises(RuntimeError, match="NaN"):
        _run(tmp_path, "nan", learning_rate=1e30, epochs=6)
    saved = tmp_path / "nan" / "model.keras"
    assert not saved.exists() or all(np.isfinite(w).all() for w in keras.models.load_model(saved).get_weights())


def test_classes_must_agree(tmp_path):
    data = Few("train", 8)
    net = keras_res3d.build_model(NARROW, input_shape=(4, 32, 32, 3), classes=7)
    with pytest.raises(ValueError, match="7 outputs"):
        train(net, data, SAMPLING, tmp_path)


@pytest.mark.parametrize("change", [{"epochs": 0}, {"learning_rate": 0.0}, {"weight_decay": 2.0}, {"batch_size": 0}])
def test_options_are_checked(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        TrainingOptions(**change)
