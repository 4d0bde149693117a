"""Tables as text: aligned for a terminal, or Markdown."""

from __future__ import annotations


def as_text(header: list[str], rows: list[list[str]]) -> str:
    """Columns aligned: those that hold a number to the right, the others to the left."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    numeric = [any(row[i][:1].isdigit() for row in rows) and " " not in rows[0][i].strip() for i in range(len(header))]

    def line(cells):
        columns = zip(cells, widths, numeric, strict=True)
        return "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in columns).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


def as_markdown(header: list[str], rows: list[list[str]]) -> str:
    """The same as a Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows])
