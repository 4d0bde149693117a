"""Architectures compared as the paper compares them: same data, same recipe, same number of parameters."""

from __future__ import annotations

import pathlib
import time
from dataclasses import dataclass, replace

import keras
import numpy as np

from keras_res3d.data.batches import video_batches
from keras_res3d.data.clips import Sampling
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.counts import count_params, solve_width
from keras_res3d.nets.zoo import two_d_counterpart
from keras_res3d.scores import Scores, top_1
from keras_res3d.tasks.evaluate import evaluate
from keras_res3d.training.fit import prepare_net, train
from keras_res3d.training.recipes import TrainingOptions


@dataclass(frozen=True)
class Contender:
    """One trained architecture: what it learnt and how it scores.

    Attributes:
        name: how tables call it.
        architecture: as trained.
        model: the Keras model.
        history: per epoch, as `train` returns it.
        seconds: of training.
        scores: on the test videos.
    """

    name: str
    architecture: Architecture
    model: keras.Model
    history: dict[str, list[float]]
    seconds: float
    scores: Scores


def same_budget_2d(architecture: Architecture) -> Architecture:
    """The 2D counterpart (every kernel 1 x d x d, as MC1) at the width whose parameter count is nearest."""
    flat = two_d_counterpart(architecture)
    target = count_params(architecture)
    return replace(flat, width=solve_width(flat, target, classes=architecture.classes))


def compare(
    architectures: dict[str, Architecture],
    training_set,
    test_set,
    sampling: Sampling,
    options: TrainingOptions,
    output,
    clips: int = 3,
    report=print,
) -> list[Contender]:
    """Trains and scores every architecture on the same data; each gets a folder of its own below `output`.

    Args:
        architectures: name to architecture, in the order of the table.
        training_set, test_set: data sets with the same classes.
        sampling, options: how clips are cut and how nets are trained, the same for all.
        output: folder to write into.
        clips: evenly spread clips per test video.
        report: called with a line before each run.
    """
    options, contenders = options.on_one_host("a comparison"), []
    for name, architecture in architectures.items():
        report(f"{name}: {count_params(architecture):,} parameters, training for {options.epochs} epochs")
        model = prepare_net(architecture, sampling, len(training_set.classes), options, len(training_set))
        start = time.perf_counter()
        history = train(model, training_set, sampling, pathlib.Path(output) / name, options)
        seconds = time.perf_counter() - start
        scores = evaluate(model, test_set, sampling, clips)
        contenders.append(Contender(name, architecture, model, history, seconds, scores))
    return contenders


def answers_in_reverse(contender: Contender, test_set, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """Predicted classes of each test video's centre clip, played forwards and backwards.

    Returns:
        Two integer arrays `(videos,)`.
    """
    forwards, backwards = [], []
    for clips, _, _ in video_batches(test_set, sampling, 64, clips=1):
        forwards.append(top_1(contender.model.predict_on_batch(clips)))
        backwards.append(top_1(contender.model.predict_on_batch(np.ascontiguousarray(clips[:, ::-1]))))
    return np.concatenate(forwards), np.concatenate(backwards)
