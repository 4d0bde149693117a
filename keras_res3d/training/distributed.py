"""Several devices or hosts as one: strategies, and batch-norm statistics that are the same on all of them."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from keras_res3d.training import hosts
from keras_res3d.training.layers import batch_norms
from keras_res3d.training.recipes import TrainingOptions

# A second MirroredStrategy in one process can fail on collective keys: one for each list of devices. The hosts are
# joined once.
_STRATEGIES: dict[tuple[str, ...], tf.distribute.Strategy] = {}


def make_logical_cpus(count: int) -> list[str]:
    """Splits the processor into `count` logical devices; to be called before TensorFlow runs anything.

    Raises:
        RuntimeError: TensorFlow has started already, with another number of them.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or [None]) != count:
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        except RuntimeError as error:
            raise RuntimeError(
                f"cpu_replicas is {count}, but TensorFlow has started with another number of logical CPUs; "
                "train in a fresh process"
            ) from error
    return [f"/cpu:{number}" for number in range(count)]


def strategy_for(options: TrainingOptions) -> tf.distribute.Strategy:
    """The strategy that the options name; the same object each time.

    Of several hosts each calls it before TensorFlow runs anything; it returns when all have come.

    Raises:
        ValueError: mirrored without a GPU and without `cpu_replicas`; TF_CONFIG does not say which hosts there are.
        TimeoutError: of several hosts one has not come; names it.
    """
    if options.strategy == "none":
        return tf.distribute.get_strategy()
    if options.strategy == "multi_worker":
        if (options.strategy,) not in _STRATEGIES:
            _STRATEGIES[options.strategy,] = hosts.make_strategy(options.worker_timeout)
        return _STRATEGIES[options.strategy,]
    if options.cpu_replicas:
        devices = tuple(make_logical_cpus(options.cpu_replicas))
    else:
        devices = tuple(f"/gpu:{number}" for number in range(len(tf.config.list_physical_devices("GPU"))))
    if not devices:
        raise ValueError("strategy is 'mirrored', and TensorFlow sees no GPU; set cpu_replicas to try it without")
    if devices not in _STRATEGIES:
        # On processors the sum is taken in one place: collectives gain nothing there and can clash on their keys.
        reduction = tf.distribute.ReductionToOneDevice() if options.cpu_replicas else None
        _STRATEGIES[devices] = tf.distribute.MirroredStrategy(list(devices), cross_device_ops=reduction)
    return _STRATEGIES[devices]


def check_built_for(net: keras.Model, strategy: tf.distribute.Strategy) -> None:
    """Raises ValueError where the net's variables are not the strategy's."""
    first, replicas = net.variables[0].value, len(hosts.own_replicas(strategy))
    found = len(strategy.experimental_local_results(first))
    if found != replicas or (hosts.hosts_of(strategy) > 1 and not strategy.extended.variable_created_in_scope(first)):
        raise ValueError(
            f"{net.name} was built for {found} replica(s) of another strategy, and this one has {replicas} here; "
            "build it with prepare_net and the same options, or inside strategy_for(options).scope()"
        )


def average_moving_statistics(net: keras.Model, strategy: tf.distribute.Strategy) -> None:
    """Gives every replica, on all hosts, the replicas' mean of batch norm's moving statistics.

    A moving average is linear in what it averages, so the mean of the replicas' averages is the average of the
    replicas' means: taking it now and then gives what taking it at every step would. All hosts call it at the same
    step.
    """
    if strategy.num_replicas_in_sync == 1:
        return
    variables = [each for layer in batch_norms(net) for each in (layer.moving_mean, layer.moving_variance)]
    own = [np.stack([part.numpy() for part in strategy.experimental_local_results(each.value)]) for each in variables]
    for variable, *parts in zip(variables, *hosts.gather_arrays(strategy, own), strict=True):
        values = np.concatenate(parts)
        if any(not np.array_equal(values[0], other) for other in values[1:]):
            variable.value.assign(np.mean(values, axis=0, dtype=values.dtype))
