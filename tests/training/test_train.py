"""`train` with a user's callbacks, metrics and weights of the loss; a full disk; what is said before the start."""

import csv
import errno
import io
import os
import re
import shutil

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d.commands.main import main
from keras_res3d.reports.plots import learning_curves
from keras_res3d.training import checkpoint
from keras_res3d.training.folder import WIDTH, Bar, bar_line, state_of
from keras_res3d.training.stream import recipe_stream
from tests.training.runs import SAMPLING, Few, run, tiny_net

CONSTANT = {"schedule": "constant", "warmup": 0.0}


def test_keras_own_callbacks_and_the_users_metrics(tmp_path):
    options = keras_res3d.TrainingOptions(epochs=6, batch_size=8, learning_rate=1e-6, **CONSTANT)
    net = tiny_net(options)
    net.compile(metrics=[keras.metrics.SparseTopKCategoricalAccuracy(3, name="top3")])
    callbacks = [
        keras.callbacks.ReduceLROnPlateau("val_loss", patience=1, factor=0.1, min_delta=10.0),
        keras.callbacks.CSVLogger(tmp_path / "own.csv"),
        keras.callbacks.ModelCheckpoint(tmp_path / "at-{epoch}.keras", monitor="val_video@1", mode="max"),
        keras.callbacks.EarlyStopping("val_loss", patience=3, min_delta=10.0),
    ]
    history = keras_res3d.train(
        net, Few("train", 16), SAMPLING, tmp_path / "run", options, Few("test", 8), callbacks=callbacks
    )
    assert set(history) == {"loss", "clip@1", "top3", "val_loss", "val_video@1"}
    assert len(history["loss"]) == 4 < options.epochs
    rows = list(csv.DictReader((tmp_path / "own.csv").read_text().splitlines()))
    for name, values in history.items():
        assert [float(row[name]) for row in rows] == pytest.approx(values), name
    assert {"clips_per_second", "data_wait"} <= set(rows[0])
    log = list(csv.DictReader((tmp_path / "run" / "log.csv").read_text().splitlines()))
    rates = [float(row["learning_rate"]) for row in log]
    assert rates[0] == pytest.approx(1e-6) and rates[-1] == pytest.approx(1e-9, rel=1e-3)
    saved = keras.models.load_model(tmp_path / "at-4.keras")
    assert type(saved).__module__.startswith("keras.") and "Preprocess" not in str(saved.get_config())
    assert all(np.array_equal(a, b) for a, b in zip(saved.get_weights(), net.get_weights(), strict=True))


def test_a_learning_rate_is_set_in_one_place(tmp_path):
    with pytest.raises(ValueError, match="ReduceLROnPlateau sets the learning rate"):
        run(tmp_path, callbacks=[keras.callbacks.ReduceLROnPlateau("loss")])


def _first_loss(folder, **weights):
    """The loss of the first step, as `train` reports it and by hand; one batch is the whole data set."""
    options = keras_res3d.TrainingOptions(epochs=1, batch_size=16, **CONSTANT)
    net, data = tiny_net(options), Few("train", 16)
    clips, labels = next(iter(recipe_stream(data, SAMPLING, options)))[:2]
    # Batch norm over the batch, as in training.
    normed = net.predict_on_batch(clips)
    scores = keras.ops.convert_to_numpy(net(clips, training=True))
    assert not np.allclose(scores, normed)
    net = tiny_net(options)
    history = keras_res3d.train(net, data, SAMPLING, folder, options, **weights)
    return history["loss"][0], -np.log(scores[np.arange(16), labels]), labels.numpy()


def test_class_weights_count_in_the_loss(tmp_path):
    loss, losses, labels = _first_loss(tmp_path, class_weight={0: 3.0, 2: 0.5})
    factors = np.where(labels == 0, 3.0, np.where(labels == 2, 0.5, 1.0))
    assert loss == pytest.approx((factors * losses).mean(), rel=1e-4) != pytest.approx(losses.mean(), rel=1e-3)


