"""Recipes are the figures of the paper and the released solvers; options are checked; flags come from the fields."""

import json
from dataclasses import fields, replace
from types import SimpleNamespace

import pytest

from keras_res3d.commands import recipe_flags
from keras_res3d.commands.main import main
from keras_res3d.data.clips import Sampling, for_crop
from keras_res3d.nets.zoo import ZOO
from keras_res3d.training.optimizers import make_schedule
from keras_res3d.training.recipes import RECIPES, TrainingOptions, recipe
from keras_res3d.weights.catalog import entries


def test_published_figures():
    found = {
        name: (row.batch_size, row.learning_rate, row.divide_by, row.divide_every, row.iterations)
        for name, row in RECIPES.items()
    }
    assert found["ucf101_search"] == (20, 0.01, 10, 20_000, 90_000)
    assert found["hmdb51_search"] == (20, 0.01, 10, 10_000, 45_000)
    assert found["ucf101_scratch"] == (20, 0.01, 10, 20_000, 90_000)
    assert found["sports1m"] == (40, 0.01, 2, 250_000, 3_000_000)
    assert found["finetune_ucf101"] == (24, 0.001, 10, 5_000, 20_000)
    assert found["scnn_proposal"][1:] == (0.001, 2, 6_846, 27_384)
    assert found["scnn_classification"][1:] == (0.001, 2, 3_676, 14_704)
    assert found["scnn_localization"][0] == 8
    for name, row in RECIPES.items():
        assert (row.momentum, row.weight_decay) == (0.9, 5e-5)
        if name != "modern":
            assert (row.optimizer, row.schedule, row.warmup, row.ema, row.mixup) == ("sgd", "step", 0, 0, 0)
            assert row.smallest_area == 1
    assert (RECIPES["scnn_proposal"].head_multiplier, RECIPES["scnn_proposal"].head_bias_multiplier) == (10, 20)
    assert (RECIPES["finetune_ucf101"].head_multiplier, RECIPES["finetune_ucf101"].head_bias_multiplier) == (1, 2)
    assert RECIPES["modern"] == TrainingOptions()


def test_the_recipe_of_the_net_trained_on_ucf101_alone_has_the_figures_of_its_catalog_row():
    row = next(entry for entry in entries() if entry.name == "res3d18/ucf101-scratch")
    options = recipe("ucf101_scratch")
    assert f"_r{options.stride}_iter_{options.iterations}.caffemodel" in row.published_as
    assert f"{options.iterations:,} iterations of {options.batch_size} clips" in row.remark
    assert (options.frames, options.stride, options.crop) == (8, 2, 112)
    net = ZOO[row.net]
    assert options.sampling(net.frames, net.crop) == Sampling(**row.sampling_fields())


@pytest.mark.parametrize("name, at", [
    ("ucf101_search", {0: 1e-2, 19_999: 1e-2, 20_000: 1e-3, 40_000: 1e-4, 89_999: 1e-6}),
    ("sports1m", {0: 1e-2, 250_000: 5e-3, 2_999_999: 1e-2 / 2**11}),
    ("finetune_ucf101", {4_999: 1e-3, 5_000: 1e-4, 19_999: 1e-6}),
])  # fmt: skip
def test_learning_rates_in_iterations(name, at):
    schedule = make_schedule(recipe(name), RECIPES[name].iterations)
    for step, rate in at.items():
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-4), step


def test_warm_up_then_cosine():
    schedule = make_schedule(TrainingOptions(learning_rate=0.4, warmup=0.1), 100)
    assert [float(schedule(step)) for step in (0, 5, 10, 55, 100)] == pytest.approx([0, 0.2, 0.4, 0.2, 0], abs=1e-6)
    assert float(make_schedule(TrainingOptions(schedule="constant", warmup=0.0), 9)(7)) == pytest.approx(0.01)


def test_length_of_a_run():
    assert TrainingOptions(epochs=3, batch_size=8).total_steps(33) == 12
    assert recipe("ucf101_search").total_steps(9537) == 90_000
    assert recipe("ucf101_search", epochs=2).total_steps(9537) == 2 * 476
    assert TrainingOptions(clips_per_video=5, batch_size=10).steps_per_epoch(20) == 10


@pytest.mark.parametrize("change", [
    {"epochs": 0}, {"learning_rate": 0.0}, {"weight_decay": 2.0}, {"batch_size": 0}, {"optimizer": "adam"},
    {"smallest_area": 0.0}, {"learning_rate": float("nan")}, {"ema": 1.0}, {"precision": "float16"},
    {"cpu_replicas": 2}, {"seed": -1},
    {"seed": 2**32}, {"iterations": 10**20}, {"clips_per_video": 10**10}, {"batch_size": 2**31},
])  # fmt: skip
def test_options_are_checked(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        TrainingOptions(**change)


def test_unknown_recipes_are_refused():
    with pytest.raises(ValueError, match="sports1m"):
        recipe("sports2m")


def test_every_field_is_a_flag(capsys):
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for each in fields(TrainingOptions):
        assert f"--{each.name}\n" in text and each.metadata["help"], each.name


@pytest.mark.parametrize("each", fields(TrainingOptions), ids=lambda each: each.name)
def test_every_field_is_explained_by_whole_sentences(each):
    for sentence in each.metadata["help"].removesuffix(".").split(". "):
        assert len(sentence.split()) >= 3, sentence
    assert each.metadata["help"].endswith(".")


def test_options_of_the_command_are_those_that_its_flags_say(monkeypatch):
    values = {each.name: None for each in fields(TrainingOptions)}
    given = {"recipe": "ucf101_search", "stride": 2, "frames": 6, "crop": 56, "mirror": False}
    flags = {name: SimpleNamespace(value=value) for name, value in {**values, **given}.items()}

    class Flags(dict):
        recipe = "ucf101_search"

    monkeypatch.setattr(recipe_flags, "FLAGS", Flags(flags))
    options = recipe_flags.options_from_flags()
    assert options == recipe("ucf101_search", stride=2, frames=6, crop=56, mirror=False)
    assert options.sampling(4, 112) == for_crop(6, 2, 56)


def test_a_recipe_with_flags_over_it_is_written_beside_the_model(tmp_path, capsys):
    flags = ["--data", "motion", "--net", "d10", "--width", "2", "--crop", "16", "--recipe", "ucf101_search",
             "--iterations", "2", "--momentum", "0.5", "--nomirror", "--stride", "2", "--class_weight", "balanced",
             "--output", str(tmp_path / "run")]  # fmt: skip
    assert main(["train", *flags]) == 0
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    expected = vars(replace(RECIPES["ucf101_search"], iterations=2, momentum=0.5, mirror=False))
    # How clips are taken is said once.
    sampled = {"frames": 4, "stride": 2, "crop": [16, 16]}
    assert not set(sampled) & set(card["training"]) and sampled.items() <= card["sampling"].items()
    recorded = {name: value for name, value in expected.items() if name not in sampled}
    assert recorded.items() <= card["training"].items() and card["training"]["finished"] is True
    assert card["architecture"]["width"] == 2 and card["frames"] == 4 and card["seen"]["videos"] == 1600
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000
    assert not (tmp_path / "run" / "checkpoint.npz").exists()
    capsys.readouterr()
    assert main(["train", *flags]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["train", *flags, "--overwrite"]) == 0


def test_several_hosts_are_refused_by_what_one_host_does():
    options = TrainingOptions(strategy="multi_worker")
    assert TrainingOptions().on_one_host("a search") == TrainingOptions()
    with pytest.raises(ValueError, match="'multi_worker', which train alone takes; a search runs on one host"):
        options.on_one_host("a search")
