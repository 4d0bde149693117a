"""Work on many videos in the processes of a Ray cluster: what `children` does on one host, and in the same order.

Ray Data moves the work: small tasks decode, each in a child of its own, so that a file that crashes its decoder costs
that file alone; actors hold a network, where there is one. Ray's object store bounds how much waits between them. A
task or an actor that is lost, with its node or without, is run again by Ray, and its results come once. The order of
the items is kept, so that whoever gathers the results does what it does with those of one host. Ray is imported here
alone, and not before it is used.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import pickle
import socket
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import NamedTuple

from keras_res3d.data.children import Children, Outcome

# Where work is done: in processes of this host, or on a Ray cluster.
PLACES = ("local", "ray")
# Items of a task. They are few: what is done waits for the slowest before it.
ITEMS_PER_TASK = 4
# Within so many seconds a cluster's first host must answer.
ANSWER_SECONDS = 20
# A task hands on what it has when it is so much.
BLOCK_BYTES = 32 << 20


class Network(NamedTuple):
    """What actors run over the results of the tasks.

    Args:
        make: called in each actor with `arguments`; gives a function that takes a list of results, and returns a list.
        arguments: sent to the cluster once.
        rows: how many results the function takes at a time, about.
        actors: how many there are; None is one for each GPU of the cluster, or one where it has none.
    """

    make: Callable[..., Callable[[list], list]]
    arguments: tuple
    rows: int
    actors: int | None = None


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[ModuleType]:
    """Ray, connected to a cluster; a connection that is there already is used, and kept.

    Args:
        address: "host:6379", or "auto" for the cluster that this host belongs to. None is what RAY_ADDRESS says, or
            such a cluster, or else a new one of this host alone.

    Raises:
        ImportError: Ray is not installed.
        ValueError: no cluster answers.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        text = f"the engine ray needs a package that is not installed ({error}): pip install 'keras-res3d[ray]'"
        raise ImportError(text) from error
    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        _knock(address or os.environ.get("RAY_ADDRESS", ""))
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, ValueError):
            name, given = ("--ray_address", address) if address else ("RAY_ADDRESS", os.environ.get("RAY_ADDRESS"))
            raise ValueError(f"{name} is {given!r}; expected host:6379, or auto ({reason})") from error
        raise ValueError(
            f"no Ray cluster answers at {address or 'this host'} ({reason}); start one with ray start --head"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at "host:port", which Ray itself takes minutes to say."""
    host, mark, port = address.rpartition(":")
    if mark and port.isdigit():
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()


def map_on_cluster(
    function: Callable, items: Iterable, workers: int | None = None, address: str | None = None
) -> Iterator[Outcome]:
    """`children.map_in_children` on a cluster: yields an `Outcome` for each item, in order.

    Args:
        function: a module's top-level function of one item, which every host of the cluster can import.
        items: what it is called with.
        workers: tasks at a time; None is as many as the cluster has processor cores.
        address: as of `connected`.
    """
    return stream(items, functools.partial(_one, function), workers, address)


def _one(function: Callable, item) -> Iterator[Outcome]:
    yield in_child(function, item)


def stream(
    items: Iterable, each: Callable[[object], Iterator[Outcome]], workers: int | None = None,
    address: str | None = None, network: Network | None = None,
) -> Iterator[Outcome]:  # fmt: skip
    """Yields what comes of the items, in their order.

    Args:
        items: to work on.
        each: run in a task, with an item; yields its results, at least one.
        workers, address: as of `map_on_cluster`.
        network: what turns these results into others; None yields them as they are.

    Raises:
        StoreError: a store did not answer.
        RuntimeError: the work failed on the cluster, and was not mended by trying again.
    """
    packed = [pickle.dumps(item) for item in items]
    if not packed:
        return
    with connected(address) as ray:
        try:
            data = _flow(ray, packed, each, workers, network)
            for table in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
                for outcome in _values(table):
                    yield outcome.checked()
        except ray.exceptions.RayError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise RuntimeError(f"the work on the Ray cluster failed ({lines[-1].strip() if lines else error!r}); run "
                               "the same command again, which does what is missing") from error  # fmt: skip


def _flow(ray: ModuleType, packed: list[bytes], each: Callable, workers: int | None, network: Network | None):
    """The data set whose rows are the results."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.target_max_block_size = BLOCK_BYTES
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Of the ways into Ray Data this one takes the least time and memory for many small tasks.
    data = ray.data.from_items(packed, override_num_blocks=-(-len(packed) // ITEMS_PER_TASK)).map_batches(
        functools.partial(_work, each, os.getcwd()), batch_size=None, batch_format="pyarrow", num_cpus=1,
        compute=ray.data.TaskPoolStrategy(workers),
    )  # fmt: skip
    if network is None:
        return data
    gpus = int(ray.cluster_resources().get("GPU", 0))
    # Actors take no core for themselves: of a host with one core none would be left to decode.
    return data.map_batches(
        _Actor, fn_constructor_args=(network.make, ray.put(network.arguments)), batch_size=network.rows,
        batch_format="pyarrow", num_cpus=0, num_gpus=1 if gpus else 0,
        compute=ray.data.ActorPoolStrategy(size=network.actors or max(1, gpus)),
    )  # fmt: skip


def _table(cells: list[bytes]):
    import pyarrow

    # Large: the frames of one video may be two gigabytes.
    return pyarrow.table({"item": pyarrow.array(cells, pyarrow.large_binary())})


def _values(table) -> Iterator:
    return (pickle.loads(cell.as_py()) for cell in table.column("item"))


def _work(each: Callable, folder: str, table) -> Iterator:
    """The task: each result is a table of its own, so that none waits for the last one."""
    with contextlib.suppress(OSError):
        os.chdir(folder)  # the list's paths may be relative
    for item in _values(table):
        for result in each(item):
            yield _table([pickle.dumps(result)])


class _Actor:
    def __init__(self, make: Callable, arguments):
        import ray

        self._network = make(*ray.get(arguments))

    def __call__(self, table):
        return _table([pickle.dumps(result) for result in self._network(list(_values(table)))])


@functools.cache
def _child(function: Callable) -> Children:
    return Children(function, 1)


def in_child(function: Callable, item) -> Outcome:
    """What comes of an item in the one child of this process for that function."""
    return _child(function).outcome(item)
