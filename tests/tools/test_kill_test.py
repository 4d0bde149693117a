"""The tool that kills commands, on as few kills as will do; each runs in a process of its own, which forks."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["train", "pack", "convert", "export"])
def test_nothing_is_wrong_after_a_few_kills(target):
    command = [sys.executable, "tools/kill_test.py", target, "--kills", "4", "--seed", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    row = [cell.strip() for cell in done.stdout.splitlines()[-1].strip("|").split("|")]
    counts = list(map(int, row[1:]))
    assert row[0] == target and counts[0] >= 4 and sum(counts[1:]) == counts[0] and counts[-1] == 0
