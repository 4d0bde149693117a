"""Fine-tuning: what a run inherits from the weights that it starts from, and what stays frozen."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d.cards import read_card, save_model
from keras_res3d.commands.main import main
from keras_res3d.data.clips import Sampling
from keras_res3d.data.sources.motion import motion_data_set
from keras_res3d.nets.zoo import ZOO
from keras_res3d.training.fit import prepare_net
from keras_res3d.training.recipes import TrainingOptions, recipe
from keras_res3d.training.start import card_of_weights, net_of_weights, starting_card, starting_sampling
from keras_res3d.training.stream import recipe_stream
from keras_res3d.weights.catalog import find
from tests.training.runs import SAMPLING as SAMPLING_OF_TINY
from tests.training.runs import Few, tiny_net

NARROW = replace(ZOO["d10"], width=3)
TORCHVISION = Sampling(4, 1, (20, 20), (16, 16), preprocessing="torchvision")
SHORT = ["--iterations", "1", "--batch_size", "8"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A net of torchvision's preprocessing for the embedded data set, in the folder of a run."""
    folder = tmp_path_factory.mktemp("weights")
    keras.utils.set_random_seed(5)
    net = keras_res3d.build_model(NARROW, input_shape=(4, 16, 16, 3), classes=8)
    labels = motion_data_set("train").classes
    save_model(net, folder / "model.keras", labels=labels, sampling=TORCHVISION, licence="CC0", trained_on="before")
    return folder


def _train(tmp_path, *flags):
    """Runs the command; returns the card and the model that it wrote."""
    output = tmp_path / "run"
    assert main(["train", "--data", "motion", *SHORT, *flags, "--output", str(output)]) == 0
    return json.loads((output / "model.json").read_text()), keras.models.load_model(output / "model.keras")


def test_a_run_inherits_net_width_sampling_and_preprocessing(tmp_path, weights):
    card, model = _train(
        tmp_path, "--weights", str(weights), "--schedule", "constant", "--warmup", "0", "--learning_rate", "1e-12"
    )
    assert (card["net"], card["architecture"]["width"]) == ("d10", 3)
    assert Sampling.from_dict(card["sampling"]) == TORCHVISION
    assert (card["licence"], card["trained_on"]) == ("CC0", "before, motion/train")
    # What it was trained on, and not only what it says: the loss of its one step, by hand.
    options = TrainingOptions(iterations=1, batch_size=8, learning_rate=1e-12, schedule="constant", warmup=0.0)
    data, losses = motion_data_set("train"), {}
    for preprocessing in ("torchvision", "res3d"):
        sampling = replace(TORCHVISION, preprocessing=preprocessing)
        net = prepare_net(NARROW, sampling, 8, options, len(data), weights)
        clips, labels = next(iter(recipe_stream(data, sampling, options)))
        scores = keras.ops.convert_to_numpy(net(clips, training=True))
        losses[preprocessing] = -np.log(scores[np.arange(8), labels]).mean()
    header, row = (tmp_path / "run" / "log.csv").read_text().splitlines()
    loss = float(dict(zip(header.split(","), row.split(","), strict=True))["loss"])
    assert loss == pytest.approx(losses["torchvision"], rel=1e-4) != pytest.approx(losses["res3d"], rel=1e-3)
    before = keras.models.load_model(weights / "model.keras")
    np.testing.assert_allclose(model.get_layer("conv1").kernel, before.get_layer("conv1").kernel, atol=1e-7)


def test_flags_go_before_what_is_inherited(tmp_path, weights):
    card, _ = _train(tmp_path, "--weights", str(weights / "model.keras"), "--preprocessing", "res3d", "--stride", "2")
    sampling = Sampling.from_dict(card["sampling"])
    assert (sampling.preprocessing, sampling.stride, sampling.frames) == ("res3d", 2, 4)
    assert sampling.crop == TORCHVISION.crop


def test_frozen_groups_stay_bit_for_bit(tmp_path, weights):
    _, model = _train(tmp_path, "--weights", str(weights), "--freeze", "conv4", "--learning_rate", "0.1",
                      "--iterations", "2")  # fmt: skip
    before = keras.models.load_model(weights / "model.keras")
    changed = {
        layer.name
        for layer in model.layers
        if any(
            not np.array_equal(a, b)
            for a, b in zip(layer.get_weights(), before.get_layer(layer.name).get_weights(), strict=True)
        )
    }
    with_weights = {layer.name for layer in model.layers if layer.weights}
    late = {name for name in with_weights if "5" in name or "fc" in name}
    assert late and with_weights - late and changed == late


def test_what_a_run_starts_from(weights):
    assert net_of_weights(None) is None and net_of_weights("sports1m") is None
    assert net_of_weights("res3d18/sports1m") == ZOO["res3d18"]
    found = net_of_weights(str(weights))
    assert found == net_of_weights(weights / "model.keras") == replace(NARROW, crop=16, classes=8)
    assert card_of_weights("d10", None) is None
    assert card_of_weights(None, weights) == read_card(weights / "model.keras")
    with pytest.raises(ValueError, match="sports2m"):
        card_of_weights("res3d18", "sports2m")


def test_clips_are_the_recipes_then_those_of_the_weights_then_the_nets(weights):
    before = card_of_weights(None, weights)
    assert starting_sampling(NARROW, TrainingOptions(), before) == TORCHVISION
    fixed = starting_sampling(NARROW, recipe("finetune_ucf101"), before)
    assert (fixed.frames, fixed.stride, fixed.crop, fixed.preprocessing) == (8, 2, (112, 112), "torchvision")
    own = starting_sampling(NARROW, TrainingOptions())
    assert (own.frames, own.crop, own.preprocessing) == (NARROW.frames, (NARROW.crop, NARROW.crop), "res3d")
    assert starting_sampling(NARROW, TrainingOptions(), before, "res3d").preprocessing == "res3d"


def test_cards_carry_on_where_weights_come_from(tmp_path):
    data, entry, sampling = Few("train", 8), find("res3d18", "sports1m"), SAMPLING_OF_TINY
    card = starting_card(ZOO["res3d18"], "sports1m", data, sampling)
    assert card.licence == entry.licence and card.trained_on == f"{entry.trained_on}, motion/train"
    assert starting_card(NARROW, None, data, sampling).trained_on == "motion/train"
    save_model(tiny_net(TrainingOptions()), tmp_path / "own.keras", replace(card, trained_on="here"))
    again = starting_card(NARROW, str(tmp_path / "own.keras"), data, sampling)
    assert (again.licence, again.trained_on) == (entry.licence, "here, motion/train")
