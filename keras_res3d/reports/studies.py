"""The report of a study: accuracy against costs with the Pareto front, differences, curves, the paper's figures."""

from __future__ import annotations

import math
import os
import pathlib

import numpy as np

from keras_res3d.io import write_atomically
from keras_res3d.nets.counts import COUNTED
from keras_res3d.reports.scatter import Scatter, scatter
from keras_res3d.reports.sections import Numbers, Pairs, Section, Table, Text, curves, page
from keras_res3d.reports.surroundings import surroundings
from keras_res3d.tasks.studies.folder import MEASURES, run_folder
from keras_res3d.tasks.studies.results import StudyResults, mean_text, read_results
from keras_res3d.training.folder import read_log

PAPER_DATA = {"ucf101": "UCF101", "hmdb51": "HMDB51"}
REPORT = "report.html"
# Differences that are said in a sentence each; all of them are in a table.
MOST_LINES = 10
_COSTS = {
    "MMACs": lambda each: each.facts["macs"] / 1e6,
    "live MMACs": lambda each: each.facts["live_macs"] / 1e6,
    "ms a clip": lambda each: math.nan if each.latency is None else 1e3 * each.latency,
}


def write_study_report(
    study, output=None, *, against=None, measure: str = MEASURES[0], reference: str | None = None
) -> pathlib.Path:
    """Writes the report of a study as one HTML file, which needs no network and no script.

    Args:
        study: a folder of `search_architectures`, or what it returned.
        output: the file; None is `report.html` in the folder.
        against: another study, given alike, with whose ranking this one's is compared.
        measure: the figure that candidates are compared by: "video@1" or "clip@1".
        reference: compare every candidate with this one alone; None compares all pairs.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: a folder holds no study.
        ValueError: as of `read_results`; there is no such reference, or the two studies have fewer than two candidates
            in common.
    """
    results, other = _results(study), None if against is None else _results(against)
    header = results.header
    candidates = [Table(*results.table(paper=False)), *_left_out(results)]  # the paper's have a section of their own
    sections = [Section("", _state(results)), Section("Candidates", candidates)]
    if results.scored:
        sections += [_costs(results, measure), _noise(results, measure, reference), _curves(results)]
        sections += _paper(results, measure) + _agreement(results, measure, other)
    sections += [_settings(results), Section("Machine and versions", [Pairs(surroundings())])]
    target = pathlib.Path(output) if output is not None else results.folder / REPORT
    lead = f"{header['question'] or 'Designs compared at one budget.'} {_budget_text(header)}"
    write_atomically(target, page(f"Study {header['study']}", lead, sections))
    return target


def _results(study) -> StudyResults:
    return read_results(study) if isinstance(study, (str, os.PathLike)) else study


def _budget_text(header) -> str:
    budget = header["budget"]
    if budget is None:
        return "Candidates have the widths of the study's rows."
    off = max(abs(each["off"] or 0) for each in header["candidates"])
    return (f"The width of each candidate is solved for {budget['target']:,.0f} {COUNTED[budget['count']]}; whole "
            f"widths come within {100 * off:.1f} % of it.")  # fmt: skip


def _state(results: StudyResults) -> list:
    runs = sum(len(each.runs) for each in results.candidates)
    seconds = sum(run["seconds"] for each in results.scored for run in each.runs.values())
    parts = [Numbers([
        ("candidates", str(len(results.candidates))), ("runs", str(runs)),
        ("training videos", f"{results.header['data']['videos']:,}"),
        ("held-out videos", f"{results.header['validation']['videos']:,}"), ("training", f"{seconds / 60:.1f} min"),
    ])]  # fmt: skip
    parts += [Text(f"{name}, seed {seed} failed: {why}", "warning") for name, seed, why in results.failures]
    return parts


def _left_out(results: StudyResults) -> list:
    return [Text(f"{each.name} is left out: {each.left_out}.", "muted") for each in results.candidates if each.left_out]


def _costs(results: StudyResults, measure: str) -> Section:
    """Figure 5 of the paper, and the same against latency."""
    charts = []
    for title, cost in _COSTS.items():
        points = [(each.name, cost(each), each.mean(measure), each.deviation(measure)) for each in results.scored]
        charts.append(scatter(points, title, measure))
    note = ("The line joins the candidates that no other beats in both accuracy and cost. Bars are one standard "
            "deviation over the seeds.")  # fmt: skip
    return Section("Accuracy against cost", [*(chart for chart in charts if isinstance(chart, Scatter)),
                                             Text(note, "muted")])  # fmt: skip


def difference_lines(results: StudyResults, measure: str, reference: str | None = None) -> list[str]:
    """Which differences exceed the noise, a sentence for each, and how many do not."""
    if len(results.scored) < 2:
        return ["There is nothing to compare: fewer than two candidates have a run."]
    found = results.differences(measure, reference)
    certain = sorted((each for each in found if each.exceeds), key=lambda each: -abs(each.mean))
    lines = [f"{_ordered(each)}, p {each.adjusted:.2g} after Holm's correction" for each in certain[:MOST_LINES]]
    lines += [f"So do {len(certain) - MOST_LINES} smaller ones."] if len(certain) > MOST_LINES else []
    rest = len(found) - len(certain)
    if all(math.isnan(each.p) for each in found):
        return [f"No noise can be estimated from {max(each.seeds for each in found)} seed(s): no ranking is claimed."]
    few = "None" if not certain else f"{len(certain)}"
    others = [f"The other {rest} do not: these candidates are not told apart."] if certain and rest else []
    return [f"{few} of {len(found)} differences in {measure} exceed the noise over the seeds.", *lines, *others]


