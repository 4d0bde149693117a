"""What a study found, read from its folder: scores of every run, means over the seeds, differences, agreement."""

from __future__ import annotations

import csv
import io
import math
import pathlib
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keras_res3d.io import write_atomically
from keras_res3d.tables import as_json, printable
from keras_res3d.tasks.studies.folder import (
    FAILURE,
    LEFT_OUT,
    MEASURES,
    SCORES,
    check_run,
    read_header,
    read_latency,
    read_scores,
    read_small,
    run_folder,
    seeds_in,
)
from keras_res3d.tasks.studies.statistics import Agreement, Difference, agreement, differences

CSV, JSON = "results.csv", "results.json"


@dataclass(frozen=True)
class CandidateResult:
    """What is known of a candidate.

    Attributes:
        name: of the candidate.
        facts: its entry in the study's header: width, counts, off, sampling, architecture, printed.
        runs: by seed what `scores.json` says: the measures, and "seconds" of training.
        failures: by seed, why the last attempt failed.
        latency: seconds of one clip, or None.
        left_out: why it is not trained; "" where it is.
    """

    name: str
    facts: Mapping
    runs: Mapping[int, Mapping]
    failures: Mapping[int, str]
    latency: float | None
    left_out: str

    def values(self, measure: str) -> dict[int, float]:
        """A measure by seed."""
        return {seed: run[measure] for seed, run in self.runs.items()}

    def mean(self, measure: str) -> float:
        """Mean over the seeds; NaN without a run."""
        values = list(self.values(measure).values())
        return statistics.fmean(values) if values else math.nan

    def deviation(self, measure: str) -> float:
        """Standard deviation over the seeds; NaN with fewer than two runs."""
        values = list(self.values(measure).values())
        return statistics.stdev(values) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class StudyResults:
    """The results of a study.

    Attributes:
        folder: of the study.
        header: data, options, budget and candidates.
        candidates: in the order of the study.
    """

    folder: pathlib.Path
    header: Mapping
    candidates: tuple[CandidateResult, ...]

    @property
    def scored(self) -> list[CandidateResult]:
        """The candidates that have a run."""
        return [each for each in self.candidates if each.runs]

    @property
    def failures(self) -> list[tuple[str, int, str]]:
        """(candidate, seed, reason) of each run that failed and was not repeated."""
        return [(each.name, seed, why) for each in self.candidates for seed, why in each.failures.items()]

    def figures(self, measure: str = MEASURES[0]) -> dict[str, dict[int, float]]:
        """A measure by candidate and seed."""
        return {each.name: each.values(measure) for each in self.scored}

    def differences(self, measure: str = MEASURES[0], reference: str | None = None) -> list[Difference]:
        """The candidates compared in pairs over their common seeds; see `statistics.differences`."""
        return differences(self.figures(measure), reference)

    def agreement(self, other: StudyResults, measure: str = MEASURES[0]) -> Agreement:
        """Agreement of this study's ranking with another's, over the candidates of the same names.

        Raises:
            ValueError: fewer than two candidates are common.
        """
        return agreement(*(by_candidate(study.figures(measure)) for study in (self, other)))

    def agreement_with_paper(self, measure: str = MEASURES[0]) -> dict[str, Agreement]:
        """Agreement with the paper's ranking; see the function of this name."""
        return agreement_with_paper(self.figures(measure), self.candidates)

    def table(self, paper: bool = True) -> tuple[list[str], list[list[str]]]:
        """A row for each candidate: counts, latency, mean and standard deviation over the seeds, the paper's figures.

        Args:
            paper: whether the last columns have the paper's figures.
        """
        measures = [name for name in MEASURES if any(name in _first(each) for each in self.scored)]
        printed = [name for name in ("ucf101", "hmdb51") if paper
                   and any(each.facts["printed"].get(name) is not None for each in self.candidates)]  # fmt: skip
        header = ["candidate", "width", "params", "live params", "MMACs", "live MMACs", "ms a clip", "seeds", *measures,
                  *(f"paper {name.upper()}" for name in printed)]  # fmt: skip
        return header, [_cells(each, measures, printed) for each in self.candidates]

    def summary(self) -> dict:
        """Everything as plain JSON values."""
        return {
            **self.header,
            "results": [
                {
                    "name": each.name, "latency": each.latency, "left_out": each.left_out,
                    "runs": {str(seed): dict(run) for seed, run in each.runs.items()},
                    "failures": {str(seed): why for seed, why in each.failures.items()},
                    "mean": {name: each.mean(name) for name in MEASURES if each.runs and name in _first(each)},
                    "deviation": {name: _none(each.deviation(name)) for name in MEASURES
                                  if each.runs and name in _first(each)},
                }
                for each in self.candidates
            ],
            "differences": [
                {key: _none(value) for key, value in vars(each).items()} for each in self.differences()
            ] if len(self.scored) > 1 else [],
        }  # fmt: skip

    def write(self) -> list[str]:
        """Writes `results.csv`, a line for each run, and `results.json`; returns the names."""
        text = io.StringIO(newline="")
        facts = ("width", "params", "live_params", "macs", "live_macs", "off")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["candidate", "seed", *facts, "latency", *MEASURES, "seconds", "fault"])
        for each in self.candidates:
            start = [each.facts[name] for name in facts] + [each.latency]
            if each.left_out:
                writer.writerow([each.name, "", *start, *[""] * len(MEASURES), "", each.left_out])
            for seed in sorted({*each.runs, *each.failures}):
                run = each.runs.get(seed, {})
                figures = [run.get(name, "") for name in (*MEASURES, "seconds")]
                writer.writerow([each.name, seed, *start, *figures, "" if run else each.failures[seed]])
        write_atomically(self.folder / CSV, text.getvalue())
        write_atomically(self.folder / JSON, as_json(self.summary()))
        return [CSV, JSON]


