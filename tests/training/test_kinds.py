"""Several labels a video: what is learnt, said, saved and gone on with; and what is refused."""

import contextlib
import json

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d.cards import card_of, check_multi_label, read_card
from keras_res3d.data.types import Example
from keras_res3d.multi_label import average_precision
from keras_res3d.training import checkpoint
from keras_res3d.training.checks import check_data, video_weights
from keras_res3d.training.fit import start_labels_rare
from keras_res3d.training.kinds import SEVERAL_LABELS, DecisionsF1, LabelsLoss
from keras_res3d.training.stream import recipe_stream, soft_targets
from keras_res3d.training.validate import ValidateVideos
from tests.labelled import CLASSES, Labelled
from tests.training.runs import SAMPLING, Few, run_labelled, tiny_net
from tests.training.test_callbacks import Kill


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A tiny net trained on drawn videos, its history, and the folder of the run."""
    folder = tmp_path_factory.mktemp("labels") / "run"
    options = {"epochs": 12, "learning_rate": 0.02, "validation": 32, "validation_clips": 2, "early_stopping": 12}
    net, history = run_labelled(folder, videos=160, **options)
    return net, history, folder


def test_a_net_learns_labels_that_do_not_depend_on_each_other(learnt):
    _, history, folder = learnt
    assert set(history) == {"loss", "clip_F1", "val_loss", "val_mAP", "val_clip_mAP"}
    assert history["val_loss"][-1] < history["val_loss"][0] and max(history["val_mAP"]) > 0.9
    scores = keras_res3d.evaluate(folder / "best.keras", Labelled(64, seed=5), clips=2)
    assert scores.chance == 0.5 and scores.mean_ap > 0.85 and scores.average_precision.min() > 0.75
    assert scores.summary()["videos"] == 64 and [row.name for row in scores.per_class()] == list(CLASSES)


def test_the_best_net_is_that_of_the_highest_map(learnt):
    _, history, folder = learnt
    best = read_card(folder / "best.keras").training
    assert best["val_mAP"] == max(history["val_mAP"])
    assert best["epochs_done"] == 1 + history["val_mAP"].index(max(history["val_mAP"]))


def test_the_card_says_so_and_predictions_are_by_themselves(learnt):
    _, _, folder = learnt
    assert json.loads((folder / "model.json").read_text())["multi_label"] is True
    videos = Labelled(8, seed=9)
    found = [keras_res3d.predict_video(folder, frames) for frames in videos.videos]
    scores = np.stack([each.mean for each in found])
    assert np.ptp(scores.sum(axis=1)) > 0.5  # nothing makes them sum to one
    for each in found:
        assert each.given() == [(name, score) for name, score in each.top(2) if score > 0.5]
        assert len(each.given(0.0)) == 2 and each.given(1.0) == []


def test_validation_scores_are_those_of_each_clip_by_hand():
    net = tiny_net(keras_res3d.TrainingOptions(), 0, 2, "sigmoid")
    held_out = Labelled(12, seed=2)
    validate = ValidateVideos(held_out, SAMPLING, clips=2, batch_size=5)
    validate.set_model(net)
    validate.on_train_begin()
    logs = validate.scores()
    batches = list(validate.batches)
    to_logits = keras.Model(net.input, net.get_layer("fc8").output)
    logits = np.concatenate([to_logits(clips, training=False) for clips, *_ in batches])
    rows, numbers = (np.concatenate([batch[n] for batch in batches]) for n in (1, 2))
    losses, outputs = (np.logaddexp(0, logits) - rows * logits).sum(axis=1), 1 / (1 + np.exp(-logits))
    assert logs["val_loss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert logs["val_clip_mAP"] == pytest.approx(average_precision(outputs, rows).mean())
    means = np.stack([outputs[numbers == number].mean(axis=0) for number in range(12)])
    truth = np.stack([rows[numbers == number][0] for number in range(12)])
    assert logs["val_mAP"] == pytest.approx(average_precision(means, truth).mean())


def test_an_interrupted_run_ends_bit_for_bit_as_if_it_had_not_been(tmp_path):
    options = {"dropout": 0.5, "checkpoint_steps": 2, "mixup": 0.3, "label_smoothing": 0.1, "ema": 0.9}
    alone, history = run_labelled(tmp_path / "alone", **options)
    with contextlib.suppress(InterruptedError):
        run_labelled(tmp_path / "again", callbacks=[Kill(7)], **options)
    assert checkpoint.load(tmp_path / "again")[1]["step"] == 6
    resumed, again = run_labelled(tmp_path / "again", resume=True, **options)
    assert history == again
    assert all(np.array_equal(a, b) for a, b in zip(alone.get_weights(), resumed.get_weights(), strict=True))


def test_an_unfinished_run_of_one_label_is_another_run(tmp_path):
    several = Labelled(8)
    single = Labelled(8)
    single.examples = tuple(Example(example.path, 0) for example in single.examples)
    several.examples = tuple(Example(example.path, None, labels=(0,)) for example in several.examples)
    one, other = (checkpoint.describe(data) for data in (single, several))
    assert one["digest"] == other["digest"] and one != other


def test_targets_are_mixed_and_smoothed_label_by_label():
    rows = np.array([[1, 0, 1], [0, 0, 1], [0, 1, 0]], np.float32)
    shares = np.array([0.75, 0.5, 1], np.float32)
    mixed = soft_targets(rows, 3, shares=shares, outcomes=2).numpy()
    np.testing.assert_allclose(mixed, [[0.75, 0.25, 0.75], [0.5, 0, 1], [0, 1, 0]])
    smoothed = soft_targets(rows, 3, smoothing=0.1, outcomes=2).numpy()
    np.testing.assert_allclose(smoothed, rows * 0.9 + 0.05, rtol=1e-6)  # a half is between there and not there
    data = Labelled(8)
    options = keras_res3d.TrainingOptions(batch_size=8, label_smoothing=0.2)
    _, targets = next(iter(recipe_stream(data, SAMPLING, options)))
    np.testing.assert_allclose(np.unique(targets), [0.1, 0.9], rtol=1e-6)
    assert targets.shape == (8, 2)


def test_smoothing_is_keras_own():
    rows, outputs = np.array([[1.0, 0.0, 1.0]], np.float32), np.array([[0.7, 0.4, 0.2]], np.float32)
    own = keras.losses.BinaryCrossentropy(label_smoothing=0.3)(rows, outputs)
    loss = SEVERAL_LABELS.loss(True, False)(soft_targets(rows, 3, 0.3, outcomes=2), outputs)
    assert float(loss) == pytest.approx(3 * float(own))


def test_the_loss_is_the_sum_over_the_classes_and_survives_a_file():
    rows, logits = np.array([[1, 0, 1], [0, 0, 0]], np.float32), np.array([[2, -1, 0.5], [0, 3, -4]], np.float32)
    expected = (np.logaddexp(0, logits) - rows * logits).sum(axis=1).mean()
    assert float(LabelsLoss(from_logits=True)(rows, logits)) == pytest.approx(expected, rel=1e-6)
    assert float(LabelsLoss()(rows, 1 / (1 + np.exp(-logits)))) == pytest.approx(expected, rel=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(LabelsLoss(True)))
    assert again.from_logits and float(again(rows, logits)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("logits", [False, True])
def test_f1_of_clips(logits):
    metric = DecisionsF1(0.0 if logits else 0.5)
    rows = np.array([[1, 0], [1, 1], [0, 0]], np.float32)
    outputs = np.array([[0.9, 0.6], [0.2, 0.8], [0.1, 0.3]], np.float32)
    metric.update_state(rows[:2], (outputs * 2 - 1)[:2] if logits else outputs[:2])
    metric.update_state(rows[2:] * 0.9 + 0.05, (outputs * 2 - 1)[2:] if logits else outputs[2:])
    assert float(metric.result()) == pytest.approx(2 * 2 / (3 + 3))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.threshold == metric.threshold and float(again.result()) == 0


def test_any_model_with_logits_is_compiled_for_several_labels():
    inputs = keras.Input((4, 24, 24, 3))
    outputs = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling3D()(inputs))
    model, options = keras.Model(inputs, outputs), keras_res3d.TrainingOptions(batch_size=4)
    keras_res3d.compile_by_recipe(model, options, 4, multi_label=True)
    logs = model.fit(recipe_stream(Labelled(16), SAMPLING, options), steps_per_epoch=4, verbose=0).history
    assert model.loss.from_logits and set(logs) == {"loss", "clip_F1"}


def test_a_net_is_prepared_with_a_sigmoid():
    options = keras_res3d.TrainingOptions(iterations=2, batch_size=4)
    d10 = keras_res3d.get_architecture("d10")
    for several, end in ((True, "sigmoid"), (False, "softmax")):
        net = keras_res3d.prepare_net(d10, SAMPLING, 3, options, 8, multi_label=several)
        assert net.layers[-1].activation.__name__ == end
        np.testing.assert_allclose(net.get_layer("fc8").bias, -np.log(2) if several else 0, rtol=1e-6)
        if several:
            net.get_layer("fc8").bias.assign([0.0, 1.0, 2.0])  # a head that has learnt something
            start_labels_rare(net)
            assert net.get_layer("fc8").bias.numpy().tolist() == [0, 1, 2]


def test_heads_that_do_not_fit_are_refused(tmp_path):
    options = keras_res3d.TrainingOptions(iterations=2, batch_size=4)
    for activation, end in (("softmax", "a softmax, whose outputs sum to one"), ("linear", "logits")):
        net = tiny_net(options, classes=2, activation=activation)
        with pytest.raises(ValueError, match=f"tiny ends in {end}, and videos with several labels need a sigmoid"):
            keras_res3d.train(net, Labelled(8), SAMPLING, tmp_path, options)
        with pytest.raises(ValueError, match="need a sigmoid"):
            card_of(net, CLASSES, SAMPLING, multi_label=True)
    check_multi_label(keras.Sequential([keras.Input((4, 24, 24, 3)), tiny_net(options, 0, 2, "sigmoid")]))
    assert not list(tmp_path.iterdir())


def test_data_that_do_not_fit_each_other_are_refused():
    with pytest.raises(ValueError, match="8 of the 8 videos of motion/test are of a list with one label a video"):
        check_data(Labelled(8), Few("test", 8))
    with pytest.raises(ValueError, match="8 of the 8 videos of drawn 0 are of a list with several labels a video"):
        check_data(Few("train", 8), Labelled(8))
    without = Labelled(4)
    without.examples = tuple(example._replace(labels=()) for example in without.examples)
    with pytest.raises(ValueError, match="no video of drawn 0 has a label"):
        check_data(Labelled(8), without)


def test_class_weights_are_refused_and_weights_of_videos_are_taken():
    with pytest.raises(ValueError, match="class_weight weighs a video by its class, and a video of drawn 0 may have"):
        video_weights(Labelled(4), "balanced", None)
    assert video_weights(Labelled(4), None, [1, 2, 3, 0]).tolist() == [1, 2, 3, 0]


def test_a_model_for_several_labels_is_not_scored_on_videos_of_one(learnt):
    _, _, folder = learnt
    single = Labelled(8)
    single.examples = tuple(Example(example.path, 0) for example in single.examples)
    with pytest.raises(ValueError, match="drawn 0 has one label a video, and tiny gives several"):
        keras_res3d.evaluate(folder, single)
    with pytest.raises(ValueError, match="gives each video one label"):
        one = keras_res3d.predict_video(tiny_net(keras_res3d.TrainingOptions()), single.videos[0],
                                        labels=list("abcdefgh"), sampling=SAMPLING)  # fmt: skip
        one.given()


def test_what_was_trained_on_is_noticed(learnt):
    _, _, folder = learnt
    with pytest.warns(UserWarning, match="drawn 0 shares 8 of its 8 videos with drawn 0"):
        keras_res3d.evaluate(folder, Labelled(8), clips=1)
