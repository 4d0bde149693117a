"""One net opened from a folder, a file and its exports gives one answer."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d.cards import ModelCard, card_of, save_model
from keras_res3d.data.clips import Sampling
from keras_res3d.export.formats import FORMATS
from keras_res3d.export.formats.base import Request
from keras_res3d.export.graph import ServingGraph
from keras_res3d.inference import classifier
from keras_res3d.inference.classifier import load_classifier, with_sampling
from keras_res3d.inference.grad_cam import grad_cam
from keras_res3d.inference.streaming import StreamingPredictor
from keras_res3d.inference.videos import predict_video
from keras_res3d.nets.zoo import ZOO
from keras_res3d.reports.filters import first_filters

NARROW = replace(ZOO["sr18"], width=4, blocks=(1, 1, 1, 2), classes=3)
SAMPLING = Sampling(frames=4, stride=2, resize=(36, 48), crop=(32, 32))
CARD = ModelCard("sr18", ("a", "b", "c"), SAMPLING)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """model.keras and model.json of a net whose classes differ."""
    keras.utils.set_random_seed(0)
    model = keras_res3d.build_model(NARROW, input_shape=(4, 32, 32, 3))
    head = model.get_layer("fc8")
    head.kernel.assign(np.random.default_rng(0).normal(size=head.kernel.shape))
    folder = tmp_path_factory.mktemp("model")
    save_model(model, folder / "model.keras", CARD)
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory, make_video):
    frames = np.random.default_rng(0).integers(0, 255, (40, 36, 48, 3), np.uint8)
    return make_video(tmp_path_factory.mktemp("video") / "noise.mp4", frames)


def test_folder_file_and_exports_agree(folder, video, tmp_path):
    model = keras.models.load_model(folder / "model.keras")
    clips = np.random.default_rng(1).integers(0, 255, (8, 4, 32, 32, 3), np.uint8)
    paths = [folder, folder / "model.keras"]
    for format, name, preprocessing in (("saved_model", "saved", True), ("litert", "float.tflite", False)):
        paths.append(tmp_path / name)
        keras_res3d.export_model(model, paths[-1], format, card=CARD, check_clips=clips, preprocessing=preprocessing)
    predictions = [predict_video(path, video, clips=3) for path in paths]
    assert predictions[0].probabilities.shape == (3, 3)
    for other in predictions[1:]:
        assert np.allclose(other.probabilities, predictions[0].probabilities, atol=1e-4)


def test_prediction_times_and_timeline(folder, video):
    opened = load_classifier(folder)
    prediction = predict_video(opened, video, clips=2)
    # 40 frames at 25 a second; a clip spans 7 frames: the first is centred on frame 3, the last on frame 36.
    assert np.allclose(prediction.seconds, [3 / 25, 36 / 25], atol=1e-3)
    assert np.allclose(prediction.mean.sum(), 1, atol=1e-5)
    assert len(predict_video(opened, video, step=4).seconds) == 9
    assert len(predict_video(with_sampling(opened, stride=8), video, step=4).seconds) == 4


def test_batches_do_not_change_scores(folder, video):
    opened = load_classifier(folder)
    clips = [np.random.default_rng(i).integers(0, 255, (4, 32, 32, 3), np.uint8) for i in range(5)]
    assert np.allclose(opened.scores_of(iter(clips), 2), opened.scores_of(iter(clips), 16), atol=1e-6)


def test_a_model_without_a_card_says_what_is_assumed(tmp_path):
    keras_res3d.build_model(replace(NARROW, classes=51), input_shape=(4, 32, 32, 3)).save(tmp_path / "bare.keras")
    with pytest.warns(UserWarning, match="assumed hmdb51 labels"):
        opened = load_classifier(tmp_path / "bare.keras")
    assert len(opened.card.labels) == 51 and opened.card.sampling.crop == (32, 32)


def test_published_weights_by_name(monkeypatch):
    def narrow(net, weights, input_shape):
        assert (net, weights, input_shape) == ("res3d18", "sports1m", (8, 112, 112, 3))
        return keras_res3d.build_model(replace(ZOO["res3d18"], width=2, classes=487), input_shape=input_shape)

    monkeypatch.setattr(classifier, "build_model", narrow)
    card = load_classifier("res3d18/sports1m").card
    assert len(card.labels) == 487 and card.sampling == Sampling() and card.licence == "CC BY-NC 3.0"


def test_refusals(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="keras-res3d weights"):
        load_classifier(tmp_path / "nowhere")
    keras_res3d.build_model(NARROW, input_shape=(4, 32, 32, 3)).save(tmp_path / "other.keras")
    (tmp_path / "other.json").write_text((folder / "model.json").read_text().replace('"c"', '"c", "d"'))
    with pytest.raises(ValueError, match="3 outputs, its card names 4"):
        load_classifier(tmp_path / "other.keras")
    (tmp_path / "other.json").write_text(json.dumps({"labels": 3}))
    with pytest.raises(ValueError, match=r"other\.json: not a model card"):
        load_classifier(tmp_path / "other.keras")


def test_clips_that_are_too_small_are_refused(tmp_path):
    model = keras_res3d.build_model(NARROW, input_shape=(None, None, None, 3))
    save_model(model, tmp_path / "open.keras", labels="abc", sampling=SAMPLING)
    opened = load_classifier(tmp_path / "open.keras")
    assert with_sampling(opened, resize=(64, 64), crop=(64, 64)).card.sampling.crop == (64, 64)
    with pytest.raises(ValueError, match="at least 4x16x16"):
        with_sampling(opened, resize=(8, 8), crop=(8, 8))


def test_an_export_keeps_the_preprocessing_inside_it(folder, tmp_path):
    opened = load_classifier(folder)
    keras_res3d.export_model(opened.model, tmp_path / "saved", card=CARD)
    exported = keras_res3d.load_model(tmp_path / "saved")
    assert exported.model is None and exported.input_shape == (4, 32, 32, 3)
    assert with_sampling(exported, stride=1).card.sampling.stride == 1
    with pytest.raises(ValueError, match="was made for 'res3d'; export the model again"):
        with_sampling(exported, preprocessing="torchvision")
    with pytest.raises(ValueError, match=r"takes clips of 4 frames of 32 x 32 pixels alone; 8 frames"):
        with_sampling(exported, frames=8)


def test_one_output_in_a_dictionary_is_a_models_output():
    clip = keras.Input((4, 32, 32, 3))
    scores = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling3D()(clip))
    opened = classifier.as_classifier(keras.Model(clip, {"scores": scores}), "abc", SAMPLING)
    assert opened.predict(np.zeros((2, 4, 32, 32, 3), np.uint8)).shape == (2, 3)


def _refusals(opened):
    """What is wrong with clips, and what is said of it."""
    frames, height, width = opened.card.sampling.frames, *opened.card.sampling.crop
    good = np.zeros((2, frames, height, width, 3), np.uint8)
    yield np.zeros((1, frames, height, width + 2, 3), np.uint8), r"clips have shape .*expected .* of shape \(batch, 4,"
    yield np.zeros((1, frames + 1, height, width, 3), np.uint8), "clips have shape"
    yield np.zeros((1, frames, height, width, 1), np.uint8), "clips have shape"
    yield good[0], "clips have shape"
    yield good[:0], "clips are an empty batch; .* batch from 1"


@pytest.mark.parametrize("kind", ["keras", "saved_model", "litert", "onnx", "openvino"])
def test_clips_of_another_size_are_refused_at_every_call(kind, folder, tmp_path):
    """Also after a good call, from which on Keras would take them all."""
    path = folder
    if kind != "keras":
        path = tmp_path / f"net{FORMATS[kind].suffix}"
        graph = ServingGraph(keras.models.load_model(folder / "model.keras"), (4, 32, 32, 3), FORMATS[kind].form)
        try:
            FORMATS[kind].write(graph, path, Request("none", None, False, CARD))
        except ImportError as error:
            pytest.skip(str(error))
    opened = classifier.load_model(path)
    good = np.random.default_rng(0).integers(0, 255, (2, 4, 32, 32, 3), np.uint8)
    for _ in range(2):
        for clips, said in _refusals(opened):
            with pytest.raises(ValueError, match=said):
                opened.predict(clips)
        assert opened.predict(good).shape == (2, 3)
    with pytest.raises(ValueError, match="there are no clips"):
        opened.scores_of([])


def test_a_net_of_any_size_names_the_smallest_that_works():
    net = keras_res3d.build_model(replace(NARROW, classes=3), input_shape=(None, None, None, 3))
    opened = classifier.as_classifier(net, card=card_of(net, CARD.labels, SAMPLING))
    assert opened.predict(np.zeros((1, 8, 48, 32, 3), np.uint8)).shape == (1, 3)
    _, height, width = opened.card.architecture.smallest_input
    for shape in ((1, 4, height - 1, width, 3), (1, 4, 32, 1, 3)):
        with pytest.raises(ValueError, match=r"sr18 needs \(frames, height, width, channels\) of at least "):
            opened.predict(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match=r"of shape \(batch, any, any, any, 3\)"):
        opened.predict(np.zeros((1, 0, 32, 32, 3), np.uint8))


@pytest.fixture(scope="module")
def nan_files(folder, tmp_path_factory):
    """A .keras file whose weights are NaN, one whose batch normalisation has such an epsilon, and an export."""
    place = tmp_path_factory.mktemp("nan")
    weights, epsilon = (keras.models.load_model(folder / "model.keras") for _ in range(2))
    weights.set_weights([np.full(array.shape, np.nan, array.dtype) for array in weights.get_weights()])
    next(layer for layer in epsilon.layers if hasattr(layer, "epsilon")).epsilon = float("nan")
    for model, name in ((weights, "weights.keras"), (epsilon, "epsilon.keras")):
        save_model(model, place / name, CARD)
    graph = ServingGraph(weights, (4, 32, 32, 3), "2d")
    FORMATS["litert"].write(graph, place / "net.tflite", Request("none", None, False, CARD))
    return [place / "weights.keras", place / "epsilon.keras", place / "net.tflite"]


@pytest.mark.parametrize("number", range(3), ids=["weights", "epsilon", "export"])
def test_scores_that_are_no_numbers_are_an_error_that_names_the_model(nan_files, number, video):
    path = nan_files[number]
    opened, said = load_classifier(path), f"^{path} gives scores that are NaN or infinite"
    with pytest.raises(ValueError, match=said):
        opened.predict(np.zeros((1, 4, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match=said):
        predict_video(with_sampling(opened, stride=1), video, clips=1)
    with pytest.raises(ValueError, match=said):
        list(StreamingPredictor(opened).play(video))


def test_a_stream_of_any_function_has_no_scores_that_are_no_numbers(video):
    stream = StreamingPredictor(lambda clips: np.array([[0.5, np.inf]]), SAMPLING)
    with pytest.raises(ValueError, match="predict gives scores that are NaN or infinite"):
        list(stream.play(video))


def test_figures_of_weights_that_are_no_numbers_are_refused(nan_files):
    opened = load_classifier(nan_files[0])
    with pytest.raises(ValueError, match=f"^{nan_files[0]} has weights in conv1 that are NaN or infinite"):
        first_filters(opened)
    with pytest.raises(ValueError, match=f"^{nan_files[0]} gives activations or gradients that are NaN or infinite"):
        grad_cam(opened, np.zeros((1, 4, 32, 32, 3), np.uint8), 0)


def test_what_keras_raises_at_a_clip_is_one_line_that_names_the_model(folder, tmp_path):
    opened = classifier.as_classifier(keras.models.load_model(folder / "model.keras"), card=CARD)
    opened.model.predict_on_batch = lambda clips: 1 / 0
    with pytest.raises(ValueError, match=f"^{opened.model.name} cannot be run by Keras: division by zero$"):
        opened.predict(np.zeros((1, 4, 32, 32, 3), np.uint8))
