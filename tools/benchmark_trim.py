"""A training step of a whole net and of the same net without its dead temporal taps: time, peak memory, parameters.

    python tools/benchmark_trim.py
    python tools/benchmark_trim.py --net sr18 --batch 8 --rounds 9

Steps alternate, round by round, so that a busy machine slows both; the ratio is the whole net's value divided by
the trimmed one's, the median of the rounds' own ratios. Peak memory is of a fresh process each that trains two steps.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from benchmarks.results import Result, show
from benchmarks.timing import alternate, machine

from keras_res3d.io import usable_cores

WHOLE, TRIMMED = "whole", "trimmed"


def parse(arguments=None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="res3d18", help="a name of the zoo, at its own input (%(default)s)")
    parser.add_argument("--batch", type=int, default=2, help="clips a step (%(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="steps of each that count (%(default)s)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of TensorFlow (all cores: %(default)s)")
    parser.add_argument("--peak_of", choices=[WHOLE, TRIMMED], help=argparse.SUPPRESS)  # what a fresh process is for
    return parser.parse_args(arguments)


def training_step(options, trim: bool):
    """A function that runs one step of SGD with momentum as `model.fit` does."""
    import keras

    from keras_res3d import build_model

    keras.utils.set_random_seed(0)
    model, rng = build_model(options.net, classifier_activation=None, trim=trim), np.random.default_rng(0)
    clips = rng.normal(size=(options.batch, *model.input_shape[1:])).astype("float32")
    labels = rng.integers(0, model.output_shape[-1], options.batch)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return lambda: model.train_on_batch(clips, labels)


def print_peak(options) -> None:
    """Trains two steps and prints the most memory that this process held, in MB."""
    from keras_res3d.export.measure import peak_memory_bytes

    step = training_step(options, options.peak_of == TRIMMED)
    for _ in range(2):
        step()
    print(peak_memory_bytes() / 1e6)


def peak_mb(options, name: str) -> float:
    """Peak memory of a fresh process that trains one of the two, in MB."""
    flags = {"net": options.net, "batch": options.batch, "threads": options.threads, "peak_of": name}
    command = [sys.executable, __file__, *(f"--{flag}={value}" for flag, value in flags.items())]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{run.stderr[-2000:]}")
    return float(run.stdout.split()[-1])


def run(options) -> Iterator[Result]:
    """Yields the counts, the peaks of memory and the times of a step."""
    import tensorflow as tf

    from keras_res3d import count_params, get_architecture

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    # The fresh processes first, so that this one's memory does not crowd theirs.
    peaks = {name: [peak_mb(options, name)] for name in (TRIMMED, WHOLE)}
    steps = {name: training_step(options, name == TRIMMED) for name in (TRIMMED, WHOLE)}
    counts = {name: [count_params(options.net, live=name == TRIMMED) / 1e6] for name in steps}
    title = f"{options.net}, {options.batch} clips of {'x'.join(map(str, get_architecture(options.net).input_shape))}"
    yield Result(f"{title}: parameters", counts, WHOLE, unit="M")
    yield Result(f"{title}: peak memory of two training steps", peaks, WHOLE, unit="MB")
    yield Result(f"{title}: training step", alternate(steps, options.rounds, warmup=2), WHOLE)


def main(arguments=None) -> None:
    """Measures and prints."""
    options = parse(arguments)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.peak_of:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        print_peak(options)
        return
    print(", ".join(f"{name} {value}" for name, value in {**machine(), "threads": options.threads}.items()), flush=True)
    show(run(options))


if __name__ == "__main__":
    main()
