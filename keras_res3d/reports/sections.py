"""What a report is made of: sections of paragraphs, tables, curves, matrices and clips, on one kind of page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from keras_res3d.reports import pages
from keras_res3d.reports.charts import confusion, curve_charts, history_charts
from keras_res3d.reports.score_files import class_rows
from keras_res3d.scores import Scores
from keras_res3d.tables import interval_text

# A longer table of classes is folded, with the worst classes first.
LONGEST_TABLE = 20
# Misclassified videos that a page lists.
MOST_MISTAKES = 100


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
        names: columns besides the first that hold names, which begin at the left.
    """

    header: list[str]
    rows: list[list]
    folded: str = ""
    names: tuple[str, ...] = ()
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
    """A row for each class: precision, recall and F1; of several models, scored on the same videos, the accuracies."""
    (first, *others) = scored.values()
    if others:
        header = ["class", "videos", *(f"{name} right" for name in scored)]
        columns = [scores.per_class() for scores in scored.values()]
        rows = [[row[0][0], row[0][1], *map(_right, row)] for row in zip(*columns, strict=True)]
    else:
        header, rows = class_rows(first)
    if len(rows) <= LONGEST_TABLE:
        return Table(header, rows)
    # A class without videos has no accuracy and comes last.
    shares = first.class_shares
    order = sorted(range(len(rows)), key=lambda n: (shares[n] != shares[n], shares[n], n))
    return Table(header, [rows[number] for number in order], f"All {len(rows)} classes, the worst first")


def _right(row: tuple[str, int, int, float]) -> str:
    _, total, hits, share = row
    return f"{hits} ({share:.1%})" if total else "-"


def accuracy_section(scores: Scores) -> Section:
    """The accuracies with their intervals, and the means over the classes."""
    rows = [[name, f"{value:.1%}", interval_text(scores.intervals[name])] for name, value in scores.measures.items()]
    found = scores.summary()
    if "auc" in found:
        rows.append(["area under the ROC curve", f"{found['auc']:.1%}", interval_text(found["intervals"].get("auc"))])
    groups = found["intervals"].get("groups")
    drawn = f"over the {groups} groups of the videos, since videos of a group are alike" if groups else "over videos"
    how = (f"Intervals are by the bootstrap {drawn}. They say how much the figures depend on which videos were scored, "
           "and nothing of the chance in training.")  # fmt: skip
    parts = [Table(["", "share", "95 % interval, in percent"], rows), Text(how, "muted")]
    rows = [[f"{kind} mean", *(f"{value:.1%}" for value in found[kind].values())] for kind in ("macro", "weighted")]
    parts.append(Table(["over the classes", *found["macro"]], rows))
    return Section("Accuracy", parts)


def curves_section(scores: Scores) -> list[Section]:
    """ROC and precision-recall curves, where there are two classes."""
    charts = curve_charts(scores.curves())
    text = ("Each class in turn is the positive one. Beside its name stands the area under the ROC curve, and the "
            "average precision.")  # fmt: skip
    return [Section("Thresholds", [*charts, Text(text, "muted")])] if charts else []


def mistakes_section(scores: Scores) -> Section:
    """The misclassified videos, the worst first."""
    mistakes = scores.mistakes()
    if not mistakes:
        return Section("Misclassified videos", [Text("There is none.")])
    rows = [[each.path, each.true, each.predicted, f"{each.score:.3f}"] for each in mistakes[:MOST_MISTAKES]]
    what = f"{len(mistakes)} of {len(scores.truth)} videos, the worst first"
    if len(rows) < len(mistakes):
        what += f"; {len(rows)} of them are shown"
    folded = what if len(rows) > LONGEST_TABLE else ""
    lead = [] if folded else [Text(f"{what}.")]
    table = Table(["video", "true", "predicted", "score"], rows, folded, ("true", "predicted"))
    return Section("Misclassified videos", [*lead, table])


def scores_sections(scored: Mapping[str, Scores]) -> list[Section]:
    """The sections of scores: confusion matrices and classes; of a single model its intervals and mistakes too."""
    one = next(iter(scored.values())) if len(scored) == 1 else None
    sections = [accuracy_section(one)] if one is not None else []
    matrices = [confusion(scores, name if len(scored) > 1 else "") for name, scores in scored.items()
                if isinstance(scores, Scores)]  # fmt: skip
    sections += curves_section(one) if isinstance(one, Scores) else []
    sections += [Section("Confusion", matrices)] if matrices else []
    sections.append(Section("Classes", [classes_table(scored)]))
    return sections + ([mistakes_section(one)] if isinstance(one, Scores) else [])


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The report as one HTML page, by `templates/report.html`: no script, nothing from the network."""
    return pages.render("report.html", title=title, lead=lead, sections=sections)
