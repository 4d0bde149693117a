"""Training on several hosts at once: the strategy, what its workers tell one another, and a model that `fit` can train.

Keras 3 trains under `MultiWorkerMirroredStrategy` only with help, which is all here (`AcrossHosts`, `spread`).
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_res3d.io import write_atomically
from keras_res3d.remote import as_path
from keras_res3d.training.checkpoint import differences
from keras_res3d.training.cluster import ALONE, Cluster, cluster_of, read_tf_config
from keras_res3d.training.meeting import meet

# What TensorFlow raises where another worker is gone, or has left the job with an error of its own.
_GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
         tf.errors.InternalError, tf.errors.FailedPreconditionError)  # fmt: skip
_TOKEN = ".workers_of_this_run"


def make_strategy(timeout: float) -> tf.distribute.MultiWorkerMirroredStrategy:
    """The strategy of the cluster in TF_CONFIG, once all of its workers have come.

    Args:
        timeout: seconds to wait for them.

    Raises:
        ValueError: TF_CONFIG is wrong, or the workers differ in versions or devices.
        TimeoutError: a worker did not come; names it.
        OSError: the port is taken.
        RuntimeError: TensorFlow has run something already.
    """
    cluster = read_tf_config()
    gpus = len(tf.config.list_physical_devices("GPU"))
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    meet(cluster, {**versions, "devices": f"{gpus} GPU(s)" if gpus else "no GPU"}, timeout)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        if "startup" not in str(error):
            raise
        raise RuntimeError(
            "TensorFlow has run something in this process already, and several hosts must be set up before that; call "
            "prepare_net, or strategy_for(options), before anything else"
        ) from error


def cluster_of_strategy(strategy: tf.distribute.Strategy) -> Cluster:
    """The workers of a strategy, and which this process is; `ALONE` where it does not span hosts."""
    resolver = strategy.cluster_resolver if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) else None
    jobs = {} if resolver is None else resolver.cluster_spec().as_dict()
    if not jobs:
        return ALONE
    return cluster_of({"cluster": jobs, "task": {"type": resolver.task_type, "index": resolver.task_id}})


def spans_hosts(strategy: tf.distribute.Strategy) -> bool:
    """Whether it is a strategy for several hosts, even where there is one."""
    return cluster_of_strategy(strategy) is not ALONE


def hosts_of(strategy: tf.distribute.Strategy) -> int:
    """How many processes train together."""
    return len(cluster_of_strategy(strategy).workers)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes files and tells how the run goes: the only one, or the first of several hosts."""
    return cluster_of_strategy(strategy).is_chief


def own_replicas(strategy: tf.distribute.Strategy) -> range:
    """The numbers of the replicas on this host, among those of all."""
    cluster = cluster_of_strategy(strategy)
    count = strategy.num_replicas_in_sync // len(cluster.workers)
    return range(cluster.index * count, (cluster.index + 1) * count)


