"""What `fair_matching.py` prints and draws of its results."""

from __future__ import annotations

import itertools
import pathlib
import statistics
from collections.abc import Iterator, Mapping

import numpy as np

from keras_res3d.nets.counts import COUNTED
from keras_res3d.reports.plots import COLOURS, new_figure, plain_axes, save_png
from keras_res3d.tables import as_markdown
from keras_res3d.tasks.studies.results import StudyResults, agreement_with_paper, by_candidate, mean_text
from keras_res3d.tasks.studies.statistics import Agreement, Difference, agreement, differences, paired_difference

MEASURE = "video@1"
# By (data, frames, epochs, count).
Results = Mapping[tuple[str, int, int, str], StudyResults]
# By candidate and seed.
Figures = dict[str, dict[int, float]]


def tables(found: Results, reference: str) -> str:
    """Every cell's costs and scores, then what both data sets say together, in Markdown."""
    parts = []
    for epochs in _values(found, 2):
        frames, data = _values(found, 1, epochs), _values(found, 0, epochs)
        for number, name in itertools.product(frames, data):
            by_count = {count: found[cell] for count in COUNTED if (cell := (name, number, epochs, count)) in found}
            if by_count:
                title = f"### {name}, {number} frames, {epochs} epochs"
                parts.append(f"{title}\n\n{_costs_and_scores(by_count)}\n\n{_findings(by_count, reference)}")
        if len(data) > 1:
            together = [[number] for number in frames] + ([frames] if len(frames) > 1 else [])
            parts += [text for numbers in together for text in _together(found, data, numbers, epochs, reference)]
    return "\n\n".join(parts)


def _values(found: Results, place: int, epochs: int | None = None) -> list:
    """The different values of one part of the cells' names, in their order."""
    return list(dict.fromkeys(cell[place] for cell in found if epochs in (None, cell[2])))


def _costs_and_scores(by_count: Mapping[str, StudyResults]) -> str:
    header = ["candidate"]
    for count in by_count:
        header += [f"{count}: params", "live", "live MMACs", MEASURE]
    rows = []
    for place, name in enumerate(each.name for each in next(iter(by_count.values())).candidates):
        row = [name]
        for results in by_count.values():
            each = results.candidates[place]
            row += [f"{each.facts['params']:,}", f"{each.facts['live_params']:,}",
                    f"{each.facts['live_macs'] / 1e6:.1f}",
                    f"{mean_text(each.mean(MEASURE), each.deviation(MEASURE))} ({len(each.runs)})"]  # fmt: skip
        rows.append(row)
    return as_markdown(header, rows)


def _findings(by_count: Mapping[str, StudyResults], reference: str) -> str:
    """For each matching what is told apart from the reference, and the agreement with the paper."""
    lines = []
    for count, results in by_count.items():
        compared = results.differences(MEASURE, reference) if reference in results.figures(MEASURE) else []
        apart = ", ".join(f"{each.first} {_difference(each)}" for each in compared if each.exceeds)
        told = [f"{where} {_tau(tau)}" for where, tau in results.agreement_with_paper(MEASURE).items()]
        lines.append(f"- Matched in {COUNTED[count]}: apart from {reference}: {apart or 'none'}; Kendall's tau with "
                     f"the paper's ranking: {', '.join(told)}.")  # fmt: skip
    return "\n".join(lines)


def _tau(tau: Agreement) -> str:
    return f"{tau.tau:.2f} ({tau.low:.2f} to {tau.high:.2f})"


def pooled(found: Results, data: list[str], frames: list[int], epochs: int, count: str) -> Figures:
    """The mean score of each candidate and seed over several cells; empty where a cell is missing."""
    names = [(name, number, epochs, count) for name, number in itertools.product(data, frames)]
    if not all(cell in found for cell in names):
        return {}
    figures = [found[cell].figures(MEASURE) for cell in names]
    means = {}
    for name in figures[0]:
        seeds = set.intersection(*(set(each.get(name, ())) for each in figures))
        if seeds:
            means[name] = {seed: statistics.fmean(each[name][seed] for each in figures) for seed in sorted(seeds)}
    return means


def changes(by_count: Mapping[str, Figures]) -> dict[tuple[str, str], Difference]:
    """By candidate and matching, the score less that of the same candidate matched in all parameters.

    Corrected for all of them together. A net that is the same in both has none.
    """
    figures = {}
    for count, name in itertools.product(by_count, by_count.get("all", ())):
        before, after = by_count["all"][name], by_count[count].get(name, {})
        found = {seed: after[seed] - before[seed] for seed in before if seed in after}
        if any(found.values()):
            figures[f"{name}/{count}"] = found
    nothing = dict.fromkeys(sorted({seed for found in figures.values() for seed in found}), 0.0)
    compared = differences({**figures, "nothing": nothing}, "nothing") if figures else []
    return {tuple(each.first.split("/")): each for each in compared}