def _ordered(each) -> str:
    first, second, sign = (each.first, each.second, 1) if each.mean > 0 else (each.second, each.first, -1)
    low, high = sorted((100 * sign * each.low, 100 * sign * each.high))
    return f"{first} is above {second} by {100 * abs(each.mean):.1f} points ({low:.1f} to {high:.1f})"


def _noise(results: StudyResults, measure: str, reference: str | None) -> Section:
    parts = [Text(line) for line in difference_lines(results, measure, reference)]
    if len(results.scored) < 2:
        return Section("Which differences exceed the noise", parts)
    rows = [
        [f"{each.first} - {each.second}", f"{100 * each.mean:+.1f}",
         "-" if math.isnan(each.low) else f"{100 * each.low:+.1f} to {100 * each.high:+.1f}",
         "-" if math.isnan(each.p) else f"{each.p:.2g}", f"{each.adjusted:.2g}", each.seeds,
         "yes" if each.exceeds else "no"]
        for each in results.differences(measure, reference)
    ]  # fmt: skip
    header = ["pair", "points", "interval", "p", "p corrected", "seeds", "exceeds the noise"]
    note = (
        "Differences are paired over the seeds; p values are corrected by Holm's method, so that at most one study in "
        "twenty names a difference that does not exist. The t interval is at the level at which that method tests the "
        "pair. Differences without a spread, or of one seed, have no interval."
    )
    return Section("Which differences exceed the noise",
                   [*parts, Table(header, rows, f"All {len(rows)} comparisons"), Text(note, "muted")])  # fmt: skip


def _curves(results: StudyResults) -> Section:
    """Learning curves, the mean over a candidate's seeds."""
    histories = {}
    for each in results.scored:
        logs = [read_log(run_folder(results.folder, each.name, seed)) for seed in each.runs]
        names = [name for name in logs[0] if all(name in log for log in logs)]
        shortest = min((len(log[name]) for log in logs for name in names), default=0)
        histories[each.name] = {name: np.mean([log[name][:shortest] for log in logs], axis=0).tolist()
                                for name in names}  # fmt: skip
    return curves(histories, 1 / len(results.header["data"]["classes"]))


def _paper(results: StudyResults, measure: str) -> list[Section]:
    """The paper's figures beside ours, where the data are the paper's; otherwise for the record."""
    printed = [each for each in results.candidates if set(each.facts["printed"].values()) != {None}]
    if not printed:
        return []
    name = results.header["data"]["name"].lower()
    data = next((key for key in PAPER_DATA if name.startswith(key)), None)
    header = ["candidate", f"ours, {measure} %", "paper, UCF101 %", "paper, HMDB51 %", "ours, M params",
              "paper, M params", "ours, GMACs", "paper, GFLOPs"]  # fmt: skip
    rows = [
        [each.name, mean_text(each.mean(measure), each.deviation(measure)), *(_figure(each, key) for key in PAPER_DATA),
         f"{each.facts['params'] / 1e6:.2f}", _figure(each, "params"), f"{each.facts['macs'] / 1e9:.2f}",
         _figure(each, "flops")]
        for each in printed
    ]  # fmt: skip
    note = (f"The data are {PAPER_DATA[data]}, as in the paper." if data else
            "The data are not the paper's: its accuracies stand here for their order, not to be reached.")  # fmt: skip
    return [Section("Beside the paper", [Table(header, rows), Text(note, "muted")])]


def _figure(each, key: str) -> str:
    value = each.facts["printed"].get(key)
    return "-" if value is None else f"{value:g}"


def agreement_lines(results: StudyResults, measure: str, other: StudyResults | None = None) -> list[str]:
    """Kendall's tau with its interval, against the paper's rankings and against another study's; a sentence each."""
    if len(results.scored) < 2:
        return []
    found = {f"the paper's on {PAPER_DATA[data]}": tau for data, tau in results.agreement_with_paper(measure).items()}
    if other is not None:
        found[f"that of the study {other.header['study']} in {other.folder}"] = results.agreement(other, measure)
    return [
        f"Kendall's tau of the ranking with {what} is {each.tau:.2f} ({each.low:.2f} to {each.high:.2f}, "
        f"{each.candidates} candidates)"
        for what, each in found.items()
    ]


def _agreement(results: StudyResults, measure: str, other: StudyResults | None) -> list[Section]:
    lines = agreement_lines(results, measure, other)
    if not lines:
        return []
    note = ("1 is the same order, -1 the opposite one. The interval is a bootstrap at 95 % over candidates and over "
            "their seeds; one that holds 0 does not tell agreement from chance.")  # fmt: skip
    return [Section("Agreement of rankings", [*(Text(line) for line in lines), Text(note, "muted")])]


def _settings(results: StudyResults) -> Section:
    header = results.header
    pairs = [("training videos", header["data"]["name"]), ("held-out videos", header["validation"]["name"]),
             ("clips per held-out video", str(header["clips"])),
             *((name, str(value)) for name, value in header["options"].items())]  # fmt: skip
    rows = [
        [each["name"], each["width"], "x".join(map(str, (each["sampling"]["frames"], *each["sampling"]["crop"]))),
         each["sampling"]["stride"], "-".join(map(str, each["architecture"]["temporal_kernels"])),
         "-".join(map(str, each["architecture"]["blocks"])), each["architecture"]["factorized"] or "no"]
        for each in header["candidates"]
    ]  # fmt: skip
    columns = ["candidate", "width", "clip", "stride", "temporal kernels", "blocks", "factorized"]
    return Section("Settings", [Table(columns, rows), Pairs(pairs, "Data and recipe")])
