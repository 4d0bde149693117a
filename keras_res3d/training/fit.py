"""A net prepared for a run, the run itself by `model.fit`, and the scores of what came out."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import sys
import warnings
from collections.abc import Iterable, Iterator

import keras
import numpy as np

from keras_res3d.applications import build_model
from keras_res3d.cards import ModelCard, card_of
from keras_res3d.data.bad_videos import SKIP, STOP, BadVideos
from keras_res3d.data.batches import naming_the_video
from keras_res3d.data.clips import Sampling
from keras_res3d.data.seen import sketch_of
from keras_res3d.data.types import VideoError, is_multi_label
from keras_res3d.nets.architecture import Architecture
from keras_res3d.remote import as_path, refuse
from keras_res3d.training import checkpoint, hosts
from keras_res3d.training.callbacks import Speed, StopOnNaN
from keras_res3d.training.checks import check_callbacks, check_run, findings, video_weights
from keras_res3d.training.compile import compile_by_recipe, metrics_of, twin_of
from keras_res3d.training.distributed import check_built_for, strategy_for
from keras_res3d.training.folder import BAD_VIDEOS, Bar, RunFolder, figures_of, held, write_skipped
from keras_res3d.training.kinds import kind_for, kind_of
from keras_res3d.training.objective import Objective
from keras_res3d.training.recipes import TrainingOptions, batch_norm_momentum
from keras_res3d.training.resume import ResumeExactly
from keras_res3d.training.stream import recipe_stream
from keras_res3d.training.validate import ValidateVideos
from keras_res3d.weights.freeze import freeze


def prepare_net(
    architecture: Architecture,
    sampling: Sampling,
    classes: int,
    options: TrainingOptions,
    examples: int,
    weights: str | None = None,
    *,
    multi_label: bool = False,
) -> keras.Model:
    """The architecture for these clips and classes, batch-norm momentum fitted to the run, weights seeded.

    Args:
        architecture: the net.
        sampling: its frames and crop are the input's.
        classes: outputs.
        options: length of the run, seed and strategy count here.
        examples: training videos.
        weights: as of `build_model`.
        multi_label: whether it ends in a sigmoid, for videos of several labels, and not in a softmax; a new classifier
            then begins with a probability of 1 / classes for each label.
    """
    momentum = batch_norm_momentum(architecture.batch_norm_momentum, options.total_steps(examples))
    architecture = dataclasses.replace(architecture, batch_norm_momentum=momentum)
    input_shape = (sampling.frames, *sampling.crop, 3)
    strategy = strategy_for(options)
    keras.utils.set_random_seed(options.seed)
    activation = kind_for(multi_label).activation
    with strategy.scope():
        net = build_model(
            architecture, weights=weights, input_shape=input_shape, classes=classes, classifier_activation=activation
        )
    if multi_label:
        start_labels_rare(net)
    return net


def start_labels_rare(net: keras.Model) -> None:
    """Lets a new head begin with a probability of 1 / classes for each label, as a softmax does.

    A sigmoid begins with a half. Of many classes nearly all are then wrong at first, and what a net learns in its first
    steps is that labels are rare. A head that was trained already stays as it is.
    """
    head = next(layer for layer in reversed(net.layers) if getattr(layer, "kernel", None) is not None)
    if head.bias is not None and not np.any(head.bias.numpy()):
        classes = head.bias.shape[0]
        head.bias.assign(np.full(classes, -np.log(max(1, classes - 1)), np.float32))


def _full_card(card: ModelCard | None, net: keras.Model, data_set, sampling: Sampling, options) -> ModelCard:
    """The card of the run's models: of which net they are, what they have seen, and all settings."""
    card = card or ModelCard(net.name, tuple(data_set.classes), sampling, trained_on=data_set.name)
    found = card_of(net, sampling=sampling)
    # How clips are taken is said once, by the sampling.
    settings = {name: value for name, value in dataclasses.asdict(options).items() if name not in checkpoint.SAMPLED}
    return dataclasses.replace(
        card,
        architecture=card.architecture or found.architecture,
        frames=found.frames,
        trim=found.trim,
        multi_label=is_multi_label(data_set),
        seen=card.seen or sketch_of(data_set),
        training={**card.training, **settings},
    )


