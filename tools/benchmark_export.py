"""Latency and size of every export of a net beside TensorFlow and Keras' own LiteRT export, in one run.

    python tools/benchmark_export.py
    python tools/benchmark_export.py --net res3d18 --rounds 20 --threads 2

One clip at a time. Runs alternate, round by round, so that a busy machine slows all equally; times are medians, and
ratios are medians of each round's ratio. Weights are random, batch-norm statistics too: neither changes the time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from benchmarks.results import Missing, Table, show

BASELINES = ("tensorflow", "keras litert")
# (export, baseline, times as fast, times as small): what the exports are meant to reach on two threads.
TARGETS = [
    ("litert int8", "keras litert", 4.5, 7.0),
    ("litert", "keras litert", 1.45, 1.8),
    ("openvino int8", "tensorflow", 3.5, None),
]
EXPORTS = [
    ("saved_model", "saved_model", "none", "3d"),
    ("saved_model 2d", "saved_model", "none", "2d"),
    ("litert", "litert", "none", "2d"),
    ("litert float16", "litert", "float16", "2d"),
    ("litert dynamic", "litert", "dynamic", "2d"),
    ("litert int8", "litert", "int8", "2d"),
    ("onnx", "onnx", "none", "2d"),
    ("onnx 3d", "onnx", "none", "3d"),
    ("openvino", "openvino", "none", "3d"),
    ("openvino 2d", "openvino", "none", "2d"),
    ("openvino int8", "openvino", "int8", "3d"),
    ("openvino 2d int8", "openvino", "int8", "2d"),
]


def random_model(net: str):
    """The net with random weights and batch-norm statistics unlike those of a fresh one."""
    from keras_res3d import build_model

    return with_random_statistics(build_model(net))


def with_random_statistics(model):
    """The Keras model, its batch norms' variables drawn anew."""
    rng = np.random.default_rng(0)
    for variable in model.variables:
        name = variable.path.rsplit("/", 1)[-1]
        if name in ("moving_mean", "beta"):
            variable.assign(rng.normal(0, 0.2, variable.shape))
        elif name in ("moving_variance", "gamma"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return model


def _size(path: pathlib.Path) -> int:
    parts = path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.stem}.*")
    return sum(part.stat().st_size for part in parts if part.is_file())


def _baselines(model, folder: pathlib.Path, threads: int):
    """Yields (name, bytes, seconds to convert, run of a float32 clip)."""
    import tensorflow as tf

    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    serve = tf.function(lambda clips: model(clips, training=False), input_signature=[spec])
    yield "tensorflow", 4 * model.count_params(), 0.0, lambda clip: serve(clip).numpy()

    start, path = time.perf_counter(), folder / "keras.tflite"
    model.export(str(path), format="litert", verbose=False)
    seconds = time.perf_counter() - start
    yield "keras litert", _size(path), seconds, keras_litert(path, model.input_shape[1:], threads)


def keras_litert(path: pathlib.Path, shape: tuple[int, ...], threads: int) -> Callable:
    """Keras' own LiteRT export as a function of one float32 clip of that shape."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    (details,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(details["index"], (1, *shape))
    interpreter.allocate_tensors()

    def run(clip):
        interpreter.set_tensor(details["index"], clip)
        interpreter.invoke()
        return interpreter.get_tensor(output["index"])

    return run


def _exports(model, folder: pathlib.Path, threads: int, wanted, missing: list[Missing]):
    """As `_baselines`; exports without preprocessing, so that all take the same clip. Missing runtimes are noted."""
    from keras_res3d.cards import ModelCard
    from keras_res3d.data.clips import for_crop
    from keras_res3d.export.formats import FORMATS, load_runner
    from keras_res3d.export.formats.base import Request
    from keras_res3d.export.graph import ServingGraph
    from keras_res3d.export.measure import peak_memory_bytes
    from keras_res3d.export.samples import clips_from, default_count, embedded_clips

    shape = model.input_shape[1:]
    sampling = for_crop(shape[0], 2, shape[1:3])
    clips = clips_from(embedded_clips(sampling, default_count(sampling), "train"), sampling, preprocessing=False)
    for name, format, quantize, form in EXPORTS:
        if wanted and name not in wanted:
            continue
        row, start = FORMATS[format], time.perf_counter()
        path = folder / f"{name.replace(' ', '_')}{row.suffix}"
        request = Request(quantize, clips if quantize == "int8" else None, False, ModelCard(model.name, (), sampling))
        try:
            row.write(ServingGraph(model, shape, form, mode=None), path, request)
            seconds = time.perf_counter() - start
            print(f"{name}: converted in {seconds:.0f} s; this process' peak so far {peak_memory_bytes() / 1e9:.2f} GB")
            yield name, _size(path), seconds, row.runner(path, threads)
            if name == "openvino":  # the same file, computed in another precision
                yield "openvino bf16", _size(path), 0.0, load_runner(path, threads, precision="bf16")
        except ImportError as error:
            missing.append(Missing(name, str(error)))


def measure(contenders, clip, rounds: int) -> dict[str, list[float]]:
    """Seconds of every contender in every round, in turn."""
    for _, _, _, run in contenders:
        run(clip)
    seconds = {name: [] for name, *_ in contenders}
    for _ in range(rounds):
        for name, _, _, run in contenders:
            start = time.perf_counter()
            run(clip)
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: dict, slow: str, fast: str) -> float:
    """How many times as fast `fast` is, the median over rounds."""
    return statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))


def table(contenders, seconds, title: str) -> Table:
    """One row a contender."""
    rows = []
    for name, size, conversion, _ in contenders:
        speeds = [f"{ratio(seconds, baseline, name):.2f}" for baseline in BASELINES]
        median = f"{statistics.median(seconds[name]) * 1e3:.0f}"
        rows.append([name, f"{size / 1e6:.1f}", median, *speeds, f"{conversion:.0f}" if conversion else ""])
    return Table(title, ["export", "MB", "ms a clip", "x TensorFlow", "x Keras' LiteRT", "s to convert"], rows)


def targets(contenders, seconds) -> Table:
    """What was aimed at beside what was measured."""
    sizes, rows = {name: size for name, size, *_ in contenders}, []
    for name, baseline, faster, smaller in TARGETS:
        if name in sizes:
            size = [f"{sizes[baseline] / sizes[name]:.2f}", f"{smaller}"] if smaller else ["", ""]
            rows.append([name, baseline, f"{ratio(seconds, baseline, name):.2f}", f"{faster}", *size])
    header = ["export", "against", "times as fast", "aim", "times as small", "aim"]
    return Table("What was aimed at", header, rows)


def parse(arguments=None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="res3d18", help="a name of the zoo (%(default)s)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", help=f"some of: {', '.join(row[0] for row in EXPORTS)}")
    return parser.parse_args(arguments)


def run(options) -> Iterator[Table | Missing]:
    """Converts, measures, and yields the tables."""
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # TensorFlow runs already, with the threads it has
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    model = random_model(options.net)
    clip = np.random.default_rng(0).uniform(-128, 127, (1, *model.input_shape[1:])).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        contenders, missing = list(_baselines(model, folder, options.threads)), []
        contenders += _exports(model, folder, options.threads, options.only, missing)
        yield from missing
        seconds = measure(contenders, clip, options.rounds)
    size = " x ".join(map(str, model.input_shape[1:]))
    yield table(contenders, seconds, f"{options.net}, one clip of {size}, {options.threads} threads")
    yield targets(contenders, seconds)


def main(arguments=None) -> None:
    """Measures and prints."""
    options = parse(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    show(run(options))


if __name__ == "__main__":
    main()
