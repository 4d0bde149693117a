"""Alternating timing: A B A B, so that a busy machine slows all contestants equally, and ratios by round."""

from __future__ import annotations

import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata

PACKAGES = ("keras-res3d", "tensorflow", "keras", "numpy", "av", "torch", "torchvision", "opencv-python-headless",
            "opencv-python")  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One measurement.

    Attributes:
        title: what was measured.
        values: by contestant, one number a round; the n-th numbers of all were taken side by side.
        reference: the contestant that ratios are against; None, or one that did not run: no ratios.
        unit: of the values; less is better.
        items: how many things (`item`) one value covers, for a rate; 0 shows no rate.
    """

    title: str
    values: dict[str, list[float]]
    reference: str | None = None
    unit: str = "s"
    items: int = 0
    item: str = ""

    def ratios(self, name: str) -> tuple[float, float, float] | None:
        """Reference / `name`, above 1 where `name` is better: the median over the rounds, the lowest, the highest."""
        if self.reference not in self.values or name == self.reference:
            return None
        pairs = zip(self.values[self.reference], self.values[name], strict=True)
        by_round = [theirs / ours for theirs, ours in pairs]
        return statistics.median(by_round), min(by_round), max(by_round)

    def lines(self) -> Iterator[str]:
        """The measurement as text, one contestant a line."""
        yield f"{self.title} ({len(next(iter(self.values.values())))} rounds)"
        for name, values in self.values.items():
            median = statistics.median(values)
            text = f"  {name:<36} {median:9.3f} {self.unit}  ({min(values):.3f} .. {max(values):.3f})"
            if self.items:
                text += f"  {self.items / median:8.0f} {self.item}/s"
            if found := self.ratios(name):
                text += "  ratio {:.2f} ({:.2f} .. {:.2f})".format(*found)
            yield text

    def to_dict(self) -> dict:
        """JSON-ready: the fields, medians and ratios."""
        medians = {name: statistics.median(values) for name, values in self.values.items()}
        return {**asdict(self), "medians": medians, "ratios": {name: self.ratios(name) for name in self.values}}


def alternate(contestants: dict[str, Callable], rounds: int, warmup: int = 1, clock=time.perf_counter) -> dict:
    """Seconds of each contestant in each round; a round calls every contestant once, in the order given.

    Args:
        contestants: name to a function without arguments that returns when its work is done.
        rounds: how many rounds count.
        warmup: rounds before these that do not count (tracing, caches).
        clock: seconds, ascending.
    """
    seconds = {name: [] for name in contestants}
    for number in range(-warmup, rounds):
        for name, function in contestants.items():
            start = clock()
            function()
            if number >= 0:
                seconds[name].append(clock() - start)
    return seconds


def _cpu_model() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict:
    """What the numbers depend on: processor, cores, load before the run, versions."""
    versions = {package: version for package in PACKAGES if (version := _version(package))}
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {"cpu": _cpu_model(), "cores": usable_cores(), "load": load, "python": platform.python_version(), **versions}
