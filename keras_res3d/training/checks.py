"""What is looked at before a run starts: faults that end it, and findings that its user should hear of."""

from __future__ import annotations

import keras
import numpy as np

from keras_res3d.cards import check_multi_label
from keras_res3d.data.check import as_listing, preflight
from keras_res3d.data.types import is_multi_label
from keras_res3d.training.recipes import TrainingOptions

# Findings of a list are said in full up to this number; the rest is counted.
SHOWN = 3


def check_data(data_set, validation=None) -> None:
    """Raises ValueError where the data sets cannot train a classifier.

    That is one class alone, unless a video may be without it; classes that differ; several labels in one of the two.
    """
    several = is_multi_label(data_set)
    for data in (data_set, validation) if validation is not None else (data_set,):
        _check_labels(data, several)
    if len(data_set.classes) < 2 and not several:
        raise ValueError(
            f"{data_set.name} has one class, {', '.join(map(str, data_set.classes))}; expected two classes or more"
        )
    if validation is not None and tuple(validation.classes) != tuple(data_set.classes):
        raise ValueError(f"{validation.name} has classes {validation.classes}, {data_set.name} has {data_set.classes}")


def _check_labels(data_set, several: bool) -> None:
    """Raises ValueError where some videos have `labels` and others none of that, or no video has any label."""
    mixed = sum((getattr(example, "labels", None) is not None) != several for example in data_set.examples)
    if mixed:
        has, lacks = ("one label", "labels") if several else ("several labels", "a label")
        raise ValueError(
            f"{mixed} of the {len(data_set)} videos of {data_set.name} are of a list with {has} a video; expected "
            f"{lacks} of every video, in training and validation alike: read both with multi_label, or neither"
        )
    if several and not any(example.labels for example in data_set.examples):
        raise ValueError(f"no video of {data_set.name} has a label; expected some that do")


def check_run(net: keras.Model, data_set, validation, options: TrainingOptions, replicas: int) -> None:
    """Raises ValueError where net, data and options do not fit together."""
    check_data(data_set, validation)
    if len(data_set.classes) != net.output_shape[-1]:
        raise ValueError(
            f"{data_set.name} has classes {data_set.classes}; the net has {net.output_shape[-1]} outputs"
        )
    if is_multi_label(data_set):
        check_multi_label(net)
    batch = min(options.batch_size, len(data_set) * options.clips_per_video)
    if batch < replicas:
        raise ValueError(f"a batch has {batch} clips; expected at least {replicas}, one for each replica")
    if batch % replicas:
        raise ValueError(
            f"a batch has {batch} clips for {replicas} replicas; expected a multiple of {replicas}: Keras would weigh "
            f"the clips of an uneven batch wrongly. Set batch_size to {batch - batch % replicas}"
        )
    if options.early_stopping and validation is None:
        raise ValueError(f"early_stopping is {options.early_stopping}, and there are no validation videos to judge by")


def check_callbacks(callbacks, options: TrainingOptions) -> None:
    """Raises ValueError where a callback sets a learning rate that the recipe's schedule sets already."""
    setters = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
    found = [type(callback).__name__ for callback in callbacks if isinstance(callback, setters)]
    if found and (options.schedule != "constant" or options.warmup):
        raise ValueError(
            f"{found[0]} sets the learning rate, and so does the schedule {options.schedule!r} with warmup "
            f"{options.warmup:g}; give schedule='constant' and warmup=0 with it"
        )


def findings(data_set, validation=None) -> list[str]:
    """What `keras-res3d check` finds without decoding: videos in both lists, groups that leak, duplicates.

    Returns:
        Sentences, the first few in full and the others as a number.
    """
    report = preflight(as_listing(data_set), None if validation is None else as_listing(validation))
    found = [*report.faults, *_duplicates(data_set)]
    if len(found) > SHOWN:
        found = [*found[:SHOWN], f"and {len(found) - SHOWN} more; keras-res3d check lists them all"]
    return found


def _duplicates(data_set) -> list[str]:
    """Videos that a list names twice; readers of lists refuse them, packed shards and own data sets may have them."""
    seen, found = set(), []
    for example in data_set.examples:
        video = (str(example.path), getattr(example, "first_frame", None))
        if video in seen:
            found.append(f"{data_set.name}: {example.path} is listed twice")
        seen.add(video)
    return found


def balanced(data_set) -> dict[int, float]:
    """A weight for each class by which all classes count alike: videos / (classes * videos of the class)."""
    counts = np.bincount([example.label for example in data_set.examples], minlength=len(data_set.classes))
    empty = [name for name, count in zip(data_set.classes, counts, strict=True) if not count]
    if empty:
        names = ", ".join(map(str, empty))
        raise ValueError(f"class_weight is 'balanced', and {names} of {data_set.name} has no video")
    return {number: len(data_set) / (len(counts) * int(count)) for number, count in enumerate(counts)}


def video_weights(data_set, class_weight: dict[int, float] | str | None, sample_weight) -> np.ndarray | None:
    """A factor of the loss for each video, `(videos,)`, of its class and its own; None where all are 1.

    Raises:
        ValueError: a class that is none of the data set's, a factor below 0 or not finite, or not one for each video.
    """
    if class_weight is None and sample_weight is None:
        return None
    weights = np.ones(len(data_set)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weights.shape != (len(data_set),):
        raise ValueError(
            f"sample_weight has shape {weights.shape}; expected a number for each of the {len(data_set)} videos"
        )
    if class_weight is not None and is_multi_label(data_set):
        raise ValueError(f"class_weight weighs a video by its class, and a video of {data_set.name} may have several; "
                         "leave it out, and weigh videos by sample_weight")  # fmt: skip
    if class_weight == "balanced":
        class_weight = balanced(data_set)
    elif isinstance(class_weight, str):
        raise ValueError(f"class_weight is {class_weight!r}; expected a dict of class numbers, or 'balanced'")
    class_weight, numbers = class_weight or {}, range(len(data_set.classes))
    unknown = [key for key in class_weight if key not in numbers]
    if unknown:
        raise ValueError(f"class_weight has {unknown}; expected class numbers from 0 to {numbers[-1]}")
    weights = weights * [class_weight.get(example.label, 1.0) for example in data_set.examples]
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise ValueError("class_weight or sample_weight has factors below 0 or not finite, or they are all 0")
    return weights
