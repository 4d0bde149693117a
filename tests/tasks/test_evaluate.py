"""`evaluate` of whatever is a model, on whatever is a data set; and what it says of videos that were trained on."""

import dataclasses
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d import evaluate, load_model, load_runner, predict_video, read_card, save_model
from keras_res3d.cards import card_of
from keras_res3d.data.open import read_data_set
from keras_res3d.data.seen import sketch_of
from keras_res3d.data.types import VideoError
from keras_res3d.weights.contamination import ContaminatedError

from ..users_models import MODELS, SAMPLING, foreign, transfer

STOCK_KERAS = """
import json, sys
import numpy as np
sys.modules["keras_res3d"] = None  # an import of it would raise
import keras
model = keras.models.load_model(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
print(json.load(open(sys.argv[1].replace(".keras", ".json")))["labels"])
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory, make_video):
    """A folder of class folders: two dark, two bright and two grey videos of 12 frames."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for label, level in (("a dark", 40), ("b bright", 210), ("c grey", 120)):
        (folder / label).mkdir()
        for number in range(2):
            frames = np.clip(rng.normal(level, 12, (12, 36, 48, 3)), 0, 255).astype(np.uint8)
            make_video(folder / label / f"{number}.mp4", frames)
    return folder


@pytest.fixture(scope="module")
def data(videos):
    return read_data_set(videos)


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    """A user's own model, trained with `fit` for two steps, and saved in one line."""
    keras.utils.set_random_seed(0)
    model = transfer()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(keras_res3d.training_batches(data, SAMPLING, 2, 1), steps_per_epoch=2, epochs=1, verbose=0)
    path = tmp_path_factory.mktemp("mine") / "mine.keras"
    save_model(model, path, labels=data.classes, sampling=SAMPLING, licence="MIT", trained_on="my videos")
    return model, path


@pytest.mark.slow
def test_a_users_own_model_goes_all_the_way(fitted, videos, data, tmp_path):
    model, path = fitted
    card = read_card(path)
    assert (card.labels, card.sampling, card.licence) == (data.classes, SAMPLING, "MIT")
    loaded = load_model(path)
    assert loaded.card == card and isinstance(loaded.model, keras.Model) and loaded.input_shape == (4, 32, 32, 3)
    scores = evaluate(path, videos, clips=2)
    assert scores.labels == data.classes and scores.summary()["videos"] == 6
    for other in (loaded, model):  # a Keras model brings no card: the data's classes, and the sampling that is given
        again = evaluate(other, data, SAMPLING, clips=2)
        np.testing.assert_allclose(again.probabilities, scores.probabilities, atol=1e-6)
    video = videos / "a dark" / "0.mp4"
    prediction = predict_video(path, video, clips=2)
    np.testing.assert_allclose(prediction.probabilities, scores.probabilities[:2], atol=1e-6)
    np.testing.assert_allclose(
        predict_video(model, video, 2, labels=data.classes, sampling=SAMPLING).mean, prediction.mean, atol=1e-6
    )
    keras_res3d.export_model(loaded.model, tmp_path / "served", card=card)
    assert load_runner(tmp_path / "served").card == card
    np.testing.assert_allclose(predict_video(tmp_path / "served", video, 2).mean, prediction.mean, atol=1e-5)