def by_candidate(figures: Mapping[str, Mapping[int, float]]) -> dict[str, list[float]]:
    """Figures by candidate and seed as `statistics.agreement` takes them: a list for each candidate."""
    return {name: list(runs.values()) for name, runs in figures.items()}


def agreement_with_paper(
    figures: Mapping[str, Mapping[int, float]], candidates: Iterable[CandidateResult]
) -> dict[str, Agreement]:
    """Agreement with the paper's rankings on UCF101 and HMDB51, where it prints two of the candidates or more.

    Args:
        figures: by candidate and seed.
        candidates: whose facts have the paper's figures; those without a figure of ours are left out.
    """
    found = {}
    for data in ("ucf101", "hmdb51"):
        printed = {each.name: each.facts["printed"].get(data) for each in candidates if each.name in figures}
        theirs = {name: [value] for name, value in printed.items() if value is not None}
        if len(theirs) > 1:
            found[data] = agreement(by_candidate(figures), theirs)
    return found


def read_results(folder) -> StudyResults:
    """The results in a folder of `search_architectures`, whether all runs are done or not.

    Raises:
        FileNotFoundError: the folder holds no study.
        ValueError: a file of it is damaged, a run that was scored is another one than belongs there, or runs have
            different measures.
    """
    folder, header = pathlib.Path(folder), read_header(folder)
    results = StudyResults(folder, header, tuple(_result(folder, header, entry) for entry in header["candidates"]))
    _check_measures(results)
    return results


def _check_measures(results: StudyResults) -> None:
    """All runs of a study are scored alike, so that what one says every one says."""
    first = None
    for each in results.scored:
        for seed, run in each.runs.items():
            found = [name for name in MEASURES if name in run]
            path = run_folder(results.folder, each.name, seed) / SCORES
            first = first or (path, found)
            if found != first[1]:
                raise ValueError(f"{printable(path)} has {', '.join(found)}, and {printable(first[0])} has "
                                 f"{', '.join(first[1])}; expected the same. Remove the damaged one, and the same "
                                 "search scores that run again")  # fmt: skip


def _result(folder: pathlib.Path, header: Mapping, entry: Mapping) -> CandidateResult:
    place, runs, failures = folder / entry["name"], {}, {}
    for seed in seeds_in(folder, entry["name"]):
        run = run_folder(folder, entry["name"], seed)
        if (scores := read_scores(run)) is not None:
            check_run(folder, header, entry, seed)
            runs[seed] = scores
        elif (failure := read_small(run / FAILURE, {"error": str})) is not None:
            failures[seed] = failure["error"]
    left_out = read_small(place / LEFT_OUT, {"reason": str})
    return CandidateResult(entry["name"], entry, runs, failures, read_latency(folder, entry["name"]),
                           left_out["reason"] if left_out else "")  # fmt: skip


def mean_text(mean: float, deviation: float) -> str:
    """`57.3 ± 1.2` of shares, in percent; a dash of NaN, and no deviation of a single run."""
    if math.isnan(mean):
        return "-"
    return f"{100 * mean:.1f}" + ("" if math.isnan(deviation) else f" ± {100 * deviation:.1f}")


def _cells(each: CandidateResult, measures: list[str], printed: list[str]) -> list[str]:
    facts = each.facts
    latency = "-" if each.latency is None else f"{1e3 * each.latency:.1f}"
    scores = [mean_text(each.mean(name), each.deviation(name)) for name in measures]
    paper = ["-" if facts["printed"].get(name) is None else f"{facts['printed'][name]:.1f}" for name in printed]
    counts = [f"{facts['params']:,}", f"{facts['live_params']:,}", f"{facts['macs'] / 1e6:.1f}",
              f"{facts['live_macs'] / 1e6:.1f}"]  # fmt: skip
    seeds = "left out" if each.left_out else str(len(each.runs))
    return [each.name, str(facts["width"]), *counts, latency, seeds, *scores, *paper]


def _first(each: CandidateResult) -> Mapping:
    return next(iter(each.runs.values()))


def _none(value):
    """None in place of NaN, which is no JSON."""
    return None if isinstance(value, float) and math.isnan(value) else value
