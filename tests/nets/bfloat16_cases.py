"""Weight gradients of convolutions in bfloat16 against float32, for `test_bfloat16.py`, which runs this file.

A process of its own: oneDNN chooses its kernels once, by ONEDNN_MAX_CPU_ISA, and a wrong one may end the process.
Prints one JSON object, from each case's name to the relative error of its gradient.
"""

import json
import sys
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

import keras_res3d
from keras_res3d.nets.batch_norm import fuse_batch_norm
from keras_res3d.nets.bfloat16 import guard_bfloat16
from keras_res3d.nets.taps import kernel_taps
from keras_res3d.nets.zoo import ZOO


def relative_error(found, expected) -> float:
    error = np.linalg.norm(np.float64(found) - expected) / np.linalg.norm(np.float64(expected))
    return float(error) if np.isfinite(error) else 1e9


def kernel_gradient(function, kernel, x):
    """Gradient of a weighted sum of the output, the same weights for every type."""
    with tf.GradientTape() as tape:
        y = tf.cast(function(x), "float32")
        loss = tf.reduce_sum(y * tf.random.stateless_normal(y.shape, (1, 2)))
    return tape.gradient(loss, kernel).numpy()


def reference(conv, pads):
    """`conv` in float32: zeros by an operation of their own, then the plain convolution."""

    def function(x):
        padded = tf.pad(x, ((0, 0), *pads, (0, 0)))
        return tf.nn.convolution(padded, conv.kernel.value, conv.strides, "VALID", "NDHWC", conv.dilation_rate)

    return function