def _exchanged(strategy: tf.distribute.Strategy, data: bytes) -> list[bytes]:
    """The bytes of every host, in the order of the hosts; all hosts call it at the same point of a run."""
    if hosts_of(strategy) == 1:
        return [data]
    sizes = _gathered(strategy, np.array([len(data)], np.int32))[:, 0]
    words = -(-int(sizes.max()) // 4)
    padded = np.frombuffer(data.ljust(4 * words, b"\0"), np.int32)
    rows = _gathered(strategy, padded)
    return [row.tobytes()[:size] for row, size in zip(rows, sizes.tolist(), strict=True)]


def _gathered(strategy: tf.distribute.Strategy, row: np.ndarray) -> np.ndarray:
    """The rows of all hosts, `(hosts, ...)`; of equal shapes."""
    values = strategy.experimental_distribute_values_from_function(lambda context: tf.constant(row[None]))
    # Each replica of a host has the host's row; the first one's is taken.
    return strategy.gather(values, axis=0).numpy()[:: len(own_replicas(strategy))]


def tell_all(strategy: tf.distribute.Strategy, value) -> list:
    """What each host says, in the order of the hosts: plain JSON values. All hosts wait here for one another."""
    return [json.loads(data) for data in _exchanged(strategy, json.dumps(value).encode())]


def gather_arrays(strategy: tf.distribute.Strategy, arrays: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """The arrays of each host, in the order of the hosts; shapes may differ. All hosts wait here for one another."""
    if hosts_of(strategy) == 1:
        return [list(arrays)]
    packed = io.BytesIO()
    np.savez(packed, **{f"v{number:06d}": array for number, array in enumerate(arrays)})
    found = []
    for data in _exchanged(strategy, packed.getvalue()):
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            found.append([file[name] for name in sorted(file.files)])
    return found


def agree(strategy: tf.distribute.Strategy, facts: dict) -> None:
    """Raises ValueError on all hosts where one of them has other facts than the chief; names each difference.

    Args:
        strategy: of the run.
        facts: plain JSON values.
    """
    cluster, (chief, *others) = cluster_of_strategy(strategy), tell_all(strategy, facts)
    for index, theirs in enumerate(others, 1):
        odd = differences(chief, theirs, names=("on the chief", "there"))
        if odd:
            raise ValueError(f"{cluster.name(index)} differs from {cluster.name(0)}, the chief:\n  " + "\n  ".join(odd))


def check_shared(strategy: tf.distribute.Strategy, folder) -> None:
    """Raises ValueError on all hosts where one of them does not see what the chief writes into the folder."""
    cluster, token = cluster_of_strategy(strategy), as_path(folder) / _TOKEN
    if len(cluster.workers) == 1:
        return
    text = json.dumps(cluster.workers) + str(np.random.default_rng().integers(1 << 62))
    if cluster.is_chief:
        write_atomically(token, text)
    text = tell_all(strategy, text)[0]
    blind = [index for index, sees in enumerate(tell_all(strategy, _reads(token, text))) if not sees]
    if cluster.is_chief:
        token.unlink(missing_ok=True)
    if blind:
        names = " and ".join(map(cluster.name, blind))
        raise ValueError(
            f"the output folder {folder} is not the same on all hosts: what {cluster.name(0)} writes there is not seen "
            f"by {names}. Put it on a file system that all hosts share, and give every worker the same path"
        )


def _reads(path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except OSError:
        return False


def spread(
    strategy: tf.distribute.Strategy, stream: tf.data.Dataset, batch: int
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """A host's own share of the batches as `fit` takes it under the strategy.

    Args:
        strategy: of the run; on one host the stream is returned as it is.
        stream: this host's clips alone, without an end.
        batch: clips in a step, over all replicas.
    """
    if not spans_hosts(strategy):
        return stream
    replicas = own_replicas(strategy)
    if len(replicas) > 1:
        stream = stream.rebatch(batch // strategy.num_replicas_in_sync, drop_remainder=True)
        stream = stream.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)).prefetch(1)
    return strategy.distribute_datasets_from_function(lambda context: stream)


class AcrossHosts(keras.Model):
    """A model whose `fit` works on several hosts; Keras' own fails there (keras-team/keras#20585).

    Keras reduces a first batch to build metrics and loss, which is no number of its own on several hosts, and reduces
    logs along an axis that scalars lack. Here metrics and loss are built from the shapes of one replica's batch, and
    the logs of a step have that axis where there are several.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if iterator is not None:
            spec = iterator._distributed_dataset.element_spec
            data_batch = tf.nest.map_structure(_of_one_replica, spec)
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    def train_step(self, data):
        return self._reducible(super().train_step(data))

    def test_step(self, data):
        return self._reducible(super().test_step(data))

    def _reducible(self, logs: dict) -> dict:
        # Of a cluster of one host Keras takes the logs as they are.
        several = hosts_of(self.distribute_strategy) > 1
        return {name: tf.reshape(value, (1,)) for name, value in logs.items()} if several else logs


def _of_one_replica(spec):
    return getattr(spec, "_value_specs", (spec,))[0]


@contextlib.contextmanager
def naming_the_worker(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Says of a worker that is gone which it is, and what to do, in place of TensorFlow's trace."""
    cluster = cluster_of_strategy(strategy)
    try:
        yield
    except _GONE as error:
        if len(cluster.workers) == 1 or "VideoError" in str(error):
            raise
        chiefs = strategy.cluster_resolver.cluster_spec().as_dict().get("chief", ())
        found = {int(task) + (len(chiefs) if job == "worker" else 0)
                 for job, task in re.findall(r"/job:(\w+)/replica:0/task:(\d+)", str(error))}  # fmt: skip
        gone = [cluster.name(n) for n in sorted(found - {cluster.index}) if n < len(cluster.workers)]
        who = " or ".join(gone) if gone else "another worker"
        raise RuntimeError(
            f"{who} is gone, as seen by {cluster.name()}; its own output says why. What was saved stays: start all "
            "workers again with the same commands, and the run goes on from its last checkpoint"
        ) from error