def test_balanced_classes_count_alike(tmp_path):
    class Uneven(Few):
        def __init__(self):
            whole = Few("train", 200)
            counts = dict.fromkeys(range(8), 1) | {0: 9}
            picked = []
            for number, example in enumerate(whole.examples):
                if counts[example.label]:
                    counts[example.label] -= 1
                    picked.append(number)
            super().__init__("train", 200)
            self._picked, self.examples = picked, [whole.examples[number] for number in picked]
            self._open = self.open
            self.open = lambda i, *args, **kwargs: self._open(picked[i], *args, **kwargs)

    data = Uneven()
    assert len(data) == 16
    options = keras_res3d.TrainingOptions(epochs=1, batch_size=16, **CONSTANT)
    clips, labels = next(iter(recipe_stream(data, SAMPLING, options)))[:2]
    scores = keras.ops.convert_to_numpy(tiny_net(options)(clips, training=True))
    losses = -np.log(scores[np.arange(16), labels])
    factors = np.where(labels.numpy() == 0, 16 / (8 * 9), 16 / 8)
    assert sum(factors[labels.numpy() == 0]) == pytest.approx(2) == pytest.approx(sum(factors[labels.numpy() == 1]))
    history = keras_res3d.train(tiny_net(options), data, SAMPLING, tmp_path, options, class_weight="balanced")
    assert history["loss"][0] == pytest.approx((factors * losses).mean(), rel=1e-4)


def test_sample_weights_count_in_the_loss_and_meet_class_weights(tmp_path):
    own = np.linspace(0, 2, 16)
    data = Few("train", 16)
    options = keras_res3d.TrainingOptions(epochs=1, batch_size=16, **CONSTANT)
    order = next(iter(recipe_stream(data, SAMPLING, options, sample_weight=own)))[2].numpy()
    assert not np.array_equal(order, own) and np.allclose(np.sort(order), own)
    loss, losses, labels = _first_loss(tmp_path / "a", sample_weight=own)
    assert loss == pytest.approx((order * losses).mean(), rel=1e-4)
    loss, losses, labels = _first_loss(tmp_path / "b", sample_weight=own, class_weight={1: 4.0})
    assert loss == pytest.approx((order * np.where(labels == 1, 4.0, 1.0) * losses).mean(), rel=1e-4)


@pytest.mark.parametrize("weights, says", [
    ({"class_weight": {8: 2.0}}, "0 to 7"), ({"class_weight": "even"}, "balanced"),
    ({"class_weight": {0: -1.0}}, "below 0"), ({"sample_weight": [1.0, 2.0]}, r"each of the 16 videos"),
    ({"class_weight": "balanced"}, "no video"),
])  # fmt: skip
def test_wrong_weights_are_refused(tmp_path, weights, says):
    data, options = Few("train", 16), keras_res3d.TrainingOptions(epochs=1)
    if weights == {"class_weight": "balanced"}:
        data = Few("train", 16)
        data.examples = [example for example in data.examples if example.label] or data.examples
    with pytest.raises(ValueError, match=says):
        keras_res3d.train(tiny_net(options), data, SAMPLING, tmp_path, options, **weights)
    assert not os.listdir(tmp_path)


def test_other_weights_are_another_run(tmp_path):
    def interrupted(step):
        def begin(batch, logs=None):
            if batch == step:
                raise KeyboardInterrupt

        return keras.callbacks.LambdaCallback(on_train_batch_begin=begin)

    options = keras_res3d.TrainingOptions(epochs=1, batch_size=8, checkpoint_steps=1)
    data = Few("train", 24)
    with pytest.raises(KeyboardInterrupt):
        keras_res3d.train(
            tiny_net(options), data, SAMPLING, tmp_path, options, class_weight={0: 2.0}, callbacks=[interrupted(2)]
        )
    with pytest.raises(ValueError, match=r"weights: .* before, .* now"):
        keras_res3d.train(tiny_net(options), data, SAMPLING, tmp_path, options, resume=True, class_weight={0: 3.0})