def same_pads(conv, shape):
    """What padding "same" adds, by its definition."""
    pads = []
    for size, kernel, step, dilation in zip(shape, conv.kernel_size, conv.strides, conv.dilation_rate, strict=True):
        total = max((-(-size // step) - 1) * step + (kernel - 1) * dilation + 1 - size, 0)
        pads.append((total // 2, total - total // 2))
    return pads


def narrow_nets():
    """The zoo's nets with few channels and rows, those that differ in depth alone once; deeper blocks repeat shapes."""
    nets = {}
    for net in ZOO.values():
        stem, blocks = net.factorized_stem and 6, net.blocks if net.shortcut is None else (1, 1, 1, 1)
        small = replace(net, name="", width=4, crop=32, classes=5, dense=(), factorized_stem=stem, blocks=blocks)
        nets.setdefault(small, net.name)
    return nets.items()


def zoo():
    """Every convolution of nets that are built in mixed_bfloat16: their own frames, twice as many, frames unknown."""
    done = set()
    for net, name in narrow_nets():
        own, twice = net.frames, 2 * net.frames
        for frames, known, trim in ((own, True, False), (own, True, True), (twice, True, False), (own, False, False)):
            shape = (frames if known else None, 32, 32, 3)
            model = keras_res3d.build_model(net, include_top=False, input_shape=shape, trim=trim)
            taps, sizes = kernel_taps(net, frames if trim else None), {"clip": (frames, 32, 32, 3)}
            for layer in model.layers[1:]:
                given = sizes[_source(layer)]
                added = isinstance(layer, keras.layers.Add)
                sizes[layer.name] = given if added else layer.compute_output_shape((2, *given))[1:]
                if layer.name in taps:
                    key, case = _zoo_case(model, layer, taps[layer.name], sizes)
                    if key not in done:
                        done.add(key)
                        yield f"{name} {shape[0]} {layer.name}{' trimmed' if trim else ''}", case


def _source(layer):
    source = layer.input[-1] if isinstance(layer.input, list) else layer.input
    return source._keras_history.operation.name


def _zoo_case(model, conv, taps, sizes):
    pad = model.get_layer(_source(conv)) if _source(conv) == f"{conv.name}_pad" else None
    given = sizes[_source(pad or conv)]
    key = (pad and pad.padding, conv.kernel_size, conv.strides, conv.padding, given, conv.filters)

    def case():
        x = tf.random.stateless_normal((2, *given), (3, 4))
        pads = [(taps.before, taps.after), *((size // 2, size // 2) for size in conv.kernel_size[1:])]
        found = kernel_gradient(lambda x: conv(pad(x) if pad else x), conv.kernel.value, x)
        return found, kernel_gradient(reference(conv, pads), conv.kernel.value, x)

    return key, case


class Block(keras.layers.Layer):
    """A user's layer that holds a convolution."""

    def __init__(self, conv):
        super().__init__(dtype="mixed_bfloat16")
        self.conv = conv

    def call(self, x):
        return self.conv(x)


USERS = {
    "3 taps over 2 frames": ((2, 7, 7, 8), 3, {}),
    "5 taps over 2 frames": ((2, 7, 7, 8), 5, {}),
    "5 taps over 4 frames": ((4, 7, 7, 8), (5, 3, 3), {}),
    "4 taps over 3 frames": ((3, 7, 6, 8), 4, {}),
    "3 x 1 x 1 taps": ((2, 7, 7, 8), (3, 1, 1), {}),
    "strided in space": ((2, 8, 7, 8), 3, {"strides": (1, 2, 2)}),
    "strided in time": ((3, 8, 7, 8), 5, {"strides": 2}),
    "dilated": ((2, 8, 8, 8), 3, {"dilation_rate": 2}),
    "valid": ((4, 8, 8, 8), 3, {"padding": "valid"}),
    "longer than the kernel": ((6, 7, 7, 8), 3, {}),
}


def users(guard=guard_bfloat16):
    """Convolutions of a user's own in a guarded model: known sizes, open ones, inside a layer of theirs."""
    for name, (shape, size, options) in USERS.items():
        for form in ("known", "open", "inside"):
            conv = keras.layers.Conv3D(
                16, size, use_bias=False, dtype="mixed_bfloat16", **{"padding": "same", **options}
            )
            clip = keras.Input((None, None, None, shape[-1]) if form == "open" else shape)
            model = guard(keras.Model(clip, (Block(conv) if form == "inside" else conv)(clip)))
            yield f"{name}, {form}", _users_case(model, conv, shape, form, options)


def _users_case(model, conv, shape, form, options):
    def case():
        x = tf.random.stateless_normal((2, *shape), (3, 4))
        spec = tf.TensorSpec((None, None, None, None, shape[-1]) if form == "open" else x.shape)
        traced = tf.function(lambda x: model(x, training=True), input_signature=[spec])
        pads = [(0, 0)] * 3 if options.get("padding") else same_pads(conv, shape[:3])
        found = kernel_gradient(traced, conv.kernel.value, x)
        return found, kernel_gradient(reference(conv, pads), conv.kernel.value, x)

    return case


def switched():
    """A net that was built in float32 and computes in bfloat16 later, as training with that precision does."""
    net = replace(ZOO["res3d18"], width=4, crop=32, blocks=(1, 1, 1, 1))
    model = guard_bfloat16(keras_res3d.build_model(net, include_top=False))
    for layer in model.layers:
        layer.dtype_policy = "mixed_bfloat16"
    for twin in (False, True):
        conv = (fuse_batch_norm(model) if twin else model).get_layer("res4a_branch2b")
        x = tf.random.stateless_normal((2, *conv.input.shape[1:]), (3, 4))
        expected = kernel_gradient(reference(conv, [(1, 1)] * 3), conv.kernel.value, x)
        yield f"fused {twin}", lambda conv=conv, x=x, y=expected: (kernel_gradient(conv, conv.kernel.value, x), y)


def unguarded():
    """The fault itself, to see whether this processor and this TensorFlow have it."""
    yield from users(guard=lambda model: model)


if __name__ == "__main__":
    part = {"zoo": zoo, "users": users, "switched": switched, "unguarded": unguarded}[sys.argv[1]]
    if sys.argv[1] == "zoo":
        keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(0)
    print(json.dumps({name: relative_error(*case()) for name, case in part()}))
