"""Weights from a fixed formula: any tensor is a function of its name and shape, in NumPy alone.

Standard deviations keep activations near 1 through the deepest net; no two tensors are alike.
"""

import math
import zlib

import numpy as np


def uniform(name, shape):
    """float32 in [-1, 1), by splitmix64 of the element's index and the name's CRC."""
    with np.errstate(over="ignore"):
        z = np.arange(math.prod(shape), dtype=np.uint64) + (np.uint64(zlib.crc32(name.encode())) << np.uint64(32))
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - 1).reshape(shape)


def weights(name, shape):
    """A kernel (out, in, T, H, W) or a matrix (out, in): of He's variance, or of Glorot's for the matrix."""
    gain = 6 if len(shape) == 5 else 3
    return uniform(name, shape) * np.float32(math.sqrt(gain / math.prod(shape[1:])))


def tensor(name, shape):
    """A tensor of a PyTorch state dict."""
    kind = name.rsplit(".", 1)[1]
    if kind == "num_batches_tracked":
        return np.array(1000, np.int64)
    if len(shape) > 1:
        return weights(name, shape)
    offset, scale = {"weight": (1, 0.2), "running_var": (1, 0.5)}.get(kind, (0, 0.1))
    return np.float32(offset) + np.float32(scale) * uniform(name, shape)


def caffe_layers(architecture, input_shape=None, classes=None, factor=3.5):
    """Blobs by layer name, as the released files have them, for the convolutions, norms and dense layers of a net.

    factor: of the statistics; they are stored multiplied by it.
    """
    from keras_res3d.nets.architecture import layer_shapes, walk

    layers, blobs = walk(architecture, classes), {}
    shapes = layer_shapes(layers, input_shape or architecture.input_shape)
    for layer in layers:
        n, m, name = layer.channels_in, layer.channels_out, layer.name
        if layer.op == "dense":
            n = shapes[layer.inputs[0]][0]
        if layer.op in ("conv", "dense"):
            shape = (m, n, *layer.kernel) if layer.op == "conv" else (m, n)
            blobs[name] = [weights(name, shape)]
            if layer.bias:
                blobs[name].append(np.float32(0.1) * uniform(f"{name} bias", (m,)))
        elif layer.op == "norm":
            mean, variance = (uniform(f"{name} {part}", (m,)) for part in ("mean", "variance"))
            statistics = [np.float32(0.1) * mean, 1 + np.float32(0.5) * variance]
            blobs[name] = [*(np.float32(factor) * blob for blob in statistics), np.array([factor], np.float32)]
            scale = name.replace("bn", "scale", 1)
            gamma, beta = uniform(f"{scale} gamma", (m,)), uniform(f"{scale} beta", (m,))
            blobs[scale] = [1 + np.float32(0.2) * gamma, np.float32(0.1) * beta]
    return blobs


def clip(shape):
    """uint8 pixels, (frames, height, width, 3)."""
    return ((uniform("clip", shape) + 1) * 127.5).astype(np.uint8)
