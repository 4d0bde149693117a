"""The machine and the versions that a report was made with."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import pathlib
import platform
import re

from keras_res3d.io import usable_cores

_PACKAGES = ("keras-res3d", "keras", "tensorflow", "numpy", "av", "ai-edge-litert", "onnxruntime", "openvino")


def surroundings() -> list[tuple[str, str]]:
    """Date (UTC), machine, Python and packages: (name, value) each."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    found = [("report made", now), ("machine", _machine()), ("python", platform.python_version())]
    for name in _PACKAGES:
        version = _version(name)
        if version:
            found.append((name, version))
    return found


def _version(package: str) -> str:
    if package == "keras-res3d":  # the code that runs, which need not be an installed one
        from keras_res3d import __version__

        return __version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _machine() -> str:
    cores = usable_cores()
    parts = [platform.system(), platform.machine(), _processor(), f"{cores} core{'s' if cores > 1 else ''}"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        parts.append(f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GB memory")
    return ", ".join(part for part in parts if part)


def _processor() -> str:
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    return named[1].strip() if named else platform.processor()