def test_the_saved_model_needs_no_line_of_this_package(fitted, data, tmp_path):
    model, path = fitted
    clips = np.random.default_rng(0).normal(0, 50, (2, 4, 32, 32, 3)).astype(np.float32)
    np.save(tmp_path / "clips.npy", clips)
    done = subprocess.run(
        [sys.executable, "-c", STOCK_KERAS, str(path), str(tmp_path / "clips.npy"), str(tmp_path / "scores.npy")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(list(data.classes))
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), model.predict_on_batch(clips), atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model_is_saved_scored_and_loaded(name, data, videos, tmp_path):
    model = MODELS[name]()
    card = save_model(model, tmp_path / "net.keras", labels=data.classes, sampling=SAMPLING)
    assert (card.architecture is None) == (name == "foreign")
    scores = evaluate(tmp_path / "net.keras", data, clips=1)
    assert scores.probabilities.shape == (6, 3)
    # The model's own outputs, whatever they are: `sequential` gives logits.
    (first,) = keras_res3d.data.batches.video_batches(data, SAMPLING, 6, clips=1)
    np.testing.assert_allclose(scores.probabilities, model.predict_on_batch(first[0]), atol=1e-5)
    assert predict_video(tmp_path / "net.keras", videos / "c grey" / "1.mp4").top(2)[0][0] in data.classes


def test_preprocessing_is_that_of_the_sampling(data):
    model = MODELS["rescaled"]()
    pixels = dataclasses.replace(SAMPLING, preprocessing="pixels")
    (first,) = keras_res3d.data.batches.video_batches(data, SAMPLING, 6, clips=1, preprocess=False)
    expected = model.predict_on_batch(first[0].astype(np.float32))
    np.testing.assert_allclose(evaluate(model, data, pixels, clips=1).probabilities, expected, atol=1e-6)
    loaded = keras_res3d.inference.classifier.as_classifier(model, data.classes, SAMPLING)
    np.testing.assert_allclose(evaluate(loaded, data, pixels, clips=1).probabilities, expected, atol=1e-6)


def test_a_list_that_was_trained_on_is_noticed(fitted, videos, data, tmp_path):
    model, _ = fitted
    card = dataclasses.replace(card_of(model, data.classes, SAMPLING), seen=sketch_of(data))
    with pytest.warns(UserWarning, match=r"shares 6 of its 6 videos with .*videos\d*, which the model was trained on"):
        evaluate(model, data, card=card, clips=1)
    shutil.copytree(videos / "c grey", tmp_path / "c grey")  # the same files elsewhere
    for label in ("a dark", "b bright"):  # other files of the same names
        (tmp_path / label).mkdir()
        shutil.copy(videos / "c grey" / "1.mp4", tmp_path / label / "0.mp4")
    with pytest.warns(UserWarning, match="shares 2 of its 4 videos with"):
        evaluate(model, tmp_path, card=card, clips=1)


def test_a_list_that_was_not_trained_on_is_scored_in_silence(fitted, data, recwarn):
    model, _ = fitted
    other = {"name": "train.csv", "videos": 1, "hashes": ["0" * 16], "groups": ["0" * 12]}
    evaluate(model, data, card=dataclasses.replace(card_of(model, data.classes, SAMPLING), seen=other), clips=1)
    assert not [w for w in recwarn if "trained on" in str(w.message)]


def test_bad_videos_are_left_out_and_named(fitted, videos, tmp_path):
    model, _ = fitted
    shutil.copytree(videos, tmp_path / "videos")
    (tmp_path / "videos" / "a dark" / "1.mp4").write_bytes(b"no video" * 100)
    data = read_data_set(tmp_path / "videos")
    with pytest.warns(UserWarning, match=r"left out: .*1\.mp4: cannot be opened"):
        scores = evaluate(model, data, SAMPLING, clips=2)
    whole = evaluate(model, read_data_set(videos), SAMPLING, clips=2)
    assert list(scores.left_out) == [1] and "1.mp4" in scores.left_out[1] and scores.summary()["left_out"] == 1
    np.testing.assert_allclose(scores.video_probabilities, np.delete(whole.video_probabilities, 1, 0), atol=1e-6)
    assert scores.truth.tolist() == [0, 1, 1, 2, 2]
    with pytest.raises(VideoError, match=r"1\.mp4"):
        evaluate(model, data, SAMPLING, clips=2, on_bad_video="stop")
    for path in (tmp_path / "videos").rglob("*.mp4"):
        path.write_bytes(b"no video" * 100)
    with pytest.warns(UserWarning), pytest.raises(VideoError, match="none of its 6 videos can be read"):
        evaluate(model, data, SAMPLING, clips=2)


def test_refusals(fitted, data, videos):
    model, path = fitted
    with pytest.raises(ValueError, match=r"has the classes a dark.* the model x, y, z"):
        evaluate(model, data, SAMPLING, labels="xyz")
    with pytest.raises(ValueError, match="is not one of the 3 classes"):
        evaluate(model, videos, SAMPLING, labels="xyz")
    with pytest.raises(ValueError, match=r"takes clips of 4 frames of 32 x 32 pixels alone; 8 frames"):
        evaluate(path, data, dataclasses.replace(SAMPLING, frames=8))
    with pytest.raises(ValueError, match="the sampling gives 8 frames"):
        evaluate(model, data, dataclasses.replace(SAMPLING, frames=8))
    with pytest.raises(ValueError, match="labels has 3 names, foreign3 has 5 outputs"):
        evaluate(foreign(classes=5), data, SAMPLING)
    with pytest.raises(ValueError, match=r"foreign2 takes clips of 2 channels, and videos give three"):
        evaluate(foreign(channels=2), data, SAMPLING)
    with pytest.raises(TypeError, match="model is int; expected a path"):
        evaluate(3, data, SAMPLING)
    with pytest.raises(ContaminatedError):
        card = dataclasses.replace(read_card(path), trained_on="ucf101 split 1")
        evaluate(model, data, card=card, benchmark="ucf101 split 2")
