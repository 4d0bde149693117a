"""Text as it is shown: tables, aligned for a terminal or in Markdown; names that hold odd characters; JSON."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence

# What a terminal would obey, what changes how the text around it is shown, and what no encoding can write: control
# characters, separators of lines, marks of direction, invisible characters but for the two joiners, and surrogates,
# which in Python stand for the bytes of a file name that is not UTF-8.
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: object, lines: bool = False) -> str:
    """A name, or another text from outside, as it may be printed or drawn.

    Args:
        text: what `str` makes a text of.
        lines: whether ends of lines stay, in a message of several lines.

    Returns:
        The text, with escapes such as `\\x1b`, `\\n` and `\\u202e` for the rest; a byte that is not UTF-8 is `\\xff`.
    """
    return _UNPRINTABLE.sub(lambda found: found[0] if lines and found[0] == "\n" else _escaped(found[0]), str(text))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # the byte that Python stands it in for
        code -= 0xDC00
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def is_utf8(text: str) -> bool:
    """Whether a name can be written in UTF-8; Python's stand-ins for the bytes of one that is not cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_json(value: object, indent: int = 2) -> str:
    """The value as JSON with a line's end, text as it is but for what is not printable, which is escaped.

    A file name that is not UTF-8 comes back from `json.loads` as Python's own `os.fsdecode` gave it.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # Outside of strings JSON has no such character but the ends of lines.
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text) + "\n"


def percent(share: float) -> str:
    """`93.8 %` of 0.938; a dash of NaN, the score of a class without videos."""
    return "-" if share != share else f"{100 * share:.1f} %"


def interval_text(ends: Sequence[float] | None) -> str:
    """An interval of shares in percent, `61.2 to 70.4`; a dash of None."""
    return "-" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def _width(text: str) -> int:
    """Columns that a terminal gives the text: two for each wide character of East Asian scripts, none for accents."""
    return sum((unicodedata.east_asian_width(c) in "WF") + (not unicodedata.combining(c)) for c in text)


def as_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with aligned columns: those that hold a number to the right, the others to the left.

    Args:
        header: name of each column.
        rows: the cells, one for each column; there may be no row at all.
    """
    header, *rows = [[printable(cell) for cell in row] for row in (header, *rows)]
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
    shown = ([printable(cell).replace("|", "\\|") for cell in cells] for cells in lines)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in shown)
