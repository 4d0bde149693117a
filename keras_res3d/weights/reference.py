"""The released nets in plain NumPy, evaluated from the tensors of their own files: what a conversion must agree with.

Wired by the files' layer names and by what Caffe's and torchvision's layers do, not by the package's walk, so that a
fault in the walk, the builder or the converter shows as a difference. Maps are (channels, time, height, width).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from keras_res3d.nets.architecture import Architecture
from keras_res3d.weights.source import Source, WeightsError

Activation = tuple[str, np.ndarray]
EPS = 1e-5  # batch_norm_param of the released prototxt, and torch.nn.BatchNorm3d's default

# torchvision's VideoClassification preset.
_MEAN, _STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)


def conv3d(x: np.ndarray, weights: np.ndarray, strides=(1, 1, 1), bias: np.ndarray | None = None) -> np.ndarray:
    """Convolution with symmetric zero padding of half the kernel, as cross-correlation. weights: (out, in, T, H, W)."""
    out, _, *kernel = weights.shape
    padded = np.pad(x, ((0, 0), *((size // 2, size // 2) for size in kernel)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2, 3))
    windows = windows[:, :: strides[0], :: strides[1], :: strides[2]]
    matrix = weights.reshape(out, -1).astype(x.dtype)
    result = np.empty((out, *windows.shape[1:4]), x.dtype)
    for t in range(windows.shape[1]):
        # One output frame at a time: the columns of all of them would take gigabytes.
        columns = windows[:, t].transpose(0, 3, 4, 5, 1, 2).reshape(matrix.shape[1], -1)
        result[:, t] = (matrix @ columns).reshape(out, *windows.shape[2:4])
    return result if bias is None else result + bias.reshape(-1, 1, 1, 1)


def max_pool(x: np.ndarray, kernel) -> np.ndarray:
    """Caffe's max pooling with stride = kernel: sizes round up, the last window is clipped at the far edge."""
    sizes = [math.ceil(size / step) for size, step in zip(x.shape[1:], kernel, strict=True)]
    pads = [(0, n * step - size) for n, step, size in zip(sizes, kernel, x.shape[1:], strict=True)]
    padded = np.pad(x, ((0, 0), *pads), constant_values=-np.inf)
    split = padded.reshape(x.shape[0], *itertools.chain(*zip(sizes, kernel, strict=True)))
    return split.max((2, 4, 6))


def normalise(x, mean, variance, gamma, beta) -> np.ndarray:
    """Batch norm with stored statistics."""
    column = (-1, 1, 1, 1)
    scale = gamma.astype(x.dtype) / np.sqrt(variance.astype(x.dtype) + EPS)
    return (x - mean.astype(x.dtype).reshape(column)) * scale.reshape(column) + beta.reshape(column)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


class _Caffe:
    """Caffe's layers by name, on the blobs of a file."""

    def __init__(self, source: Source):
        self.blobs = source.tensors

    def conv(self, x, name, strides=(1, 1, 1)) -> np.ndarray:
        return conv3d(x, self.blobs[f"{name}/0"], strides, self.blobs.get(f"{name}/1"))

    def norm(self, x, suffix) -> np.ndarray:
        """BatchNorm `bn{suffix}` and Scale `scale{suffix}`."""
        mean, variance, factor = (self.blobs[f"bn{suffix}/{i}"].ravel().astype(x.dtype) for i in range(3))
        factor = 0 if factor[0] == 0 else 1 / factor[0]
        gamma, beta = (self.blobs[f"scale{suffix}/{i}"].ravel() for i in range(2))
        return normalise(x, mean * factor, variance * factor, gamma, beta)

    def inner_product(self, x, name) -> np.ndarray:
        weights = self.blobs[f"{name}/0"].reshape(-1, x.size)
        return weights.astype(x.dtype) @ x.ravel() + self.blobs[f"{name}/1"].ravel()


