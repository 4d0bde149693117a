"""Each callback alone, on a user's own model with Keras' own `compile` and `fit`."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_res3d
from keras_res3d.data.batches import training_stream
from keras_res3d.data.clips import even_clips
from keras_res3d.training import callbacks, steps
from keras_res3d.training.validate import Predictor
from tests.training.runs import SAMPLING, Few

STEPS = 5


def own_model(activation="softmax", dropout=0.3, optimizer=None, metrics=("accuracy",)):
    """A user's net with batch norm and dropout, compiled by Keras' own means."""
    clip = x = keras.Input((4, 24, 24, 3))
    x = keras.layers.Rescaling(1 / 64)(x)
    x = keras.layers.Conv3D(4, 3, strides=(1, 2, 2))(x)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling3D()(x)
    x = keras.layers.Dropout(dropout)(x)
    model = keras.Model(clip, keras.layers.Dense(8, activation=activation)(x), name="own")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=activation is None)
    model.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), loss, metrics=list(metrics))
    return model


class Kill(keras.callbacks.Callback):
    """An error before the batch of a step, counted from 0."""

    def __init__(self, step):
        super().__init__()
        self.left = math.inf if step is None else step

    def on_train_batch_begin(self, batch, logs=None):
        if self.left <= 0:
            raise InterruptedError
        self.left -= self.model.steps_per_execution


def fit_resumable(folder, kill=None, start=0, metrics=("accuracy",), optimizer=None):
    """What a user writes around `ResumeExactly`, with everything made anew; returns the model and its history."""
    keras.utils.set_random_seed(start)
    model = own_model(optimizer=(optimizer or keras.optimizers.AdamW)(0.02), metrics=metrics)
    early = keras.callbacks.EarlyStopping("loss", patience=3, restore_best_weights=True)
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=1, factor=0.5, min_delta=0.5)
    resume = keras_res3d.ResumeExactly(folder, every_steps=2, callbacks=[early, plateau])
    data = Few("train", 8 * STEPS)
    stream = training_stream(data, SAMPLING, 8, start_step=resume.start_step)
    history = model.fit(
        stream, epochs=3, steps_per_epoch=STEPS, callbacks=[resume, early, plateau, Kill(kill)], verbose=0
    )
    return model, history.history, resume


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    model, history, _ = fit_resumable(tmp_path_factory.mktemp("undisturbed"))
    return model, history


@pytest.mark.parametrize("kill", [3, 5, 9, 14])
def test_resume_exactly_on_a_users_model(tmp_path, undisturbed, kill):
    with pytest.raises(InterruptedError):
        fit_resumable(tmp_path, kill)
    assert (tmp_path / "checkpoint.npz").exists()
    # Other first weights and another seed: all must come from the checkpoint.
    model, history, resume = fit_resumable(tmp_path, start=99)
    assert kill - 2 <= resume.start_step <= kill and resume.start_step > 0
    expected, expected_history = undisturbed
    assert history == expected_history and len(history["accuracy"]) == 3
    assert history["learning_rate"][0] > history["learning_rate"][-1]
    pairs = zip(model.get_weights(), expected.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    slots = zip(model.optimizer.variables, expected.optimizer.variables, strict=True)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in slots)
    assert not list(tmp_path.glob("*checkpoint*"))


def test_another_model_is_refused_as_it_resumes(tmp_path):
    with pytest.raises(InterruptedError):
        fit_resumable(tmp_path, 4)
    with pytest.raises(ValueError, match="checkpoint holds"):
        fit_resumable(tmp_path, optimizer=keras.optimizers.SGD)


def test_resume_exactly_says_what_it_needs(tmp_path):
    batches = keras_res3d.training_batches(Few("train", 8), SAMPLING, 4)
    with pytest.raises(ValueError, match="steps_per_epoch"):
        own_model().fit(batches, epochs=2, callbacks=[keras_res3d.ResumeExactly(tmp_path)], verbose=0)
    with pytest.raises(ValueError, match="every_steps"):
        keras_res3d.ResumeExactly(tmp_path, every_steps=-1)


@pytest.mark.parametrize("clips, activation", [(1, "softmax"), (3, None)])
def test_validate_videos_gives_the_scores_of_evaluate(clips, activation):
    keras.utils.set_random_seed(0)
    metrics = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(3, name="top3")]
    model, held_out = own_model(activation, metrics=metrics), Few("test", 7)
    validate = keras_res3d.ValidateVideos(held_out, SAMPLING, clips, batch_size=4)
    seen = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: monitored.append(dict(logs)))
    monitored = []
    batches = keras_res3d.training_batches(Few("train", 16), SAMPLING, 8)
    history = model.fit(batches, epochs=2, callbacks=[validate, seen], verbose=0).history
    scores = keras_res3d.evaluate(model, held_out, SAMPLING, clips)
    with_softmax = scores.probabilities
    if activation is None:
        with_softmax = keras.ops.convert_to_numpy(keras.ops.softmax(scores.probabilities))
    losses = -np.log(with_softmax[np.arange(len(scores.videos)), scores.truth[scores.videos]])
    assert history["val_loss"][-1] == pytest.approx(losses.mean(), rel=1e-5)
    shares = np.stack([with_softmax[scores.videos == video].mean(axis=0) for video in range(7)])
    assert history["val_video@1"][-1] == pytest.approx((shares.argmax(axis=1) == scores.truth).mean())
    if clips > 1:
        right = with_softmax.argmax(axis=1) == scores.truth[scores.videos]
        assert history["val_clip@1"][-1] == pytest.approx(right.mean())
    assert ("val_clip@1" in history) == (clips > 1)
    # What the user compiled is there as well, and callbacks that stand later see the scores.
    assert {"loss", "accuracy", "top3"} <= set(history)
    assert monitored[-1]["val_video@1"] == history["val_video@1"][-1]


def test_validate_videos_counts_each_clip_once(monkeypatch):
    counted = []
    call = Predictor.__call__

    def counting(self, clips, labels):
        counted.append(len(clips))
        return call(self, clips, labels)

    monkeypatch.setattr(Predictor, "__call__", counting)
    held_out = Few("test", 7)
    validate = keras_res3d.ValidateVideos(held_out, SAMPLING, 3, batch_size=4)
    batches = keras_res3d.training_batches(Few("train", 8), SAMPLING, 8)
    own_model().fit(batches, callbacks=[validate], verbose=0)
    expected = 0
    for number in range(7):
        with held_out.open(number) as video:
            expected += len(even_clips(video.num_frames, SAMPLING.frames, SAMPLING.stride, 3))
    assert sum(counted) == expected > 7 and max(counted) == 4


def test_averaged_weights_are_scored_and_put_back():
    keras.utils.set_random_seed(0)
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9)
    model, held_out = own_model(optimizer=optimizer), Few("test", 8)
    validate = keras_res3d.ValidateVideos(held_out, SAMPLING)
    before, after = [], []
    watch = [
        keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: before.append(model.get_weights())),
        validate,
        keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: after.append(model.get_weights())),
    ]
    history = model.fit(keras_res3d.training_batches(Few("train", 16), SAMPLING, 8), callbacks=watch, verbose=0).history
    assert all(np.array_equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    # Keras puts the averaged weights into the model when training ends.
    assert not all(np.array_equal(a, b) for a, b in zip(model.get_weights(), after[0], strict=True))
    assert history["val_loss"][0] == pytest.approx(validate.scores()["val_loss"], rel=1e-6)


def few_batches(batches=4):
    rng = np.random.default_rng(0)
    clips = rng.normal(size=(8 * batches, 4, 24, 24, 3)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((clips, np.tile(np.arange(8), batches))).batch(8)


class Clock(keras.callbacks.Callback):
    """Stands in for `time`: 3 seconds go by while a batch is taken, one while the net computes, and no others."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.seconds = 0.0
        for module in (steps, callbacks):
            monkeypatch.setattr(module, "time", self)
        monkeypatch.setattr(steps, "next", lambda iterator: self.after(3, next, iterator), raising=False)

    def perf_counter(self):
        return self.seconds

    def after(self, seconds, function, *given):
        self.seconds += seconds
        return function(*given)

    def on_train_begin(self, logs=None):
        compute = self.model.train_function
        self.model.train_function = lambda batches: self.after(1, compute, batches)


