"""The walk as a Keras functional model, in stock layers."""

from __future__ import annotations

import keras
from keras import layers as kl

from keras_res3d.nets.architecture import Architecture, Layer, for_input, walk
from keras_res3d.nets.bfloat16 import is_unsafe
from keras_res3d.nets.taps import MSRA_SCALE, Taps, initial_scale, kernel_taps

EPSILON = 1e-5  # of batch norm, as released and as in torchvision

# Said in every layer that has it: a user's keras.json may say channels_first, and clips are channels last.
_LAST = {"data_format": "channels_last"}

_POOLING = {None: None, "avg": kl.GlobalAveragePooling3D, "max": kl.GlobalMaxPooling3D}


def _kernels(scale: float = MSRA_SCALE):
    """MSRA filler on fan-out (released prototxt). A new one each: Keras initialisers repeat their draw when shared."""
    return keras.initializers.VarianceScaling(scale, mode="fan_out", distribution="untruncated_normal")


def _conv(layer: Layer, taps: Taps, x):
    padding = "same"
    # A model that computes in bfloat16 as built carries its guard in its layers, wherever it is loaded and trained.
    bfloat16 = keras.config.dtype_policy().compute_dtype == "bfloat16"
    if layer.strides != (1, 1, 1) or (bfloat16 and is_unsafe(x.shape[1], taps.count)):
        # For stride 1 "same" is the symmetric padding, trimmed or not. With a stride, in time too, it is not symmetric.
        pads = ((taps.before, taps.after), *((size // 2, size // 2) for size in layer.kernel[1:]))
        padding = "valid"
        if any(map(any, pads)):
            x = kl.ZeroPadding3D(pads, **_LAST, name=f"{layer.name}_pad")(x)
    return kl.Conv3D(
        layer.channels_out,
        (taps.count, *layer.kernel[1:]),
        strides=layer.strides,
        padding=padding,
        use_bias=layer.bias,
        kernel_initializer=_kernels(initial_scale(layer, taps)),
        name=layer.name,
        **_LAST,
    )(x)


def _dense(layer: Layer, x, last: bool):
    # Gaussian 0.01 for the classifier (released prototxt).
    initializer = keras.initializers.RandomNormal(stddev=0.01) if last else _kernels()
    return kl.Dense(layer.channels_out, kernel_initializer=initializer, name=layer.name)(x)


def _apply(architecture: Architecture, layer: Layer, taps: dict[str, Taps], sources: list, last: bool):
    """The Keras tensor that `layer` makes of `sources`."""
    x = sources[0]
    if layer.op == "conv":
        return _conv(layer, taps[layer.name], x)
    if layer.op == "dense":
        return _dense(layer, x, last)
    if layer.op == "norm":
        momentum = architecture.batch_norm_momentum
        return kl.BatchNormalization(momentum=momentum, epsilon=EPSILON, name=layer.name)(x)
    if layer.op == "pool":
        # "same" with stride = kernel starts at 0 and clips at the far edge: sizes round up, as in Caffe.
        return kl.MaxPooling3D(layer.kernel, layer.strides, padding="same", **_LAST, name=layer.name)(x)
    if layer.op == "add":
        return kl.Add(name=layer.name)(sources)
    simple = {
        "relu": lambda name: kl.ReLU(name=name),
        "average": lambda name: kl.GlobalAveragePooling3D(**_LAST, name=name),
        "flatten": lambda name: kl.Flatten(**_LAST, name=name),
        "dropout": lambda name: kl.Dropout(0.5, name=name),
    }
    return simple[layer.op](layer.name)(x)


def for_clips(architecture: Architecture, input_tensor=None, input_shape=None) -> tuple[Architecture, tuple]:
    """The net for the channels of its input, and the input's shape; arguments as of `keras_res3d.build_model`.

    Raises:
        TypeError: `input_tensor` is no Keras tensor.
        ValueError: as of `check_input_shape`.
    """
    if input_tensor is not None and not keras.utils.is_keras_tensor(input_tensor):
        raise TypeError(f"input_tensor is {type(input_tensor).__name__}; expected a Keras tensor, as keras.Input gives")
    if input_shape is None and input_tensor is not None:
        input_shape = input_tensor.shape[1:]
    return for_input(architecture, input_shape)


def _input(architecture: Architecture, input_tensor, shape: tuple, fixed: bool):
    """The Keras tensor to build on."""
    if fixed and None in shape:
        raise ValueError(
            f"input_shape is {shape}; {architecture.name} flattens its last map, so every size must be known "
            "(or include_top=False)"
        )
    if input_tensor is None:
        return keras.Input(shape, name="clip")
    found = tuple(input_tensor.shape[1:])
    if len(found) != 4 or any(None not in (a, b) and a != b for a, b in zip(found, shape, strict=True)):
        raise ValueError(f"input_tensor has shape {found}, input_shape is {shape}; expected them to agree")
    return input_tensor


def build_graph(
    architecture: Architecture,
    include_top: bool = True,
    input_tensor=None,
    input_shape=None,
    pooling: str | None = None,
    classes: int | None = None,
    classifier_activation: str | None = "softmax",
    name: str | None = None,
    trim: bool = False,
) -> keras.Model:
    """`architecture` as a Keras functional model with random weights.

    Arguments and errors as of `keras_res3d.build_model`.
    """
    if pooling not in _POOLING:
        raise ValueError(f"pooling is {pooling!r}; expected None, 'avg' or 'max'")
    architecture, shape = for_clips(architecture, input_tensor, input_shape)
    x = _input(architecture, input_tensor, shape, fixed=include_top and architecture.fixed_input)
    inputs = x if input_tensor is None else keras.utils.get_source_inputs(input_tensor)
    frames = x.shape[1]
    if trim and frames is None:
        raise ValueError(
            f"trim is True and the number of frames is open, in {tuple(x.shape[1:])}; which taps are dead depends on "
            "it: give the frames in input_shape, or leave trim out"
        )
    layers = walk(architecture, classes, include_top)
    taps = kernel_taps(architecture, frames if trim else None)
    tensors = {"input": x}
    for layer in layers:
        sources = [tensors[source] for source in layer.inputs]
        x = tensors[layer.name] = _apply(architecture, layer, taps, sources, last=layer is layers[-1])
    if include_top:
        if classifier_activation is not None:
            # float32 whatever the precision policy: scores are sums over all classes.
            x = kl.Activation(classifier_activation, dtype="float32", name="prob")(x)
    elif pooling is not None:
        x = _POOLING[pooling](**_LAST, name="pool5" if not architecture.pools else "pool6")(x)
    return keras.Model(inputs, x, name=name or architecture.name)
