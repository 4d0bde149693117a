"""What is done about a video that cannot be read in the middle of a run: stop at it, or skip it and say so once."""

from __future__ import annotations

import os
import threading
import warnings

from keras_res3d.data.types import PathLike, VideoError
from keras_res3d.io import write_atomically
from keras_res3d.remote import as_path, text_of
from keras_res3d.tables import printable

STOP, SKIP = ON_BAD_VIDEO = ("stop", "skip")
# What reading a bad video raises; a data set of one's own may raise any of these.
UNREADABLE = (ValueError, OSError)
# Bad videos that are warned of one by one; the others are counted.
SHOWN = 20


class BadVideos:
    """The bad videos that were skipped. Each is warned of once, however often it is met; threads may share one.

    Args:
        path: a file that lists them, a line each: its path, a tab, and what is wrong. What it lists already is kept.

    Attributes:
        faults: what is wrong with each, by its path.
    """

    def __init__(self, path: PathLike | None = None):
        self.path, self.faults = None if path is None else as_path(path), {}
        self._lines, self._lock = {}, threading.Lock()
        if self.path is not None and self.path.exists():
            lines = text_of(self.path, "utf-8", "replace").splitlines()
            self._lines = {line.split("\t")[0]: line for line in lines}

    def __len__(self):
        return len(self.faults)

    def note(self, path: PathLike, error: Exception) -> str:
        """Remembers a video and its error; returns what is wrong with it."""
        name, fault = printable(os.fspath(path)), printable(error) or type(error).__name__
        with self._lock:
            if os.fspath(path) in self.faults:
                return fault
            self.faults[os.fspath(path)] = fault
            count = len(self.faults)
            self._list({name: fault})
        if count <= SHOWN:
            warnings.warn(f"left out: {fault if name in fault else f'{name}: {fault}'}", stacklevel=3)
        elif count == SHOWN + 1:
            warnings.warn(f"more than {SHOWN} bad videos are left out; the others are counted alone", stacklevel=3)
        return fault

    def add(self, faults: dict[str, str]) -> None:
        """Lists the bad videos that another process has skipped, and has warned of."""
        with self._lock:
            new = {path: fault for path, fault in faults.items() if path not in self.faults}
            self.faults.update(new)
            self._list({printable(path): fault for path, fault in new.items()})

    def _list(self, faults: dict[str, str]) -> None:
        new = {name: f"{name}\t{fault}" for name, fault in faults.items() if name not in self._lines}
        if self.path is not None and new:
            self._lines.update(new)
            write_atomically(self.path, "\n".join(self._lines.values()) + "\n")


def collector(on_bad_video: str | BadVideos) -> BadVideos | None:
    """What collects the bad videos that are skipped; None where the first one ends everything.

    Args:
        on_bad_video: "stop", "skip", or a `BadVideos`, which is to skip them and to have them in it.
    """
    if isinstance(on_bad_video, BadVideos):
        return on_bad_video
    if on_bad_video not in ON_BAD_VIDEO:
        raise ValueError(f"on_bad_video is {on_bad_video!r}; expected stop or skip")
    return BadVideos() if on_bad_video == SKIP else None


def none_is_left(data_set, error: Exception) -> VideoError:
    """The error where every video of a data set is bad."""
    return VideoError(f"{data_set.name}: none of its {len(data_set)} videos can be read; the last one: {error}")
