"""One file over HTTP: resumed where it was cut, retried, and whole or not at all. Standard library alone."""

from __future__ import annotations

import errno
import http.client
import json
import os
import pathlib
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field

from keras_res3d import __version__
from keras_res3d.io import write_atomically

CHUNK_BYTES = 1 << 18
# After this much the failures before it no longer count.
PROGRESS_BYTES = 1 << 20
_PASSING_CODES = {408, 416, 425, 429, 500, 502, 503, 504}
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}


class DownloadError(OSError):
    """A file could not be had, or is not what it should be; the message says what to do."""


class _CutError(Exception):
    """This attempt failed in a way that another may not."""


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        timeout: seconds without a byte after which a connection counts as stalled.
        retries: attempts after the first that may fail in a row without bringing anything.
        backoff: seconds before the second attempt, doubled for each further one up to 30.
    """

    timeout: float = 30.0
    retries: int = 5
    backoff: float = 1.0


class Progress:
    """One line on a terminal, rewritten; silent anywhere else."""

    def __init__(self, label: str, stream=None):
        self.label, self.stream = label, stream or sys.stderr
        self.shown_at, self.live = 0.0, self.stream.isatty()

    def show(self, done: int, total: int | None, last: bool = False) -> None:
        if not self.live or (not last and time.monotonic() - self.shown_at < 0.2):
            return
        self.shown_at = time.monotonic()
        text = f"{self.label}  {done / 1e6:.1f} MB"
        if total:
            filled = int(24 * done / total)
            text = f"{self.label}  [{'=' * filled}{' ' * (24 - filled)}]  {done / 1e6:.1f} of {total / 1e6:.1f} MB"
        self.stream.write(f"\r\x1b[K{text}" + "\n" * last)
        self.stream.flush()


@dataclass
class _Part:
    """The file while it is incomplete, and what is known of its source."""

    path: pathlib.Path
    url: str
    state: dict = field(default_factory=dict)

    @property
    def state_path(self) -> pathlib.Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def complete(self) -> bool:
        return bool(self.size) and self.state.get("url") == self.url and self.size == self.state.get("total")

    def read_state(self) -> None:
        try:
            state = json.loads(self.state_path.read_text())
            self.state = state if isinstance(state, dict) else {}
        except (OSError, ValueError):
            self.state = {}

    def write_state(self, total: int | None, headers) -> None:
        etag = headers.get("ETag", "")
        # Only a strong ETag, or a date, says that the rest belongs to what is here already.
        validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")
        self.state = {"url": self.url, "validator": validator, "total": total}
        write_atomically(self.state_path, json.dumps(self.state))

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.state_path.unlink(missing_ok=True)
        self.state = {}


def looks_like_html(start: bytes) -> bool:
    """Whether a file's first bytes are those of a web page, which some servers send in place of a file."""
    start = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml"))


def _request(part: _Part) -> urllib.request.Request:
    headers = {"User-Agent": f"keras-res3d/{__version__}", "Accept": "*/*"}
    if part.size and part.state.get("url") == part.url and part.state.get("validator"):
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.state["validator"]}
    return urllib.request.Request(part.url, headers=headers)


def _where_to_write(response, part: _Part) -> tuple[str, int | None]:
    """("ab", total bytes) where the answer continues the part, ("wb", total) where it starts anew."""
    headers = response.headers
    length = int(headers["Content-Length"]) if (headers["Content-Length"] or "").isdigit() else None
    if response.status == 206:
        unit, _, extent = headers.get("Content-Range", "").partition(" ")
        span, _, total = extent.partition("/")
        known = part.state.get("total")
        fits = unit == "bytes" and span.split("-")[0] == str(part.size) and total.isdigit()
        if not fits or known not in (None, int(total)):
            part.discard()
            raise _CutError(f"the server answered with the range {extent or 'none'}, which was not asked for")
        return "ab", int(total)
    if response.status != 200:
        raise DownloadError(f"the server answered {response.status}")
    if length is None and not response.chunked:
        raise DownloadError("the server does not say how long the file is, so a cut would go unseen")
    return "wb", length


