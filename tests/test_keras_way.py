"""What a Keras user writes first: a backbone, a head, stock `compile` and `fit`; its result needs no keras_res3d."""

import csv
import os
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_res3d
from keras_res3d.data.batches import video_batches
from tests.training.runs import Few

SAMPLING = keras_res3d.Sampling(frames=4, stride=2, resize=(36, 36), crop=(32, 32))
NARROW = replace(keras_res3d.ZOO["d10"], width=4)

# A process in which the package cannot be imported, wherever it is installed.
STRANGER = """
import sys
sys.modules["keras_res3d"] = None
try:
    import keras_res3d
except ImportError:
    pass
else:
    sys.exit("this package can be imported here")
import keras, numpy
model = keras.models.load_model(sys.argv[1])
assert not [name for name in sys.modules if name.startswith("keras_res3d.")]
numpy.save(sys.argv[3], model.predict(numpy.load(sys.argv[2]), verbose=0))
"""


class Recorded(Few):
    """Videos whose frame numbers are written down as they are read."""

    def __init__(self, split, count):
        super().__init__(split, count)
        self.read = []
        self._open = self.open
        self.open = self._watched

    def _watched(self, number, *args, **kwargs):
        video = self._open(number, *args, **kwargs)
        clips = video.clips

        def recording(places, *more, **named):
            places = [np.asarray(place) for place in places]
            self.read.append((number, *(tuple(place) for place in places)))
            return clips(places, *more, **named)

        video.clips = recording
        return video


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras")
    keras.utils.set_random_seed(0)
    features = keras_res3d.build_model(NARROW, include_top=False, pooling="avg", input_shape=(4, 32, 32, 3))
    model = keras.Model(features.input, keras.layers.Dense(8, activation="softmax")(features.output))
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    data, held_out = Few("train", 33), Few("test", 13)
    callbacks = [
        keras.callbacks.CSVLogger(folder / "log.csv"),
        keras.callbacks.EarlyStopping("val_loss", patience=5),
        keras.callbacks.ModelCheckpoint(folder / "best.keras", save_best_only=True),
        keras.callbacks.ReduceLROnPlateau("val_loss"),
    ]
    history = model.fit(
        keras_res3d.training_batches(data, SAMPLING, 8),
        validation_data=keras_res3d.evaluation_batches(held_out, SAMPLING, 5, clips=1),
        epochs=2,
        callbacks=callbacks,
        verbose=0,
    )
    return folder, model, history.history, held_out


def by_hand(model, held_out, clips):
    """Mean cross-entropy and accuracy of all clips, from the clips themselves."""
    losses, right = [], []
    for pixels, labels, _ in video_batches(held_out, SAMPLING, 1, clips):
        scores = keras.ops.convert_to_numpy(model(pixels, training=False))[0].astype("float64")
        losses.append(-np.log(scores[labels[0]]))
        right.append(scores.argmax() == labels[0])
    return np.mean(losses), np.mean(right)


def test_validation_data_and_evaluate_give_the_right_figures(trained):
    folder, model, history, held_out = trained
    assert {len(values) for values in history.values()} == {2}
    loss, accuracy = by_hand(model, held_out, 1)
    assert history["val_loss"][-1] == pytest.approx(loss, rel=1e-4)
    assert history["val_accuracy"][-1] == pytest.approx(accuracy)
    loss, accuracy = by_hand(model, held_out, 3)
    batches = keras_res3d.evaluation_batches(held_out, SAMPLING, 5, clips=3)
    found = model.evaluate(batches, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(loss, rel=1e-4) and found["accuracy"] == pytest.approx(accuracy)
    scores = keras_res3d.evaluate(model, held_out, SAMPLING, clips=3)
    assert scores.clip_at_1 == pytest.approx(accuracy)
    np.testing.assert_allclose(model.predict(batches, verbose=0), scores.probabilities, atol=1e-5)
    assert len(list(csv.DictReader((folder / "log.csv").read_text().splitlines()))) == 2
    assert (folder / "best.keras").exists()


def test_a_process_without_this_package_loads_what_was_saved(trained):
    folder, model, _, held_out = trained
    labels = held_out.classes
    keras_res3d.save_model(model, folder / "own.keras", labels=labels, sampling=SAMPLING)
    clips = next(iter(keras_res3d.evaluation_batches(held_out, SAMPLING, 5, clips=1)))[0].numpy()
    np.save(folder / "clips.npy", clips)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", STRANGER, folder / "own.keras", folder / "clips.npy", folder / "scores.npy"]
    done = subprocess.run(
        list(map(str, command)), cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(np.load(folder / "scores.npy"), model.predict(clips, verbose=0), atol=1e-5)


def test_it_exports(trained):
    folder, model, _, held_out = trained
    card = keras_res3d.save_model(model, folder / "mine.keras", labels=held_out.classes, sampling=SAMPLING)
    keras_res3d.export_model(model, folder / "export", card=card)
    pixels = next(iter(keras_res3d.evaluation_batches(held_out, SAMPLING, 3, clips=1, preprocess=False)))[0].numpy()
    expected = model.predict(keras_res3d.preprocess_input(pixels), verbose=0)
    found = keras_res3d.load_runner(folder / "export")(pixels)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def _noted(clips, seen):
    """The same clips, each one's sum noted as it goes by."""

    def note(values):
        seen.extend(values.sum(axis=(1, 2, 3, 4), dtype="float64").tolist())
        return values

    return tf.ensure_shape(tf.numpy_function(note, [clips], tf.float32), clips.shape)


def test_epochs_of_fit_are_that_many_passes_over_other_crops():
    data = Recorded("train", 9)
    batches = keras_res3d.training_batches(data, SAMPLING, 3, workers=1)
    assert len(batches) == 3
    inputs = keras.Input((4, 32, 32, 3))
    model = keras.Model(inputs, keras.layers.Dense(8)(keras.layers.GlobalAveragePooling3D()(inputs)))
    seen = []

    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(batches.map(lambda clips, labels: (_noted(clips, seen), labels)), epochs=3, verbose=0)
    assert len(data.read) == 27 == 3 * 9
    epochs = [data.read[9 * epoch :][:9] for epoch in range(3)]
    assert all(sorted(number for number, _ in epoch) == list(range(9)) for epoch in epochs)
    orders = [[number for number, _ in epoch] for epoch in epochs]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert len(seen) == 27 and len(set(seen)) > 24
