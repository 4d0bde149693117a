"""Tables as text: aligned for a terminal, or Markdown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def _width(text: str) -> int:
    """Columns that a terminal gives the text: two for each wide character of East Asian scripts, none for accents."""
    return sum((unicodedata.east_asian_width(c) in "WF") + (not unicodedata.combining(c)) for c in text)


def as_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with aligned columns: those that hold a number to the right, the others to the left.

    Args:
        header: name of each column.
        rows: the cells, one for each column; there may be no row at all.
    """
    widths = [max(_width(row[i]) for row in [header, *rows]) for i in range(len(header))]
    numeric = [any(row[i][:1].isdigit() for row in rows) and " " not in rows[0][i].strip() for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = []
        for cell, width, right in zip(cells, widths, numeric, strict=True):
            space = " " * (width - _width(cell))
            padded.append(space + cell if right else cell + space)
        return "  ".join(padded).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


def as_markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as a Markdown table; a bar in a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines)
