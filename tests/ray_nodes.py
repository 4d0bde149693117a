"""A Ray cluster of two nodes on this machine, and work for it that leaves traces."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time

from keras_res3d import remote

OBJECTS = 80 * 2**20  # bytes of each node's object store, near the least that Ray takes
# A busy machine answers late, and is not dead: a node is given up when it has not answered for half a minute.
PATIENCE = {"health_check_timeout_ms": 20_000, "health_check_period_ms": 3_000, "health_check_failure_threshold": 8}


class Nodes:
    """The cluster.

    Attributes:
        address: of it.
    """

    def __init__(self, cluster, second):
        self.address, self._cluster, self._second = cluster.address, cluster, second

    def kill_one(self) -> None:
        """Kills the node that this program does not run on, with all its processes."""
        self._cluster.remove_node(self._second, allow_graceful=False)

    def add_one(self) -> None:
        """A node joins."""
        self._second = self._cluster.add_node(num_cpus=1, object_store_memory=OBJECTS)


@contextlib.contextmanager
def two_nodes():
    """Two nodes with a core each; this program is connected to them inside the block."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    head = {"num_cpus": 1, "object_store_memory": OBJECTS, "include_dashboard": False, "_system_config": PATIENCE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = Nodes(cluster, None)
    try:
        nodes.add_one()
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield nodes
    finally:
        ray.shutdown()
        cluster.shutdown()


def kill_actor(seconds: float = 30) -> bool:
    """Kills the process of an actor that runs a network, among this program's own; returns whether one came in time."""
    import psutil

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if any("MapWorker" in word for word in process.cmdline()):
                    process.kill()
                    return True
        time.sleep(0.1)
    return False


def noted(item: tuple[str, int, float]) -> tuple[int, bytes]:
    """Leaves a file whose name says which process of Ray worked on an item, takes its time, and gives a megabyte.

    Item 7 is a bad video, 13 crashes its process, and 99 meets a store that does not answer.
    """
    folder, number, seconds = item
    pathlib.Path(folder, f"{number}-{os.getppid()}-{time.monotonic_ns()}").touch()
    time.sleep(seconds)
    if number == 7:
        raise ValueError("7 is bad")
    if number == 13:
        os.abort()
    if number == 99:
        raise remote.StoreError("s3://b/99.mp4 cannot be read")
    return number, bytes(2**20)


def started(folder) -> list[int]:
    """The items that were begun, in no order, as often as they were."""
    return [int(path.name.split("-")[0]) for path in pathlib.Path(folder).iterdir()]


def workers(folder) -> set[str]:
    """The processes that worked on items."""
    return {path.name.split("-")[1] for path in pathlib.Path(folder).iterdir()}
