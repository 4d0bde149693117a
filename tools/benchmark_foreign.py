"""The 2-D form of nets that this package did not write, beside Keras' own export of them, in one run.

    pip install classification-models-3D
    python tools/benchmark_foreign.py
    python tools/benchmark_foreign.py --nets resnet18 mobilenet --rounds 9

One clip at a time, runs alternating; ratios are medians of each round's ratio. Weights and batch-norm statistics are
random. Differences are relative to the largest output. A net or a step that fails has the error in its row.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import tempfile
import warnings
from collections.abc import Callable

import numpy as np
from benchmark_export import measure, ratio

NETS = ["resnet18", "resnet50", "seresnet18", "resnext50", "densenet121", "inceptionv3", "vgg16", "mobilenet",
        "mobilenetv2", "efficientnetb0", "convnext_tiny"]  # fmt: skip
EXPORTS = [("litert", "none"), ("litert", "int8"), ("onnx", "none")]
COLUMNS = ["net", "parameters, M", "difference of the form", "Keras' LiteRT, MB", "float32, MB", "times as fast",
           "int8, MB", "times as fast", "int8 difference", "ONNX difference", "times as fast"]  # fmt: skip


def build(name: str, shape: tuple[int, ...]):
    """The features of the net `name` and a dense layer."""
    import keras
    from classification_models_3D.kkeras import Classifiers

    keras.utils.set_random_seed(0)
    features = Classifiers.get(name)[0](input_shape=shape, weights=None, include_top=False)
    rng = np.random.default_rng(0)
    for variable in features.variables:
        kind = variable.path.rsplit("/", 1)[-1]
        if kind in ("moving_mean", "moving_variance"):
            mean = kind == "moving_mean"
            variable.assign(rng.normal(0, 0.2, variable.shape) if mean else rng.uniform(0.5, 1.5, variable.shape))
    x = keras.layers.GlobalAveragePooling3D()(features.output)
    return keras.Model(features.input, keras.layers.Dense(10)(x), name=name)


def keras_litert(model, path: pathlib.Path, threads: int) -> Callable:
    """Keras' own export, as a function of one clip."""
    from ai_edge_litert.interpreter import Interpreter

    model.export(str(path), format="litert", verbose=False)
    interpreter = Interpreter(str(path), num_threads=threads)
    (details,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(details["index"], (1, *model.input_shape[1:]))
    interpreter.allocate_tensors()

    def run(clip):
        interpreter.set_tensor(details["index"], clip)
        interpreter.invoke()
        return interpreter.get_tensor(output["index"])

    return run


def row_of(name: str, shape, folder: pathlib.Path, rounds: int, threads: int) -> list[str]:
    """The cells of one net's row."""
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

    cells = [name, f"{model.count_params() / 1e6:.1f}", difference(to_2d(model)(clip, training=False).numpy())]
    contenders, sizes, found = [], {}, {}
    for format, quantize in [("keras", "none"), *EXPORTS]:
        suffix = ".tflite" if format == "keras" else FORMATS[format].suffix
        path = folder / f"{name}_{format}_{quantize}{suffix}"
        key = f"{format} {quantize}"
        try:
            if format == "keras":
                run = keras_litert(model, path, threads)
            else:
                request = Request(quantize, clips if quantize == "int8" else None, False, card_of(model))
                FORMATS[format].write(ServingGraph(model, shape, "2d", None), path, request)
                run = FORMATS[format].runner(path, threads)
            found[key] = difference(run(clip))
        except Exception as error:  # converters and runtimes raise whatever they like
            found[key] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:60]}"
            continue
        sizes[key] = path.stat().st_size / 1e6
        contenders.append((key, 0, 0, run))
    seconds = measure(contenders, clip, rounds)

    def size(key: str) -> str:
        return f"{sizes[key]:.1f}" if key in sizes else found[key]

    def speed(key: str) -> str:
        return f"{ratio(seconds, 'keras none', key):.1f}" if {"keras none", key} <= set(seconds) else ""

    return [*cells, size("keras none"), size("litert none"), speed("litert none"), size("litert int8"),
            speed("litert int8"), found["litert int8"], found["onnx none"], speed("onnx none")]  # fmt: skip


def main(arguments=None) -> None:
    """Parses flags, measures, prints one Markdown row a net."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="*", default=NETS, help="names of classification_models_3D")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    shape = (options.frames, options.size, options.size, 3)
    print(f"clips of {shape}, {options.threads} threads, {options.rounds} rounds\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for name in options.nets:
        with tempfile.TemporaryDirectory() as folder:
            try:
                cells = row_of(name, shape, pathlib.Path(folder), options.rounds, options.threads)
            except Exception as error:  # a net that does not build under this Keras
                cells = [name, f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
