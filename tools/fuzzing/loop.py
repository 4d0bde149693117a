"""Feeds one parser damaged inputs in a process of its own, and counts what comes of them."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import math
import os
import pathlib
import random
import resource
import signal
import time
import traceback
import tracemalloc
import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tools.forks import FAILED, forked
from tools.fuzzing.mutations import MUTATIONS

COUNTS = ("inputs", "same", "changed", "typed", "untyped", "hangs", "crashes")
# Seconds after which an input counts as a hang: the package gives a child 60 for a small HDF5 file, which takes them on
# a busy machine. Bytes of memory are beyond what the process has at its start.
HANG, MEMORY = 90.0, 4 << 30
MEASURED = 25  # one input in so many has its memory measured, which takes time
MINIMISING = 200  # parses that making an input smaller may take


class Target(NamedTuple):
    """A parser.

    Args:
        seeds: `seeds(folder)` makes good inputs, by the names of their files.
        parse: `parse(path)` reads the file, beside which the other inputs lie as good ones; plain values, by which a
            changed result is told.
        kind: of its mutations, a name in `MUTATIONS`.
        names_file: whether its errors name the file.
        typed: classes of errors that it may raise.
        heavy: whether it imports TensorFlow, which takes seconds.
    """

    seeds: Callable[[pathlib.Path], Mapping[str, bytes]]
    parse: Callable
    kind: str = "bytes"
    names_file: bool = True
    typed: tuple[type[BaseException], ...] = (ValueError, OSError, ImportError)
    heavy: bool = False


class Found(NamedTuple):
    """What one input came to: an outcome of `COUNTS`, where an error came from, and the digest of a value."""

    outcome: str
    signature: str = ""
    text: str = ""
    value: str = ""


def value_of(result) -> str:
    """A digest by which results are compared."""
    return hashlib.sha256(repr(result).encode("utf-8", "surrogatepass")).hexdigest()


def tried(target: Target, path: pathlib.Path, data: bytes, before: str | None) -> Found:
    """Parses an input once."""
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            now = value_of(target.parse(path))
    except Exception as error:
        text = str(error)
        named = not target.names_file or any(part in text for part in (path.name, path.parent.name))
        if isinstance(error, target.typed) and named and not isinstance(error, UnicodeError):
            return Found("typed", type(error).__name__, text)
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "keras_res3d" in frame.filename and "fuzzing" not in frame.filename]
        where = f"{pathlib.Path(ours[-1].filename).name}.{ours[-1].name}" if ours else "?"
        how = "" if isinstance(error, target.typed) else "untyped "
        kind = how or "without its file's name "
        return Found("untyped", f"{kind}{type(error).__name__} in {where}", "".join(traceback.format_exception(error)))
    return Found("same" if now == before else "changed", value=now)


def smaller(target: Target, path: pathlib.Path, data: bytes, found: Found, alive: Callable[[], None]) -> bytes:
    """A shorter input that comes to the same error; `alive` is called before each parse."""
    left, size = MINIMISING, len(data) // 2
    while size and left > 0:
        at = 0
        while at < len(data) and left > 0:
            shorter, left = data[:at] + data[at + size :], left - 1
            alive()
            if tried(target, path, shorter, None).signature == found.signature:
                data = shorter
            else:
                at += size
        size //= 2
    return data


class Worker:
    """The loop over one target's inputs, in the process that may hang or die.

    Args:
        target: to feed.
        folder: of this worker; `input.*` is what it reads, `state.json` what it has counted.
    """

    def __init__(self, name: str, target: Target, folder: pathlib.Path, findings: pathlib.Path):
        self.name, self.target, self.folder, self.findings = name, target, folder, findings
        self.counts, self.signatures = collections.Counter(), collections.Counter()
        self.ratio = self.slowest = self.saved = 0.0
        self.names: list[str] = []
        self.kept: list[tuple[pathlib.Path, bytes, Found]] = []

    def run(self, seconds: float, seed: int, inputs: float = math.inf) -> None:
        """Feeds so many inputs, for so long at most, and writes what came of them again and again."""
        rng = random.Random(seed)
        seeds, before = self._seeds()
        end = time.monotonic() + seconds  # imports are over
        self.names = list(seeds)
        self._save()
        mutate = MUTATIONS[self.target.kind]
        while time.monotonic() < end and self.counts["inputs"] < inputs:
            name = rng.choice(list(seeds))
            data = seeds[name]
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                data = mutate(data, rng)
            path, start = self.folder / name, time.monotonic()
            if self.counts["inputs"] % MEASURED:
                found = tried(self.target, path, data, before[name])
            else:
                found = self._measured(path, data, before[name])
            self.counts.update(("inputs", found.outcome))
            self.slowest = max(self.slowest, time.monotonic() - start)
            path.write_bytes(seeds[name])
            if found.outcome == "untyped":
                self._keep(path, data, found)
            self._alive()
        for path, data, found in self.kept:
            self._write(path, smaller(self.target, path, data, found, self._alive), found)
            path.write_bytes(seeds[path.name])
        self._save()

    def _seeds(self) -> tuple[dict[str, bytes], dict[str, str]]:
        seeds = dict(self.target.seeds(self.folder))
        for name, data in seeds.items():
            (self.folder / name).write_bytes(data)
        before = {}
        for name, data in seeds.items():
            found = tried(self.target, self.folder / name, data, None)
            if found.outcome != "changed":
                raise SystemExit(f"{self.name}: the good input {name} is refused: {found.text}")
            before[name] = found.value
        # Beyond what is there already; what asks for more gets a MemoryError.
        used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        return seeds, before

    def _measured(self, path: pathlib.Path, data: bytes, before: str) -> Found:
        tracemalloc.start()
        try:
            found = tried(self.target, path, data, before)
            self.ratio = max(self.ratio, tracemalloc.get_traced_memory()[1] / max(len(data), 4096))
        finally:
            tracemalloc.stop()
        return found

    def _keep(self, path: pathlib.Path, data: bytes, found: Found) -> None:
        """Of each error the first input is kept; when all is over it is made smaller."""
        self.signatures[found.signature] += 1
        if self.signatures[found.signature] == 1:
            self.kept.append((path, data, found))
            self._write(path, data, found)

    def _write(self, path: pathlib.Path, data: bytes, found: Found) -> None:
        write_finding(self.findings, self.name, found.signature, path.name, data, found.text)

    def _alive(self) -> None:
        """Shows twice a second that the process does not stand still."""
        if time.monotonic() > self.saved + 0.5:
            self._save()

    def _save(self) -> None:
        self.saved = time.monotonic()
        state = {"counts": dict(self.counts), "signatures": dict(self.signatures), "ratio": self.ratio,
                 "slowest": self.slowest, "names": self.names}  # fmt: skip
        aside = self.folder / "state.part"
        aside.write_text(json.dumps(state))
        os.replace(aside, self.folder / "state.json")


def write_finding(folder: pathlib.Path, target: str, what: str, name: str, data: bytes, text: str) -> None:
    """Keeps an input beside a text that says what it does."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{target}-{hashlib.sha256(what.encode()).hexdigest()[:8]}"
    (folder / f"{stem}-{name}").write_bytes(data)
    (folder / f"{stem}.txt").write_text(f"{what}\n\n{text}", encoding="utf-8", errors="backslashreplace")


