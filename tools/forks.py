"""A process forked from a tool, which prints to a log."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import traceback
from collections.abc import Callable

# The exit code where the function raised an error, whose traceback is in the log.
FAILED = 70


def forked(function: Callable[[], int | None], log: pathlib.Path) -> int:
    """Starts a function in a process of its own, which ends with the exit code that it returns; gives its id."""
    pid = os.fork()
    if pid:
        return pid
    code = FAILED
    try:
        # Python's own two are replaced as well, since under pytest they lead elsewhere than to 1 and 2.
        sys.stdout = sys.stderr = open(log, "a", 1, encoding="utf-8")  # noqa: SIM115 - open as long as the process
        os.dup2(sys.stdout.fileno(), 1)
        os.dup2(sys.stdout.fileno(), 2)
        code = function() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(code)