def test_speed_is_in_the_logs_of_keras(tmp_path, monkeypatch):
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    clock = Clock(monkeypatch)
    history = own_model().fit(few_batches(), epochs=2, callbacks=[clock, keras_res3d.Speed(), log], verbose=0).history
    assert history["clips_per_second"] == pytest.approx([8 / 4, 8 / 4])
    assert history["data_wait"] == pytest.approx([3 / 4, 3 / 4])
    assert "clips_per_second" in (tmp_path / "log.csv").read_text().splitlines()[0]


def poisoned(step):
    """Batches without an end, of which one has NaN in it."""
    rng = np.random.default_rng(0)
    clips = rng.normal(size=(8, 8, 4, 24, 24, 3)).astype("float32")
    clips[step % 8] = np.nan
    labels = np.tile(np.arange(8), (8, 1))
    return tf.data.Dataset.from_tensor_slices((clips, labels))


@pytest.mark.parametrize("together, says", [(1, "at step 6 of 8"), (2, "by step 6 of 8")])
def test_nan_is_named_and_never_saved(tmp_path, together, says):
    model = own_model()
    model.fit(few_batches(), callbacks=[keras_res3d.StopOnNaN()], verbose=0)  # whose steps do not count
    model.steps_per_execution = together
    keeping = [
        keras.callbacks.ModelCheckpoint(tmp_path / "each.keras", save_freq=1),
        keras.callbacks.ModelCheckpoint(tmp_path / "epoch.keras"),
    ]
    guard = keras_res3d.StopOnNaN()
    with pytest.raises(RuntimeError, match=says):
        model.fit(poisoned(5), epochs=2, steps_per_epoch=4, callbacks=[guard, *keeping], verbose=0)
    for name in ("each", "epoch"):
        weights = keras.models.load_model(tmp_path / f"{name}.keras").get_weights()
        assert all(np.isfinite(value).all() for value in weights)


