"""The results of a run of all suites as a page in Markdown."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from keras_res3d import tables

HEAD = """# Benchmarks

`{command}` measured all of this on {date} and wrote this page. [Performance](performance.md) says what
the figures mean.

The contestants of a measurement take turns, round by round, so that whatever else a machine does slows all of them; a
figure is the median of the rounds. A ratio is the time of the contestant without one, the reference, divided by that of
the row (of memory: its megabytes): above 1 the row is better. It is the median of the rounds' own ratios.

## The machine
"""
BUSY = "The load was {load} before the run: other work shared the cores, and ratios say more than times."


def page(facts: dict, suites: Iterable[dict], command: str, date: str) -> str:
    """The page.

    Args:
        facts: of the machine, by name; `load` and `cores` are among them.
        suites: each with `suite` (its name), `about` (what it measures) and `results`, as `show` gives them.
        command: that wrote it.
        date: of the run.

    Returns:
        Markdown.
    """
    suites = list(suites)
    parts = [HEAD.format(command=command, date=date)]
    parts.append(tables.as_markdown(("", ""), [(name, str(value)) for name, value in facts.items()]) + "\n")
    if (facts["load"] or 0) > 0.3 * facts["cores"]:
        parts.append(BUSY.format(load=facts["load"]) + "\n")
    for suite in suites:
        if shown := list(_tables(result for result in suite["results"] if "rows" in result)):
            parts += [f"## {suite['suite']}\n\n{suite['about']}\n", *shown]
    missing = [
        f"- **{suite['suite']}**, {tables.printable(result['missing'])}: {tables.printable(result['why'])}"
        for suite in suites
        for result in suite["results"]
        if "missing" in result
    ]
    if missing:
        parts.append("\n".join(["## Not measured here\n", *missing]) + "\n")
    return "\n".join(parts)


def _tables(results: Iterable[dict]) -> Iterator[str]:
    """Neighbours with one header are one table."""
    for header, group in itertools.groupby(results, key=lambda result: list(result["header"])):
        group = list(group)
        title = "" if header[0] == "measured" else group[0]["title"]
        rows = [row for result in group for row in result["rows"]]
        # A column that is empty everywhere says nothing.
        kept = [n for n, name in enumerate(header) if name == "" or any(row[n] for row in rows)]
        shown = tables.as_markdown([header[n] for n in kept], [[row[n] for n in kept] for row in rows])
        yield (f"{title}:\n\n" if title else "") + shown + "\n"
