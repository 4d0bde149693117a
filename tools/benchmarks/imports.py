"""Import times in fresh processes: what this package adds to `import keras`."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.results import NO_TORCH, Result

KERAS, OURS, TORCH = "keras", "keras, then keras_res3d.Res3D18", "torchvision.models.video"
_SECONDS = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start); "
# Each line prints one number; a process that imports Keras first tells both its time and what comes on top.
_KERAS = _SECONDS.format("import keras")
_OURS = _KERAS + _SECONDS.format("import keras_res3d") + _SECONDS.format("keras_res3d.Res3D18")


def import_seconds(code: str) -> list[float]:
    """The numbers that a fresh Python prints; its own start is not among them."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(number) for number in run.stdout.split()]


def run(options):
    """Yield the results: whole imports, and this package's share."""
    if not options.torch:
        yield NO_TORCH
    whole = {KERAS: [], OURS: [], **({TORCH: []} if options.torch else {})}
    added = {"import keras_res3d": [], "keras_res3d.Res3D18": []}
    for number in range(-1, options.rounds):  # the round before the first fills the disk cache
        alone, parts = import_seconds(_KERAS), import_seconds(_OURS)
        other = import_seconds(_SECONDS.format("import torchvision.models.video")) if options.torch else []
        if number < 0:
            continue
        for values, seconds in zip(whole.values(), (alone, parts, other), strict=False):
            values.append(sum(seconds))
        for values, seconds in zip(added.values(), parts[1:], strict=True):
            values.append(1000 * seconds)
    yield Result("import in a fresh process", whole, KERAS)
    yield Result("on top of import keras", added, unit="ms")