def test_weights_that_an_update_damaged_are_not_saved(tmp_path):
    model = own_model(optimizer=keras.optimizers.SGD(1e38))
    keep = keras.callbacks.ModelCheckpoint(tmp_path / "epoch.keras")
    data = few_batches(1)
    with pytest.raises(RuntimeError, match="NaN or infinite"):
        model.fit(data, epochs=6, callbacks=[keras_res3d.StopOnNaN(), keep], verbose=0)
    if (tmp_path / "epoch.keras").exists():
        kept = keras.models.load_model(tmp_path / "epoch.keras").get_weights()
        assert all(np.isfinite(value).all() for value in kept)


def test_all_of_them_together_and_twice(tmp_path):
    """The same model goes through a second `fit` with the same callbacks."""
    model, data = own_model(), Few("train", 16)
    validate = keras_res3d.ValidateVideos(Few("test", 4), SAMPLING)
    callbacks = [keras_res3d.StopOnNaN(), keras_res3d.Speed(), validate]
    for _ in range(2):
        resume = keras_res3d.ResumeExactly(tmp_path)
        stream = training_stream(data, SAMPLING, 8)
        history = model.fit(stream, epochs=2, steps_per_epoch=2, callbacks=[resume, *callbacks], verbose=0).history
        assert {"loss", "accuracy", "clips_per_second", "data_wait", "val_loss", "val_video@1"} <= set(history)
        assert all(len(values) == 2 for values in history.values())
