"""The function that an export holds: preprocessing, the net in its 2-D or 3-D form, and the output's activation."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from keras_res3d.data.transform import preprocess_input, preprocessing_row
from keras_res3d.export.two_d import TwoDNet
from keras_res3d.nets.build import build_graph
from keras_res3d.nets.recognise import architecture_of
from keras_res3d.nets.taps import is_trimmed

INPUT_NAME, OUTPUT_NAME = "clip", "output"


def float32_model(model):
    """`model`, or where it computes in less than float32 the same net and weights in float32."""
    if all(layer.compute_dtype in ("float32", None) for layer in model.layers):
        return model
    architecture = architecture_of(model)
    names = {layer.name for layer in model.layers}
    top = bool(names & {"fc8", "fc8-1", "fc6-1"})
    pools = {"GlobalAveragePooling3D": "avg", "GlobalMaxPooling3D": "max"}
    activation = keras.activations.serialize(model.get_layer("prob").activation) if "prob" in names else None
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        copy = build_graph(
            architecture,
            include_top=top,
            input_shape=model.input_shape[1:],
            pooling=None if top else pools.get(type(model.layers[-1]).__name__),
            classifier_activation=activation,
            name=model.name,
            trim=is_trimmed(model),
        )
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(model.get_weights())
    return copy


class ServingGraph(tf.Module):
    """One exported function of a batch of clips.

    Args:
        model: a Keras model from this package's builders, in float32.
        input_shape: `(frames, height, width, 3)`, all sizes known.
        form: "2d" or "3d".
        mode: a name in `PREPROCESSING`: uint8 RGB pixels in; None: preprocessed float32 clips in.

    Attributes:
        function: a `tf.function` of `(batch, frames, height, width, 3)`, uint8 or float32, any batch size; gives a
            dictionary with the one key "output".
    """

    def __init__(self, model, input_shape, form: str = "2d", mode: str | None = "res3d"):
        super().__init__()
        self.form, self.input_shape = form, tuple(input_shape)
        self.dtype = np.dtype("float32" if mode is None else "uint8")
        if form == "2d":
            self._net, prepare = _two_d(model, self.input_shape, mode)
        else:
            # The variables alone are kept: an export needs no Keras objects.
            self._variables = [variable.value for variable in model.variables]

            def prepare(clips):
                return clips if mode is None else preprocess_input(clips, mode)

        def serve(clip):
            x = prepare(clip)
            return {OUTPUT_NAME: self._net(x) if form == "2d" else model(x, training=False)}

        spec = tf.TensorSpec((None, *self.input_shape), self.dtype, name=INPUT_NAME)
        self.function = tf.function(serve, input_signature=[spec])


def _two_d(model, input_shape, mode):
    """The 2-D net and what is left of preprocessing: a shift; order and scale go into the first kernel."""
    if mode is None:
        return TwoDNet(model, input_shape), lambda clips: clips
    row = preprocessing_row(mode)
    # Input = (pixels * scale - mean) / std = (pixels - mean / scale) * scale / std, so that zero padding stays zero.
    reverse = row.order == "bgr"
    mean, std = np.array(row.mean), np.array(row.std)
    if reverse:
        mean, std = mean[::-1], std[::-1]
    # A NumPy array: tf2onnx makes an input of a captured tensor.
    shift = (-mean / row.scale).astype(np.float32)
    net = TwoDNet(model, input_shape, pixel_scale=row.scale / std, reverse_channels=reverse)
    return net, lambda clips: tf.cast(clips, tf.float32) + shift
