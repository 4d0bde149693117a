"""docs/tutorial.md as a stranger follows it: its real commands, one process each, in an empty folder.

`test_examples.py` runs the same lines within seconds, on narrow nets that are hardly trained. Here the nets are trained
and the export keeps its bounds. `pytest tests/docs/test_tutorial.py -m slow -s` prints the seconds of each command.
"""

import json
import os
import subprocess
import sys
import time

import pytest

from tests.docs.markdown import ROOT, blocks, commands, pages

PAGE = "docs/tutorial.md"
pytestmark = pytest.mark.skipif(PAGE not in pages(), reason="the tests lie without the pages")
COMMAND = "import sys; from keras_res3d.commands.main import main; sys.exit(main(sys.argv[1:]))"


def steps():
    """(what is shown, words of the process) of everything on the page that needs no download."""
    for block in blocks(PAGE):
        if block.language == "python":
            yield f"the lines of Python at line {block.line}", [sys.executable, "-c", block.text]
        for line in commands(block.text) if block.language == "console" else ():
            if "--weights" not in line:
                yield line, [sys.executable, "-c", COMMAND, *line.split()[1:]]


@pytest.mark.slow
def test_a_stranger_gets_a_small_file_that_is_right(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "TF_CPP_MIN_LOG_LEVEL": "3"}
    taken = []
    for shown, words in steps():
        start = time.perf_counter()
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        taken.append((time.perf_counter() - start, shown))
        print(f"\n{taken[-1][0]:6.1f} s  {shown}\n{done.stdout}")
        assert done.returncode == 0, done.stderr
    print("\n".join(f"{seconds:6.1f} s  {shown}" for seconds, shown in [*taken, (sum(s for s, _ in taken), "all")]))
    for folder in ("runs/mine/scores", "int8"):
        assert json.loads((tmp_path / folder / "scores.json").read_text())["video@1"] > 0.8
    assert (tmp_path / "mine.tflite").stat().st_size < 1.5e6