def _tensorboard(folder) -> keras.callbacks.TensorBoard:
    if sys.modules.get("tensorboard", "") is None or importlib.util.find_spec("tensorboard") is None:
        raise ImportError(
            'tensorboard is not installed; it comes with the extra: pip install "keras-res3d[tensorboard]"'
        )
    refuse("the log of TensorBoard", folder)
    return keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False)


# Callbacks of Keras that write files, which of several hosts the first alone does.
_WRITERS = (keras.callbacks.ModelCheckpoint, keras.callbacks.CSVLogger, keras.callbacks.TensorBoard)


def _callbacks(folder, card, validation, sampling, options, total, identity, given, bad, chief) -> list:
    """The run's callbacks in their order: each hears of what those before it have added to the logs."""
    keepers, best = [], None
    if validation is not None:
        best = kind_of(validation).video_figure[0]
        batch, clips = options.batch_size, options.validation_clips
        keepers.append(
            ValidateVideos(validation, sampling, clips, batch, options.workers, preprocess=False, on_bad_video=bad)
        )  # fmt: skip
    if options.early_stopping:
        patience = options.early_stopping
        keepers.append(keras.callbacks.EarlyStopping(best, mode="max", patience=patience))
    if options.tensorboard and chief:
        keepers.append(_tensorboard(folder))
    keepers += [*given, RunFolder(folder, card, best, bad if isinstance(bad, BadVideos) else None)]
    resume = ResumeExactly(
        folder, options.checkpoint_steps, steps=total, callbacks=keepers, identity=identity, keep=True
    )  # fmt: skip
    heard = [callback for callback in keepers if chief or not isinstance(callback, _WRITERS)]
    return [resume, StopOnNaN(), Speed(), Bar(), *heard]


@contextlib.contextmanager
def _saying_how_to_go_on() -> Iterator[None]:
    """A VideoError in the middle of a run, with what its user can do."""
    try:
        with naming_the_video():
            yield
    except VideoError as error:
        raise VideoError(f"{error}; the run can go on: mend or replace the file, or let on_bad_video be skip") from None


def _prepare_folder(folder, resume: bool, strategy, identity: dict, net: keras.Model) -> None:
    """Clears the folder for a new run. Several hosts wait here until all agree on the run and the first has cleared it.

    Raises:
        ValueError: the hosts have different data, settings or weights, or different folders.
    """
    if hosts.is_chief(strategy):
        folder.mkdir(parents=True, exist_ok=True)
    if hosts.hosts_of(strategy) > 1:
        weights = checkpoint.digest_of(np.concatenate([variable.numpy().ravel() for variable in net.variables]))
        hosts.agree(strategy, {**identity, "going on with an unfinished run": resume, "weights at the start": weights})
        hosts.check_shared(strategy, folder)
    if not resume and hosts.is_chief(strategy):
        checkpoint.remove(folder)
        (folder / BAD_VIDEOS).unlink(missing_ok=True)
    hosts.tell_all(strategy, "cleared")


