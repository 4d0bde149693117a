"""Processes that train together on this machine as several hosts would: what one of them does, and how to start all."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_ports(count):
    """Ports that nothing listens on now."""
    with contextlib.ExitStack() as held:
        found = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in found]


def cluster(count):
    """The addresses of so many workers on this machine."""
    return [f"localhost:{port}" for port in free_ports(count)]


def start(command, workers=(), index=0, **options):
    """Starts a Python process; with workers as one of them."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    environment.pop("TF_CONFIG", None)
    if workers:
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(workers)}, "task": task})
    return subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        **{"cwd": ROOT, "env": environment, **options},
    )  # fmt: skip


def finish(processes, seconds=1500):
    """(exit code, standard output, standard error, seconds until it ended) of each process; none is left behind."""
    begun = time.monotonic()

    def wait(process):
        out, err = process.communicate(timeout=seconds)
        return process.returncode, out, err, time.monotonic() - begun

    with ThreadPoolExecutor(len(processes)) as pool:
        try:
            return list(pool.map(wait, processes))
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()


def together(count, folder, cases, die_at=None, seconds=1500, devices=1):
    """Runs cases on so many workers; returns what `finish` does.

    Args:
        count: of workers.
        folder: that they share; see `main` for what lies there then.
        cases: name to the arguments of `tests.training.runs.run`.
        die_at: (worker, step): that worker kills itself before it takes the batch of that step.
        devices: logical processors of each worker, in place of as many GPUs.
    """
    workers = cluster(count)
    given = [{"folder": str(folder), "cases": cases, "devices": devices,
              "die_at": die_at[1] if die_at and die_at[0] == index else None} for index in range(count)]  # fmt: skip
    return finish([start(["-m", "tests.training.workers", json.dumps(each)], workers, index)
                   for index, each in enumerate(given)], seconds)  # fmt: skip


def weights_of(folder, name, index=0):
    """The weights that a worker ended a case with."""
    with np.load(pathlib.Path(folder, f"{name}-{index}.npz")) as file:
        return [file[key] for key in file.files]


def history_of(folder, name, index=0):
    return json.loads(pathlib.Path(folder, f"{name}-{index}.json").read_text())


def distance(first, second):
    """Largest difference of two nets' weights, batch norm's statistics included; relative where they are above 1."""
    pairs = list(zip(first, second, strict=True))
    return max(float((np.abs(a - b) / np.maximum(1, np.abs(a))).max()) for a, b in pairs)


def run_case(output, labelled=False, **arguments):
    """As of `tests.training.runs.run`, or of its `run_labelled`."""
    from tests.training import runs

    return (runs.run_labelled if labelled else runs.run)(output, **arguments)


def plain_fit():
    """What Keras' own `fit` says on several hosts; None where it trains."""
    import keras
    import tensorflow as tf

    from keras_res3d.training.distributed import strategy_for
    from keras_res3d.training.recipes import TrainingOptions

    with strategy_for(TrainingOptions(strategy="multi_worker")).scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", metrics=["mae"])
    data = tf.data.Dataset.from_tensors((np.zeros((4, 2), np.float32), np.zeros((4, 1), np.float32))).repeat()
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    try:
        model.fit(data.with_options(options), steps_per_epoch=1, verbose=0)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def with_devices(count):
    """Lets the strategy take logical processors where it takes one processor, or all GPUs."""
    from tensorflow.python.distribute.collective_all_reduce_strategy import CollectiveAllReduceExtended

    from keras_res3d.training.distributed import make_logical_cpus

    make_logical_cpus(count)
    CollectiveAllReduceExtended._initialize_local_devices = lambda self, resolver, worker: (
        tuple(f"{worker}/device:CPU:{number}" for number in range(count)), "CPU",
    )  # fmt: skip


def main(folder, cases, die_at, devices):
    """Runs the cases one after another; weights, history and what else came out lie in the folder, by worker."""
    from keras_res3d.training.cluster import ending_soon, read_tf_config
    from tests.training import runs

    if die_at is not None:
        runs.die_at(die_at)
    if devices > 1:
        with_devices(devices)
    with ending_soon(read_tf_config()):
        run_cases(read_tf_config().index, pathlib.Path(folder), cases)


def run_cases(index, folder, cases):
    for name, arguments in cases.items():
        if name == "plain fit":
            found = plain_fit()
        else:
            net, found = run_case(folder / name, strategy="multi_worker", **arguments)
            np.savez(folder / f"{name}-{index}.npz", *net.get_weights())
        pathlib.Path(folder, f"{name}-{index}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
