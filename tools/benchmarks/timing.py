"""Alternating timing: A B A B, so that a busy machine slows all contestants equally; and the machine in words."""

from __future__ import annotations

import os
import pathlib
import platform
import time
from collections.abc import Callable
from importlib import metadata

from keras_res3d.io import usable_cores

PACKAGES = ("keras-res3d", "tensorflow", "keras", "jax", "numpy", "av", "ai-edge-litert", "onnxruntime", "openvino",
            "torch", "torchvision", "torchcodec", "opencv-python-headless", "opencv-python")  # fmt: skip


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


def machine() -> dict:
    """What the numbers depend on: processor, cores, load before the run, versions."""
    versions = {package: version for package in PACKAGES if (version := _version(package))}
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {"cpu": _cpu_model(), "cores": usable_cores(), "load": load, "python": platform.python_version(), **versions}
