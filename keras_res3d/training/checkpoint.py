"""All of a run in one file: written aside, synced, put in place in one move, read back only where it fits."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib

import keras
import numpy as np

from keras_res3d.data.augment import AUGMENTATIONS
from keras_res3d.data.clips import Sampling
from keras_res3d.data.types import is_multi_label, labels_of
from keras_res3d.io import atomic_path, sweep
from keras_res3d.remote import as_path
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.untrusted import Npz, parse_json

FILE = "checkpoint.npz"
# Options that change how a run goes but not where it ends, so that a resumed run may have others.
FREE = ("workers", "checkpoint_steps", "tensorboard", "steps_per_execution", "on_bad_video", "processes",
        "worker_timeout")
# Options that came later: said only where they are used, so that runs begun before can go on.
_LATER = (*AUGMENTATIONS, "one_way", "largest_stride")
# The sampling says these.
SAMPLED = ("frames", "stride", "crop")


def identity(
    net,
    data_set,
    validation,
    sampling: Sampling,
    options: TrainingOptions,
    trained_on: str,
    weights: str | None = None,
    replicas: int = 1,
) -> dict:
    """What must be the same for a run to be resumed, as plain JSON values.

    Args:
        net, data_set, validation, sampling, options: as of `train`.
        trained_on: of the card.
        weights: digest of the videos' factors of the loss, where they have some.
        replicas: on how many devices the run trains.
    """
    fields = {
        each.name: getattr(options, each.name)
        for each in dataclasses.fields(options)
        if each.name not in (*FREE, *SAMPLED)
        and not (each.name in _LATER and getattr(options, each.name) == each.default)
    }
    # Where each replica normalises by its own clips, their number says what is trained.
    apart = {"replicas": replicas} if options.strategy == "multi_worker" and not options.synchronized else {}
    return {
        **apart,
        "net": {
            "name": net.name,
            "parameters": int(net.count_params()),
            "trainable": sum(int(np.prod(variable.shape)) for variable in net.trainable_variables),
            "outputs": int(net.output_shape[-1]),
        },
        "data": describe(data_set),
        "validation": None if validation is None else describe(validation),
        "trained_on": trained_on,
        "sampling": sampling.to_dict(),
        "options": fields,
        "weights": weights,
    }


def digest_of(values) -> str:
    """A short digest of numbers, for an identity."""
    return hashlib.sha256(np.asarray(values, np.float64).tobytes()).hexdigest()[:16]


def describe(data_set) -> dict:
    """A data set in an identity: wherever its videos lie, other videos or labels make another digest."""
    digest = hashlib.sha256()
    for example in data_set.examples:
        # The last parts of the path alone: a data set may be moved.
        name = "/".join(pathlib.PurePath(example.path).parts[-2:])
        labels = ",".join(map(str, labels_of(example)))
        digest.update(f"{name}\0{labels}\n".encode("utf-8", "surrogateescape"))
    found = {"videos": len(data_set), "classes": list(data_set.classes), "digest": digest.hexdigest()[:16]}
    if is_multi_label(data_set):
        found["several labels"] = True
    missing = len(getattr(data_set, "missing", ()))
    # Said only where files were left out, so that the checkpoints of all other runs stay as they are.
    return {**found, "missing videos left out": missing} if missing else found


def differences(before, now, where: str = "", names: tuple[str, str] = ("before", "now")) -> list[str]:
    """Each value in which two identities differ: "options.seed: 0 before, 1 now"."""
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for key in [*before, *(key for key in now if key not in before)]:
            found += differences(before.get(key), now.get(key), f"{where}.{key}" if where else key, names)
        return found
    what = f"{where}: other videos or labels, with the digest" if where.endswith(".digest") else f"{where}:"
    return [] if before == now else [f"{what} {before} {names[0]}, {now} {names[1]}"]


def save(folder, values: list[np.ndarray], state: dict) -> None:
    """Writes the run's checkpoint; a failure on the way leaves the one before as it was.

    Args:
        folder: of the run.
        values: of all its variables, in order.
        state: everything else, ready for JSON.

    Raises:
        OSError: it cannot be written, for example because the disk is full; names the path.
    """
    with atomic_path(as_path(folder) / FILE) as aside:
        arrays = {f"v{number:05d}": value for number, value in enumerate(values)}
        np.savez(aside, state=np.frombuffer(json.dumps(state).encode(), np.uint8), **arrays)


def load(folder, schema: object = dict) -> tuple[list[np.ndarray], dict] | None:
    """What `save` wrote there last, or None where there is none; remains of interrupted writes are swept away.

    Args:
        folder: of the run.
        schema: of the state, as of `untrusted.check`.

    Raises:
        ValueError: the file is damaged, or the state is not of the schema.
    """
    path = as_path(folder) / FILE
    sweep(path)
    if not path.exists():
        return None
    try:
        with Npz(path) as file:
            state = parse_json(file.read("state", np.uint8, (None,)).tobytes(), schema, nan=True)
            return [file.read(name) for name in sorted(file.names) if name != "state"], state
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); delete it, and the run starts again with its first step"
        ) from error


def remove(folder) -> None:
    """The run in this folder has ended, or starts again: its checkpoint goes."""
    path = as_path(folder) / FILE
    path.unlink(missing_ok=True)
    sweep(path)


def restore(variables, values: list[np.ndarray]) -> None:
    """Gives every variable its value, all or none.

    Raises:
        ValueError: numbers, shapes or types do not fit.
    """
    shapes = [(tuple(each.shape), np.dtype(keras.backend.standardize_dtype(each.dtype))) for each in variables]
    found = [(value.shape, value.dtype) for value in values]
    if shapes != found:
        odd = [pair for pair in zip(shapes, found, strict=False) if pair[0] != pair[1]][:3]
        raise ValueError(f"the checkpoint holds {len(found)} values, the run {len(shapes)}; they differ at {odd}")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
