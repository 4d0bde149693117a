"""How reading scales: clips a second by threads and by processes, and the time for which a clip holds Python's lock.

Clips come from `training_batches` itself, uint8, so that TensorFlow's share is in the figures. The lock is measured from
outside: a thread that does nothing but count in Python runs beside a pipeline of one reading thread. It stands still
exactly while the pipeline holds the lock. So the time in which it sleeps (neither runs nor waits for a core, by the
kernel's account of the thread, which other work on the machine does not change), divided by the clips that were read
meanwhile, is the time for which a clip holds the lock. Threads ask for the lock at once here (switch interval 20 us;
Python's own 5 ms would make the reader wait). From many threads no more clips come than 1 / that time, however many
cores there are.
"""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from keras_res3d.data.batches import training_stream
from keras_res3d.data.clips import Sampling
from keras_res3d.data.types import DataSet

BATCH = 8
SWITCH_INTERVAL = 2e-5


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


def clips_a_second(data_set: DataSet, sampling: Sampling, seconds: float, seed: int, **how: int) -> tuple[float, float]:
    """Clips a second of wall time, and processor seconds of this process a clip, over about so many seconds."""
    with clips_of(data_set, sampling, seed, **how) as read:
        start, processor, count = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - start < seconds:
            read(BATCH)
            count += BATCH
        return count / (time.perf_counter() - start), (time.process_time() - processor) / count


class Counting(threading.Thread):
    """Counts in Python until it is told to stop; `asleep` are the seconds in which it waited for the lock."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stop, self.asleep = False, 0.0

    def run(self):
        start, before = time.perf_counter(), _on_the_run()
        numbers = itertools.count()
        while not self.stop:
            for _ in range(100):
                next(numbers)
        self.asleep = time.perf_counter() - start - (_on_the_run() - before)


def _on_the_run() -> float:
    """Seconds in which this thread has run, or could have run and had no core."""
    account = pathlib.Path("/proc/thread-self/schedstat")
    if not account.exists():  # only Linux keeps it; elsewhere the machine has to be idle
        return time.thread_time()
    ran, waited, _ = account.read_text().split()
    return (int(ran) + int(waited)) / 1e9


def asleep_during(work: Callable[[], int]) -> tuple[float, int]:
    """Seconds in which Python's lock was held by others while `work` ran in this thread, and what it returned."""
    counting = Counting()
    counting.start()
    try:
        done = work()
    finally:
        counting.stop = True
        counting.join()
    return counting.asleep, done


def lock_seconds_a_clip(data_set: DataSet, sampling: Sampling, seconds: float, seed: int) -> float:
    """The time for which reading one clip holds Python's lock."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        with clips_of(data_set, sampling, seed, workers=1) as read:

            def reading() -> int:
                end, count = time.perf_counter() + seconds, 0
                while time.perf_counter() < end:
                    read(BATCH)
                    count += BATCH
                return count

            asleep, count = asleep_during(reading)
        return asleep / count
    finally:
        sys.setswitchinterval(before)


def measure(data_sets: dict[str, DataSet], sampling: Sampling, workers: list[int], rounds: int, seconds: float) -> dict:
    """Every round of each kind of data: clips a second by threads, processor and lock seconds a clip."""
    found = {name: {"clips/s": {count: [] for count in workers}, "cpu_s": [], "lock_s": []} for name in data_sets}
    for seed in range(rounds):
        for name, data_set in data_sets.items():
            for count in workers:
                rate, processor = clips_a_second(data_set, sampling, seconds, seed, workers=count)
                found[name]["clips/s"][count].append(rate)
                if count == 1:
                    found[name]["cpu_s"].append(processor)
            found[name]["lock_s"].append(lock_seconds_a_clip(data_set, sampling, seconds, seed))
    return found