FLAGS = ["train", "--data", "motion", "--net", "d10", "--width", "2", "--crop", "16", "--iterations", "3",
         "--batch_size", "8", "--clips_per_video", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The weights of the command's run, undisturbed."""
    output = tmp_path_factory.mktemp("alone")
    assert main([*FLAGS, "--output", str(output / "run")]) == 0
    return keras.models.load_model(output / "run" / "model.keras").get_weights()


@pytest.mark.slow
@pytest.mark.parametrize(
    "full",
    [
        "checkpoint.npz",
        "model.keras",
        pytest.param("model.json", marks=pytest.mark.slow),
        pytest.param("log.csv", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_then_space_again_the_same_command_goes_on(tmp_path, monkeypatch, capsys, alone, full):
    """Whatever file the disk has no room for, at its first write."""
    output = tmp_path / "run"
    flags = [*FLAGS, "--checkpoint_steps", "1", "--output", str(output)]
    replace = os.replace

    def no_room(source, target):
        if os.path.basename(target) == full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", no_room)
        assert main(flags) == 1
    assert re.search(rf"No space left on device.*{re.escape(str(output / full))}", capsys.readouterr().err)
    assert state_of(output) in ("unfinished", "nothing")
    left = os.listdir(output) if output.exists() else []  # a folder that nothing was written into goes as well
    assert not [name for name in left if name.startswith(".") and not name.endswith(".lock")]
    assert main(flags) == 0
    assert state_of(output) == "finished" and not (output / checkpoint.FILE).exists()
    found = keras.models.load_model(output / "model.keras").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(found, alone, strict=True))


def _failing_at(patched, number):
    """From that write on the disk is full; returns the names of what was written."""
    replace, written = os.replace, []

    def counted(source, target):
        if len(written) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(os.path.basename(target))
        return replace(source, target)

    patched.setattr(os, "replace", counted)
    return written


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_write_costs_nothing(tmp_path, monkeypatch, capsys, alone):
    flags = [*FLAGS, "--checkpoint_steps", "1", "--validation", "motion/test", "--output"]
    written = []
    for number in range(100):
        output = str(tmp_path / str(number))
        with monkeypatch.context() as patched:
            written.append(_failing_at(patched, number))
            code = main([*flags, output])
        if code == 0:
            break
        assert "No space left on device" in capsys.readouterr().err
        assert main([*flags, output]) == 0, written[-1]
        said = capsys.readouterr().out
        assert ("wrote " in said) != ("nothing was trained" in said)
        assert (tmp_path / str(number) / "curves.png").exists() and not list((tmp_path / str(number)).glob(".*"))
        found = keras.models.load_model(os.path.join(output, "model.keras")).get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(found, alone, strict=True)), written[-1]
    assert number > 8 and written[-1][-3:] == ["model.keras", "model.json", "curves.png"]


def test_killed_before_the_curves_the_same_command_draws_them(tmp_path, monkeypatch, capsys):
    flags = [*FLAGS, "--iterations", "1", "--checkpoint_steps", "1", "--output", str(tmp_path)]

    def killed(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "remove", lambda folder: None if state_of(folder) == "nothing" else killed(folder))
        assert main(flags) == 130
    checkpoint.save(tmp_path, [np.zeros(3)], {})
    assert state_of(tmp_path) == "finished" and not (tmp_path / "curves.png").exists()
    model = (tmp_path / "model.keras").read_bytes()
    assert main([*flags, "--seed", "3"]) == 1
    assert "holds a finished run" in capsys.readouterr().err
    assert main(flags) == 0
    assert "was finished but for curves.png, which is drawn now; nothing was trained" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path)) == ["curves.png", "log.csv", "model.json", "model.keras"]
    assert (tmp_path / "model.keras").read_bytes() == model
    assert main(flags) == 1
    assert "holds a finished run" in capsys.readouterr().err


def test_finished_is_what_the_runs_own_record_says(tmp_path):
    """A run that starts again over a finished one and is killed is unfinished, whatever lies there."""
    assert state_of(tmp_path) == "nothing"
    run(tmp_path, epochs=1)
    assert state_of(tmp_path) == "finished"
    before = (tmp_path / "model.keras").read_bytes()

    def kill(batch, logs=None):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, epochs=1, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_begin=kill)])
    assert state_of(tmp_path) == "unfinished" and (tmp_path / "model.keras").read_bytes() == before
    run(tmp_path, epochs=1, resume=True)
    assert state_of(tmp_path) == "finished"
    (tmp_path / "model.json").write_text("{")
    assert state_of(tmp_path) == "foreign"
    (tmp_path / "model.json").unlink()
    keras.models.load_model(tmp_path / "model.keras").save(tmp_path / "model.keras")  # Keras leaves the card out
    assert state_of(tmp_path) == "foreign"


