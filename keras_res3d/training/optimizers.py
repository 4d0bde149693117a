"""Optimisers and learning rates of a recipe, with a multiplier and a decay for each variable as Caffe has them."""

from __future__ import annotations

import keras

from keras_res3d.training.layers import every_layer
from keras_res3d.training.recipes import TrainingOptions


@keras.saving.register_keras_serializable(package="keras_res3d")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises from 0 over the first `steps`, then is the schedule's, counted from there."""

    def __init__(self, schedule, highest: float, steps: int):
        self.schedule, self.highest, self.steps = schedule, highest, steps

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rising = self.highest * step / max(1, self.steps)
        after = self.schedule(keras.ops.maximum(step - self.steps, 0.0))
        return keras.ops.where(step < self.steps, rising, after)

    def get_config(self):
        schedule = keras.optimizers.schedules.serialize(self.schedule)
        return {"schedule": schedule, "highest": self.highest, "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        return cls(keras.optimizers.schedules.deserialize(config["schedule"]), config["highest"], config["steps"])


@keras.saving.register_keras_serializable(package="keras_res3d")
class Constant(keras.optimizers.schedules.LearningRateSchedule):
    """The same learning rate at every step."""

    def __init__(self, rate: float):
        self.rate = rate

    def __call__(self, step):
        return keras.ops.convert_to_tensor(self.rate, "float32")

    def get_config(self):
        return {"rate": self.rate}


def make_schedule(options: TrainingOptions, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate as a function of the step, for a run of `steps`."""
    warmup = round(options.warmup * steps)
    schedules = keras.optimizers.schedules
    after = {
        "cosine": lambda rate: schedules.CosineDecay(rate, max(1, steps - warmup)),
        "step": lambda rate: schedules.ExponentialDecay(
            rate, options.divide_every, 1 / options.divide_by, staircase=True
        ),
        "constant": Constant,
    }[options.schedule](options.learning_rate)
    return WarmUp(after, options.learning_rate, warmup) if warmup else after


class _SharesGradients:
    """Before an optimizer judges the gradients of its replica, each replica gets the mean of all.

    Clipping by norm and the watch of a loss scale need it: Keras sums the gradients of the replicas only afterwards.
    """

    share_gradients = False

    def apply(self, grads, trainable_variables=None):
        if self.share_gradients:
            import tensorflow as tf  # here alone: with one replica the optimisers work on Keras' other backends

            context = tf.distribute.get_replica_context()
            if context is not None and context.num_replicas_in_sync > 1:
                total = context.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))
                grads = [gradient / context.num_replicas_in_sync for gradient in total]
        return super().apply(grads, trainable_variables)


@keras.saving.register_keras_serializable(package="keras_res3d")
class CaffeSGD(_SharesGradients, keras.optimizers.SGD):
    """SGD whose momentum buffer is Caffe's: v = momentum * v - rate * multiplier * (gradient + decay * w); w += v.

    Args:
        multipliers: of the learning rate, one for each trainable variable in order.
        decays: likewise, the share of the weight that is added to its gradient.
    """

    def __init__(self, learning_rate, multipliers, decays, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.multipliers, self.decays = tuple(multipliers), tuple(decays)

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        if self.decays[index]:
            gradient = gradient + keras.ops.cast(self.decays[index] * variable, gradient.dtype)
        super().update_step(gradient, variable, learning_rate * self.multipliers[index])

    def get_config(self):
        return {**super().get_config(), "multipliers": self.multipliers, "decays": self.decays}


@keras.saving.register_keras_serializable(package="keras_res3d")
class ScaledAdamW(_SharesGradients, keras.optimizers.AdamW):
    """AdamW with a multiplier of the learning rate for each trainable variable."""

    def __init__(self, learning_rate, multipliers, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.multipliers = tuple(multipliers)

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate * self.multipliers[self._get_variable_index(variable)])

    def get_config(self):
        return {**super().get_config(), "multipliers": self.multipliers}


@keras.saving.register_keras_serializable(package="keras_res3d")
class SharedLossScale(_SharesGradients, keras.optimizers.LossScaleOptimizer):
    """A loss scale that judges the gradients of all replicas, where Keras' own trusts the first one."""


def decays_and_multipliers(model: keras.Model, options: TrainingOptions) -> tuple[list[float], list[float]]:
    """For each trainable variable its weight decay and its multiplier of the learning rate.

    Decayed are the kernels of convolutions and of dense layers, neither biases nor batch norm's gamma and beta
    (released solver). The last layer with a kernel is the classifier.
    """
    decays, multipliers = {}, {}
    weighted = [layer for layer in every_layer(model) if getattr(layer, "kernel", None) is not None]
    for layer in weighted:
        head = layer is weighted[-1]
        decays[id(layer.kernel)] = options.weight_decay
        multipliers[id(layer.kernel)] = options.head_multiplier if head else 1.0
        if getattr(layer, "bias", None) is not None:
            multipliers[id(layer.bias)] = options.head_bias_multiplier if head else options.bias_multiplier
    variables = model.trainable_variables
    return [decays.get(id(v), 0.0) for v in variables], [multipliers.get(id(v), 1.0) for v in variables]


def make_optimizer(model: keras.Model, options: TrainingOptions, steps: int, replicas: int = 1) -> keras.Optimizer:
    """The optimiser of a run of `steps`, built for the model's trainable variables.

    Args:
        model: the net in training.
        options: of the run.
        steps: of the whole run.
        replicas: on how many devices its gradients come, as equal shares of a sum.
    """
    decays, multipliers = decays_and_multipliers(model, options)
    common = {
        "global_clipnorm": options.clip_norm / replicas if options.clip_norm else None,
        "use_ema": options.ema > 0,
        "ema_momentum": options.ema,
    }
    rate = make_schedule(options, steps)
    if isinstance(rate, Constant):
        rate = options.learning_rate  # a number, which callbacks may change (ReduceLROnPlateau)
    if options.optimizer == "sgd":
        optimizer = CaffeSGD(rate, multipliers, decays, momentum=options.momentum, **common)
    else:
        optimizer = ScaledAdamW(rate, multipliers, weight_decay=options.weight_decay or None, **common)
        spared = [v for v, decay in zip(model.trainable_variables, decays, strict=True) if not decay]
        optimizer.exclude_from_weight_decay(var_list=spared)
    if options.precision == "mixed_float16":
        optimizer = SharedLossScale(optimizer)
    optimizer.share_gradients = replicas > 1 and (options.clip_norm > 0 or options.precision == "mixed_float16")
    optimizer.build(model.trainable_variables)
    return optimizer
