"""Batch norm by TensorFlow's fused kernel: a twin of a model that trains faster, every variable shared with it."""

from __future__ import annotations

import keras
from keras import ops

from keras_res3d.nets.backend import require_tensorflow

# The types that the kernel takes; it keeps its statistics in float32 for all of them, as stock Keras does.
_KERNEL_DTYPES = ("float32", "bfloat16", "float16")
# oneDNN has fast kernels for channels in multiples of 16, and in float32 for multiples of 4 (and 8). At any other width
# its kernel takes twice as long as stock Keras.
_CHANNELS_FLOAT32, _CHANNELS_ANY_DTYPE = 4, 16


@keras.saving.register_keras_serializable(package="keras_res3d")
class FusedBatchNormalization(keras.layers.Wrapper):
    """Trains a stock `BatchNormalization` by the fused kernel, which Keras 3 uses for no shape.

    The variables, the settings and `trainable` are those of the layer inside. Outputs, gradients and moving statistics
    equal the stock layer's up to rounding. The stock layer does inference, which the kernel would not make faster,
    and whatever the kernel cannot do: another axis than the last, `synchronized`, `renorm`, masks, float64.

    Args:
        layer: the `keras.layers.BatchNormalization` to compute; input (batch, ..., channels).
    """

    def __init__(self, layer, **kwargs):
        if not isinstance(layer, keras.layers.BatchNormalization):
            raise TypeError(f"layer is a {type(layer).__name__}; expected a keras.layers.BatchNormalization")
        kwargs.setdefault("name", layer.name)
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    @property
    def trainable(self) -> bool:
        """The stock layer's own: freezing either freezes both."""
        return self.layer.trainable

    @trainable.setter
    def trainable(self, value):
        self.layer.trainable = value

    @property
    def momentum(self) -> float:
        """Of the moving statistics, as the stock layer's."""
        return self.layer.momentum

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs, training=None, mask=None):
        layer = self.layer
        usable = layer.axis in (-1, len(inputs.shape) - 1) and not (layer.synchronized or layer.renorm)
        usable = usable and mask is None and keras.backend.standardize_dtype(inputs.dtype) in _KERNEL_DTYPES
        if not (training and layer.trainable and usable):
            return layer(inputs, training=training, mask=mask)
        outputs, mean, variance = self._kernel(inputs)
        for moving, value in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving * layer.momentum + ops.cast(value, moving.dtype) * (1.0 - layer.momentum))
        return outputs

    def _kernel(self, inputs):
        """Inputs normalised over their batch, and its mean and variance."""
        import tensorflow as tf  # here alone: the package loads on Keras' other backends

        layer, shape = self.layer, ops.shape(inputs)
        channels = shape[-1]
        # Merging batch and time moves no data; the kernel splits its work over the rows that are left.
        view = tf.reshape(inputs, (-1, *(1, 1, *shape)[-3:]))
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=tf.cast(view, "float32") if channels % _CHANNELS_ANY_DTYPE else view,
            scale=ops.cast(layer.gamma, "float32") if layer.scale else tf.ones(channels),
            offset=ops.cast(layer.beta, "float32") if layer.center else tf.zeros(channels),
            mean=[],
            variance=[],
            epsilon=layer.epsilon,  # tf.nn's wrapper would raise 1e-5 to 1.001e-5
            is_training=True,
        )
        count = tf.cast(tf.size(inputs, tf.int64) // channels, "float32")
        # The kernel returns the unbiased variance (n - 1); Keras' moving average holds the biased one (n).
        variance *= tf.maximum(count - 1, 1) / tf.maximum(count, 1)
        return tf.cast(tf.reshape(outputs, shape), inputs.dtype), mean, variance


def fuse_batch_norm(model: keras.Model) -> keras.Model:
    """A twin of `model` whose batch norms train fused: train the twin, and save `model`, which stays stock Keras.

    The batch norms that gain by it are fused: on a GPU all of them, on a CPU those whose channels are a multiple of 4.

    Args:
        model: a functional or sequential Keras model; models inside it are followed.

    Returns:
        A model with the same layer names and every variable shared, in the same order: what one of them learns,
        the other knows. All other layers are the same objects. If `model` is compiled, the twin is compiled in the same
        way, with an optimizer of its own. A model without batch norm gives a twin that is no faster.

    Raises:
        ValueError: `model` is neither functional nor sequential.
        ImportError, RuntimeError: Keras does not run on TensorFlow.
    """
    require_tensorflow("fuse_batch_norm")
    return keras.models.clone_model(model, clone_function=_fused, recursive=True)


def _fused(layer):
    if type(layer) is not keras.layers.BatchNormalization:  # a subclass may compute something else
        return layer
    import tensorflow as tf

    odd = layer.built and layer.moving_mean.shape[0] % _CHANNELS_FLOAT32
    return layer if odd and not tf.config.list_physical_devices("GPU") else FusedBatchNormalization(layer)
