"""The search: every candidate of a study at one budget, trained with the same recipe and seeds, scored and compared."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
import traceback
from collections.abc import Callable, Iterable, Mapping

import keras

from keras_res3d.data.open import embedded_test_split, read_data_set
from keras_res3d.export.measure import clip_seconds
from keras_res3d.inference.classifier import load_model
from keras_res3d.io import locked
from keras_res3d.nets.counts import COUNTED
from keras_res3d.search import too_many_macs, too_slow
from keras_res3d.tables import printable
from keras_res3d.tasks.evaluate import evaluate
from keras_res3d.tasks.studies.budget import Planned, plan
from keras_res3d.tasks.studies.folder import (
    FAILURE,
    HEADER,
    LATENCY,
    LEFT_OUT,
    SCORES,
    StudyFolder,
    check_run,
    read_header,
    read_latency,
    study_header,
)
from keras_res3d.tasks.studies.read import read_study
from keras_res3d.tasks.studies.results import StudyResults, read_results
from keras_res3d.tasks.studies.study import Study
from keras_res3d.training.checks import check_data
from keras_res3d.training.fit import prepare_net, train
from keras_res3d.training.folder import LOG, read_log, state_of
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.training.start import starting_card


@dataclasses.dataclass(frozen=True)
class _Study:
    """What all runs of a study have in common."""

    study: Study
    planned: list[Planned]
    training_set: object
    test_set: object
    options: TrainingOptions
    clips: int
    folder: StudyFolder
    report: Callable[[str], None]


def search_architectures(
    study,
    data,
    output,
    *,
    validation=None,
    target_params: float | None = None,
    count: str = "all",
    options: TrainingOptions | None = None,
    seeds: int | Iterable[int] = 3,
    sampling: Mapping | None = None,
    clips: int = 3,
    max_macs: float | None = None,
    max_latency: float | None = None,
    report: Callable[[str], None] = print,
) -> StudyResults:
    """Trains and scores every candidate of a study, at one budget, with every seed.

    Each run has a folder of its own, as `train` writes it. The same call goes on where an earlier one ended: runs that
    are done are left alone, one that was interrupted goes on from its checkpoint, one that failed is tried again. A
    failure is recorded and the rest goes on. Several processes may make the same call at once; they share the runs.

    Args:
        study: the name of one of the paper's ("convolution", "depth", "resolution", "sampling", "dimension"), or one of
            your own, as of `read_study`.
        data: training videos, a data set or the path of one.
        output: folder, made if missing.
        validation: held-out videos, which the nets are scored on after training; for the embedded data, None is their
            test split.
        target_params: the budget that every candidate's width is solved for, from 10^4 to 10^8; None takes the widths
            of the rows (the paper's).
        count: what the budget counts: "all" parameters, "live" ones, or live multiply-accumulates of a clip ("macs").
        options: how to train; the seed in it is not used.
        seeds: how many, from 0, or which ones.
        sampling: fields of `Sampling` (stride, fps, resize, preprocessing) in place of the study's.
        clips: evenly spread ones that are scored of each held-out video.
        max_macs: candidates with more multiply-accumulates of a clip are not trained.
        max_latency: candidates that need more seconds for a clip on this machine are not trained.
        report: called with a line before each run.

    Returns:
        What is known at the end; `read_results(output)` gives it again. `results.csv` and `results.json` have it too.

    Raises:
        ValueError: unknown study or field; a budget out of range; the folder holds another study; no held-out videos;
            as of `read_results`.
        DataError: the data have faults.
    """
    if count not in COUNTED:
        raise ValueError(f"count is {count!r}; expected one of {', '.join(COUNTED)}")
    study, options = read_study(study), (options or TrainingOptions()).on_one_host("a search")
    seeds = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not seeds or clips < 1:
        raise ValueError(f"seeds is {seeds}, clips is {clips}; expected at least one of each")
    training_set, test_set = _data(data, validation)
    planned = plan(study, len(training_set.classes), options, target_params, count, sampling)
    header = study_header(study, planned, training_set, test_set, options, clips, target_params, count)
    folder = StudyFolder(output, header)
    read_results(folder.path)  # what is wrong in the folder is said before anything is trained
    everything = _Study(study, planned, training_set, test_set, options, clips, folder, report)
    left = _within_limits(everything, max_macs, max_latency)
    # Seed by seed, so that what is done at any moment can be compared.
    runs = [(each, seed) for seed in seeds for each in left]
    for number, (each, seed) in enumerate(runs, 1):
        with folder.claim(each.name, seed) as mine:
            if mine and not (folder.run(each.name, seed) / SCORES).exists():
                report(f"run {number} of {len(runs)}: {each.name}, seed {seed}; {each.params:,} parameters "
                       f"({each.live_params:,} live), {each.macs / 1e6:,.1f} MMACs")  # fmt: skip
                _attempt(everything, each, seed)
                _write(folder)
    return _write(folder)


def _data(data, validation) -> tuple:
    if validation is None:
        validation = embedded_test_split(data) if isinstance(data, (str, os.PathLike)) else None
    if validation is None:
        raise ValueError("validation is missing; expected held-out videos, which the nets are scored on")
    if isinstance(data, (str, os.PathLike)):
        data = read_data_set(data)
    if isinstance(validation, (str, os.PathLike)):
        validation = read_data_set(validation, classes=data.classes)
    check_data(data, validation)
    return data, validation


def _within_limits(everything: _Study, max_macs: float | None, max_latency: float | None) -> list[Planned]:
    """The candidates within the limits; of the others the folder says why they are left out."""
    kept = []
    for each in everything.planned:
        reason = too_many_macs(each.macs, max_macs) or _too_slow(everything, each, max_latency)
        everything.folder.write(everything.folder.path / each.name / LEFT_OUT, reason and {"reason": reason})
        if reason:
            everything.report(f"{each.name} is left out: {reason}")
        else:
            kept.append(each)
    return kept


def _too_slow(everything: _Study, each: Planned, max_latency: float | None) -> str | None:
    """Why a candidate is over the limit of latency; None where it is not."""
    try:
        seconds = _latency(everything, each)
    except Exception as error:  # a net that does not fit the memory, for example; the others go on
        everything.report(f"{each.name}: its latency cannot be measured: {printable(error)}")
        return None if max_latency is None else f"its latency cannot be measured: {error}"
    return too_slow(seconds, max_latency)


def _latency(everything: _Study, each: Planned) -> float:
    """Seconds of one clip, measured once for the folder: all processes decide by the same number."""
    path = everything.folder.path / each.name / LATENCY
    with locked(path):
        seconds = read_latency(everything.folder.path, each.name)
        if seconds is None:
            model = _net(everything, each, everything.options)
            seconds = clip_seconds(model, each.input_shape)
            everything.folder.write(path, {"seconds": seconds})
            keras.utils.clear_session()
    return seconds


def _net(everything: _Study, each: Planned, options: TrainingOptions) -> keras.Model:
    data = everything.training_set
    return prepare_net(each.net, each.sampling, len(data.classes), options, len(data))


def _attempt(everything: _Study, each: Planned, seed: int) -> None:
    """One run, trained and scored; what fails is recorded."""
    run = everything.folder.run(each.name, seed)
    try:
        scores = _trained_and_scored(everything, each, seed, run)
    except Exception as error:  # whatever it is, the other candidates go on
        reason = f"{type(error).__name__}: {error}"
        everything.report(f"{each.name}, seed {seed} failed: {printable(reason)}")
        everything.folder.write(run / FAILURE, {"error": reason, "traceback": traceback.format_exc()})
        return
    finally:
        keras.utils.clear_session()
    everything.folder.write(run / SCORES, scores)
    everything.folder.write(run / FAILURE, None)


def _trained_and_scored(everything: _Study, each: Planned, seed: int, run: pathlib.Path) -> dict:
    options = dataclasses.replace(everything.options, seed=seed)
    state, data = state_of(run), everything.training_set
    if state == "foreign":
        raise ValueError(f"{run} holds a model, and no record of a run that could go on")
    header = read_header(everything.folder.path)
    check_run(everything.folder.path, header, next(of for of in header["candidates"] if of["name"] == each.name), seed)
    if state != "finished":
        card = starting_card(each.net, None, data, each.sampling)
        train(_net(everything, each, options), data, each.sampling, run, options, card=card,
              resume=state == "unfinished")  # fmt: skip
    found = evaluate(load_model(run / "model.keras"), everything.test_set, clips=everything.clips,
                     workers=options.workers, on_bad_video=options.on_bad_video)  # fmt: skip
    return {**found.summary(), "seconds": _seconds(run)}


def _seconds(run: pathlib.Path) -> float:
    """Of training, as the run's log adds them up."""
    seconds = sum(read_log(run).get("seconds", [math.nan]))
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{run / LOG} does not say how many seconds each epoch took; remove {run}, and the same "
                         "command trains it again")  # fmt: skip
    return seconds


def _write(folder: StudyFolder) -> StudyResults:
    with locked(folder.path / HEADER):
        results = read_results(folder.path)
        results.write()
    return results
