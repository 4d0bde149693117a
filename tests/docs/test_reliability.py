"""Every test that the page on reliability names is there, so that no promise outlives its proof."""

from __future__ import annotations

import pathlib
import re

TESTS = pathlib.Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"


def test_every_test_that_is_named_exists():
    rows = [line for line in PAGE.read_text().splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) >= 24
    for row in rows:
        proofs, file = re.findall(r"`([\w/]*\.py)?(?:::(\w+))?`", row.rpartition(" | ")[2]), None
        assert proofs, row
        for named, function in proofs:
            file = TESTS / named if named else file
            assert not function or re.search(rf"^def {function}\(", file.read_text(), re.MULTILINE), (row, function)
            assert file.exists()
