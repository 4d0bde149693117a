"""A net prepared for a run, the run itself, and the scores of what came out."""

from __future__ import annotations

import dataclasses
import pathlib
import sys

import keras

from keras_res3d.applications import build_model
from keras_res3d.cards import ModelCard, read_card
from keras_res3d.data.batches import evaluation_batches, naming_the_video
from keras_res3d.data.clips import Sampling
from keras_res3d.nets.architecture import Architecture
from keras_res3d.scores import Scores, score
from keras_res3d.training import checkpoint
from keras_res3d.training.distributed import strategy_for
from keras_res3d.training.recipes import RECIPES, TrainingOptions, recipe
from keras_res3d.training.run import Run
from keras_res3d.training.step import Learner, logits_of
from keras_res3d.weights.catalog import resolve

__all__ = [
    "RECIPES", "TrainingOptions", "batch_norm_momentum", "evaluate", "logits_of", "prepare_net", "recipe",
    "starting_card", "train",
]  # fmt: skip


def batch_norm_momentum(published: float | None, steps: int) -> float | None:
    """Momentum of the moving statistics for a run of `steps`.

    The released 0.999 is of a run of millions of steps, under Caffe's average, which corrects its own start. Keras'
    does not: after 300 steps it would still hold three quarters of its initial 0 and 1. So the average spans at most
    a tenth of the run.
    """
    return None if published is None else min(published, max(0.5, 1 - 10 / steps))


def prepare_net(
    architecture: Architecture,
    sampling: Sampling,
    classes: int,
    options: TrainingOptions,
    examples: int,
    weights: str | None = None,
) -> keras.Model:
    """The architecture for these clips and classes, batch-norm momentum fitted to the run, weights seeded.

    Args:
        architecture: the net.
        sampling: its frames and crop are the input's.
        classes: outputs.
        options: length of the run, seed and strategy count here.
        examples: training videos.
        weights: as of `build_model`.
    """
    momentum = batch_norm_momentum(architecture.batch_norm_momentum, options.total_steps(examples))
    architecture = dataclasses.replace(architecture, batch_norm_momentum=momentum)
    input_shape = (sampling.frames, *sampling.crop, 3)
    strategy = strategy_for(options)
    keras.utils.set_random_seed(options.seed)
    with strategy.scope():
        return build_model(architecture, weights=weights, input_shape=input_shape, classes=classes)


def starting_card(architecture: Architecture, weights, data_set, sampling: Sampling) -> ModelCard:
    """The card of a net that starts from `weights` (as of `build_model`): licence and training data carry over."""
    entry = resolve(architecture, weights)
    before = entry if entry is not None else read_card(weights) if weights is not None else None
    trained_on = [before.trained_on, data_set.name] if before is not None and before.trained_on else [data_set.name]
    licence = "" if before is None else before.licence
    return ModelCard(architecture.name, tuple(data_set.classes), sampling, licence, ", ".join(trained_on))


def _check_classes(net: keras.Model, data_set, validation) -> None:
    classes = net.output_shape[-1]
    for part in filter(None, (data_set, validation)):
        if len(part.classes) != classes or tuple(part.classes) != tuple(data_set.classes):
            raise ValueError(f"{part.name} has classes {part.classes}; the net has {classes} outputs")


def _check_options(options: TrainingOptions, data_set, validation, replicas: int) -> None:
    batch = min(options.batch_size, len(data_set) * options.clips_per_video)
    if batch < replicas:
        raise ValueError(f"a batch has {batch} clips; expected at least {replicas}, one for each replica")
    if options.early_stopping and validation is None:
        raise ValueError(f"early_stopping is {options.early_stopping}, and there are no validation videos to judge by")


def _resumed(folder: pathlib.Path, identity: dict):
    """Values and state of the folder's unfinished run, if it is this one."""
    found = checkpoint.load(folder)
    if found is None:
        return None
    different = checkpoint.differences(found[1]["identity"], identity)
    if different:
        raise ValueError(
            f"{folder} holds an unfinished run that differs:\n  " + "\n  ".join(different)
            + "\ngive the same flags to go on with it, another --output, or --overwrite to start again"
        )  # fmt: skip
    return found


def train(
    net: keras.Model,
    data_set,
    sampling: Sampling,
    output,
    options: TrainingOptions | None = None,
    validation=None,
    card: ModelCard | None = None,
    resume: bool = False,
) -> dict[str, list[float]]:
    """Trains `net` in place and writes `model.keras`, `model.json` and `log.csv` into the folder `output`.

    While it runs the folder holds `checkpoint.npz`, all that it takes to go on.

    Args:
        net: a classifier with one output per class of the data set, as of `prepare_net`.
        data_set: training videos (`read_data_set`).
        sampling: how clips are taken.
        output: folder, made if missing.
        options: see `TrainingOptions`.
        validation: a data set with the same classes, scored after every epoch; the best net is kept as `best.keras`.
        card: what to write beside the model; None: made from the arguments.
        resume: go on with the folder's unfinished run; without one, and when False, start from the first step.

    Returns:
        The history: a list per logged quantity, one value per epoch.

    Raises:
        ValueError: classes and outputs do not agree; the unfinished run differs from this one; a video that cannot
            be read (its name is in the message).
        RuntimeError: the loss became NaN; what was saved before it stays.
    """
    options = options or TrainingOptions()
    strategy = strategy_for(options)
    _check_classes(net, data_set, validation)
    _check_options(options, data_set, validation, strategy.num_replicas_in_sync)
    card = card or ModelCard(net.name, tuple(data_set.classes), sampling, trained_on=data_set.name)
    card = dataclasses.replace(card, training={**card.training, **dataclasses.asdict(options)})
    identity = checkpoint.identity(net, data_set, validation, sampling, options, card.trained_on)
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    found = _resumed(folder, identity) if resume else None
    if found is None:
        (folder / checkpoint.FILE).unlink(missing_ok=True)
    learner = Learner(net, options, options.total_steps(len(data_set)), sampling.preprocessing, strategy)
    try:
        if found is not None:
            checkpoint.restore(learner.variables, found[0])
        state = None if found is None else found[1]
        run = Run(learner, data_set, validation, sampling, options, folder, card, state, identity)
        with naming_the_video():
            run.go()
    finally:
        learner.close()
    return run.history()


def evaluate(net: keras.Model, data_set, sampling: Sampling, clips: int = 10, batch_size: int = 32) -> Scores:
    """The paper's scores of a Keras net on a data set, with a progress bar over the videos."""
    bar = keras.utils.Progbar(len(data_set), unit_name="video", verbose=int(sys.stdout.isatty()))
    batches = evaluation_batches(data_set, sampling, batch_size, clips)
    return score(net.predict_on_batch, batches, data_set.classes, bar.update)
