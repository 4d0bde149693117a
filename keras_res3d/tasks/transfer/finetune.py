"""The fine-tuned column of table 9: a net trained on and scored on each split of a public data set."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from keras_res3d.cards import ModelCard
from keras_res3d.data.open import read_layout
from keras_res3d.data.types import DataSet
from keras_res3d.inference.classifier import load_model
from keras_res3d.io import write_atomically
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.zoo import get_architecture
from keras_res3d.tables import as_json, printable
from keras_res3d.tasks.evaluate import evaluate
from keras_res3d.tasks.paper import TABLE_9
from keras_res3d.tasks.transfer.scores import TransferScores, split_scores
from keras_res3d.training.checks import check_data
from keras_res3d.training.fit import prepare_net, train
from keras_res3d.training.folder import held, other_run, other_settings, state_of
from keras_res3d.training.recipes import TrainingOptions, recipe
from keras_res3d.training.start import card_of_weights, net_of_weights, starting_card, starting_sampling

RECIPE = "finetune_ucf101"
PathLike = str | os.PathLike


def transfer_finetune(
    data,
    output: PathLike,
    *,
    layout: str | None = None,
    lists: PathLike | None = None,
    splits: Iterable[int] = (1, 2, 3),
    weights: PathLike | None = None,
    net: str | None = None,
    options: TrainingOptions | None = None,
    clips: int = 10,
    skip_missing: bool = False,
    report=print,
) -> TransferScores:
    """Trains a net on each split and scores it on its test videos: clip@1, video@1, and video@5 of more than 5 classes.

    Each split has a folder of its own in `output`, `split1` and so on, as `train` writes it. A call that was
    interrupted goes on: splits that are finished are only scored.

    Args:
        data: the folder of the videos of a public data set; or pairs (training set, test set), one for each split.
        output: folder, made if missing.
        layout, lists, splits: of the public data set, as of `read_layout`.
        weights: what to start from, as of `build_model`; None starts from random weights.
        net: a name of the zoo; None is the net of the weights, or sr18.
        options: how to train; None is the recipe finetune_ucf101.
        clips: scored of each test video.
        skip_missing: leave out videos that are not there.
        report: called with a line before each split.

    Raises:
        ValueError: a folder of a split holds another run; as of `train` and `evaluate`.
        DataError: lists have faults.
    """
    options, net = (options or recipe(RECIPE)).on_one_host("fine-tuning on splits"), _architecture(net, weights)
    scores = []
    for number, training_set, test_set in _pairs(data, layout, lists, splits, skip_missing):
        name = f"{layout} split {number}" if layout else f"split {number}"
        folder = pathlib.Path(output) / f"split{number}"
        check_data(training_set, test_set)
        report(f"{name}: {len(training_set)} training and {len(test_set)} test videos; {printable(folder)}")
        with held(folder):
            model = _trained(net, weights, training_set, name if layout else training_set.name, folder, options)
        found = evaluate(model, test_set, clips=clips, benchmark=name)
        write_atomically(folder / "scores.json", as_json({"data": test_set.name, **found.summary()}))
        scores += split_scores(net.name, name, found, len(training_set))
    facts = {"weights": None if weights is None else str(weights), "recipe": options.recipe, "clips": clips}
    return TransferScores("finetune", tuple(scores), TABLE_9.get((layout, "finetune"), {}), facts)


def _architecture(net: str | None, weights) -> Architecture:
    """The net that is trained, as wide as that of the weights where they are of the same net."""
    inherited = net_of_weights(weights)
    architecture = get_architecture(net or inherited or "sr18")
    if inherited is not None and inherited.name == architecture.name:
        architecture = replace(architecture, width=inherited.width)
    return architecture


def _pairs(data, layout, lists, splits, skip_missing) -> Iterator[tuple[int, DataSet, DataSet]]:
    """(number, training set, test set) of each split."""
    if layout is None:
        yield from ((number, *pair) for number, pair in enumerate(data, 1))
        return
    for number in splits:
        where = {"lists": lists or data, "root": data, "split": number, "skip_missing": skip_missing}
        training_set = read_layout(layout, subset="train", **where)
        yield number, training_set, read_layout(layout, subset="test", classes=training_set.classes, **where)


def _trained(net: Architecture, weights, training_set: DataSet, source: str, folder: pathlib.Path, options):
    """What is trained in a folder: the finished run that lies there, the unfinished one gone on with, or a new one.

    Its card says that it was trained on `source`, whatever the folder of the lists is called.
    """
    state, sampling = state_of(folder), starting_sampling(net, options, card_of_weights(net, weights))
    if state == "foreign":
        raise ValueError(f"{folder} holds a model, and no record of a run that could go on; choose another folder")
    if state == "finished":
        model = load_model(folder / "model.keras")
        _check_run(model.card, source, folder, options)
        if found := other_run(model.card, net, sampling, training_set.classes, {}):
            raise ValueError(f"{folder} holds a finished run of another net ({'; '.join(found[:5])}); choose another "
                             "folder")  # fmt: skip
        return model
    model = prepare_net(net, sampling, len(training_set.classes), options, len(training_set), weights)
    card = starting_card(net, weights, training_set, sampling)
    card = replace(card, trained_on=card.trained_on.removesuffix(training_set.name) + source)
    train(model, training_set, sampling, folder, options, card=card, resume=state == "unfinished")
    return load_model(folder / "model.keras")


def _check_run(card: ModelCard, source: str, folder: pathlib.Path, options: TrainingOptions) -> None:
    """Raises ValueError where a finished run is not the one that was asked for."""
    other = other_settings(card, options)
    if not card.trained_on.endswith(source):
        raise ValueError(f"{folder} holds a finished run on {card.trained_on}, not on {source}; choose another folder")
    if other:
        raise ValueError(f"{folder} holds a finished run with other settings ({', '.join(other)}); choose another "
                         "folder")  # fmt: skip