class _Torchvision:
    """torchvision's layers under Caffe's names."""

    def __init__(self, source: Source):
        self.state = source.tensors

    def conv(self, x, name, strides=(1, 1, 1)) -> np.ndarray:
        return conv3d(x, self.state[f"{name}.weight"], strides)

    def norm(self, x, name) -> np.ndarray:
        parts = ("running_mean", "running_var", "weight", "bias")
        return normalise(x, *(self.state[f"{name}.{part}"] for part in parts))

    def linear(self, x, name) -> np.ndarray:
        return self.state[f"{name}.weight"].astype(x.dtype) @ x + self.state[f"{name}.bias"]


def _caffe_conv(net: _Caffe, x, name, suffix, strides) -> Iterator[Activation]:
    """A convolution with its batch norm, whole or as a spatial and a temporal half; the last one yielded goes on."""
    if f"{name}/0" in net.blobs:
        yield name, (x := net.conv(x, name, strides))
        yield f"bn{suffix}", net.norm(x, suffix)
        return
    halves = {"spatial": (1, *strides[1:]), "temporal": (strides[0], 1, 1)}
    for half, steps in halves.items():
        yield f"{name}_{half}", (x := net.conv(x, f"{name}_{half}", steps))
        yield f"bn{suffix}_{half}", (x := net.norm(x, f"{suffix}_{half}"))
        x = relu(x)


def _last(steps: Iterator[Activation], into: list) -> np.ndarray:
    into[:] = steps
    return into[-1][1]


def caffe_residual(source: Source, architecture: Architecture, x: np.ndarray) -> Iterator[Activation]:
    """The released Res3D prototxt: every group's first block projects; the classifier reads the mean of the map."""
    net, seen = _Caffe(source), []
    x = relu(_last(_caffe_conv(net, x, "conv1", "_conv1", architecture.strides[0]), seen))
    yield from seen
    for group, blocks in enumerate(architecture.blocks, 2):
        for block in (f"{group}{chr(97 + index)}" for index in range(blocks)):
            strides = architecture.strides[group - 1] if block.endswith("a") else (1, 1, 1)
            shortcut = x
            if f"res{block}_branch1/0" in net.blobs:
                shortcut = _last(_caffe_conv(net, x, f"res{block}_branch1", f"{block}_branch1", strides), seen)
                yield from seen
            x = relu(_last(_caffe_conv(net, x, f"res{block}_branch2a", f"{block}_branch2a", strides), seen))
            yield from seen
            x = _last(_caffe_conv(net, x, f"res{block}_branch2b", f"{block}_branch2b", (1, 1, 1)), seen)
            yield from seen
            x = relu(shortcut + x)
            yield f"res{block}", x
    yield "pool5", (x := x.mean((1, 2, 3)))
    classifier = "fc8" if "fc8/0" in net.blobs else "fc8-new"
    yield "fc8", (x := net.inner_product(x, classifier))
    yield "prob", softmax(x)


def c3d(source: Source, architecture: Architecture, x: np.ndarray) -> Iterator[Activation]:
    """C3D v1.0's prototxt; the first inner product reads the map flattened in C, T, H, W order."""
    net = _Caffe(source)
    for group, blocks in enumerate(architecture.blocks, 1):
        for name in (f"conv{group}{chr(97 + index)}" for index in range(blocks)):
            yield name, (x := net.conv(x, name))
            x = relu(x)
        yield f"pool{group}", (x := max_pool(x, architecture.pools[group - 1]))
    for name in ("fc6-1", "fc7-1"):
        yield name, (x := net.inner_product(x, name))
        x = relu(x)
    yield "fc8-1", (x := net.inner_product(x, "fc8-1"))
    yield "prob", softmax(x)


