"""Models as users have them: a net of this package with layers of their own, and nets of other people's."""

import dataclasses

import keras

import keras_res3d

# The last group keeps its second block: one with a projection and one with none are all the kinds that there are.
NARROW = dataclasses.replace(keras_res3d.ZOO["sr18"], width=4, blocks=(1, 1, 1, 2), classes=3)
SHAPE = (4, 32, 32, 3)
SAMPLING = keras_res3d.Sampling(frames=4, stride=2, resize=(36, 48), crop=(32, 32))


def _features(**options):
    return keras_res3d.build_model(NARROW, include_top=False, pooling="avg", input_shape=SHAPE, **options)


def transfer():
    """README's transfer learning: another head on the features."""
    features = _features()
    scores = keras.layers.Dense(3, activation="softmax")(features.output)
    return keras.Model(features.input, scores, name="transfer")


def nested():
    """The net as one layer of a larger model."""
    clip = keras.Input(SHAPE)
    x = keras.layers.Dropout(0.3)(_features()(clip))
    return keras.Model(clip, keras.layers.Dense(3, activation="softmax")(x), name="nested")


def rescaled():
    """Pixels are scaled inside the model, before the net."""
    clip = keras.Input(SHAPE)
    net = keras_res3d.build_model(
        NARROW, input_tensor=keras.layers.Rescaling(1 / 64)(clip), input_shape=SHAPE, classes=3
    )
    return keras.Model(clip, net.output, name="rescaled")


def sequential():
    """The net with a head, by `keras.Sequential`; it gives logits."""
    return keras.Sequential([keras.Input(SHAPE), _features(), keras.layers.Dense(3)], name="sequential")


def foreign(channels=3, classes=3, frames=4):
    """A small 3-D net that has nothing of this package, for clips of any number of channels."""
    clip = keras.Input((frames, 32, 32, channels))
    x = keras.layers.Conv3D(6, 3, strides=(1, 2, 2), padding="same", activation="relu")(clip)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv3D(8, (3, 1, 1), strides=(2, 2, 2), padding="same", activation="relu")(x)
    x = keras.layers.GlobalAveragePooling3D()(x)
    return keras.Model(clip, keras.layers.Dense(classes, activation="softmax")(x), name=f"foreign{channels}")


class Smoothing(keras.layers.Layer):
    """A layer of the user's own, with a 3-D operation inside."""

    def call(self, clips):
        return keras.ops.average_pool(clips, (2, 2, 2), 1, "same")


def own_layer():
    """A net with a layer that nobody else knows, which has no 2-D form."""
    clip = keras.Input(SHAPE)
    x = keras.layers.Conv3D(4, 3)(Smoothing(name="smoothing")(clip))
    x = keras.layers.GlobalAveragePooling3D()(x)
    return keras.Model(clip, keras.layers.Dense(3, activation="softmax")(x), name="own_layer")


MODELS = {build.__name__: build for build in (transfer, nested, rescaled, sequential, foreign)}
