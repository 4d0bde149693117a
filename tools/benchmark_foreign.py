"""The 2-D form of nets that this package did not write, beside Keras' own export of them, in one run.

    pip install classification-models-3D
    python tools/benchmark_foreign.py
    python tools/benchmark_foreign.py --nets resnet18 mobilenet --rounds 9

One clip at a time, the contenders of a net taking turns; times are medians over the rounds. Weights and batch-norm
statistics are random. Differences are relative to the largest output. A net or a step that fails has the error in its
row: "Flex" is said of a file that LiteRT's own operations cannot run.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import statistics
import tempfile
import warnings
from collections.abc import Iterator

import numpy as np
from benchmark_export import keras_litert, measure, with_random_statistics
from benchmarks.results import Missing, Table, show

NETS = ["resnet18", "resnet50", "seresnet18", "resnext50", "densenet121", "inceptionv3", "vgg16", "mobilenet",
        "mobilenetv2", "efficientnetb0", "convnext_tiny"]  # fmt: skip
EXPORTS = [("litert", "none"), ("litert", "int8"), ("onnx", "none")]
COLUMNS = ["net", "parameters, M", "difference: 2-D form", "int8", "ONNX", "MB: Keras' LiteRT", "float32", "int8",
           "ms a clip: TensorFlow", "Keras' LiteRT", "float32", "int8", "ONNX"]  # fmt: skip


def build(name: str, shape: tuple[int, ...]):
    """The features of the net `name` and a dense layer."""
    import keras
    from classification_models_3D.kkeras import Classifiers

    keras.utils.set_random_seed(0)
    features = Classifiers.get(name)[0](input_shape=shape, weights=None, include_top=False)
    x = keras.layers.GlobalAveragePooling3D()(with_random_statistics(features).output)
    return keras.Model(features.input, keras.layers.Dense(10)(x), name=name)


def row_of(name: str, shape, folder: pathlib.Path, rounds: int, threads: int) -> list[str]:
    """The cells of one net's row."""
    import tensorflow as tf

    from keras_res3d.cards import card_of
    from keras_res3d.export.formats import FORMATS
    from keras_res3d.export.formats.base import Request
    from keras_res3d.export.graph import ServingGraph
    from keras_res3d.export.two_d import to_2d

    model = build(name, shape)
    clips = np.random.default_rng(1).normal(0, 1, (16, *shape)).astype(np.float32)
    clip = clips[:1]
    expected = model(clip, training=False).numpy()

    def difference(found) -> str:
        return f"{np.abs(found - expected).max() / np.abs(expected).max():.0e}"

    serve = tf.function(lambda clips: model(clips, training=False), reduce_retracing=True)
    form = difference(to_2d(model)(clip, training=False).numpy())
    contenders, sizes, found = [("tensorflow", 0, 0, lambda each: serve(each).numpy())], {}, {}
    for format, quantize in [("keras", "none"), *EXPORTS]:
        suffix = ".tflite" if format == "keras" else FORMATS[format].suffix
        path = folder / f"{name}_{format}_{quantize}{suffix}"
        key = f"{format} {quantize}"
        try:
            if format == "keras":
                model.export(str(path), format="litert", verbose=False)
                run = keras_litert(path, shape, threads)
            else:
                request = Request(quantize, clips if quantize == "int8" else None, False, card_of(model))
                FORMATS[format].write(ServingGraph(model, shape, "2d", None), path, request)
                run = FORMATS[format].runner(path, threads)
            found[key] = difference(run(clip))
            contenders.append((key, 0, 0, run))
        except Exception as error:  # converters and runtimes raise whatever they like
            found[key] = "Flex" if "Select TensorFlow op" in str(error) else type(error).__name__
        sizes[key] = f"{path.stat().st_size / 1e6:.1f}" if path.exists() else ""
    seconds = measure(contenders, clip, rounds)
    times = [f"{statistics.median(seconds[key]) * 1e3:.0f}" if key in seconds else found[key]
             for key in ("tensorflow", "keras none", "litert none", "litert int8", "onnx none")]  # fmt: skip
    differences = [form, found["litert int8"], found["onnx none"]]
    megabytes = [sizes[key] for key in ("keras none", "litert none", "litert int8")]
    return [name, f"{model.count_params() / 1e6:.1f}", *differences, *megabytes, *times]


def parse(arguments=None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="*", default=NETS, help="names of classification_models_3D")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args(arguments)


def run(options) -> Iterator[Table | Missing]:
    """Yields a table of one row for each net."""
    warnings.simplefilter("ignore")
    if not importlib.util.find_spec("classification_models_3D"):
        yield Missing("nets of another package", "pip install classification-models-3D")
        return
    shape = (options.frames, options.size, options.size, 3)
    for name in options.nets:
        with tempfile.TemporaryDirectory() as folder:
            try:
                cells = row_of(name, shape, pathlib.Path(folder), options.rounds, options.threads)
            except Exception as error:  # a net that does not build under this Keras
                yield Missing(name, f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}")
                continue
        yield Table(f"clips of {' x '.join(map(str, shape))}, {options.threads} threads", COLUMNS, [cells])


def main(arguments=None) -> None:
    """Measures and prints."""
    options = parse(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    show(run(options))


if __name__ == "__main__":
    main()
