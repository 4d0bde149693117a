"""Opening a local file that has an end: no pipe, which waits for who writes to it, and no device."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """A local file to read bytes from, as `open(path, "rb")` gives it.

    Raises:
        OSError: it cannot be read, or is a pipe or a device.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (the caller closes it)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is a pipe or a device; expected a file", os.fspath(path))
    return file


def _without_waiting(path, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe is otherwise opened when somebody writes
