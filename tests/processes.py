"""Processes that hold a place, are killed while they write, or die while they replace what is there."""

import contextlib
import subprocess
import sys

HOLDING = """
with only_one(sys.argv[1], sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""
# Puts the files of a folder in place, and dies before the moves begin, or after so many of them.
REPLACING = """
left, move = int(sys.argv[3]), os.replace
def counted(*arguments):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return move(*arguments)
print("started", flush=True)
os.replace = counted
with atomic_group(sys.argv[1]) as stage:
    shutil.copytree(sys.argv[2], stage.parent, dirs_exist_ok=True)
"""


@contextlib.contextmanager
def child(code, *arguments):
    """A process that runs `code` and has printed a line; it is killed when the block ends."""
    code = f"import os, shutil, sys, time\nfrom keras_res3d.io import *\n{code}"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def holding(path, doing):
    """A `child` that holds a place, as of `io.only_one`."""
    return child(HOLDING, path, doing)


def replaced(target, source, moves):
    """Replaces by the files of the folder `source` in a process that dies after so many moves; its exit code."""
    with child(REPLACING, target, source, moves) as process:
        return process.wait(timeout=60)
