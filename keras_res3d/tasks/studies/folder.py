"""The folder of a study: what was agreed on, a folder for each run, and who is at work on which.

    study.json                    data, options, budget and candidates; another study in the folder is refused
    NAME/seed0/                   a run, as `train` writes it, with scores.json once it was scored
    NAME/seed0/failure.json       what ended the last attempt, where it failed
    NAME/latency.json             of one clip, measured before the first run
    NAME/left_out.json            why the candidate is not trained, where a limit leaves it out

Several processes may work in one folder: a run belongs to the process that holds its lock, which goes with the process
however that ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

from keras_res3d.io import locked, sweep, write_atomically
from keras_res3d.tables import as_json, printable
from keras_res3d.tasks.studies.budget import Planned
from keras_res3d.tasks.studies.study import Study
from keras_res3d.training.checkpoint import FREE, SAMPLED, describe, differences
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.untrusted import read_json

# Options that do not tell studies apart: every run has a seed of its own, and each candidate its sampling.
_FREE = ("seed", *FREE, *SAMPLED)
HEADER, _SEED = "study.json", "seed"
# A folder gets a candidate's name, which with what is added to it is at most the 255 bytes that file systems take.
_NAME, LONGEST_NAME = re.compile(r"[\w][\w.+-]*"), 100
_DATA = {"name": str, "videos": int, "classes": [str]}
_CANDIDATE = {
    "name": str, "width": int, "params": int, "live_params": int, "macs": int, "live_macs": int,
    "off": (float, None),
    "printed": {str: (float, None)},
    "sampling": {"frames": int, "stride": int, "crop": [int]},
    "architecture": {"temporal_kernels": [int], "blocks": [int], "factorized": (str, None)},
}  # fmt: skip
_HEADER = {
    "study": str, "question": str, "budget": ({"target": float, "count": str}, None), "data": _DATA,
    "validation": _DATA, "clips": int, "options": dict, "candidates": [_CANDIDATE],
}  # fmt: skip
SCORES, FAILURE, LATENCY, LEFT_OUT = "scores.json", "failure.json", "latency.json", "left_out.json"


class StudyFolder:
    """A folder of a study, new or gone on with.

    Args:
        folder: made where it is missing.
        header: what must be the same for all that is in the folder, as plain JSON values.

    Raises:
        ValueError: the folder holds another study; the message says in what it differs.
    """

    def __init__(self, folder, header: Mapping):
        self.path = pathlib.Path(folder)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{folder} is a file; expected a folder, which is made where it is missing")
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path / HEADER):
            sweep(self.path / HEADER)
            if not (self.path / HEADER).exists():
                write_atomically(self.path / HEADER, as_json(header))
        found = differences(read_header(self.path), json.loads(json.dumps(header)))
        if found:
            more = f" and {len(found) - 5} others" if len(found) > 5 else ""
            raise ValueError(f"{printable(folder)} holds another study: {'; '.join(found[:5])}{more}. Choose another "
                             "folder")  # fmt: skip

    def run(self, name: str, seed: int) -> pathlib.Path:
        """The folder of a candidate's run."""
        return run_folder(self.path, name, seed)

    @contextlib.contextmanager
    def claim(self, name: str, seed: int) -> Iterator[bool]:
        """Holds a run for this process; yields False where another process holds it."""
        run = self.run(name, seed)
        try:
            lock = contextlib.ExitStack()
            lock.enter_context(locked(run, timeout=0))
        except TimeoutError:
            yield False
            return
        with lock:
            yield True

    def write(self, path: pathlib.Path, value) -> None:
        """A small JSON file; None removes it."""
        if value is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, as_json(value))


def is_name(name: str) -> bool:
    """Whether a candidate may be called so: letters, digits, ., _, + and -, up to `LONGEST_NAME` bytes of UTF-8."""
    return _NAME.fullmatch(name) is not None and len(name.encode()) <= LONGEST_NAME


def read_small(path: pathlib.Path, schema: object) -> dict | None:
    """What a small JSON file of a schema holds; None where there is none, or one that is damaged."""
    try:
        return read_json(path, schema, nan=True)
    except (OSError, ValueError):
        return None


def read_header(folder) -> dict:
    """What `study.json` of a folder says.

    Raises:
        FileNotFoundError: the folder holds no study.
        ValueError: the file is damaged.
    """
    path = pathlib.Path(folder) / HEADER
    if not path.exists():
        raise FileNotFoundError(f"{printable(folder)} holds no {HEADER}; expected a folder of keras-res3d search")
    try:
        header = read_json(path, _HEADER, nan=True)
        odd = [each["name"] for each in header["candidates"] if not is_name(each["name"])]
        if odd:
            raise ValueError(f"a candidate is called {odd[0][:80]!r}, which is no name of a folder")
        return header
    except ValueError as error:
        raise ValueError(f"{printable(path)} is damaged: {error}") from error


def run_folder(folder, name: str, seed: int) -> pathlib.Path:
    """Where a candidate's run with a seed lies in the folder of a study."""
    return pathlib.Path(folder) / name / f"{_SEED}{seed}"


def seeds_in(folder, name: str) -> list[int]:
    """The seeds of a candidate that have a folder, in order."""
    found = [path.name.removeprefix(_SEED) for path in (pathlib.Path(folder) / name).glob(f"{_SEED}*") if path.is_dir()]
    return sorted(int(seed) for seed in found if re.fullmatch("[0-9]{1,18}", seed))


def describe_data(data_set) -> dict:
    """A data set as the header names it: wherever its videos lie, other videos or labels make another digest."""
    return {"name": printable(data_set.name), **describe(data_set)}


def study_header(
    study: Study, planned: Sequence[Planned], training_set, test_set, options: TrainingOptions, clips: int,
    target: float | None, count: str,
) -> dict:
    """What `study.json` says: all that a study's runs have in common, as plain JSON values.

    Args:
        study, planned: as of `budget.plan`.
        training_set, test_set: what the nets learn, and what they are scored on.
        options: of all runs.
        clips: that are scored of each video.
        target, count: the budget, as of `budget.plan`.
    """
    fields = {name: value for name, value in dataclasses.asdict(options).items() if name not in _FREE}
    return {
        "study": study.name,
        "question": study.question,
        "source": study.source,
        "base": study.base.name,
        "budget": None if target is None else {"target": target, "count": count},
        "data": describe_data(training_set),
        "validation": describe_data(test_set),
        "clips": clips,
        "options": fields,
        "candidates": [
            {
                "name": each.name,
                "width": each.net.width,
                "params": each.params,
                "live_params": each.live_params,
                "macs": each.macs,
                "live_macs": each.live_macs,
                "off": each.off,
                "sampling": each.sampling.to_dict(),
                "architecture": each.net.to_dict(),
                "printed": dataclasses.asdict(each.printed),
            }
            for each in planned
        ],
    }
