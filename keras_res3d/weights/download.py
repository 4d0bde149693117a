"""Downloads one file over HTTP by pooch: resumed where it was cut, retried, and complete or not there at all.

pooch and requests do the transfer. A hook looks at each answer before its body is written, which is what lets a cut
download of several hundred megabytes go on: pooch alone would start it again.
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import socket
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field

from keras_res3d import __version__
from keras_res3d.io import sync, write_atomically
from keras_res3d.untrusted import COUNT, read_json
from keras_res3d.weights.formats.registry import looks_like_html

# Bytes of an incomplete chunk are lost: this many at most when a download is cut.
CHUNK_BYTES = 1 << 16
# Once this many bytes have come, earlier failures no longer count.
PROGRESS_BYTES = 1 << 20
# What a server may send where the caller does not know how much the file has; this much of the disk stays free.
MAX_BYTES, RESERVED_BYTES = 16 << 30, 64 << 20
_LENGTH = re.compile(r"[0-9]{1,15}")
_STATE = {"url": str, "validator": str, "total": (COUNT, None)}
_PASSING_CODES = {408, 416, 425, 429, 500, 502, 503, 504}


class DownloadError(OSError):
    """A file that could not be downloaded, or is not what it should be; the message says what to do."""


class _CutError(Exception):
    """This attempt failed, but another one may succeed."""


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        timeout: seconds without a byte after which a connection counts as stalled.
        retries: attempts after the first that may fail in a row without bringing anything.
        backoff: seconds before the second attempt, doubled for each further one up to 30.
        grace: seconds after which an attempt is given up that brings fewer bytes a second than `slowest`. A server
            that drips a byte now and then would never stall.
        slowest: in bytes a second.
    """

    timeout: float = 30.0
    retries: int = 5
    backoff: float = 1.0
    grace: float = 60.0
    slowest: float = 1000.0


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
            self.state = read_json(self.state_path, _STATE)
        except (OSError, ValueError):
            self.state = {}

    def write_state(self, total: int | None, headers) -> None:
        etag = headers.get("ETag", "")
        # Only a strong ETag, or a date, says that the rest belongs to what is here already.
        validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")
        self.state = {"url": self.url, "validator": validator, "total": total}
        write_atomically(self.state_path, json.dumps(self.state))

    def forget(self) -> None:
        """Nothing vouches for what is here any more: the next answer starts it anew."""
        self.state_path.unlink(missing_ok=True)
        self.state = {}

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.forget()


class _Bar:
    """The progress of one attempt, as pooch tells it; `total` is set by pooch and is what is still to come.

    It ends an attempt that brings more than it may, or than the disk takes.
    """

    def __init__(self, progress: Progress, file, part: _Part, most: int):
        self.progress, self.file, self.part, self.most = progress, file, part, most
        self.total, self.received = 0, 0

    def update(self, count: int) -> None:
        self.received += count
        done = self.file.tell()
        if done > self.most:
            self.part.discard()
            raise DownloadError(f"the server sends more than {self.most:,} bytes, and no end; the file has fewer")
        if shutil.disk_usage(self.part.path.parent).free < RESERVED_BYTES:
            raise DownloadError(f"the disk of {self.part.path.parent} is full but for {RESERVED_BYTES >> 20} MB")
        self.progress.show(done, self.part.state.get("total"))

    def reset(self) -> None:
        """Nothing to do: the file's own size is shown."""

    close = reset


def _headers(part: _Part) -> dict[str, str]:
    # Compressed on the way, a file would have another length than announced.
    headers = {"User-Agent": f"keras-res3d/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
    if part.size and part.state.get("url") == part.url and part.state.get("validator"):
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.state["validator"]}
    return headers


def _continues(headers, part: _Part) -> int:
    """The whole length that a partial answer names, where it goes on at the end of the part."""
    unit, _, extent = headers.get("Content-Range", "").partition(" ")
    span, _, total = extent.partition("/")
    fits = unit == "bytes" and span.split("-")[0] == str(part.size) and _LENGTH.fullmatch(total)
    if not fits or part.state.get("total") not in (None, int(total)):
        part.forget()
        raise _CutError(f"the server answered with the range {extent or 'none'}, which was not asked for")
    return int(total)


def _stays_safe(response, part: _Part) -> None:
    """Raises DownloadError where an answer, or the place that it sends on to, is not https although the address was."""
    target = response.url
    if response.is_redirect:
        target = urllib.parse.urljoin(response.url, response.headers["Location"])
    if not target.startswith("https:") and (part.url.startswith("https:") or response.url.startswith("https:")):
        raise DownloadError(f"the server sends on to {target}, which is not https")


