"""The networks of S-CNN: any net of the zoo, and behind it a classifier that still sees when things happen."""

from __future__ import annotations

import keras
from keras import layers as kl

from keras_res3d.applications import build_model
from keras_res3d.nets.architecture import Architecture, walk
from keras_res3d.nets.zoo import get_architecture


def segment_net(
    net: str | Architecture,
    classes: int,
    input_shape: tuple[int, int, int, int] | None = None,
    weights=None,
) -> keras.Model:
    """A net for windows: its last map is averaged over space and not over time, so that the classifier sees the order.

    Res3D18 at 16 frames leaves 2 x 512 values in `pool5`, as the released nets of S-CNN do. A net that has hidden fully
    connected layers, such as C3D, keeps its own classifier, which reads all of the map.

    Args:
        net: a name of the zoo or an `Architecture`.
        classes: outputs, background included.
        input_shape: `(frames, height, width, channels)`, all known; None is 16 frames of the net's own size.
        weights: as of `build_model`; the classifier is new in any case.
    """
    architecture = get_architecture(net)
    shape = input_shape or (16, architecture.crop, architecture.crop, architecture.channels)
    if architecture.dense:
        return build_model(architecture, weights=weights, input_shape=shape, classes=classes)
    base = build_model(architecture, include_top=False, weights=weights, input_shape=shape)
    x = kl.AveragePooling3D((1, *base.output_shape[2:4]), data_format="channels_last", name="pool5")(base.output)
    x = kl.Flatten(data_format="channels_last", name="flatten")(x)
    # Gaussian 0.01, and the name of the net's own classifier.
    name = walk(architecture, classes)[-1].name
    x = kl.Dense(classes, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01), name=name)(x)
    return keras.Model(base.input, kl.Activation("softmax", dtype="float32", name="prob")(x), name=architecture.name)