def _together(found: Results, data: list[str], frames: list[int], epochs: int, reference: str) -> Iterator[str]:
    """The table of all data sets together, and how far rankings agree."""
    pools = {count: pooled(found, data, frames, epochs, count) for count in COUNTED}
    pools = {count: figures for count, figures in pools.items() if reference in figures and len(figures) > 1}
    if not pools:
        return
    header, moved, apart = ["candidate"], changes(pools), {}
    for count, figures in pools.items():
        header += [f"{count}: {MEASURE}", f"less {reference}'s", *(["less its own in all"] if count != "all" else [])]
        apart[count] = {each.first: each for each in differences(figures, reference)}
    rows = []
    for name in next(iter(pools.values())):
        row = [name]
        for count, figures in pools.items():
            values = list(figures.get(name, {}).values())
            row += [mean_text(statistics.fmean(values), statistics.stdev(values)) if len(values) > 1 else "-",
                    _difference(apart[count].get(name))]  # fmt: skip
            row += [_difference(moved.get((name, count)))] if count != "all" else []
        rows.append(row)
    title = f"### Mean of {' and '.join(data)}, {', '.join(map(str, frames))} frames, {epochs} epochs"
    yield f"{title}\n\n{as_markdown(header, rows)}\n\nDifferences in bold exceed the noise."
    yield "\n".join(_rankings(found, pools, data, frames, epochs))


def _rankings(found: Results, pools: Mapping[str, Figures], data, frames, epochs) -> Iterator[str]:
    """A line for each matching: agreement with the paper, and of the data sets with each other."""
    for count, figures in pools.items():
        papers = agreement_with_paper(figures, found[data[0], frames[0], epochs, count].candidates)
        told = [f"the paper's on {where} {_tau(tau)}" for where, tau in papers.items()]
        sides = [by_candidate(pooled(found, [each], frames, epochs, count)) for each in data]
        for first, second in itertools.combinations(range(len(data)), 2):
            told.append(f"{data[first]} with {data[second]} {_tau(agreement(sides[first], sides[second]))}")
        yield f"- Matched in {COUNTED[count]}, Kendall's tau of the ranking with {'; '.join(told)}."


def _difference(each: Difference | None) -> str:
    """In percentage points with its interval, bold where it exceeds the noise."""
    if each is None:
        return ""
    text = f"{100 * each.mean:+.1f} ({100 * each.low:+.1f} to {100 * each.high:+.1f})"
    return f"**{text}**" if each.exceeds else text


def picture(found: Results, path: pathlib.Path) -> None:
    """Draws the scores with their 95 % t intervals over the seeds: a panel for each data set and clip length."""
    epochs = _values(found, 2)[0]
    data, frames = _values(found, 0, epochs), _values(found, 1, epochs)
    figure = new_figure(3.3 * len(frames), 0.4 + 2.4 * len(data))
    panels = figure.subplots(len(data), len(frames), sharey="row", squeeze=False)
    for (row, name), (column, number) in itertools.product(enumerate(data), enumerate(frames)):
        axes = panels[row, column]
        for place, count in enumerate(COUNTED):
            if (name, number, epochs, count) in found:
                _draw(axes, found[name, number, epochs, count].figures(MEASURE), place, COUNTED[count])
        axes.set_title(f"{name}, {number} frames", fontsize=9)
        plain_axes(axes)
    for axes in panels[:, 0]:
        axes.set_ylabel(f"{MEASURE}, %", fontsize=9)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8,
                  title="Each net has as many as the 3D net:", title_fontsize=8, frameon=False)  # fmt: skip
    save_png(figure, path)


def _draw(axes, figures: Figures, place: int, label: str) -> None:
    """One matching's scores, beside those of the others."""
    bounds = [paired_difference(list(runs.values()), [0.0] * len(runs))[:3] for runs in figures.values()]
    means, lows, highs = (100 * np.array(values) for values in zip(*bounds, strict=True))
    axes.errorbar(np.arange(len(means)) + 0.22 * (place - 1), means, [means - lows, highs - means], fmt="osD"[place],
                  color=COLOURS[place], markersize=4, linewidth=1.2, label=label)  # fmt: skip
    axes.set_xticks(range(len(figures)), list(figures), fontsize=8)
