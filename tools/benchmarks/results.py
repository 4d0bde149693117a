"""What a suite yields: measurements by round, tables, and what could not be measured here; as text, JSON and tables.

A suite is a module with `run(options)`, which yields these; one that has flags of its own has `parse(arguments)` too.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from keras_res3d import tables

HEADER = ["measured", "", "median", "lowest to highest", "a second", "ratio (lowest to highest)"]


@dataclass(frozen=True)
class Result:
    """One measurement.

    Attributes:
        title: what was measured.
        values: by contestant, one number a round; the n-th numbers of all were taken side by side.
        reference: the contestant that ratios are against; None, or one that did not run: no ratios.
        unit: of the values; less is better.
        items: how many things (`item`) one value covers, for a rate; 0 shows no rate.
    """

    title: str
    values: dict[str, list[float]]
    reference: str | None = None
    unit: str = "s"
    items: int = 0
    item: str = ""

    def ratios(self, name: str) -> tuple[float, float, float] | None:
        """Reference / `name`, above 1 where `name` is better: the median over the rounds, the lowest, the highest."""
        if self.reference not in self.values or name == self.reference:
            return None
        pairs = zip(self.values[self.reference], self.values[name], strict=True)
        by_round = [theirs / ours for theirs, ours in pairs]
        return statistics.median(by_round), min(by_round), max(by_round)

    def lines(self) -> Iterator[str]:
        """The measurement as text, one contestant a line."""
        yield f"{self.title} ({len(next(iter(self.values.values())))} rounds)"
        for name, values in self.values.items():
            median = statistics.median(values)
            text = f"  {name:<36} {median:9.3f} {self.unit}  ({min(values):.3f} .. {max(values):.3f})"
            if self.items:
                text += f"  {self.items / median:8.0f} {self.item}/s"
            if found := self.ratios(name):
                text += "  ratio {:.2f} ({:.2f} .. {:.2f})".format(*found)
            yield text

    def rows(self) -> list[list[str]]:
        """The measurement below `HEADER`, a row for each contestant."""
        rows = []
        for name, values in self.values.items():
            median = statistics.median(values)
            ratios = self.ratios(name)
            rows.append([
                "" if rows else self.title,
                name,
                f"{number(median)} {self.unit}".strip(),
                f"{number(min(values))} to {number(max(values))}" if len(values) > 1 else "",
                f"{self.items / median:,.0f} {self.item}" if self.items else "",
                spread(*ratios, rounds=len(values)) if ratios else "",
            ])  # fmt: skip
        return rows

    def to_dict(self) -> dict:
        """JSON-ready: the fields, medians and ratios, and the rows of a table."""
        medians = {name: statistics.median(values) for name, values in self.values.items()}
        ratios = {name: self.ratios(name) for name in self.values}
        return {**asdict(self), "medians": medians, "ratios": ratios, "header": HEADER, "rows": self.rows()}


@dataclass(frozen=True)
class Table:
    """What has columns of its own.

    Attributes:
        title: what stands above it; "" for rows that go on a table before.
        header, rows: as of `keras_res3d.tables`.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def lines(self) -> Iterator[str]:
        """The table as text."""
        if self.title:
            yield self.title
        yield tables.as_text(self.header, self.rows)

    def to_dict(self) -> dict:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class Missing:
    """What could not be measured on this machine.

    Attributes:
        title: what.
        why: and how to get what it needs.
    """

    title: str
    why: str

    def lines(self) -> Iterator[str]:
        """The fact in a line."""
        yield f"skipped: {self.title} ({self.why})"

    def to_dict(self) -> dict:
        """JSON-ready."""
        return {"missing": self.title, "why": self.why}


NO_TORCH = Missing("comparison with torchvision", "it is not installed: pip install torch torchvision")


def number(value: float) -> str:
    """A number with four digits that count: `0.5163`, `12.35`, `1,799`."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.4g}".rstrip(".")


def spread(median: float, lowest: float, highest: float, rounds: int = 2) -> str:
    """`1.08 (1.07 to 1.66)`; the median alone of one round."""
    return f"{median:.2f}" + (f" ({lowest:.2f} to {highest:.2f})" if rounds > 1 else "")


def show(results: Iterable[Result | Table | Missing]) -> list[dict]:
    """Prints each result as soon as it is there.

    Returns:
        All of them, JSON-ready.
    """
    shown = []
    for result in results:
        print(*result.lines(), sep="\n", flush=True)
        shown.append(result.to_dict())
    return shown