def _accept(response, part: _Part, file, most: int) -> None:
    """Looks at an answer before its body is appended to the part's open file; what was there before may have to go.

    Raises:
        DownloadError, _CutError: the body is not wanted.
    """
    if file.closed:
        raise _CutError("the attempt was given up")
    _stays_safe(response, part)
    if response.is_redirect or response.status_code >= 400:  # requests and pooch see to these
        return
    headers = response.headers
    if headers.get("Content-Type", "").partition(";")[0].strip() in ("text/html", "application/xhtml+xml"):
        raise DownloadError("the server sent a web page in place of the file")
    if response.status_code not in (200, 206):
        raise DownloadError(f"the server answered {response.status_code}")
    said = headers.get("Content-Length")
    if said is not None and not _LENGTH.fullmatch(said):
        raise DownloadError(f"the server says that the file has {said[:40]!r} bytes, which is no length")
    length = None if said is None else int(said)
    if response.status_code == 206:
        missing = _continues(headers, part) - part.size
    elif length is None and headers.get("Transfer-Encoding", "").lower() != "chunked":
        raise DownloadError("the server does not say how long the file is, so a cut would go unseen")
    else:
        missing = length or 0
        if part.size:
            file.truncate(0)
        part.write_state(length, headers)
    if missing > most:
        raise DownloadError(f"the server announces {missing:,} bytes; expected at most {most:,}")
    free = shutil.disk_usage(part.path.parent).free
    if missing > free:
        raise DownloadError(f"{missing / 1e6:.0f} MB to come and {free / 1e6:.0f} MB free in {part.path.parent}")


def _in_time(work: Callable[[], None], bar: _Bar, patience: Patience) -> None:
    """Does the work in a thread, which is left to itself where bytes come too slowly.

    requests has a time-out for each read alone, and a server may send a byte before each one ends, also of its headers.
    """
    done, failed, started = threading.Event(), [], time.monotonic()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    threading.Thread(target=run, daemon=True).start()
    while not done.wait(min(0.5, patience.grace / 4)):
        if time.monotonic() - started > patience.grace + bar.received / patience.slowest:
            raise _CutError(f"fewer than {patience.slowest:,.0f} bytes a second came")
    if failed:
        raise failed[0]


def _attempt(part: _Part, patience: Patience, progress: Progress, most: int) -> None:
    import pooch

    headers = _headers(part)
    try:
        with open(part.path, "ab") as file:
            hooks = {"response": lambda response, **_: _accept(response, part, file, most)}
            bar = _Bar(progress, file, part, most)
            get = pooch.HTTPDownloader(bar, CHUNK_BYTES, timeout=patience.timeout, headers=headers, hooks=hooks)
            _in_time(lambda: get(part.url, file, None), bar, patience)
    finally:
        if not part.size:
            part.discard()
    total = part.state.get("total")
    if total is not None and part.size > total:
        part.forget()
        raise _CutError(f"the server sent more than the {total} bytes that it announced")
    if total is not None and part.size < total:
        raise _CutError("the server closed the connection")
    sync(part.path)


def _root(error: BaseException) -> BaseException:
    """What a failure of requests comes from, which it wraps several times."""
    wrapped = (getattr(error, "reason", None), *error.args[:1], error.__cause__, error.__context__)
    inner = next((found for found in wrapped if isinstance(found, BaseException)), None)
    return error if inner is None else _root(inner)


def _explain(error: Exception, part: _Part) -> str:
    """Says what failed, where trying again may help; raises DownloadError where it will not."""
    import requests

    if isinstance(error, requests.HTTPError):
        code, reason = error.response.status_code, error.response.reason
        if code not in _PASSING_CODES:
            raise DownloadError(f"the server answered {code} {reason}") from error
        if code == 416:
            part.forget()
        return f"the server answered {code} {reason}"
    if isinstance(error, (ValueError, requests.TooManyRedirects)):  # an address that is none
        raise DownloadError(f"the server's answer cannot be used ({error})") from error
    if not isinstance(error, (requests.RequestException, _CutError)):
        raise DownloadError(f"{part.path} cannot be written: {getattr(error, 'strerror', error)}") from error
    root = _root(error)
    if isinstance(root, socket.gaierror) and not part.size:
        # Offline: waiting would only put off the message. Midway it may be a moment's failure.
        raise DownloadError(f"the name cannot be resolved ({root})") from error
    total = part.state.get("total")
    ended = f"the connection ended after {part.size} of {total} bytes: " if total and part.size else ""
    return f"{ended}{root or type(root).__name__}"


def download(url: str, part_path, label: str, patience: Patience | None = None, stream=None,
             most: int = MAX_BYTES) -> pathlib.Path:  # fmt: skip
    """Brings `url` to `part_path`, going on from what is there already; the caller checks and renames it.

    A part is continued only where the server's ETag or date says that the file is still the same one.

    Args:
        url: http or https.
        part_path: the incomplete file; `part_path` + ".json" keeps the address, the validator and the length.
        label: what the progress line calls it.
        patience: time-out, retries and back-off; None means the defaults.
        stream: where the progress line is written; None means stderr.
        most: bytes that the file can have.

    Returns:
        `part_path`, of the announced length and synced to disk.

    Raises:
        DownloadError: says the reason alone. The part is kept for the next time unless it is worthless.
    """
    part, patience = _Part(pathlib.Path(part_path), url), patience or Patience()
    part.read_state()
    progress = Progress(label, stream)
    failures, reached = 0, part.size
    while not part.complete:
        try:
            _attempt(part, patience, progress, most)
            break
        except DownloadError:
            raise
        except (_CutError, OSError) as error:
            reason = _explain(error, part)
        except Exception as error:  # requests and urllib3 raise nearly anything at answers that are no HTTP
            raise DownloadError(f"the server's answer cannot be used ({type(error).__name__}: {error})") from error
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
