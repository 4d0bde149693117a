"""Trains one network of S-CNN after the other, by `model.fit`, as any run of this package."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import keras

from keras_res3d.cards import ModelCard, card_of
from keras_res3d.data.clips import Sampling
from keras_res3d.data.types import DataSet
from keras_res3d.inference.classifier import read_keras
from keras_res3d.inference.model_file import model_file
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.zoo import get_architecture
from keras_res3d.tasks.detection.moments import Annotations
from keras_res3d.tasks.detection.networks import segment_net
from keras_res3d.tasks.detection.overlap_loss import overlap_objective
from keras_res3d.tasks.detection.segment_data import Cutting, SegmentSet, segment_set
from keras_res3d.tasks.detection.segment_labels import BACKGROUND
from keras_res3d.tasks.detection.stages import STAGES
from keras_res3d.training.distributed import strategy_for
from keras_res3d.training.fit import train
from keras_res3d.training.recipes import TrainingOptions, batch_norm_momentum, recipe
from keras_res3d.training.start import card_of_weights, starting_card, starting_sampling

PathLike = str | os.PathLike


def train_stage(
    stage: str,
    videos: DataSet,
    annotations: Annotations,
    output: PathLike,
    *,
    start: PathLike | None = None,
    net: str | Architecture = "res3d18",
    options: TrainingOptions | None = None,
    sampling: Sampling | None = None,
    cutting: Cutting | None = None,
    background: float = 1.0,
    overlap: float | None = None,
    resume: bool = False,
    report: Callable[[str], None] = print,
) -> dict[str, list[float]]:
    """Trains a network of S-CNN; the folder `output` gets `model.keras`, its card and `log.csv`.

    Args:
        stage: a name in `stages.STAGES`.
        videos, annotations, background: as of `segment_set`.
        output: folder, made if missing.
        start: what the network starts from: weights as of `build_model`, or None for random ones; for a stage that
            comes after another, the folder or file of that one's network, which is needed.
        net: a name of the zoo or an `Architecture`; a stage that comes after another has that one's.
        options: how to train; None is the stage's recipe.
        sampling: size and preprocessing of the clips; None is as of `starting_sampling`. A window is seen through its
            `frames`, which replace those of `cutting`; its stride is always 1.
        cutting: of the windows; None is S-CNN's.
        overlap: the weight of the overlap loss; None is the stage's.
        resume: go on with the folder's unfinished run.
        report: called with a line on the windows before the training.

    Returns:
        The history: a list per figure, one value per epoch.

    Raises:
        ValueError: no such stage, no network to start from, or one that tells other classes apart; as of `train`.
        DataError, VideoError: as of `segment_set`.
    """
    if stage not in STAGES:
        raise ValueError(f"the stage is {stage!r}; expected one of {', '.join(STAGES)}")
    row = STAGES[stage]
    if row.after is not None and start is None:
        raise ValueError(f"the {stage} network starts from the {row.after} network; give its folder or file")
    options = (options or recipe(row.recipe)).on_one_host("the training of detectors")
    overlap = row.overlap if overlap is None else overlap
    with strategy_for(options).scope():
        before = read_keras(model_file(start)) if row.after is not None else None
    if sampling is None:
        sampling = _sampling(net, options, start, before)
    sampling = dataclasses.replace(sampling, stride=1, fps=None)
    cutting = dataclasses.replace(cutting or Cutting(), frames=sampling.frames)
    data = segment_set(videos, annotations, binary=row.binary, background=background, cutting=cutting,
                       seed=options.seed)  # fmt: skip
    if before is None:
        model, card = _new(net, start, data, sampling, options)
    else:
        model, card = _inherited(start, before, data, sampling)
    quiet = sum(example.label == BACKGROUND for example in data.examples)
    report(f"{stage}: {data.name}, {quiet} of them background, {len(data.classes)} classes; "
           f"{options.total_steps(len(data))} steps of {options.batch_size} windows, overlap loss {overlap:g}")
    windows = {"lengths": list(cutting.lengths), "overlap": cutting.overlap, "labels": dataclasses.asdict(cutting.rule)}
    card = dataclasses.replace(card, training={**card.training, "stage": stage, "windows": windows,
                                               "overlap_loss": overlap})  # fmt: skip
    objective = overlap_objective(data.ious, overlap) if overlap else None
    return train(model, data, sampling, output, options, card=card, resume=resume, objective=objective)


def _sampling(net, options: TrainingOptions, start, before: tuple | None) -> Sampling:
    if before is not None:
        if before[1] is None:
            raise ValueError(f"{start} has no card, which says how its clips are taken; give the sampling")
        return before[1].sampling
    architecture = get_architecture(net)
    return starting_sampling(architecture, options, card_of_weights(architecture, start))


def _new(net, weights, data: SegmentSet, sampling: Sampling, options: TrainingOptions):
    """(network, card) that start from weights of another data set, or random ones."""
    architecture = get_architecture(net)
    momentum = batch_norm_momentum(architecture.batch_norm_momentum, options.total_steps(len(data)))
    fitted = dataclasses.replace(architecture, batch_norm_momentum=momentum)
    keras.utils.set_random_seed(options.seed)
    with strategy_for(options).scope():
        model = segment_net(fitted, len(data.classes), (sampling.frames, *sampling.crop, 3), weights)
    return model, starting_card(architecture, weights, data, sampling)


def _inherited(start, before: tuple[keras.Model, ModelCard | None], data: SegmentSet, sampling: Sampling):
    """(network, card) that go on from those of an earlier stage."""
    model, card = before
    if card is not None and card.labels != data.classes:
        raise ValueError(f"{start} tells apart {', '.join(card.labels)}; the windows are of {', '.join(data.classes)}")
    architecture = card_of(model, sampling=sampling).architecture
    if architecture is None:
        raise ValueError(f"{start} holds no net of this package's zoo; expected a network of the stage before")
    own = starting_card(architecture, None, data, sampling)
    return model, own if card is None else dataclasses.replace(own, licence=card.licence, trained_on=card.trained_on)