def _copy(response, part: _Part, mode: str, total: int | None, progress: Progress) -> None:
    with open(part.path, mode) as file:
        done = file.tell()
        while True:
            try:
                chunk = response.read(CHUNK_BYTES)
            except http.client.IncompleteRead as error:
                file.write(error.partial)
                raise
            if not chunk:
                break
            file.write(chunk)
            done += len(chunk)
            if total is not None and done > total:
                part.discard()
                raise _CutError(f"the server sent more than the {total} bytes that it announced")
            progress.show(done, total)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise _CutError(f"the connection ended after {done} of {total} bytes")


def _attempt(part: _Part, timeout: float, progress: Progress) -> None:
    with urllib.request.urlopen(_request(part), timeout=timeout) as response:
        if part.url.startswith("https:") and not response.geturl().startswith("https:"):
            raise DownloadError(f"the server sends on to {response.geturl()}, which is not https")
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise DownloadError("the server sent a web page in place of the file")
        mode, total = _where_to_write(response, part)
        missing = (total or 0) - (part.size if mode == "ab" else 0)
        free = shutil.disk_usage(part.path.parent).free
        if missing > free:
            raise DownloadError(f"{missing / 1e6:.0f} MB to come and {free / 1e6:.0f} MB free in {part.path.parent}")
        if mode == "wb":
            part.path.unlink(missing_ok=True)
            part.write_state(total, response.headers)
        _copy(response, part, mode, total, progress)


def _is_local(error: Exception) -> bool:
    """Whether a failure is the disk's and not the network's."""
    if not isinstance(error, OSError) or isinstance(error, urllib.error.URLError):
        return False
    return error.errno in _DISK_ERRORS or error.filename is not None


def _explain(error: Exception, part: _Part) -> str:
    """What a failure that may pass was; raises DownloadError for one that will not."""
    if isinstance(error, urllib.error.HTTPError):
        if error.code not in _PASSING_CODES:
            raise DownloadError(f"the server answered {error.code} {error.reason}") from error
        if error.code == 416:
            part.discard()
        return f"the server answered {error.code} {error.reason}"
    if isinstance(getattr(error, "reason", None), socket.gaierror) and not part.size:
        # Offline: waiting would only put off the message. Midway it may be a moment's failure.
        raise DownloadError(f"the name cannot be resolved ({error.reason})") from error
    if isinstance(error, (TimeoutError, urllib.error.URLError)):
        return str(getattr(error, "reason", "") or error or "timed out")
    return f"{error}" if isinstance(error, _CutError) else f"{type(error).__name__}: {error}"


def download(url: str, part_path, label: str, patience: Patience | None = None, stream=None) -> pathlib.Path:
    """Brings `url` to `part_path`, going on from what is there already; the caller checks and renames it.

    A part is continued only where the server's ETag or date says that the file is still the same one.

    Args:
        url: http or https.
        part_path: the incomplete file; `part_path` + ".json" keeps the address, the validator and the length.
        label: what the progress line calls it.
        patience: time-out, retries and back-off; None: the defaults.
        stream: of the progress line; None: stderr.

    Returns:
        `part_path`, of the announced length and synced to disk.

    Raises:
        DownloadError: the reason alone; the part stays for the next time unless it is worthless.
    """
    part, patience = _Part(pathlib.Path(part_path), url), patience or Patience()
    part.read_state()
    progress = Progress(label, stream)
    failures, reached = 0, part.size
    while not part.complete:
        try:
            _attempt(part, patience.timeout, progress)
            break
        except DownloadError:
            raise
        except (_CutError, OSError, http.client.HTTPException) as error:
            if _is_local(error):
                raise DownloadError(f"{part.path} cannot be written: {error.strerror}") from error
            reason = _explain(error, part)
        failures += 1
        if part.size - reached >= PROGRESS_BYTES:
            failures, reached = 0, part.size
        if failures > patience.retries:
            raise DownloadError(f"given up after {failures} attempts: {reason}")
        time.sleep(min(patience.backoff * 2 ** max(failures - 1, 0), 30.0))
    with open(part.path, "rb") as file:
        if looks_like_html(file.read(512)):
            part.discard()
            raise DownloadError("the server sent a web page in place of the file")
    progress.show(part.size, part.size, last=True)
    return part.path


def clear_part(part_path) -> None:
    """Removes an incomplete file and what is known of it."""
    _Part(pathlib.Path(part_path), "").discard()
