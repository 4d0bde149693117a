"""One training run: optimiser, schedule, weight decay, log, and a usable model on disk after every epoch."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import sys
from dataclasses import dataclass

import keras

from keras_res3d.applications import build_model
from keras_res3d.cards import ModelCard, save_model
from keras_res3d.nets.architecture import Architecture
from keras_res3d.protocols.classification import Scores, score
from keras_res3d.video.clips import Sampling
from keras_res3d.video.pipeline import evaluation_batches, naming_the_video, steps_per_epoch, training_batches


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; the defaults suit data sets of a few thousand clips.

    Attributes:
        epochs: passes over the data.
        batch_size: clips per step.
        learning_rate: the highest; reached after the warm-up, then a cosine to 0.
        warmup: share of the steps over which the learning rate rises from 0.
        momentum: of SGD.
        weight_decay: Caffe's: added to the gradient of convolution and classifier kernels alone (paper: 5e-5).
        seed: of the weights, the order, the crops and the mirroring.
        mirror: mirror half of the clips, where the data set's classes allow it.
        validation_clips: clips per validation video.
        workers: videos decoded at a time; None: as many as there are cores.
    """

    epochs: int = 20
    batch_size: int = 8
    learning_rate: float = 0.01
    warmup: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-5
    seed: int = 0
    mirror: bool = True
    validation_clips: int = 1
    workers: int | None = None

    def __post_init__(self):
        for name in ("epochs", "batch_size", "validation_clips"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if not (0 < self.learning_rate < math.inf and 0 <= self.weight_decay < 1):
            raise ValueError(
                f"learning_rate is {self.learning_rate}, weight_decay {self.weight_decay}; "
                "expected above 0, and from 0 to 1"
            )


def batch_norm_momentum(published: float | None, steps: int) -> float | None:
    """Momentum of the moving statistics for a run of `steps`.

    The released 0.999 is of a run of millions of steps, under Caffe's average, which corrects its own start. Keras'
    does not: after 300 steps it would still hold three quarters of its initial 0 and 1. So the average spans at most
    a tenth of the run.
    """
    return None if published is None else min(published, max(0.5, 1 - 10 / steps))


def decay_kernels(model: keras.Model, weight_decay: float) -> None:
    """Weight decay on convolution and dense kernels, none on biases, gamma and beta (released solver)."""
    for layer in model.layers:
        if hasattr(layer, "kernel") and weight_decay:
            # Half of it: the gradient of w^2 is 2w, Caffe adds weight_decay * w.
            layer.kernel.regularizer = keras.regularizers.L2(weight_decay / 2)


def logits_of(model: keras.Model) -> keras.Model:
    """The same net up to its classifier, weights shared: the loss is exact where softmax would saturate."""
    last = model.layers[-1]
    return keras.Model(model.input, last.input if last.name == "prob" else last.output, name=model.name)


class SaveEveryEpoch(keras.callbacks.Callback):
    """`model.keras` after every epoch, `best.keras` whenever validation says so; each with its card, each atomic."""

    def __init__(self, net: keras.Model, folder: pathlib.Path, card: ModelCard):
        super().__init__()
        self.net, self.folder, self.card, self.best = net, folder, card, -1.0

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        card = dataclasses.replace(self.card, training={**self.card.training, "epochs_done": epoch + 1, **logs})
        save_model(self.net, self.folder / "model.keras", card)
        if logs.get("val_video@1", -1) > self.best:
            self.best = logs["val_video@1"]
            save_model(self.net, self.folder / "best.keras", card)


class ScoreVideos(keras.callbacks.Callback):
    """clip@1 and video@1 of the validation videos after every epoch, in the logs as val_clip@1 and val_video@1."""

    def __init__(self, net: keras.Model, batches, labels):
        super().__init__()
        self.net, self.batches, self.labels = net, batches, labels

    def on_epoch_end(self, epoch, logs=None):
        scores = score(self.net.predict_on_batch, self.batches, self.labels)
        logs["val_clip@1"], logs["val_video@1"] = scores.clip_at_1, scores.video_at_1


def compile_for_training(net: keras.Model, options: TrainingOptions, steps: int) -> keras.Model:
    """The net's logits, compiled: SGD with momentum, warm-up and cosine, decay on kernels."""
    decay_kernels(net, options.weight_decay)
    warmup = round(options.warmup * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else options.learning_rate,
        max(1, steps - warmup),
        warmup_target=options.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    trained = logits_of(net)
    trained.compile(
        optimizer=keras.optimizers.SGD(rate, momentum=options.momentum),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="clip@1")],
    )
    return trained


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
        options: epochs, batch size and seed count here.
        examples: training videos.
        weights: as of `build_model`.
    """
    keras.utils.set_random_seed(options.seed)
    steps = steps_per_epoch(examples, options.batch_size) * options.epochs
    momentum = batch_norm_momentum(architecture.batch_norm_momentum, steps)
    architecture = dataclasses.replace(architecture, batch_norm_momentum=momentum)
    input_shape = (sampling.frames, *sampling.crop, 3)
    return build_model(architecture, weights=weights, input_shape=input_shape, classes=classes)


def train(
    net: keras.Model,
    data_set,
    sampling: Sampling,
    output,
    options: TrainingOptions | None = None,
    validation=None,
    card: ModelCard | None = None,
) -> dict[str, list[float]]:
    """Trains `net` in place and writes `model.keras`, `model.json` and `log.csv` into the folder `output`.

    Args:
        net: a classifier with one output per class of the data set.
        data_set: training videos (`read_data_set`).
        sampling: how clips are taken.
        output: folder, made if missing.
        options: see `TrainingOptions`.
        validation: a data set with the same classes, scored after every epoch; the best net is kept as `best.keras`.
        card: what to write beside the model; None: made from the arguments.

    Returns:
        The history: a list per logged quantity, one value per epoch.

    Raises:
        ValueError: classes and outputs do not agree; a video that cannot be read (its name is in the message).
        RuntimeError: the loss became NaN; what was saved before it stays.
    """
    options = options or TrainingOptions()
    classes = net.output_shape[-1]
    for part in filter(None, (data_set, validation)):
        if len(part.classes) != classes or tuple(part.classes) != tuple(data_set.classes):
            raise ValueError(f"{part.name} has classes {part.classes}; the net has {classes} outputs")
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    card = card or ModelCard(net.name, tuple(data_set.classes), sampling, trained_on=data_set.name)
    card = dataclasses.replace(card, training={**card.training, **dataclasses.asdict(options)})
    steps = steps_per_epoch(len(data_set), options.batch_size)
    trained = compile_for_training(net, options, steps * options.epochs)
    callbacks = [keras.callbacks.TerminateOnNaN(raise_error=True)]
    if validation is not None:
        batches = evaluation_batches(
            validation, sampling, options.batch_size, options.validation_clips, workers=options.workers
        )
        callbacks.append(ScoreVideos(net, batches, data_set.classes))
    callbacks += [keras.callbacks.CSVLogger(folder / "log.csv"), SaveEveryEpoch(net, folder, card)]
    batches = training_batches(
        data_set, sampling, options.batch_size, options.epochs, options.seed, workers=options.workers,
        mirror=options.mirror,
    )  # fmt: skip
    with naming_the_video():
        history = trained.fit(
            batches,
            epochs=options.epochs,
            steps_per_epoch=steps,
            shuffle=False,
            callbacks=callbacks,
            verbose=1 if sys.stdout.isatty() else 2,
        )
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def evaluate(net: keras.Model, data_set, sampling: Sampling, clips: int = 10, batch_size: int = 32) -> Scores:
    """The paper's scores of a Keras net on a data set, with a progress bar over the videos."""
    bar = keras.utils.Progbar(len(data_set), unit_name="video", verbose=int(sys.stdout.isatty()))
    batches = evaluation_batches(data_set, sampling, batch_size, clips)
    return score(net.predict_on_batch, batches, data_set.classes, bar.update)
