"""docs/extending.md: one file and its line in a registry are all that a format and a layout need.

The page's files and lines are put into a copy of the package, and the page's use of them runs against that copy.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest

import keras_res3d
from tests.docs.markdown import ROOT, blocks
from tests.docs.world import write_videos

PACKAGE = pathlib.Path(keras_res3d.__file__).parent
PAGE = "docs/extending.md"


class Extension(NamedTuple):
    """A file that is added, the registry that names it with the change to it, and code that uses it."""

    file: str
    text: str
    registry: str
    change: str
    use: str


def extensions():
    """The page's extensions: a block with a file, one with its line, one with its use, in this order."""
    if not (ROOT / PAGE).exists():
        return []
    marked = [block for block in blocks(PAGE) if block.mark]
    kinds = [re.match(r"file: |line: |with the file", block.mark)[0] for block in marked]
    assert kinds == ["file: ", "line: ", "with the file"] * (len(marked) // 3)
    return [
        Extension(file.mark.removeprefix("file: "), file.text, line.mark.removeprefix("line: "), line.text, use.text)
        for file, line, use in zip(marked[::3], marked[1::3], marked[2::3], strict=True)
    ]


def changed(text, change):
    """`text` after a change in the style of a diff; hunks are separated by blank lines, and each fits in one place."""
    for hunk in change.strip("\n").split("\n\n"):
        lines = hunk.splitlines()
        old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
        new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
        assert text.count(old) == 1, f"the registry has no line, or several, like\n{old}"
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("extension", extensions(), ids=lambda extension: pathlib.PurePosixPath(extension.file).stem)
def test_one_file_and_its_line_are_enough(extension, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(PACKAGE, copy / "keras_res3d", ignore=shutil.ignore_patterns("__pycache__"))
    registry = copy / extension.registry
    registry.write_text(changed(registry.read_text(encoding="utf-8"), extension.change), encoding="utf-8")
    assert not (copy / extension.file).exists()
    (copy / extension.file).write_text(extension.text, encoding="utf-8")
    here = tmp_path / "here"
    here.mkdir()
    write_videos(here)
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", extension.use], cwd=here, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
