"""The hypermodel: every choice at the budget, with KerasTuner where it is installed."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d import HyperModel, count_macs, count_params

SHAPE = (4, 16, 16, 3)
SMALL = {
    "convolution": ("temporal_kernels", {"3d": (3,) * 5, "flat": (1,) * 5}),
    "depth": ("blocks", {"one": (1, 1, 1, 1), "two": (2, 1, 1, 1)}),
}


class Chosen:
    """Hyperparameters that were chosen already."""

    def __init__(self, **values):
        self.values = values

    def Choice(self, name, values):
        assert self.values[name] in values
        return self.values[name]


def test_every_choice_meets_the_budget():
    assert keras_res3d.search.HyperModel is HyperModel
    space = HyperModel("sr18", 1e6, classes=8, input_shape=SHAPE, count="live")
    assert set(space.choices) == {"convolution", "factorized", "depth"}
    for convolution in ("3d", "mc1", "mc5"):
        for depth in ("d10", "d34"):
            net = space.architecture(Chosen(convolution=convolution, factorized="no", depth=depth))
            live = count_params(net, 8, SHAPE, live=True)
            assert abs(live / 1e6 - 1) < 0.15, (convolution, depth)
    net = space.architecture(Chosen(convolution="3d", factorized="2.5d", depth="d16"))
    assert net.factorized == "2.5d" and net.blocks == (2, 2, 2, 1)


def test_a_compiled_net_that_trains():
    space = HyperModel("sr18", 2e4, classes=3, input_shape=SHAPE, choices=SMALL)
    model = space(Chosen(convolution="flat", depth="one"))
    clips, labels = np.zeros((2, *SHAPE), np.float32), np.array([0, 2])
    assert np.isfinite(model.fit(clips, labels, verbose=0).history["loss"][0])
    assert space.sampling().crop == (16, 16)
    compiled = []
    HyperModel("sr18", 2e4, classes=3, input_shape=SHAPE, choices=["depth"],
               compile=lambda model, hp: compiled.append(model)).build(Chosen(depth="d10"))  # fmt: skip
    assert len(compiled) == 1 and not compiled[0].compiled


def test_what_costs_too_much_is_refused():
    space = HyperModel("sr18", 2e4, classes=3, input_shape=SHAPE, choices=SMALL)
    hp = Chosen(convolution="3d", depth="two")
    space.max_macs = count_macs(space.architecture(hp), SHAPE, 3) - 1
    with pytest.raises(Exception, match="multiply-accumulates, more than"):
        space.build(hp)
    space.max_macs, space.max_latency = None, 1e-9
    with pytest.raises(Exception, match="ms a clip, more than"):
        space.build(hp)
    with pytest.raises(ValueError, match="colour"):
        HyperModel("sr18", 2e4, classes=3, choices=["colour"])


def test_with_keras_tuner(tmp_path):
    pytest.importorskip("tensorboard")
    keras_tuner = pytest.importorskip("keras_tuner")
    space = HyperModel("sr18", 2e4, classes=3, input_shape=SHAPE, choices=SMALL)
    tuner = keras_tuner.RandomSearch(space, objective=keras_tuner.Objective("loss", "min"), max_trials=2,
                                     directory=tmp_path, project_name="small")  # fmt: skip
    clips, labels = np.zeros((2, *SHAPE), np.float32), np.array([0, 2])
    tuner.search(clips, labels, epochs=1, verbose=0)
    best = tuner.get_best_models(1)[0]
    nets = [space.architecture(Chosen(convolution=first, depth=second)) for first in ("3d", "flat")
            for second in ("one", "two")]  # fmt: skip
    assert isinstance(best, keras.Model)
    assert count_params(best) in [count_params(net, 3, SHAPE) for net in nets]
