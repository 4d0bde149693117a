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

from keras_res3d.data.clips import Sampling
from keras_res3d.io import locked, sweep, write_atomically
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.counts import COUNTED
from keras_res3d.tables import as_json, printable
from keras_res3d.tasks.studies.budget import Planned
from keras_res3d.tasks.studies.study import Study
from keras_res3d.training.checkpoint import FREE, SAMPLED, describe, differences
from keras_res3d.training.folder import other_run, record_of
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.untrusted import COUNT, Range, read_json

# Options that do not tell studies apart: every run has a seed of its own, and each candidate its sampling.
_FREE = ("seed", *FREE, *SAMPLED)
HEADER, _SEED = "study.json", "seed"
# A folder gets a candidate's name, which with what is added to it is at most the 255 bytes that file systems take.
_NAME, LONGEST_NAME = re.compile(r"[\w][\w.+-]*"), 100
# Finite numbers, of which a mean and a deviation can be taken.
_AMOUNT, _SHARE = Range(0, 2**63, whole=False), Range(0, 1, whole=False)
_DATA = {"name": str, "videos": COUNT, "classes": [str]}
_CANDIDATE = {
    "name": str, "width": COUNT, **dict.fromkeys(("params", "live_params", "macs", "live_macs"), Range(1, 2**63)),
    "off": (Range(-1, 2**63, whole=False), None), "printed": {str: (_AMOUNT, None)}, "sampling": dict,
    "architecture": dict,
}  # fmt: skip
_HEADER = {
    "study": str, "question": str, "budget": ({"target": _AMOUNT, "count": str}, None), "data": _DATA,
    "validation": _DATA, "clips": COUNT, "options": dict, "candidates": [_CANDIDATE],
}  # fmt: skip
MEASURES = ("video@1", "clip@1", "video@5")
_SCORES = {"video@1": _SHARE, "clip@1": _SHARE, "video@5?": _SHARE, "seconds": _AMOUNT}
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
    """What a small JSON file of a schema holds; None where there is none.

    Raises:
        ValueError: it is damaged, or not of the schema; names the file.
    """
    try:
        return read_json(path, schema, nan=True)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{printable(path)} is damaged: {error}; remove it, and the same search makes what is "
                         "missing") from error  # fmt: skip


def read_scores(run: pathlib.Path) -> dict | None:
    """What `scores.json` in the folder of a run says: measures, which are shares, and "seconds" of training.

    Raises:
        ValueError: as of `read_small`.
    """
    return read_small(run / SCORES, _SCORES)


def read_latency(folder, name: str) -> float | None:
    """Seconds of a candidate's clip, where they were measured; ValueError as of `read_small`."""
    found = read_small(pathlib.Path(folder) / name / LATENCY, {"seconds": _AMOUNT})
    return found and found["seconds"]


def check_run(folder, header: Mapping, entry: Mapping, seed: int) -> None:
    """Compares a run that lies in the folder of a study with the one that belongs there.

    A run without a card, such as one whose model was removed, is taken for right.

    Args:
        folder, header: of the study.
        entry: of the candidate in the header.
        seed: of the run.

    Raises:
        ValueError: the run's card is of another net, sampling or seed, other classes or options.
    """
    run = run_folder(folder, entry["name"], seed)
    if (card := record_of(run)) is None:
        return
    net, sampling = Architecture(**entry["architecture"]), Sampling.from_dict(entry["sampling"])
    found = other_run(card, net, sampling, header["data"]["classes"], {**header["options"], "seed": seed})
    if found:
        more = f" and {len(found) - 5} others" if len(found) > 5 else ""
        raise ValueError(f"{printable(run)} holds another run than that of candidate {entry['name']} with seed {seed}: "
                         f"{'; '.join(map(printable, found[:5]))}{more}. Remove that folder, and the same search "
                         "trains it again")  # fmt: skip


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
        _check_header(header)
        return header
    except ValueError as error:
        raise ValueError(f"{printable(path)} is damaged: {error}") from error


def _check_header(header: Mapping) -> None:
    """What a schema cannot say of a header."""
    names, budget = [each["name"] for each in header["candidates"]], header["budget"]
    odd = [name for name in names if not is_name(name)]
    if odd:
        raise ValueError(f"a candidate is called {odd[0][:80]!r}, which is no name of a folder")
    if len(set(names)) < len(names):
        raise ValueError("two candidates have the same name")
    if budget is not None and budget["count"] not in COUNTED:
        raise ValueError(f"budget.count is {budget['count'][:80]!r}; expected one of {', '.join(COUNTED)}")
    if not header["data"]["classes"]:
        raise ValueError("data.classes is empty; expected a name for each class")
    for each in header["candidates"]:
        try:
            Architecture(**each["architecture"])
            Sampling.from_dict(each["sampling"])
        except (ValueError, TypeError) as error:  # TypeError of an unknown field, or of a number where a list belongs
            raise ValueError(f"candidate {each['name']}: {error}") from error


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
