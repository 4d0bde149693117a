"""Layers of other packages, and the stock Keras layers that compute the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import numpy as np
from keras import layers

# Of the largest output: float32 sums in another order differ by about 1e-7 a term.
TOLERANCE = 1e-4
# Sizes that a stand-in is tried at, at most: (frames, height, width).
TRIED = (9, 9, 9)


def depthwise(layer) -> layers.Layer:
    """A grouped `Conv3D` for the `DepthwiseConv3D` of A. Stergiou, which classification_models_3D carries.

    Its kernel is `(time, height, width, channels, multiplier)`; each group of channels gives `multiplier` outputs.
    """
    channels, groups, filters = layer.input_dim, layer.groups, layer.groups * layer.depth_multiplier
    stock = layers.Conv3D(
        filters,
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        data_format=layer.data_format,
        dilation_rate=layer.dilation_rate,
        groups=groups,
        activation=layer.activation,
        use_bias=layer.use_bias,
        name=layer.name,
    )
    stock.build((None, None, None, None, channels))
    kernel, *bias = layer.get_weights()
    sizes = kernel.shape[:3]
    kernel = kernel.reshape(*sizes, groups, channels // groups, -1).swapaxes(3, 4)
    stock.set_weights([kernel.reshape(*sizes, channels // groups, filters), *bias])
    return stock


# By name of the class, since the packages need not be installed. What a row gives is run against the layer.
STAND_INS: dict[str, Callable] = {"DepthwiseConv3D": depthwise}


def find_stand_in(layer, given: Mapping[type, Callable]) -> object:
    """The stock layer for a layer of a class in `given` or `STAND_INS`; for any other, the layer itself.

    Raises:
        ValueError: a stand-in of `given` computes something else.
    """
    chosen = next((make for kind, make in given.items() if isinstance(layer, kind)), None)
    if chosen is not None:
        stock = chosen(layer)
        if not _same(layer, stock):
            raise ValueError(
                f"the stand-in for {layer.name} ({type(layer).__name__}) computes something else than the layer does; "
                "expected a stock Keras layer, built and with weights, of the same outputs"
            )
        return stock
    known = STAND_INS.get(type(layer).__name__)
    if known is None or type(layer).__module__.startswith("keras."):
        return layer
    try:
        stock = known(layer)
        return stock if _same(layer, stock) else layer
    except (AttributeError, TypeError, ValueError):  # another class of that name
        return layer


def _same(layer, stock) -> bool:
    shape = layer._build_shapes_dict
    shape = next(iter(shape.values())) if shape else None
    if shape is None or len(shape) != 5:
        return False
    sizes = [min(size or most, most) for size, most in zip(shape[1:4], TRIED, strict=True)]
    clip = np.random.default_rng(0).normal(0, 1, (1, *sizes, shape[-1])).astype(np.float32)
    wanted, found = (keras.ops.convert_to_numpy(each(clip)) for each in (layer, stock))
    return wanted.shape == found.shape and np.abs(wanted - found).max() <= TOLERANCE * max(np.abs(wanted).max(), 1e-30)
