"""Training in bfloat16 on a CPU: convolutions whose weight gradients oneDNN gets wrong, computed another way.

In TensorFlow 2.21 oneDNN's bfloat16 kernel for the weight gradient of a 3-D convolution reads and writes outside its
memory where padding "same" pads both ends in time and the map is shorter than the kernel: 3 taps over 2 frames, 5 taps
over 2 to 4. The gradients are NaN, infinite or other numbers each time, and the process may die. Processors with
AVX-512 have that kernel; those with AMX have another one, which is right, and show the fault under
ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16. Zero padding by an operation of its own, and then a convolution with padding
"valid", computes the same and is right on both.
"""

from __future__ import annotations

import functools

import keras
from keras import ops

from keras_res3d.nets.padding import same_pads


def is_unsafe(frames: int | None, taps: int) -> bool:
    """Whether padding "same" in time may give wrong gradients.

    Args:
        frames: length of the map that the convolution reads. None means that it is unknown; then every convolution that
            pads at both ends may.
        taps: temporal extent of the kernel, dilation included.
    """
    return taps > 2 and (frames is None or 1 < frames < taps)


def _extents(conv) -> list[int]:
    return [(size - 1) * step + 1 for size, step in zip(conv.kernel_size, conv.dilation_rate, strict=True)]


def _convolve(conv, inputs, kernel):
    """The convolution of a `Conv3D`: padded explicitly where bfloat16 asks for it, otherwise as Keras does it."""
    extents = _extents(conv)
    same = conv.padding == "same" and conv.data_format == "channels_last"
    bfloat16 = keras.backend.standardize_dtype(inputs.dtype) == "bfloat16"
    if not (same and bfloat16 and is_unsafe(inputs.shape[1], extents[0])):
        return type(conv).convolution_op(conv, inputs, kernel)
    axes = zip(ops.shape(inputs)[1:4], extents, conv.strides, strict=True)
    pads = (same_pads(*axis, max if isinstance(axis[0], int) else ops.maximum) for axis in axes)
    padded = ops.pad(inputs, ((0, 0), *pads, (0, 0)))
    return ops.conv(padded, kernel, list(conv.strides), "valid", conv.data_format, conv.dilation_rate)


def guard_bfloat16(model: keras.Model) -> keras.Model:
    """Makes every `Conv3D` of `model` train right in bfloat16 on a CPU; for any model, a user's own included.

    Call it before the first `fit` of a model whose layers compute in bfloat16 by a policy that was set after it was
    built, or that has a `Conv3D` of the user's own. Nets that this package builds under
    `keras.config.set_dtype_policy("mixed_bfloat16")` need no call: they are built with explicit padding. Names,
    weights, outputs and saved files stay as they are, and nothing changes in other types. A layer that is loaded or
    cloned later is not guarded.

    Args:
        model: any Keras model; layers inside its layers are found. `Conv3DTranspose` and convolutions that are not
            Keras layers are not covered, nor is a subclass of `Conv3D` with a `convolution_op` of its own.

    Returns:
        `model` itself.
    """
    for layer in model._flatten_layers():
        own = isinstance(layer, keras.layers.Conv3D)
        if own and type(layer).convolution_op is keras.layers.Conv3D.convolution_op:
            layer.convolution_op = functools.partial(_convolve, layer)
    return model
