"""Forward pass and training step of r3d_18 on a GPU, Keras on JAX or PyTorch against torchvision, and how they agree.

    KERAS_BACKEND=jax python tools/benchmark_gpu.py
    KERAS_BACKEND=torch python tools/benchmark_gpu.py --batch 32 --json torch.json

Needs torch, torchvision and a GPU that torch sees, and for JAX one that JAX sees. Both nets have the same weights: a
file that torch writes is read by `build_model(weights=)`. Contestants take turns, their clips lie on the GPU, and a
call ends when its result is there. torchvision's net runs as it is made, and in PyTorch's channels-last layout; it is
not compiled. float32 is without TF32 for the agreement, and with it for the times, in both frameworks.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the memory is shared with torch
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import keras
import numpy as np
import torch
import torchvision
from benchmarks.results import Result, Table, show
from benchmarks.timing import alternate, machine

import keras_res3d
from keras_res3d.io import write_atomically

NET, CLIP, CLASSES = "r3d_18", (16, 112, 112, 3), 400
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
OURS, TORCH, CHANNELS_LAST = f"keras_res3d on {keras.backend.backend()}", "torchvision", "torchvision, channels last"


def parse(arguments=None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32, help="clips a step (%(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds that count (%(default)s)")
    parser.add_argument("--device", default="cuda", help="of torch; Keras chooses its own (%(default)s)")
    parser.add_argument("--dtypes", nargs="*", choices=list(POLICIES), default=list(POLICIES), help="(both)")
    parser.add_argument("--json", type=pathlib.Path, help="write machine, medians, ratios and every round there")
    return parser.parse_args(arguments)


class Keras:
    """This package's net with the weights of a file, on the GPU by Keras' backend."""

    def __init__(self, file: pathlib.Path, dtype: str, clips: np.ndarray, labels: np.ndarray):
        keras.config.set_dtype_policy(POLICIES[dtype])
        given = {"input_shape": CLIP, "classes": CLASSES, "classifier_activation": None}
        self.model = keras_res3d.build_model(NET, weights=str(file), **given)
        keras.config.set_dtype_policy("float32")
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
        self.clips, self.labels = keras.ops.convert_to_tensor(clips), keras.ops.convert_to_tensor(labels)

    def forward(self) -> np.ndarray:
        """The outputs, as NumPy's float32."""
        return np.asarray(self.model.predict_on_batch(self.clips), "float32")

    def training(self) -> float:
        """A step of SGD with momentum, as `fit` does it; the loss before it."""
        return float(self.model.train_on_batch(self.clips, self.labels))


class Torchvision:
    """torchvision's net on the GPU, under autocast for bfloat16."""

    def __init__(self, net: torch.nn.Module, dtype: str, clips: torch.Tensor, labels: torch.Tensor, layout):
        self.net = net.to(clips.device, memory_format=layout)
        self.clips, self.labels = clips.movedim(-1, 1).contiguous(memory_format=layout), labels
        self.optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)
        self.precision = torch.autocast(clips.device.type, torch.bfloat16, enabled=dtype == "bfloat16")

    def forward(self) -> np.ndarray:
        """The outputs, as NumPy's float32."""
        self.net.eval()
        with torch.inference_mode(), self.precision:
            return self.net(self.clips).float().cpu().numpy()

    def training(self) -> float:
        """A step of SGD with momentum; the loss before it."""
        self.net.train()
        self.optimizer.zero_grad()
        with self.precision:
            loss = torch.nn.functional.cross_entropy(self.net(self.clips), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def contestants(dtype: str, batch: int, device: str) -> dict[str, Keras | Torchvision]:
    """Three nets of the same weights, with the same clips."""
    rng = np.random.default_rng(0)
    clips = rng.normal(size=(batch, *CLIP)).astype("float32"), rng.integers(0, CLASSES, batch)
    torch.manual_seed(0)
    make = functools.partial(getattr(torchvision.models.video, NET), num_classes=CLASSES)
    net = make()
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "net.pth"
        torch.save(net.state_dict(), file)
        found = {OURS: Keras(file, dtype, *clips)}
    other = make()
    other.load_state_dict(net.state_dict())
    tensors = [torch.from_numpy(each).to(device) for each in clips]
    found[TORCH] = Torchvision(net, dtype, *tensors, torch.contiguous_format)
    found[CHANNELS_LAST] = Torchvision(other, dtype, *tensors, torch.channels_last_3d)
    return found


def set_tf32(allowed: bool) -> None:
    """Whether float32 is multiplied in TF32, by torch and by JAX."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if allowed else "highest")


def agreement(device: str) -> Table:
    """How far outputs and losses of Keras are from those of torchvision, in float32 without TF32."""
    set_tf32(False)
    nets = contestants("float32", 4, device)
    ours, theirs = nets[OURS].forward(), nets[TORCH].forward()
    losses = [(nets[OURS].training(), nets[TORCH].training()) for _ in range(3)]
    rows = [["outputs", f"{np.abs(ours - theirs).max():.1e}", f"{np.abs(theirs).max():.2g}"]]
    rows += [[f"loss of step {n}", f"{abs(ours - theirs):.1e}", f"{theirs:.4g}"]
             for n, (ours, theirs) in enumerate(losses, 1)]  # fmt: skip
    return Table(f"{OURS} against torchvision, float32", ["of 4 clips", "largest difference", "torchvision's"], rows)


def run(options) -> Iterator[Result | Table]:
    """Yields the agreement and the times."""
    yield agreement(options.device)
    set_tf32(True)
    for dtype in options.dtypes:
        size = "x".join(map(str, (options.batch, *CLIP)))
        for task in ("forward", "training"):
            nets = contestants(dtype, options.batch, options.device)
            calls = {name: getattr(net, task) for name, net in nets.items()}
            values = alternate(calls, options.rounds, warmup=3)
            yield Result(f"{NET} {task}, {size}, {dtype}", values, TORCH, items=options.batch, item="clips")
            del nets, calls
            torch.cuda.empty_cache()


def main(arguments=None) -> None:
    """Measures, prints and writes."""
    options = parse(arguments)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    if not gpu and options.device.startswith("cuda"):
        raise SystemExit("torch sees no GPU; on a processor, tools/benchmark.py --suite nets compares the two")
    facts = {"gpu": gpu, **machine()}
    print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    results = show(run(options))
    if options.json:
        write_atomically(options.json, json.dumps({"machine": facts, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
