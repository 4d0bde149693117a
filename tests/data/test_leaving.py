"""Processes that end while clips are being read: at once, and with their own exit status."""

import subprocess
import sys

import pytest

# Reads that take their time, so that some are always in work when the program ends; two of each kind of iterator.
PROGRAM = """
import os, signal, sys, time
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import tensorflow as tf
import keras_res3d
from keras_res3d.data.batches import evaluation_batches, training_stream, video_batches
from keras_res3d.data.clips import Sampling
from keras_res3d.training.distributed import strategy_for
from keras_res3d.training.stream import recipe_stream

class Slow:
    def __init__(self, data):
        self.data, self.examples, self.classes = data, data.examples, data.classes
        self.name, self.mirror_safe = data.name, data.mirror_safe
    def __len__(self):
        return len(self.examples)
    def open(self, *args, **options):
        time.sleep(0.05)
        return self.data.open(*args, **options)

data, sampling = Slow(keras_res3d.read_data_set("motion")), Sampling(4, 2, (32, 32), (24, 24))
options = keras_res3d.TrainingOptions(
    batch_size=8, mixup=0.2, strategy="mirrored" if "mirrored" in sys.argv else "none",
    cpu_replicas=2 if "mirrored" in sys.argv else 0)
strategy = strategy_for(options)
sources = [
    lambda: keras_res3d.training_batches(data, sampling, 8),
    lambda: training_stream(data, sampling, 8, start_step=5).map(lambda clips, labels: clips),
    lambda: recipe_stream(data, sampling, options),
    lambda: evaluation_batches(data, sampling, 8, clips=1),
    lambda: video_batches(data, sampling, 8, clips=2),
    lambda: keras_res3d.training_batches(data.data, sampling, 8, processes=1),
]
iterators = [iter(source()) for source in sources for _ in range(2)]
if "mirrored" in sys.argv:
    iterators.append(iter(strategy.experimental_distribute_dataset(sources[0]())))
first = [next(iterator) for iterator in iterators]
started = [iter(source()) for source in sources]
print("alive", flush=True)
how = sys.argv[1]
if how == "raise":
    raise ValueError("a fault of the program")
if how == "interrupt":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process in the background has not
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(30)
if how == "exit":
    sys.exit(3)
"""
STATUS = {"end": 0, "raise": 1, "interrupt": -2, "exit": 3}


def _ends(cases, at_once=4):
    """Runs the program in each of these ways; how each ended, which none takes a minute for."""
    waiting, found = list(cases), []
    while waiting:
        batch, waiting = waiting[:at_once], waiting[at_once:]
        children = [
            subprocess.Popen([sys.executable, "-c", PROGRAM, *case], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for case in batch
        ]
        try:
            for case, child in zip(batch, children, strict=True):
                assert child.stdout.readline() == b"alive\n", child.stderr.read().decode()
                _, said = child.communicate(timeout=60)
                found.append((case, child.returncode, said.decode()))
        finally:
            for child in children:
                child.kill()
    return found


@pytest.mark.parametrize("cases", [
    [("raise",)], pytest.param([("interrupt", "mirrored")], marks=pytest.mark.slow),
], ids=["raise", "interrupt"])  # fmt: skip
def test_a_process_ends_while_iterators_are_alive(cases):
    for case, status, said in _ends(cases):
        assert status == STATUS[case[0]], (case, said)
        assert ("a fault of the program" in said) == (case[0] == "raise")
        assert "Exception ignored" not in said and "Fatal" not in said, said


@pytest.mark.slow
def test_thirty_processes_end():
    cases = [(how, *more) for more in ([], ["mirrored"]) for how in STATUS for _ in range(4)]
    for case, status, said in _ends(cases[:30]):
        assert status == STATUS[case[0]], (case, said)
