"""A classifier made ready for `fit` by a recipe, and the twin of a net that trains fast while the net stays stock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import keras
import tensorflow as tf

from keras_res3d.data.transform import preprocess_input
from keras_res3d.nets.batch_norm import fuse_batch_norm
from keras_res3d.nets.bfloat16 import guard_bfloat16
from keras_res3d.training.hosts import AcrossHosts, spans_hosts
from keras_res3d.training.kinds import kind_for
from keras_res3d.training.layers import every_layer, layers_set, synchronised
from keras_res3d.training.objective import Objective
from keras_res3d.training.optimizers import make_optimizer
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.training.scored import gives_logits
from keras_res3d.training.stream import has_soft_targets


def compile_by_recipe(
    model: keras.Model,
    options: TrainingOptions,
    steps: int,
    metrics: Iterable = (),
    *,
    multi_label: bool = False,
    objective: Objective | None = None,
) -> keras.Model:
    """Compiles any classifier by a recipe: its optimizer with Caffe's decay and multipliers, schedule, loss, metrics.

        model = keras.Model(features.input, keras.layers.Dense(5, activation="softmax")(features.output))
        options = keras_res3d.recipe("finetune_ucf101", batch_size=8, iterations=2_000)
        compile_by_recipe(model, options, steps=2_000)

    `model.save` then writes this package's optimizer too; such a file opens anywhere with
    `keras.models.load_model(path, compile=False)`.

    Args:
        model: a Keras classifier, its outputs probabilities or logits. Layers that are frozen stay so.
        options: of a recipe (`keras_res3d.recipe`). How the net computes (`precision`, `fused_batch_norm`) is left as
            it is: `train` takes care of it.
        steps: of the whole run, for the schedule.
        metrics: further metrics, as of `model.compile`; "clip@1", the share of training clips that are answered right,
            is always there, or "clip_F1" of several labels.
        multi_label: a video may have several labels, or none. The model then ends in a sigmoid or in logits, and the
            loss is binary cross-entropy, summed over the classes.
        objective: a loss that takes the place of cross-entropy, with its metric; None is cross-entropy.

    Returns:
        The model. Its loss expects class numbers, or probabilities of all classes where the recipe mixes or smooths,
        and of several labels: what `recipe_stream` of the same options yields.
    """
    strategy = model.distribute_strategy
    several = strategy.num_replicas_in_sync > 1
    logits = gives_logits(model)
    on_gpu = bool(tf.config.list_physical_devices("GPU")) and not options.cpu_replicas
    with strategy.scope():  # a metric counts on every replica only where it is made in here
        if objective is None:
            kind, soft = kind_for(multi_label), has_soft_targets(options)
            loss, metric = kind.loss(soft, logits), kind.metric(soft, logits)
        else:
            loss, metric = objective.loss(logits), objective.metric(logits)
        model.compile(
            make_optimizer(model, options, steps, strategy.num_replicas_in_sync),
            loss,
            metrics=[metric, *metrics],
            steps_per_execution=options.steps_per_execution,
            # A step that talks to other devices cannot be compiled as a whole.
            jit_compile=options.jit_compile == "on" or (options.jit_compile == "auto" and on_gpu and not several),
            auto_scale_loss=False,
        )
    return model


def metrics_of(model: keras.Model) -> list:
    """The metrics that a model was compiled with, as new objects; none where it is not compiled."""
    config = model.get_compile_config() if model.compiled else {}
    metrics = keras.saving.deserialize_keras_object((config or {}).get("metrics") or [])
    return list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]


@keras.saving.register_keras_serializable(package="keras_res3d")
class Preprocess(keras.layers.Layer):
    """RGB pixels from 0 to 255 to a net's float32 input, on the device.

    Args:
        mode: a name in `data.transform.PREPROCESSING`.
    """

    def __init__(self, mode: str = "res3d", **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.mode = mode

    def call(self, pixels):
        return preprocess_input(pixels, self.mode)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}


def precision(net: keras.Model, policy: str) -> contextlib.AbstractContextManager[None]:
    """The net's layers compute by `policy` inside the block, the classifier in float32; put back after it."""
    layers = every_layer(net)
    weighted = [layer for layer in layers if getattr(layer, "kernel", None) is not None]
    before = layers[: layers.index(weighted[-1])]
    return layers_set([layer for layer in before if layer.dtype_policy.name != policy], "dtype_policy", policy)


class Twin(keras.Model):
    """A model that trains another one's variables: pixels in, preprocessed on the device, batch norm fused.

    What is saved of it is the other one, which is stock Keras.
    """

    @contextlib.contextmanager
    def stored(self):
        """Yields the net that is trained, its layers set as they are in a file."""
        net = self.net_in_training()
        with precision(net, "float32"), synchronised(net, False):
            yield net

    def save(self, filepath, *args, **kwargs):
        with self.stored() as net:
            net.save(filepath, *args, **kwargs)

    def save_weights(self, filepath, *args, **kwargs):
        with self.stored() as net:
            net.save_weights(filepath, *args, **kwargs)

    def export(self, filepath, *args, **kwargs):
        with self.stored() as net:
            net.export(filepath, *args, **kwargs)


class TwinAcrossHosts(AcrossHosts, Twin):
    """A twin that trains on several hosts."""


def _guarded(net: keras.Model, options: TrainingOptions) -> keras.Model:
    """The net without the convolutions whose weights' gradients are wrong in bfloat16 on a processor."""
    return guard_bfloat16(net) if options.precision == "mixed_bfloat16" else net


@contextlib.contextmanager
def twin_of(net: keras.Model, options: TrainingOptions, sampling) -> Iterator[keras.Model]:
    """Yields a twin of `net` that computes as the options say; after the block the net's layers are as they were.

    Args:
        net: a functional or sequential Keras model of preprocessed clips, built in the strategy's scope.
        options: precision, batch norm and mixup count here.
        sampling: its preprocessing is done by the twin, on the device.

    Yields:
        A model, not compiled, of pixels `(batch, frames, height, width, 3)`: uint8, or float32 under mixup.
    """
    strategy = net.distribute_strategy
    across = strategy.num_replicas_in_sync > 1 and options.synchronized
    with precision(net, options.precision), synchronised(net, across):
        with strategy.scope():
            inner = _guarded(net, options)
            if options.fused_batch_norm and not across:
                inner = fuse_batch_norm(inner)
            pixels = keras.Input((sampling.frames, *sampling.crop, 3), dtype="float32" if options.mixup else "uint8")
            outputs = inner(Preprocess(sampling.preprocessing, name="preprocess")(pixels))
            kind = TwinAcrossHosts if spans_hosts(strategy) else Twin
            twin = kind(pixels, outputs, name=net.name)
        twin.net_in_training = lambda: net  # the net itself, as an attribute, would become a layer of its twin
        yield twin