class Result(NamedTuple):
    """What came of a target.

    Args:
        counts: of `COUNTS`.
        signatures: how often each kind of untyped error, hang and crash was met.
        ratio: the most memory that an input took, as a multiple of its size or of 4 KiB, whichever is more.
        slowest: seconds that the slowest input took, hangs aside.
    """

    counts: collections.Counter
    signatures: collections.Counter
    ratio: float
    slowest: float


def fuzzed(
    name: str, target: Target, seconds: float, seed: int, folder: pathlib.Path, findings: pathlib.Path,
    inputs: float = math.inf,
) -> Result:  # fmt: skip
    """Feeds a target; where its process hangs or dies, another one goes on.

    Args:
        name, target: a row of the targets.
        seconds: after which no input is fed.
        seed: the same inputs for the same seed.
        folder: to work in.
        findings: folder for the faults.
        inputs: after so many it ends, too.

    Raises:
        RuntimeError: a good input is refused, so that nothing can be learnt.
    """
    counts, signatures, ratio, slowest = collections.Counter(), collections.Counter(), 0.0, 0.0
    end, number = time.monotonic() + seconds, 0
    while number == 0 or (time.monotonic() < end and counts["inputs"] < inputs):
        place = folder / f"{name}{number}"
        place.mkdir(parents=True)
        left = max(0.1, end - time.monotonic())
        work = (left, seed + number, inputs - counts["inputs"])
        code, hung = _watched(lambda place=place, work=work: Worker(name, target, place, findings).run(*work), place,
                              left)  # fmt: skip
        state = place / "state.json"
        found = json.loads(state.read_text()) if state.exists() else None
        if (code == 0 and found is None) or code == FAILED:
            raise RuntimeError((place / "log.txt").read_text(errors="replace")[-3000:])
        if found is not None:
            counts.update(found["counts"])
            signatures.update(found["signatures"])
            ratio, slowest = max(ratio, found["ratio"]), max(slowest, found["slowest"])
        if code != 0:
            what = "hang" if hung else f"crash by {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"
            counts.update(("inputs", "hangs" if hung else "crashes"))
            signatures[what] += 1
            for each in found["names"] if found else ():  # one of them is the input
                write_finding(findings, name, f"{what} {number}", each, (place / each).read_bytes(), "")
        number += 1
        if code == 0:
            break
    return Result(counts, signatures, ratio, slowest)


def _watched(function: Callable[[], None], place: pathlib.Path, seconds: float) -> tuple[int, bool]:
    """Runs a function in a process; its exit code, and whether it was killed because nothing changed any more."""
    pid = forked(function, place / "log.txt")
    # While it works it writes its state twice a second.
    changed, before, start = time.monotonic(), None, time.monotonic()
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), False
        with contextlib.suppress(FileNotFoundError):
            now = (place / "state.json").stat().st_mtime_ns
            if now != before:
                changed, before = time.monotonic(), now
        patience = HANG if before is not None else 10 * HANG  # its first inputs wait for imports
        if time.monotonic() - changed > patience or time.monotonic() - start > seconds + 10 * HANG:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return -signal.SIGKILL, True
        time.sleep(0.02)
