"""All of a run in one file: written aside, synced, put in place in one move, read back only where it fits."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile
import zipfile

import numpy as np

from keras_res3d.data.clips import Sampling
from keras_res3d.training.recipes import TrainingOptions

FILE = "checkpoint.npz"
# Options that change how a run goes but not where it ends, so that a resumed run may have others.
_FREE = ("workers", "checkpoint_steps", "tensorboard", "steps_per_execution")


def identity(net, data_set, validation, sampling: Sampling, options: TrainingOptions, trained_on: str) -> dict:
    """What must be the same for a run to be resumed, as plain JSON values."""
    fields = {name: value for name, value in dataclasses.asdict(options).items() if name not in _FREE}
    return {
        "net": {"name": net.name, "parameters": int(net.count_params()), "outputs": int(net.output_shape[-1])},
        "data": _describe(data_set),
        "validation": None if validation is None else _describe(validation),
        "trained_on": trained_on,
        "sampling": sampling.to_dict(),
        "options": fields,
    }


def _describe(data_set) -> dict:
    digest = hashlib.sha256()
    for example in data_set.examples:
        # The last parts of the path alone: a data set may be moved.
        digest.update(f"{'/'.join(pathlib.PurePath(example.path).parts[-2:])}\0{example.label}\n".encode())
    return {"videos": len(data_set), "classes": list(data_set.classes), "digest": digest.hexdigest()[:16]}


def differences(before, now, where: str = "") -> list[str]:
    """Each value in which two identities differ: "options.seed: 0 before, 1 now"."""
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for key in [*before, *(key for key in now if key not in before)]:
            found += differences(before.get(key), now.get(key), f"{where}.{key}" if where else key)
        return found
    return [] if before == now else [f"{where}: {before} before, {now} now"]


def save(folder, values: list[np.ndarray], state: dict) -> None:
    """Writes the run's checkpoint; a failure on the way leaves the one before as it was.

    Args:
        folder: of the run.
        values: of all its variables, in order.
        state: everything else, ready for JSON.

    Raises:
        OSError: it cannot be written, e.g. the disk is full.
    """
    folder = pathlib.Path(folder)
    handle, name = tempfile.mkstemp(prefix=f".{FILE}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            arrays = {f"v{number:05d}": value for number, value in enumerate(values)}
            np.savez(file, state=np.frombuffer(json.dumps(state).encode(), np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, folder / FILE)
    except BaseException:
        pathlib.Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(folder)


def _sync_folder(folder: pathlib.Path) -> None:
    """The renamed entry reaches the disk too; where folders cannot be opened (Windows) that is left to the system."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load(folder) -> tuple[list[np.ndarray], dict] | None:
    """What `save` wrote there last, or None where there is none; remains of interrupted writes are swept away.

    Raises:
        ValueError: the file is damaged.
    """
    path = pathlib.Path(folder) / FILE
    for remains in path.parent.glob(f".{FILE}.*"):
        remains.unlink(missing_ok=True)
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            state = json.loads(file["state"].tobytes())
            return [file[name] for name in sorted(file.files) if name != "state"], state
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); delete it to keep the model trained so far, or start again with --overwrite"
        ) from error


def restore(variables, values: list[np.ndarray]) -> None:
    """Gives every variable its value, all or none.

    Raises:
        ValueError: numbers, shapes or types do not fit.
    """
    shapes = [(tuple(variable.shape), np.dtype(variable.dtype)) for variable in variables]
    found = [(value.shape, value.dtype) for value in values]
    if shapes != found:
        odd = [pair for pair in zip(shapes, found, strict=False) if pair[0] != pair[1]][:3]
        raise ValueError(f"the checkpoint holds {len(found)} values, the run {len(shapes)}; they differ at {odd}")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
