"""Forward pass and training step of r3d_18 on the processor, Keras against torchvision, and their peak memory."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys

import numpy as np

from benchmarks.results import NO_TORCH, Result
from benchmarks.timing import alternate

NET, BATCH, CLIP, CLASSES = "r3d_18", 2, (16, 112, 112, 3), 400
STOCK, FUSED, TORCH = "keras_res3d", "keras_res3d, fused batch norm", "torchvision"
DTYPES = ("float32", "bfloat16")


def _batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(BATCH, *CLIP)).astype("float32"), rng.integers(0, CLASSES, BATCH)


def _keras_model(dtype, fused):
    import keras

    import keras_res3d
    from keras_res3d.nets.batch_norm import fuse_batch_norm

    keras.config.set_dtype_policy("mixed_bfloat16" if dtype == "bfloat16" else "float32")
    model = keras_res3d.build_model(NET, input_shape=CLIP, classes=CLASSES, classifier_activation=None)
    keras.config.set_dtype_policy("float32")
    return fuse_batch_norm(model) if fused else model


def keras_forward(dtype, fused):
    """A function that runs inference once, compiled by tf.function."""
    import tensorflow as tf

    model, clips = _keras_model(dtype, fused), tf.constant(_batch()[0])
    forward = tf.function(lambda x: model(x, training=False))
    return lambda: forward(clips).numpy()


def keras_training(dtype, fused):
    """A function that runs one step of SGD with momentum, as `model.fit` does."""
    import keras

    model, (clips, labels) = _keras_model(dtype, fused), _batch()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return lambda: model.train_on_batch(clips, labels)


def _torch(dtype):
    import torch
    import torchvision

    net = getattr(torchvision.models.video, NET)(num_classes=CLASSES)
    clips, labels = _batch()
    clips = torch.from_numpy(np.ascontiguousarray(clips.transpose(0, 4, 1, 2, 3)))
    precision = torch.autocast("cpu", torch.bfloat16) if dtype == "bfloat16" else contextlib.nullcontext()
    return torch, net, clips, torch.from_numpy(labels), precision


def torch_forward(dtype):
    """A function that runs torchvision's inference once."""
    torch, net, clips, _, precision = _torch(dtype)
    net.eval()

    def forward():
        with torch.inference_mode(), precision:
            return net(clips).float().numpy()

    return forward


def torch_training(dtype):
    """A function that runs one step of SGD with momentum of torchvision's net."""
    torch, net, clips, labels, precision = _torch(dtype)
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)

    def step():
        optimizer.zero_grad()
        with precision:
            loss = torch.nn.functional.cross_entropy(net(clips), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _contestants(task, dtype, with_torch):
    ours, theirs = (keras_forward, torch_forward) if task == "forward" else (keras_training, torch_training)
    functions = {STOCK: lambda: ours(dtype, False)}
    if task != "forward":  # inference is the same in both
        functions[FUSED] = lambda: ours(dtype, True)
    return {**functions, TORCH: lambda: theirs(dtype)} if with_torch else functions


def set_threads(threads: int, with_torch: bool) -> None:
    """The same number for both; before TensorFlow's first operation."""
    if with_torch:
        # Before TensorFlow: loaded after it, torch's Triton ends the process (both bring their own LLVM).
        import torch
        import torchvision  # noqa: F401

        torch.set_num_threads(threads)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)


def _peak_mb() -> float:
    """Most memory this process held so far. `ru_maxrss` would count the parent's too, from before the exec."""
    status = pathlib.Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def _peak_of_training(name, dtype, threads):
    """Peak memory of a process that trains two steps, in MB."""
    command = [sys.executable, "-m", "benchmarks.nets", name, dtype, str(threads)]
    folders = [str(pathlib.Path(__file__).parents[1]), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{run.stderr[-2000:]}")
    return float(run.stdout.split()[-1])


def run(options):
    """Yield the results: forward, training step and its peak memory, float32 and bfloat16."""
    with_torch = options.torch
    if not with_torch:
        yield NO_TORCH
    set_threads(options.threads, with_torch)
    precision = {"float32": "float32", "bfloat16": "bfloat16 (Keras mixed_bfloat16, torch.autocast)"}
    size = "x".join(map(str, (BATCH, *CLIP)))
    for dtype in options.dtypes or DTYPES:
        for task in ("forward", "training step"):
            contestants = {name: make() for name, make in _contestants(task, dtype, with_torch).items()}
            values = alternate(contestants, options.rounds, warmup=2, clock=options.clock)
            yield Result(f"{NET} {task}, {size}, {precision[dtype]}", values, TORCH)
            del contestants
        names = [STOCK, FUSED, TORCH] if with_torch else [STOCK, FUSED]
        values = {name: [_peak_of_training(name, dtype, options.threads)] for name in names}
        yield Result(f"{NET} peak memory of two training steps, {size}, {dtype}", values, TORCH, unit="MB")


if __name__ == "__main__":
    contestant, wanted, count = sys.argv[1:]
    if contestant != TORCH:
        set_threads(int(count), with_torch=False)
    else:
        import torch

        torch.set_num_threads(int(count))
    training_step = _contestants("training step", wanted, contestant == TORCH)[contestant]()
    for _ in range(2):
        training_step()
    print(_peak_mb())
