"""One training step on one device or several: pixels in, preprocessing on the device, loss, gradients, update."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import tensorflow as tf

from keras_res3d.data.transform import preprocess_input
from keras_res3d.nets.batch_norm import fuse_batch_norm
from keras_res3d.training.distributed import average_moving_statistics, check_built_for, layers_set, synchronised
from keras_res3d.training.optimizers import make_optimizer
from keras_res3d.training.recipes import TrainingOptions

# What a run adds up: the loss, clips answered right, clips; and the first step whose loss was not finite, or -1.
NO_TOTALS = (0.0, 0.0, 0.0, -1.0)


def logits_of(model: keras.Model) -> keras.Model:
    """The same net up to its classifier, weights shared: the loss is exact where softmax would saturate."""
    last = model.layers[-1]
    return keras.Model(model.input, last.input if last.name == "prob" else last.output, name=model.name)


def precision(net: keras.Model, policy: str):
    """The net's layers compute by `policy` inside the block, the classifier in float32; put back after it."""
    weighted = [layer for layer in net.layers if getattr(layer, "kernel", None) is not None]
    after = net.layers[net.layers.index(weighted[-1]) :]
    changed = [layer for layer in net.layers if layer not in after and layer.dtype_policy.name != policy]
    return layers_set(changed, "dtype_policy", policy)


def clip_losses(logits, labels, partners=None, shares=None, smoothing: float = 0.0):
    """Cross-entropy of each clip with its label, or with two labels by shares; smoothed over all classes."""
    scores = tf.nn.log_softmax(tf.cast(logits, tf.float32))

    def of(classes):
        picked = tf.gather(scores, classes, batch_dims=1)
        return -(1 - smoothing) * picked - smoothing * tf.reduce_mean(scores, axis=-1)

    return of(labels) if partners is None else shares * of(labels) + (1 - shares) * of(partners)


