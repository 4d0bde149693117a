"""A loss that takes a number of each video: the same training as by weights of videos, and what does not go with it."""

import functools

import keras
import numpy as np
import pytest

from keras_res3d.training import checkpoint
from keras_res3d.training.fit import train
from keras_res3d.training.objective import Objective
from keras_res3d.training.recipes import TrainingOptions
from tests.labelled import Labelled
from tests.training.runs import SAMPLING, Few, tiny_net

OPTIONS = TrainingOptions(iterations=3, batch_size=4, learning_rate=0.05, clips_per_video=2)
NUMBERS = np.random.default_rng(0).uniform(0, 3, 10).astype(np.float32)


class Weighed(keras.losses.Loss):
    """Cross-entropy times the number."""

    def __init__(self, from_logits):
        super().__init__()
        self.from_logits = from_logits

    def call(self, y_true, y_pred):
        entropy = keras.losses.sparse_categorical_crossentropy(y_true[:, 0], y_pred, from_logits=self.from_logits)
        return y_true[:, 1] * entropy


class Accuracy(keras.metrics.SparseCategoricalAccuracy):
    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(y_true[:, 0], y_pred)


def _objective(numbers=NUMBERS, name="weighed"):
    return Objective(name, numbers, Weighed, lambda logits: Accuracy(name="clip@1"))


def test_numbers_as_weights_train_as_weights_do(tmp_path):
    nets = [tiny_net(OPTIONS) for _ in range(2)]
    one = train(nets[0], Few("train", 10), SAMPLING, tmp_path / "one", OPTIONS, sample_weight=NUMBERS)
    two = train(nets[1], Few("train", 10), SAMPLING, tmp_path / "two", OPTIONS, objective=_objective())
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-5) and set(two) == {"loss", "clip@1"}
    for mine, other in zip(*(net.get_weights() for net in nets), strict=True):
        assert np.allclose(mine, other, atol=1e-6)


def test_a_run_goes_on_by_the_same_loss_and_numbers_alone():
    same, other = _objective(), _objective(NUMBERS + 1)
    assert same.identity == _objective().identity
    assert len({each.identity for each in (same, other, _objective(name="other"))}) == 3
    net, data = tiny_net(OPTIONS), Few("train", 10)
    before, now = (checkpoint.identity(net, data, None, SAMPLING, OPTIONS, "", each.identity) for each in (same, other))
    assert any(line.startswith("weights: weighed") for line in checkpoint.differences(before, now))


def test_what_does_not_go_with_it(tmp_path):
    data, net = Few("train", 10), tiny_net(OPTIONS)
    fit = functools.partial(train, net, data, SAMPLING, tmp_path, objective=_objective())
    mixed = TrainingOptions(iterations=1, batch_size=4, mixup=0.2)
    for call in (
        functools.partial(fit, mixed), functools.partial(fit, OPTIONS, sample_weight=NUMBERS),
        functools.partial(fit, OPTIONS, class_weight="balanced"),
        lambda: _objective(NUMBERS[:3]).check(Few("train", 3), mixed, None),
        lambda: _objective(NUMBERS).check(Labelled(10), OPTIONS, None),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="expected neither several labels, weights"):
            call()
    with pytest.raises(ValueError, match="one for each of the 10 videos"):
        train(net, data, SAMPLING, tmp_path, OPTIONS, objective=_objective(NUMBERS[:9]))
    assert not list(tmp_path.iterdir())
