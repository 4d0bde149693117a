"""Runs an export in a process of its own, as its user will: scores, latency, peak memory.

A process of its own sees nothing but the file and the runtime, and a runtime that crashes does not end this one.
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import numpy as np

from keras_res3d.io import child_environment

BATCH = 4
TIMED_RUNS = 5


@dataclass(frozen=True)
class Measurement:
    """What one run gave. scores: float32 `(clips, classes)`; latency of one clip, median; memory of the process."""

    scores: np.ndarray
    latency_seconds: float
    peak_memory_bytes: int


def median_seconds(run, repeats: int = TIMED_RUNS) -> float:
    """Median wall-clock time of `run()`, after one that is not counted."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def clip_seconds(model, shape: tuple[int, ...]) -> float:
    """Median wall-clock time of a Keras model on one clip of a shape, without the batch."""
    clip = np.zeros((1, *shape), np.float32)
    return median_seconds(lambda: model.predict_on_batch(clip))


def in_batches(run, clips: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """`run` over all clips, a few at a time."""
    return np.concatenate([np.asarray(run(clips[i : i + batch])) for i in range(0, len(clips), batch)])


def peak_memory_bytes() -> int:
    """Of this process. Linux's ru_maxrss starts from the parent's, so its own status file is asked first."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _main(path: str, clips_path: str, result_path: str) -> None:
    from keras_res3d.export.formats import load_runner

    runner = load_runner(path)
    clips = np.load(clips_path)
    scores = in_batches(runner, clips)
    latency = median_seconds(lambda: runner(clips[:1]))
    np.save(f"{result_path}.npy", scores)
    pathlib.Path(result_path).write_text(json.dumps({"latency": latency, "peak": peak_memory_bytes()}))


def run_export(path, clips: np.ndarray) -> Measurement:
    """Loads the export at `path` in a new process and scores `clips`.

    Raises:
        RuntimeError: the process failed; the message ends with the last of what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        clips_path, result = os.path.join(folder, "clips.npy"), os.path.join(folder, "result")
        np.save(clips_path, clips)
        command = [sys.executable, "-m", __name__, str(path), clips_path, result]
        done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
            raise RuntimeError(f"running {path} failed with exit code {done.returncode}: {said}")
        numbers = json.loads(pathlib.Path(result).read_text())
        return Measurement(np.load(f"{result}.npy"), numbers["latency"], numbers["peak"])


if __name__ == "__main__":
    _main(*sys.argv[1:])