class Learner:
    """A net in training: its twin with the options' batch norm and precision, its optimiser, its steps.

    Args:
        net: as stored, stock Keras, built in the strategy's scope; its variables are trained in place.
        options: of the run.
        steps: of the whole run, for the schedule.
        preprocessing: name of how pixels become the net's input.
        strategy: of `strategy_for(options)`.

    Call `close` at the end: it gives the net's layers their stored settings back.
    """

    def __init__(self, net: keras.Model, options: TrainingOptions, steps: int, preprocessing: str, strategy):
        check_built_for(net, strategy)
        self.net, self.options, self.strategy, self.preprocessing = net, options, strategy, preprocessing
        self.replicas = strategy.num_replicas_in_sync
        several = self.replicas > 1
        # Replicas whose gradients must be judged together get their mean before the optimiser sums them.
        self._share_gradients = several and (options.clip_norm > 0 or options.precision == "mixed_float16")
        self._settings = contextlib.ExitStack()
        self._settings.enter_context(precision(net, options.precision))
        self._settings.enter_context(synchronised(net, several and options.synchronized))
        self.twin = logits_of(net)
        if options.fused_batch_norm and not (several and options.synchronized):
            self.twin = fuse_batch_norm(self.twin)
        with strategy.scope():
            self.optimizer = make_optimizer(self.twin, options, steps, self.replicas)
        on_gpu = bool(tf.config.list_physical_devices("GPU")) and not options.cpu_replicas
        # A step that talks to other devices cannot be compiled as a whole.
        self.compiled = options.jit_compile == "on" or (options.jit_compile == "auto" and on_gpu and not several)
        self._run_step = tf.function(self._step, jit_compile=self.compiled, autograph=False)
        self._run_predict = tf.function(self._predict, jit_compile=self.compiled, autograph=False)
        self.train = tf.function(self._train)

    def close(self) -> None:
        """The net's layers get their stored settings back; training cannot go on."""
        self._settings.close()

    @property
    def variables(self) -> list[keras.Variable]:
        """All state of the run: weights, statistics, dropout's random state, the optimiser's and averaged weights."""
        return [*self.twin.variables, *self.optimizer.variables]

    def _train(self, clips, labels, shares, totals, first):
        """Several steps in one call.

        Args:
            clips: uint8 RGB `(steps, batch, frames, height, width, 3)`.
            labels, shares: `(steps, batch)`; shares of the clip itself under mixup.
            totals: as `NO_TOTALS`, float64.
            first: number of the first step, float64.

        Returns:
            The totals with these steps added.
        """
        if clips.shape[0] == 1:
            return self._add(totals, first, self._on_replicas(clips[0], labels[0], shares[0]))
        for number in tf.range(tf.shape(clips)[0]):
            sums = self._on_replicas(clips[number], labels[number], shares[number])
            totals = self._add(totals, first + tf.cast(number, tf.float64), sums)
        return totals

    @staticmethod
    def _add(totals, step, sums):
        fine = tf.logical_or(tf.reduce_all(tf.math.is_finite(sums)), totals[3] >= 0)
        return tf.concat([totals[:3] + sums, [tf.where(fine, totals[3], step)]], axis=0)

    def _on_replicas(self, *batch):
        batch_size = tf.shape(batch[0])[0]
        if self.replicas == 1:
            return tf.cast(self._run_step(*batch, tf.cast(batch_size, tf.float32)), tf.float64)

        def part(*whole):
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            first, last = number * batch_size // self.replicas, (number + 1) * batch_size // self.replicas
            with tf.device("/cpu:0"):  # only the replica's own clips travel to its device
                mine = [each[first:last] for each in whole]
            return self._step(*mine, tf.cast(batch_size, tf.float32))

        sums = self.strategy.run(part, batch)
        return tf.cast(self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None), tf.float64)

    def _step(self, clips, labels, shares, batch_size):
        """One replica's part of a step; the loss is its clips' share of the mean over the whole batch."""
        inputs, partners = preprocess_input(clips, self.preprocessing), None
        if self.options.mixup:
            partners = tf.roll(labels, 1, axis=0)
            weight = shares[:, None, None, None, None]
            inputs = weight * inputs + (1 - weight) * tf.roll(inputs, 1, axis=0)
        weights = self.twin.trainable_variables
        with tf.GradientTape() as tape:
            logits = self.twin(inputs, training=True)
            losses = clip_losses(logits, labels, partners, shares, self.options.label_smoothing)
            loss = tf.reduce_sum(losses) / batch_size
            if self.twin.losses:
                loss += tf.add_n(self.twin.losses) / self.replicas
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [weight.value for weight in weights])
        if self._share_gradients:
            context = tf.distribute.get_replica_context()
            gradients = [each / self.replicas for each in context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)]
        self.optimizer.apply(gradients, weights)
        right = tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels
        return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(tf.cast(right, tf.float32)), len_of(labels)])

    def _predict(self, clips):
        logits = self.twin(preprocess_input(clips, self.preprocessing), training=False)
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    def predict(self, clips: np.ndarray) -> np.ndarray:
        """Probabilities `(batch, classes)` of uint8 clips, each scored once; the batch is shared among the replicas."""
        clips = np.asarray(clips)
        if self.replicas == 1:
            return self._run_predict(clips).numpy()
        each = -(-len(clips) // self.replicas)
        padded = np.concatenate([clips, np.repeat(clips[-1:], each * self.replicas - len(clips), axis=0)])
        parts = self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(padded[each * context.replica_id_in_sync_group :][:each])
        )
        found = self._run_predict_on_replicas(parts)
        parts = [part.numpy() for part in self.strategy.experimental_local_results(found)]
        return np.concatenate(parts)[: len(clips)]

    @tf.function(reduce_retracing=True)
    def _run_predict_on_replicas(self, parts):
        return self.strategy.run(self._predict, (parts,))

    def agree(self) -> None:
        """Replicas get the same moving statistics: the mean of theirs."""
        average_moving_statistics(self.net, self.strategy)

    @contextlib.contextmanager
    def as_scored(self):
        """The weights that are scored and saved: statistics that agree between replicas, averaged weights if any."""
        self.agree()
        if not self.options.ema:
            yield
            return
        variables = self.twin.trainable_variables
        kept = [variable.numpy() for variable in variables]
        self.optimizer.finalize_variable_values(variables)
        try:
            yield
        finally:
            for variable, value in zip(variables, kept, strict=True):
                variable.assign(value)

    @contextlib.contextmanager
    def as_stored(self):
        """The net's layers with the settings that a saved model has, while it is being written."""
        with precision(self.net, "float32"), synchronised(self.net, False):
            yield


def len_of(tensor):
    """The first size, float32."""
    return tf.cast(tf.shape(tensor)[0], tf.float32)
