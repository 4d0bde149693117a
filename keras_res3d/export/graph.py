"""The function that an export holds: preprocessing, the net in its 2-D or 3-D form, and the output's activation."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from keras_res3d.data.transform import preprocess_input, preprocessing_row
from keras_res3d.export.formats.base import fixed_batches
from keras_res3d.export.two_d import to_2d

INPUT_NAME, OUTPUT_NAME = "clip", "output"
_FLOATS = ("bfloat16", "float16", "float64")


def all_layers(model) -> Iterator:
    """The layers of a Keras model, and those of the models inside it."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from all_layers(layer)


def output_of(model: keras.Model, clips) -> tf.Tensor:
    """The one output of a Keras model in inference, also where it is wrapped in a list or a dictionary."""
    return keras.tree.flatten(model(clips, training=False))[0]


def float32_model(model: keras.Model) -> keras.Model:
    """`model` if it computes in float32, otherwise a copy of its net and weights in float32.

    Raises:
        ValueError: the model is in another float type, and neither functional nor sequential.
    """
    if all(layer.compute_dtype not in _FLOATS for layer in all_layers(model)):
        return model
    try:
        copy = keras.models.clone_model(model, clone_function=_float32_layer, recursive=True)
    except ValueError as error:
        raise ValueError(
            f"{model.name} computes in {model.compute_dtype} and is neither functional nor sequential; build it in "
            "float32 and load its weights"
        ) from error
    copy.set_weights(model.get_weights())
    return copy


def _float32_layer(layer):
    return type(layer).from_config(_in_float32(layer.get_config()))


def _in_float32(config):
    """A layer's configuration with float32 in place of every other float type, in the layers it wraps too."""
    if isinstance(config, (list, tuple)):
        return type(config)(_in_float32(part) for part in config)
    if not isinstance(config, dict):
        return config
    if str(config.get("class_name", "")).endswith("DTypePolicy"):
        name = config.get("config", {}).get("name", "")
        return "float32" if name.removeprefix("mixed_") in _FLOATS else config
    changed = {key: _in_float32(value) for key, value in config.items()}
    if isinstance(changed.get("dtype"), str) and changed["dtype"].removeprefix("mixed_") in _FLOATS:
        changed["dtype"] = "float32"
    return changed


class _Hidden:
    def __init__(self, model: keras.Model, prepare):
        self.model, self.prepare = model, prepare


class ServingGraph(tf.Module):
    """One exported function of a batch of clips.

    Args:
        model: a Keras model of one clip, in float32.
        input_shape: `(frames, height, width, channels)`, all sizes known.
        form: "2d" or "3d".
        mode: a name in `PREPROCESSING` takes uint8 RGB pixels; None takes preprocessed float32 clips.
        batch: how many clips go in at a time; None takes any number.
        rank4: whether clips go in as `(batch * frames, height, width, channels)`; `batch` is 1 then where it is None.

    Attributes:
        function: a `tf.function` of `(batch, frames, height, width, channels)`, or as `rank4` has it, uint8 or float32;
            gives a dictionary with the one key "output".

    Raises:
        NoTwoDFormError: the model has no 2-D form.
    """

    def __init__(self, model, input_shape, form: str = "2d", mode: str | None = "res3d", batch: int | None = None,
                 rank4: bool = False):  # fmt: skip
        super().__init__()
        self.form, self.input_shape, self.rank4 = form, tuple(input_shape), rank4
        self.batch = 1 if rank4 and batch is None else batch
        self.dtype = np.dtype("float32" if mode is None else "uint8")
        if form == "2d":
            model, prepare = _two_d(model, self.input_shape, mode)
        else:

            def prepare(clips):
                return clips if mode is None else preprocess_input(clips, mode)

        # Hidden from TensorFlow, which would store whatever hangs on a module: an export holds the variables alone.
        self._inside = _Hidden(model, prepare)
        self._variables = [variable.value for variable in model.variables]

        def serve(clip):
            # The reshape meets the one that the 2-D form begins with, and a converter drops both.
            clip = tf.reshape(prepare(clip), (self.batch, *self.input_shape)) if rank4 else prepare(clip)
            return {OUTPUT_NAME: output_of(model, clip)}

        frames, *size = self.input_shape
        shape = (self.batch * frames, *size) if rank4 else (self.batch, *self.input_shape)
        self.function = tf.function(serve, input_signature=[tf.TensorSpec(shape, self.dtype, name=INPUT_NAME)])

    @property
    def model(self) -> keras.Model:
        """The Keras model inside."""
        return self._inside.model

    def prepare(self, clips):
        """What `model` takes, of what the function takes."""
        return self._inside.prepare(clips)

    def fed(self, clips: np.ndarray) -> Iterator[np.ndarray]:
        """Clips `(clips, frames, height, width, channels)` as the function takes them, a call's at a time."""
        return fixed_batches(clips, self.batch or 1, self.rank4)


def _two_d(model, input_shape, mode: str | None):
    """The model in the 2-D form and what is left of preprocessing: a shift; order and scale go into the first kernel.
    """
    if mode is None:
        return to_2d(model, input_shape), lambda clips: clips
    row = preprocessing_row(mode)
    # Input = (pixels * scale - mean) / std = (pixels - mean / scale) * scale / std, so that zero padding stays zero.
    reverse = row.order == "bgr"
    mean, std = np.array(row.mean), np.array(row.std)
    if reverse:
        mean, std = mean[::-1], std[::-1]
    # A NumPy array: tf2onnx makes an input of a captured tensor.
    shift = (-mean / row.scale).astype(np.float32)
    net = to_2d(model, input_shape, pixel_scale=row.scale / std, reverse_channels=reverse)
    return net, lambda clips: tf.cast(clips, tf.float32) + shift