def train(
    net: keras.Model,
    data_set,
    sampling: Sampling,
    output,
    options: TrainingOptions | None = None,
    validation=None,
    card: ModelCard | None = None,
    resume: bool = False,
    *,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    class_weight: dict[int, float] | str | None = None,
    sample_weight=None,
    objective: Objective | None = None,
) -> dict[str, list[float]]:
    """Trains `net` in place by one call of `model.fit`; the folder `output` gets `model.keras`, its card and `log.csv`.

    While it runs the folder holds `checkpoint.npz`, all that it takes to go on. With `on_bad_video="skip"` in the
    options, `bad_videos.txt` lists the videos that could not be read, each once.

    Args:
        net: a classifier with one output per class of the data set, as of `prepare_net`, or any functional Keras model
            of preprocessed clips. Metrics that it was compiled with are shown; optimizer and loss are the recipe's.
        data_set: training videos (`read_data_set`). With several labels a video (`multi_label`) the net ends in a
            sigmoid and learns by binary cross-entropy, and `best.keras` is the net with the highest val_mAP.
        sampling: how clips are taken.
        output: folder, made if missing. It may be an address in a store, such as s3://bucket/run.
        options: see `TrainingOptions`.
        validation: a data set with the same classes, scored after every epoch; the best net is kept as `best.keras`.
        card: what to write beside the model; None: made from the arguments.
        resume: go on with the folder's unfinished run; without one, and when False, start from the first step.
        callbacks: any callbacks of Keras. They see "loss", "clip@1", the scores of `ValidateVideos` and the figures of
            `Speed` in their logs; models that they save are the stock net. Those that set the learning rate need
            schedule "constant" and no warm-up.
        class_weight: a factor of the loss for each class number (1 where there is none), or "balanced": all classes
            count alike. A video's factor is that of its class times its `sample_weight`. Not for several labels.
        sample_weight: a factor of the loss for each video, `(videos,)`.
        objective: a loss that takes a number of each video beside its class; None is cross-entropy.

    Returns:
        The history: a list per figure, one value per epoch.

    Raises:
        ValueError: data, net and options do not fit together; the unfinished run differs from this one; a video that
            cannot be read (its name is in the message); another process trains in the folder.
        RuntimeError: the loss became NaN, or another host is gone; what was saved before it stays.
    """
    options, callbacks = options or TrainingOptions(), list(callbacks)
    check_callbacks(callbacks, options)
    strategy = strategy_for(options)
    check_run(net, data_set, validation, options, strategy.num_replicas_in_sync)
    check_built_for(net, strategy)
    cluster = hosts.cluster_of_strategy(strategy)
    for finding in findings(data_set, validation) if cluster.is_chief else ():
        warnings.warn(finding, stacklevel=2)
    numbers = video_weights(data_set, class_weight, sample_weight)
    weights = None if numbers is None else checkpoint.digest_of(numbers)
    if objective is not None:
        objective.check(data_set, options, numbers)
        numbers, weights = objective.numbers, objective.identity
    if options.freeze:
        freeze(net, options.freeze)
    folder, card = as_path(output), _full_card(card, net, data_set, sampling, options)
    identity = checkpoint.identity(
        net, data_set, validation, sampling, options, card.trained_on, weights, strategy.num_replicas_in_sync
    )
    with held(folder, cluster), hosts.naming_the_worker(strategy):
        _prepare_folder(folder, resume, strategy, identity, net)
        bad = STOP
        if options.on_bad_video == SKIP:
            bad = BadVideos(folder / BAD_VIDEOS if cluster.is_chief else None)
        total, chief = options.total_steps(len(data_set)), cluster.is_chief
        run = _callbacks(folder, card, validation, sampling, options, total, identity, callbacks, bad, chief)
        start = run[0].start_step
        if chief:
            write_skipped(folder, data_set, validation)
            if start:
                print(f"going on at step {start} of {total}")
        hosts.agree(strategy, {"step of the checkpoint": start})
        _fit(net, data_set, sampling, options, numbers, objective, bad, run)
        if chief:
            checkpoint.remove(folder)
        hosts.tell_all(strategy, "done")  # the others end well only where the first has written everything
    return figures_of(run[-1].rows)


def _fit(net: keras.Model, data_set, sampling: Sampling, options, numbers, objective, bad, run) -> None:
    """One call of `fit`, on this host's share of the clips, from the step on that the first callback says."""
    strategy, metrics, start = strategy_for(options), metrics_of(net), run[0].start_step
    steps, total = options.steps_per_epoch(len(data_set)), options.total_steps(len(data_set))
    cluster = hosts.cluster_of_strategy(strategy)
    part = cluster.index, len(cluster.workers)
    batch = min(options.batch_size, len(data_set) * options.clips_per_video)
    with twin_of(net, options, sampling) as twin, _saying_how_to_go_on():
        compile_by_recipe(twin, options, total, metrics, multi_label=is_multi_label(data_set), objective=objective)
        stream = recipe_stream(data_set, sampling, options, start, False, numbers, on_bad_video=bad, part=part)
        stream = hosts.spread(strategy, stream if objective is None else objective.paired(stream), batch)
        twin.fit(
            stream, epochs=-(-total // steps), steps_per_epoch=steps, callbacks=run, shuffle=False, verbose=0
        )  # fmt: skip
