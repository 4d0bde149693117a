"""Grad-CAM over space and time: which places of which frames speak for a class."""

from __future__ import annotations

import threading

import keras
import numpy as np

from keras_res3d.data.transform import preprocess_input
from keras_res3d.export.graph import all_layers
from keras_res3d.inference.classifier import Classifier

# A layer is listened to while the model runs, so that one thread does it at a time.
_LISTENING = threading.Lock()


def grad_cam(model, clips, classes=None, layer: str | None = None) -> np.ndarray:
    """Where a model looks: the activations of a late layer, weighted by what their channels do for a class's score.

    The weight of a channel is the mean gradient of the class's score, taken before a softmax or sigmoid. The weighted
    sum of the channels, without what is negative, is spread over the clip by linear interpolation.

    Args:
        model: a Keras model, functional or sequential, nets nested in it included; or what `load_model` returned.
        clips: `(batch, frames, height, width, channels)` as a Keras model takes them; for what `load_model` returned
            uint8 RGB pixels.
        classes: the class of each clip, `(batch,)`, or one number for all; None is the class with the highest score.
        layer: name of the layer; None is the last one whose output has frames, rows and columns, more than one place
            in all.

    Returns:
        float32 `(batch, frames, height, width)` from 0 to 1, the largest of each clip being 1. A clip where nothing
        speaks for the class is 0 everywhere.

    Raises:
        ValueError: the model is an export, which has no gradients; there is no such layer or class; activations or
            gradients are NaN or infinite; or Keras runs on another backend than TensorFlow.
    """
    name = model.name
    if isinstance(model, Classifier):
        if model.model is None:
            raise ValueError(f"{model.card.net} is an export, which has no gradients; Grad-CAM needs the .keras file")
        clips, model = preprocess_input(np.asarray(clips), model.card.sampling.preprocessing), model.model
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"Grad-CAM needs Keras on TensorFlow; the backend is {keras.backend.backend()}")
    clips = np.asarray(clips)
    if clips.ndim != 5:
        raise ValueError(f"clips have shape {clips.shape}; expected (batch, frames, height, width, channels)")
    maps, gradients = _maps_and_gradients(model, _layer(model, layer), clips, classes)
    weights = gradients.mean(axis=(1, 2, 3), keepdims=True)
    heat = np.maximum((maps * weights).sum(axis=-1), 0)
    if not np.isfinite(heat).all():  # of what no activation function hides from the scores
        raise ValueError(f"{name} gives activations or gradients that are NaN or infinite, where Grad-CAM looks")
    for axis in (1, 2, 3):
        heat = _stretched(heat, axis, clips.shape[axis])
    largest = heat.max(axis=(1, 2, 3), keepdims=True)
    return (heat / np.where(largest > 0, largest, 1)).astype(np.float32)


def _maps_and_gradients(model, layer, clips: np.ndarray, classes) -> tuple[np.ndarray, np.ndarray]:
    """The layer's output for the clips, and the gradient of their classes' scores by it; both `(batch, t, h, w, c)`."""
    import tensorflow as tf

    seen, call = [], layer.call
    with _LISTENING, tf.GradientTape() as tape:

        def listening(*args, **kwargs):
            output = call(*args, **kwargs)
            tape.watch(output)
            seen.append(output)
            return output

        layer.call = listening
        try:
            output = keras.tree.flatten(model(tf.convert_to_tensor(clips), training=False))[0]
        finally:
            del layer.call
        # Keras keeps with the output of a softmax or a sigmoid what went in.
        scores = getattr(output, "_keras_logits", output)
        chosen = tf.gather(scores, _classes(classes, output), batch_dims=1)
    if not seen:
        raise ValueError(f"the output of {model.name} does not come through its layer {layer.name}")
    gradients = tape.gradient(chosen, seen[-1])
    if gradients is None:
        raise ValueError(f"the scores of {model.name} do not depend on its layer {layer.name}")
    return np.asarray(seen[-1], np.float64), np.asarray(gradients, np.float64)


def _classes(classes, output) -> np.ndarray:
    """A class for each clip, checked."""
    batch, count = output.shape
    if classes is None:
        return np.asarray(output).argmax(axis=1)
    classes = np.broadcast_to(np.asarray(classes), (batch,))
    if not np.issubdtype(classes.dtype, np.integer) or ((classes < 0) | (classes >= count)).any():
        raise ValueError(f"classes is {classes.tolist()}; expected numbers from 0 to {count - 1}")
    return classes


def _layers(model) -> list:
    """The layers of a model from the last to the first, those of nested models in their place."""
    return [layer for layer in all_layers(model) if not hasattr(layer, "layers")][::-1]


def _layer(model, name: str | None):
    if name is not None:
        named = [layer for layer in _layers(model) if layer.name == name]
        if not named:
            raise ValueError(f"{model.name} has no layer {name!r}")
        return named[0]
    for layer in _layers(model):
        shape = _output_shape(layer)
        # Pooling to a single place keeps five dimensions at times, and nothing to look at.
        if len(shape) == 5 and not isinstance(layer, keras.layers.InputLayer) and shape[1:4] != (1, 1, 1):
            return layer
    raise ValueError(f"{model.name} has no layer whose output has frames, rows and columns")


def _output_shape(layer) -> tuple:
    try:
        return tuple(layer.output.shape)
    except (AttributeError, ValueError):  # several outputs, or never called
        return ()


def _stretched(values: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Linear interpolation along an axis; both grids cover the same length, a value standing for its cell's middle."""
    count = values.shape[axis]
    places = np.clip((np.arange(size) + 0.5) * count / size - 0.5, 0, count - 1)
    low = np.floor(places).astype(int)
    share = (places - low).reshape([-1 if number == axis else 1 for number in range(values.ndim)])
    high = np.minimum(low + 1, count - 1)
    return values.take(low, axis) * (1 - share) + values.take(high, axis) * share
