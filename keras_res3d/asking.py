"""Asking a store: again where the connection is lost, and with what its errors mean where another try mends nothing."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401  its own hook, which waits for its threads, has to be there before ours
import contextlib
import importlib.metadata
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

_Answer = TypeVar("_Answer")
# What speaks to a store, by its scheme; fsspec itself to others.
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}
# What these log of an error, tracebacks and all, is in the error that they raise.
_TALKATIVE = ("gcsfs", "google.auth")
# The program is ending: threads that still ask get no further try, since what fetches for them is half gone.
_ENDING = threading.Event()
threading._register_atexit(_ENDING.set)
# It has ended but for threads that nobody waits for: these get no answer any more.
_LEFT = threading.Event()


class GivenUp(Exception):
    """A store that refuses, or that failed every time; the message says why, and what to do."""


def asked(call: Callable[[], _Answer], name: str, tries: int, pause: float) -> _Answer:
    """What `call` returns, tried again where the connection is lost, which is said on stderr.

    Args:
        call: asks the store.
        name: the address, for the lines.
        tries: how often it is called at most.
        pause: seconds before the second try; each further pause is twice as long as the one before.

    Raises:
        FileNotFoundError, ImportError: as `call` raises them.
        GivenUp: the store refuses, or failed every time, or the program is ending.
    """
    for attempt in range(1, tries + 1):
        try:
            return _unless_left(call)
        except (GivenUp, FileNotFoundError, ImportError):
            raise
        except Exception as error:  # every store has errors of its own
            fault = lasting(error, name.partition("://")[0])
            if fault is None and attempt == tries:
                fault = (
                    f"the store failed {tries} times, the last time with {said(error)}; run the same command again "
                    "when it is back"
                )
            if fault is None and not _paused(f"{name}: {said(error)}; try {attempt + 1} of {tries}", pause):
                fault = f"the program is ending ({said(error)})"
            if fault is not None:
                raise GivenUp(fault) from error
        pause *= 2


def _unless_left(call: Callable[[], _Answer]) -> _Answer:
    """What `call` returns. Raises GivenUp where `leave` comes before, whatever the call says then."""
    error = None
    if not _is_left():
        try:
            answer = call()
        except Exception as raised:
            error = raised
    if _is_left():
        raise GivenUp("the program is ending") from error
    if error is not None:
        raise error
    return answer


def _is_left() -> bool:
    return _LEFT.is_set() and threading.current_thread() is not threading.main_thread()


def leave() -> None:
    """Ends what other threads ask now, and refuses what they ask later; to be called at the very end of a program.

    The stores' packages would go on for a quarter of a minute, and TensorFlow waits for its threads that read.
    """
    _LEFT.set()
    loop = getattr(sys.modules.get("fsspec.asyn"), "loop", [None])[0]
    if loop is not None and loop.is_running():
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])


def _paused(text: str, pause: float) -> bool:
    """Says that there is another try, and waits for it; whether there is to be one."""
    if _ENDING.is_set():
        return False
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    print(f"{text} in {pause:g} s", file=sys.stderr, flush=True)
    return not _ENDING.wait(pause)


def said(error: BaseException) -> str:
    """The error's class and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def lasting(error: Exception, scheme: str) -> str | None:
    """Why another try does not mend an error, and what does; None where it may.

    Args:
        error: of a store's package; each has classes of its own.
        scheme: of the store, such as "s3".
    """
    if isinstance(error, PermissionError | IsADirectoryError) or _forbids(error):
        return f"the store refuses it ({said(error)}); check the credentials, and the address"
    if isinstance(error, NotImplementedError | TypeError):
        package = _PACKAGES.get(scheme, "fsspec")
        return f"{_version(package)} cannot do it ({said(error)}); pip install -U {package}"
    # An answer that was cut short may be no JSON: the next one is.
    if isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError | UnicodeError):
        endpoint = "AWS_ENDPOINT_URL of s3:// begins with http:// or https://"
        return f"a setting of the store is wrong ({said(error)}); check its endpoint ({endpoint}), and the address"
    return None


def _forbids(error: BaseException | None) -> bool:
    """Whether an error, or what it came of, is of missing or wrong credentials: these have no class in common."""
    while error is not None:
        text = str(error)
        if "Credentials" in type(error).__name__ or "credentials were not found" in text:
            return True
        if getattr(error, "code", None) in (401, 403) or text.startswith("Forbidden"):  # of gcsfs
            return True
        error = error.__cause__
    return False


def _version(package: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return f"{package} {importlib.metadata.version(package)}"
    return package


def quieten() -> None:
    """Keeps the stores' packages from logging what they also raise, but where the user has set what they log."""
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)


def tell_of_no_credentials(scheme: str, system) -> None:
    """Says that gcsfs has found no credentials: it goes on without, which is right for public buckets alone."""
    if scheme != "gs" or os.environ.get("STORAGE_EMULATOR_HOST"):
        return
    if getattr(system.credentials, "credentials", "") is None:
        text = "gs:// without credentials finds public objects alone; see GOOGLE_APPLICATION_CREDENTIALS, gcloud auth"
        print(text, file=sys.stderr)