def test_one_class_is_refused(tmp_path):
    data = Few("train", 8)
    data.classes = data.classes[:1]
    with pytest.raises(ValueError, match="one class"):
        keras_res3d.train(tiny_net(keras_res3d.TrainingOptions()), data, SAMPLING, tmp_path)


def _listed(folder, name, videos, make_video):
    lines = []
    for video, label in videos:
        path = folder / video
        if not path.exists():
            rng = np.random.default_rng(len(video))
            make_video(path, rng.integers(0, 256, (12, 32, 32, 3), np.uint8))
        lines.append(f"{path},{label}\n")
    (folder / name).write_text("path,label\n" + "".join(lines))
    return folder / name


def test_videos_of_both_lists_are_said_before_the_start(tmp_path, make_video):
    both = _listed(tmp_path, "train.csv", [("a.avi", "x"), ("b.avi", "y")], make_video)
    data = keras_res3d.read_data_set(both)
    options = keras_res3d.TrainingOptions(epochs=1, batch_size=2)
    inputs = keras.Input((4, 24, 24, 3))
    net = keras.Model(inputs, keras.layers.Dense(2, "softmax")(keras.layers.GlobalAveragePooling3D()(inputs)))
    with pytest.warns(UserWarning, match="a.avi is in both lists"):
        keras_res3d.train(net, data, SAMPLING, tmp_path / "run", options, data)


def test_the_command_says_it_too(tmp_path, make_video, capsys):
    path = _listed(tmp_path, "list.csv", [("a.avi", "x"), ("b.avi", "y")], make_video)
    flags = ["train", "--data", str(path), "--validation", str(path), "--net", "d10", "--width", "2", "--crop", "16",
             "--iterations", "1", "--output", str(tmp_path / "run")]  # fmt: skip
    assert main(flags) == 0
    assert "a.avi is in both lists" in capsys.readouterr().err


class Terminal(io.StringIO):
    """Standard output as a terminal of some columns."""

    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [80, 120, 50])
def test_the_bar_fits_the_terminal(tmp_path, monkeypatch, columns):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_: os.terminal_size((columns, 24)))
    bar = Bar()
    bar.set_params({"steps": 1_000_000, "epochs": 1})
    bar.on_epoch_begin(0)
    logs = {"loss": 123.456789, "clip@1": 0.5, "clips_per_second": 1234.5, "data_wait": 0.999, "own_metric": 3.0}
    for batch in range(3):
        bar.on_train_batch_end(batch, logs)
    bar.on_epoch_end(0)
    lines = [line for line in re.split(r"[\r\n]", terminal.getvalue()) if line]
    assert len(lines) == 4 and max(map(len, lines)) == min(columns - 1, WIDTH)
    assert "3/1000000" in lines[-2]


def test_the_bar_in_full_fits_80_columns():
    logs = {"loss": 2.345678, "clip@1": 0.25, "clips_per_second": 21.34, "data_wait": 0.041}
    line = bar_line(12, 238, 65.4, logs)
    assert line.split("] ")[1] == "1:05 left, 21.3 clips/s, 4% wait, loss 2.346, clip@1 0.250"
    assert len(bar_line(238, 238, 0, logs)) <= 79 and len(bar_line(4567, 9999, 3599, logs)) <= 79


def test_learning_curves_of_a_run(tmp_path):
    _, history = run(tmp_path, validation_clips=2)
    panels = learning_curves({"run": history}).axes
    drawn = {panel.get_title(): [line.get_label() for line in panel.lines] for panel in panels}
    assert drawn["loss"] == ["run, training", "run, validation"]
    assert drawn["accuracy"] == ["run, training clips", "run, validation clips", "run, validation videos"]
    columns = next(csv.reader((tmp_path / "log.csv").read_text().splitlines()))
    assert len(columns) == len(set(columns))
