"""A recipe's data for `fit`: its crops, several clips of a video, smoothed and mixed targets, from any step on."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_res3d.data.augment import AUGMENTATIONS, Augment
from keras_res3d.data.bad_videos import BadVideos
from keras_res3d.data.batches import training_stream
from keras_res3d.data.clips import Sampling
from keras_res3d.data.training_clips import SeveralClips
from keras_res3d.data.transform import preprocess_input, random_crop_and_mirror, random_resized_crop_and_mirror
from keras_res3d.table_files import csv_rows
from keras_res3d.training.kinds import kind_of
from keras_res3d.training.recipes import TrainingOptions


def mixup_shares(options: TrainingOptions, step: int, batch: int) -> np.ndarray:
    """Each clip's own share under mixup, float32 `(batch,)`, from 0.5 to 1; it follows from (seed, step)."""
    if not options.mixup:
        return np.ones(batch, np.float32)
    shares = np.random.default_rng((options.seed, int(step), 2)).beta(options.mixup, options.mixup, batch)
    return np.maximum(shares, 1 - shares).astype(np.float32)


def before(values) -> tf.Tensor:
    """Row i has what row i - 1 of `values` had, and the first row what the last one had."""
    return tf.roll(values, 1, axis=0)


def soft_targets(
    labels, classes: int, smoothing: float = 0.0, shares=None, outcomes: int | None = None, neighbours=None
) -> tf.Tensor:
    """Targets `(batch, classes)`, mixed with the neighbour's in the batch by shares, then smoothed.

    Args:
        labels: int `(batch,)`; or of several labels a video, float32 `(batch, classes)`.
        classes: how many there are.
        smoothing: share of the target that is spread evenly over the outcomes.
        shares: each clip's own share `(batch,)`; None: all of it.
        outcomes: as of `LabelKind`; None: all classes.
        neighbours: their labels, like `labels`; None: the neighbour is the clip before, and that of the first the last.
    """
    targets, others = (
        tf.cast(each, tf.float32) if len(each.shape) == 2 else tf.one_hot(each, classes)
        for each in (labels, before(labels) if neighbours is None else neighbours)
    )
    if shares is not None:
        targets = shares[:, None] * targets + (1 - shares[:, None]) * others
    return (1 - smoothing) * targets + smoothing / (outcomes or classes)


def has_soft_targets(options: TrainingOptions) -> bool:
    """Whether the recipe's targets are probabilities of all classes and not class numbers."""
    return bool(options.mixup or options.label_smoothing)


def recipe_augment(data_set, sampling: Sampling, options: TrainingOptions) -> Callable:
    """What a recipe does to its clips: its crops, and the rows of `data.augment` that it uses.

    Args:
        data_set: its classes, and whether videos may be played backwards at all (`reverse_safe`).
        sampling: its stride is the smallest.
        options: smallest_area, brightness, contrast, saturation, hue, grey, reverse, one_way and largest_stride count.

    Raises:
        ValueError: `one_way` names what is no class, or `largest_stride` is below the stride.
    """
    crop = random_crop_and_mirror
    if options.smallest_area < 1:
        crop = functools.partial(random_resized_crop_and_mirror, smallest_area=options.smallest_area)
    strengths = {name: strength for name in AUGMENTATIONS if (strength := getattr(options, name, 0))}
    if "reverse" in strengths and not getattr(data_set, "reverse_safe", True):
        del strengths["reverse"]
        warnings.warn(f"{data_set.name}: no clip is played backwards, which may make it one of another class",
                      stacklevel=3)  # fmt: skip
    _, one_way = next(csv_rows([options.one_way or ""], skipinitialspace=True), (1, []))
    unknown = [name for name in one_way if name not in data_set.classes]
    if unknown:
        raise ValueError(f"one_way has {unknown}; expected classes of {data_set.name}, separated by commas")
    if options.largest_stride is not None and options.largest_stride < sampling.stride:
        raise ValueError(f"largest_stride is {options.largest_stride}; expected the stride, {sampling.stride}, or more")
    if not strengths and options.largest_stride is None:
        return crop
    return Augment(strengths, crop, options.largest_stride, [data_set.classes.index(name) for name in one_way])


def _and_neighbours(values, follow: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Values of a batch, and those of each one's neighbour, which follow in the second half of the batch or precede it.
    """
    if not follow:
        return values, before(values)
    half = values.shape[0] // 2
    return values[:half], values[half:]


def recipe_stream(
    data_set,
    sampling: Sampling,
    options: TrainingOptions,
    start_step: int = 0,
    preprocess: bool = True,
    sample_weight=None,
    *,
    on_bad_video: str | BadVideos | None = None,
    part: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """The training batches of a recipe, from `start_step` to the run's last step, for one call of `fit`.

    Give `fit` it with `steps_per_epoch=options.steps_per_epoch(len(data_set))`.

    Args:
        data_set, sampling: as of `training_batches`.
        options: seed, batch size, crops, mixup, smoothing, processes and the length of the run count here.
        start_step: of a resumed run (`ResumeExactly(...).start_step`).
        preprocess: False gives pixels from 0 to 255: uint8, or float32 under mixup.
        sample_weight: a weight for each video, `(videos,)`.
        on_bad_video: as of `training_batches`; None: as the options say.
        part: as of `training_stream`. Under mixup a part also reads the clips that its own are mixed with.

    Returns:
        A tf.data.Dataset of clips, targets and, where given, weights. Targets are class numbers, or probabilities
        `(batch, classes)` where the recipe smooths or mixes, and of a multi-label data set: `compile_by_recipe` chooses
        the loss accordingly.
    """
    several = options.clips_per_video
    data = SeveralClips(data_set, several) if several > 1 else data_set
    augment = recipe_augment(data_set, sampling, options)
    if sample_weight is not None:
        sample_weight = np.tile(np.asarray(sample_weight, np.float32), several)
    stream = training_stream(
        data, sampling, options.batch_size, options.seed, start_step, options.workers, options.mirror,
        preprocess and not options.mixup, augment, last_step=options.total_steps(len(data_set)),
        sample_weight=sample_weight, on_bad_video=options.on_bad_video if on_bad_video is None else on_bad_video,
        processes=options.processes, part=part, neighbours=bool(options.mixup) and part[1] > 1,
    )  # fmt: skip
    if not has_soft_targets(options):
        return stream
    classes, smoothing, batch = len(data_set.classes), options.label_smoothing, min(options.batch_size, len(data))
    outcomes = kind_of(data_set).outcomes(classes)

    def soften(step, batched):
        clips, labels, *rest = batched
        if not options.mixup:
            return (clips, soft_targets(labels, classes, smoothing, outcomes=outcomes), *rest)
        shares = tf.numpy_function(lambda number: mixup_shares(options, number, batch), [step], tf.float32)
        shares = tf.ensure_shape(shares, (batch,))[part[0] :: part[1]]
        weight, clips = shares[:, None, None, None, None], tf.cast(clips, tf.float32)
        batched = (clips, labels, *rest)
        (clips, others), (labels, theirs), *rest = (_and_neighbours(each, part[1] > 1) for each in batched)
        clips = weight * clips + (1 - weight) * others
        clips = preprocess_input(clips, sampling.preprocessing) if preprocess else clips
        targets = soft_targets(labels, classes, smoothing, shares, outcomes, theirs)
        return (clips, targets, *(own for own, _ in rest))

    stream = stream.enumerate(start_step).map(soften)
    return stream.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)).prefetch(1)