def _torch_conv(net: _Torchvision, x, prefix, name, strides) -> Iterator[Activation]:
    """torchvision's conv builders followed by a norm: Conv3d (2D or 3D), or Conv2Plus1D where it is a Sequential."""
    if f"{prefix}.0.0.weight" not in net.state:
        yield name, (x := net.conv(x, f"{prefix}.0", strides))
        yield name.replace("res", "bn"), net.norm(x, f"{prefix}.1")
        return
    yield f"{name}_spatial", (x := net.conv(x, f"{prefix}.0.0", (1, *strides[1:])))
    yield f"{name.replace('res', 'bn')}_spatial", (x := net.norm(x, f"{prefix}.0.1"))
    yield f"{name}_temporal", (x := net.conv(relu(x), f"{prefix}.0.3", (strides[0], 1, 1)))
    yield f"{name.replace('res', 'bn')}_temporal", net.norm(x, f"{prefix}.1")


def torchvision_net(source: Source, architecture: Architecture, x: np.ndarray) -> Iterator[Activation]:
    """torchvision's VideoResNet with BasicBlock."""
    net, seen = _Torchvision(source), []
    halves = [""] if "stem.3.weight" not in net.state else ["_spatial", "_temporal"]
    steps = [architecture.strides[0]] if len(halves) == 1 else [(1, *architecture.strides[0][1:]), (1, 1, 1)]
    for index, half in enumerate(halves):
        yield f"conv1{half}", (x := net.conv(x, f"stem.{3 * index}", steps[index]))
        yield f"bn_conv1{half}", (x := net.norm(x, f"stem.{3 * index + 1}"))
        x = relu(x)
    for group, blocks in enumerate(architecture.blocks, 2):
        for index in range(blocks):
            prefix, name = f"layer{group - 1}.{index}", f"{group}{chr(97 + index)}"
            strides = architecture.strides[group - 1] if index == 0 else (1, 1, 1)
            y = relu(_last(_torch_conv(net, x, f"{prefix}.conv1", f"res{name}_branch2a", strides), seen))
            yield from seen
            y = _last(_torch_conv(net, y, f"{prefix}.conv2", f"res{name}_branch2b", (1, 1, 1)), seen)
            yield from seen
            if f"{prefix}.downsample.0.weight" in net.state:
                x = _last(_torch_conv(net, x, f"{prefix}.downsample", f"res{name}_branch1", strides), seen)
                yield from seen
            x = relu(y + x)
            yield f"res{name}", x
    yield "pool5", (x := x.mean((1, 2, 3)))
    yield "fc8", (x := net.linear(x, "fc"))
    yield "prob", softmax(x)


def activations(source: Source, architecture: Architecture, clip: np.ndarray) -> Iterator[Activation]:
    """Every convolution, batch norm, block, pooling and classifier output of the source's own graph.

    Args:
        source: a Caffe or PyTorch file.
        architecture: the net it is for: blocks per group, strides, pools.
        clip: the net's input, `(frames, height, width, 3)`, preprocessed.

    Returns:
        Pairs of the Keras layer's name and the map, float64: `(channels, time, height, width)` or a vector.

    Raises:
        WeightsError: a Keras file, which has no graph of its own.
    """
    if source.family == "keras":
        raise WeightsError(
            f"{source.path} was written by Keras; expected an original: .caffemodel, .pth, .safetensors"
        )
    graph = torchvision_net if source.family == "torch" else c3d if architecture.dense else caffe_residual
    return graph(source, architecture, np.asarray(clip, np.float64).transpose(3, 0, 1, 2))


def source_input(source: Source, clip: np.ndarray) -> np.ndarray:
    """What the source's own program feeds its net for RGB pixels in 0..255, `(..., 3)`.

    Caffe: BGR, 128 subtracted (C3D v1.0 subtracts a mean volume, which its weights file lacks: 128 stands for it).
    torchvision: RGB in 0..1, normalised.
    """
    pixels = np.asarray(clip, np.float64)
    if source.family == "torch":
        return (pixels / 255 - _MEAN) / _STD
    return pixels[..., ::-1] - 128
