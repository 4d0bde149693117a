"""How reading scales: clips a second by threads and by processes, and the time for which a clip holds Python's lock.

Clips a second are those of `training_stream` itself, uint8, with TensorFlow's share. The lock's share is found from the
processor time of one thread that reads clips by itself, as the pipeline's threads do: what it spends outside of the
calls that let go of the lock (FFmpeg's and OpenCV's, and the system's), by cProfile's account of each, which counts the
thread's own processor time. Other work on the machine hardly changes that. From threads come no more clips a second
than 1 / that time, however many cores there are; from processes each brings what one core gives.
"""

from __future__ import annotations

import contextlib
import cProfile
import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks.results import Table
from keras_res3d.data.batches import training_stream
from keras_res3d.data.clips import Sampling
from keras_res3d.data.training_clips import TrainingClips
from keras_res3d.data.transform import random_crop_and_mirror
from keras_res3d.data.types import DataSet

BATCH = 8
# Functions in C that let go of the lock while they work, by how cProfile names them.
LETTING_GO = ("imdecode", "resize", "CodecContext", "VideoReformatter", "av.container", "posix.", "_hashlib")
# Clips a second that one H100 takes in a training step of Res3D18, and hosts to say what the figures mean for.
H100_CLIPS, HOST_CORES = 700, (16, 96)


@contextlib.contextmanager
def clips_of(data_set: DataSet, sampling: Sampling, seed: int, **how: int) -> Iterator[Callable[[int], None]]:
    """Yields a function that reads so many clips (a multiple of the batch) from a pipeline that runs already."""
    stream = iter(training_stream(data_set, sampling, min(BATCH, len(data_set)), seed, preprocess=False, **how))

    def read(count: int) -> None:
        for _ in range(-(-count // BATCH)):
            next(stream)

    # What is read ahead does not count: as much as the pipeline holds, and the start of its threads or processes.
    read(8 * BATCH)
    yield read


def clips_a_second(data_set: DataSet, sampling: Sampling, seconds: float, seed: int, **how: int) -> float:
    """Clips a second of wall time, over about so many seconds."""
    with clips_of(data_set, sampling, seed, **how) as read:
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            read(BATCH)
            count += BATCH
        return count / (time.perf_counter() - start)


def seconds_a_clip(data_set: DataSet, sampling: Sampling, clips: int, seed: int) -> tuple[float, float]:
    """(processor time of a thread a clip, the part of it that holds Python's lock)."""
    reader = TrainingClips(data_set, sampling, random_crop_and_mirror, True)

    def read() -> float:
        start = time.thread_time()
        for number in range(clips):
            reader.read(number % len(data_set), (seed, number))
        return (time.thread_time() - start) / clips

    read()
    processor, profile = read(), cProfile.Profile(time.thread_time)
    profile.runcall(read)
    native = sum(
        entry.inlinetime for entry in profile.getstats()
        if isinstance(entry.code, str) and any(name in entry.code for name in LETTING_GO)
    )  # fmt: skip
    return processor, max(0.0, processor - native / clips)


def measure(data_sets: dict[str, DataSet], sampling: Sampling, workers: list[int], processes: list[int], rounds: int,
            seconds: float) -> dict:  # fmt: skip
    """Every round of each kind of data: clips a second by threads and processes, processor and lock seconds a clip."""
    ways = [("workers", count) for count in workers] + [("processes", count) for count in processes]
    found = {name: {"cpu_s": [], "lock_s": [], **{f"{how} {n}": [] for how, n in ways}} for name in data_sets}
    for seed in range(rounds):
        for name, data_set in data_sets.items():
            processor, lock = seconds_a_clip(data_set, sampling, 10 * len(data_set), seed)
            found[name]["cpu_s"].append(processor)
            found[name]["lock_s"].append(lock)
            for how, count in ways:
                found[name][f"{how} {count}"].append(
                    clips_a_second(data_set, sampling, seconds, seed, **{how: count})
                )  # fmt: skip
    return found


def tables(found: dict) -> Iterator[Table]:
    """Yields the medians, and what they mean for hosts of many cores."""
    rates, locks = [], []
    for name, values in found.items():
        for how, rounds in values.items():
            if not how.endswith("_s"):
                spread = f"{min(rounds):,.0f} to {max(rounds):,.0f}"
                rates.append([name, how.replace("workers", "threads"), f"{statistics.median(rounds):,.0f}", spread])
        processor, lock = (statistics.median(values[key]) for key in ("cpu_s", "lock_s"))
        by_lock = 1 / lock if lock else float("inf")
        row = [name, f"{1e3 * processor:.2f}", f"{1e3 * lock:.2f}", f"{by_lock:,.0f}"]
        for cores in HOST_CORES:
            enough = "enough" if min(cores / processor, by_lock) >= H100_CLIPS else "not enough"
            row.append(f"{cores / processor:,.0f}; threads: {enough}")
        locks.append(row)
    yield Table("The pipeline", ["from", "threads or processes", "clips/s", "lowest to highest"], rates)
    header = ["from", "ms of a core a clip", "ms with Python's lock", "clips/s from threads at most"]
    header += [f"clips/s of {cores} cores at most" for cores in HOST_CORES]
    yield Table(f"What that means for hosts of many cores; one H100 takes {H100_CLIPS} clips/s", header, locks)
