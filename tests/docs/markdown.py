"""The code blocks of the documentation, with the comments that say how each is to be run."""

import pathlib
import re
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
SHELLS = ("sh", "bash", "console")
_BLOCK = re.compile(r"^(?:<!-- (?P<mark>.*?) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    """A fenced block.

    Args:
        page: the file's path in the repository.
        line: where the block begins, from 1.
        language: the word behind the fence.
        mark: what an HTML comment on the line before it says, or "".
        text: what is between the fences.
    """

    page: str
    line: int
    language: str
    mark: str
    text: str


def pages():
    """README.md and docs/*.md, as paths in the repository; none where the tests lie without them."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [path.relative_to(ROOT).as_posix() for path in found if path.exists()]


def blocks(page):
    """Every fenced block of a page in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start("language")) + 1, match["language"], match["mark"] or "",
              match["text"])
        for match in _BLOCK.finditer(text)
    ]  # fmt: skip


def commands(text):
    """The lines of a shell block, continued ones joined."""
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]
