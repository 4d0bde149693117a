"""What a report is made of: sections of paragraphs, tables, curves, matrices and clips, on one kind of page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from keras_res3d.reports import pages
from keras_res3d.reports.charts import confusion, history_charts
from keras_res3d.scores import Scores

# A longer table of classes is folded, with the worst classes first.
LONGEST_TABLE = 20


@dataclass(frozen=True)
class Text:
    """A paragraph; a muted one explains, a warning one stands out."""

    text: str
    kind: str = ""
    macro = "text"


@dataclass(frozen=True)
class Code:
    """Lines as they are typed."""

    text: str
    macro = "code"


@dataclass(frozen=True)
class Numbers:
    """The few numbers that matter, each with its name."""

    pairs: list[tuple[str, str]]
    macro = "numbers"


@dataclass(frozen=True)
class Table:
    """A table; on a telephone a row of more than three cells becomes a block of lines.

    Attributes:
        header, rows: cells, shown as they are.
        folded: the line that opens the table; "" leaves it open.
    """

    header: list[str]
    rows: list[list]
    folded: str = ""
    macro = "table"


@dataclass(frozen=True)
class Pairs:
    """Names with their values; with `folded`, that line opens them."""

    pairs: list[tuple[str, str]]
    folded: str = ""
    macro = "pairs"


@dataclass(frozen=True)
class Clips:
    """Animated clips in a grid."""

    shown: list[pages.ClipShown]
    macro = "clips"


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it; charts and matrices stand side by side where there is room."""

    heading: str
    parts: list = field(default_factory=list)


def curves(histories: Mapping[str, Mapping[str, Sequence[float]]], chance: float | None = None) -> Section:
    """The section of learning curves; says so where there is no finite value."""
    charts = history_charts(histories, chance)
    gaps = [
        f"{_of(name, histories)}{key} is not a finite number in {_epochs(values)}."
        for name, history in histories.items()
        for key, values in history.items()
        if len(values) and not np.isfinite(np.array(values, float)).all()
    ]
    texts = [Text(gap, "warning") for gap in gaps]
    if not charts:
        return Section("Learning curves", [*texts, Text("The log has no value to draw.", "muted")])
    guess = [Text("The thin line is the accuracy of guessing.", "muted")] if chance and len(charts) > 1 else []
    return Section("Learning curves", [*texts, *charts, *guess])


def _of(name: str, histories: Mapping) -> str:
    return f"{name}: " if len(histories) > 1 else ""


def _epochs(values: Sequence[float]) -> str:
    bad = [str(number + 1) for number in np.flatnonzero(~np.isfinite(np.array(values, float)))]
    shown = ", ".join(bad[:10]) + (f" and {len(bad) - 10} others" if len(bad) > 10 else "")
    return f"epoch {shown}" if len(bad) == 1 else f"epochs {shown}"


def classes_table(scored: Mapping[str, Scores]) -> Table:
    """Accuracy of each class, a column for each of the models that were scored on the same videos."""
    columns = [scores.per_class() for scores in scored.values()]
    header = ["class", "videos", *(f"{name} right" if len(scored) > 1 else "right" for name in scored)]
    rows = [
        [name, total, *(_right(column[number]) for column in columns)]
        for number, (name, total, _, _) in enumerate(columns[0])
    ]
    if len(rows) <= LONGEST_TABLE:
        return Table(header, rows)
    # A class without videos has no accuracy and comes last.
    order = sorted(range(len(rows)), key=lambda n: (columns[0][n][3] != columns[0][n][3], columns[0][n][3], n))
    return Table(header, [rows[number] for number in order], f"All {len(rows)} classes, the worst first")


def _right(row: tuple[str, int, int, float]) -> str:
    _, total, hits, share = row
    return f"{hits} ({share:.1%})" if total else "-"


def scores_sections(scored: Mapping[str, Scores]) -> list[Section]:
    """The sections of confusion matrices and of the classes."""
    matrices = [confusion(scores, name if len(scored) > 1 else "") for name, scores in scored.items()]
    return [Section("Confusion", matrices), Section("Classes", [classes_table(scored)])]


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The report as one HTML page, by `templates/report.html`: no script, nothing from the network."""
    return pages.render("report.html", title=title, lead=lead, sections=sections)
