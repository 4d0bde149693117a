"""The workers of a job that runs on several hosts, read from TF_CONFIG, and which of them this process is."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

TF_CONFIG = "TF_CONFIG"
_EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
# Jobs of a cluster whose processes train; the chief comes first. Others (ps, evaluator) have no part in this training.
_JOBS = ("chief", "worker")


@dataclass(frozen=True)
class Cluster:
    """The workers of a job, in order; the first is the chief, which alone writes files.

    Args:
        workers: "host:port" of each.
        index: which of them this process is.
    """

    workers: tuple[str, ...]
    index: int = 0

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    def name(self, index: int | None = None) -> str:
        """How messages call a worker: "worker 1 (host1:2222)"; this one by default."""
        index = self.index if index is None else index
        return f"worker {index} ({self.workers[index]})"


# Seconds that a worker may take to end after an error.
_LEAVING = 10


@contextlib.contextmanager
def ending_soon(cluster: Cluster) -> Iterator[None]:
    """Where the block fails, this process ends with exit code 1 within seconds; for programs, not for notebooks.

    While a worker closes its readers and its devices, the others see it as alive and wait for it. A busy machine takes
    half a minute for that.
    """
    try:
        yield
    except BaseException:
        if len(cluster.workers) > 1:
            # A thread of C, which ends the process even where Python is being taken down already.
            faulthandler.dump_traceback_later(_LEAVING, exit=True, file=open(os.devnull, "w"))  # noqa: SIM115
        raise


# A run that does not span hosts.
ALONE = Cluster(("",))


def read_tf_config(environment: Mapping[str, str] | None = None) -> Cluster:
    """The cluster that TF_CONFIG describes.

    Args:
        environment: variables by name; None: those of this process.

    Raises:
        ValueError: it is not set, is no JSON, or describes no such cluster; says what is wrong.
    """
    text = (os.environ if environment is None else environment).get(TF_CONFIG, "")
    if not text:
        raise ValueError(
            "strategy is 'multi_worker', and nothing says which workers there are; give --workers host:port,host:port "
            f"and --worker_index, or set {TF_CONFIG} to something like {_EXAMPLE}"
        )
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _bad(f"is no JSON ({error})") from None
    return cluster_of(config)


def named_alone(environment: Mapping[str, str] | None = None) -> str:
    """A sentence for a run that does not span hosts where TF_CONFIG describes several; "" where it does not.

    Args:
        environment: as of `read_tf_config`.
    """
    try:
        count = len(read_tf_config(environment).workers)
    except ValueError:
        return ""
    return f"{TF_CONFIG} names {count} workers, which only --strategy multi_worker lets train together" * (count > 1)


def cluster_of(config) -> Cluster:
    """The cluster of the value in TF_CONFIG.

    Raises:
        ValueError: says what is wrong with it.
    """
    jobs, task = (_part(config, name, dict) for name in ("cluster", "task"))
    others = [job for job in jobs if job not in _JOBS]
    if others:
        raise _bad(f"has the jobs {', '.join(map(str, others))}; expected worker, and perhaps chief")
    addresses = {job: _addresses(jobs, job) for job in _JOBS if job in jobs}
    if len(addresses.get("chief", ())) > 1:
        raise _bad(f"has {len(addresses['chief'])} chiefs; expected one")
    workers = tuple(address for job in _JOBS for address in addresses.get(job, ()))
    if not workers:
        raise _bad("has no worker in its cluster")
    twice = sorted({address for address in workers if workers.count(address) > 1})
    if twice:
        raise _bad(f"has {', '.join(twice)} twice; expected an address of its own for each worker")
    job, index = _part(task, "type", str, "task."), _part(task, "index", int, "task.")
    if job not in addresses:
        raise _bad(f"has task.type {job!r}; expected one of {', '.join(addresses)}, the jobs of its cluster")
    if not 0 <= index < len(addresses[job]):
        raise _bad(f"has task.index {index}; expected 0 to {len(addresses[job]) - 1}, since there are "
                   f"{len(addresses[job])} of job {job}")  # fmt: skip
    before = len(addresses.get("chief", ())) if job == "worker" else 0
    return Cluster(workers, before + index)


def _bad(what: str) -> ValueError:
    return ValueError(f"{TF_CONFIG} {what}; it should be like {_EXAMPLE}")


def _part(config, name: str, kind: type, where: str = ""):
    found = config.get(name) if isinstance(config, dict) else None
    if not isinstance(found, kind) or isinstance(found, bool):
        what = {dict: "an object", str: "a string", int: "a number"}[kind]
        raise _bad(f"has {where}{name} {found!r}; expected {what}" if found is not None else f"has no {where}{name}")
    return found


def _addresses(jobs: dict, job: str) -> list[str]:
    found = jobs[job]
    if not isinstance(found, list):
        raise _bad(f"has cluster.{job} {found!r}; expected a list of host:port")
    for address in found:
        check_address(address, f"{TF_CONFIG} has the {job}")
    return found


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port"; a host in brackets is an IPv6 address."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def check_address(address, where: str) -> None:
    """Raises ValueError, which begins with `where`, unless `address` is "host:port"."""
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{where} {address!r}; expected host:port, such as host0:2222")


def set_tf_config(workers: Sequence[str], index: int | None) -> None:
    """Sets TF_CONFIG of this process for these workers.

    Args:
        workers: "host:port" of each, the chief first.
        index: which of them this process is.

    Raises:
        ValueError: an address or the index is wrong, or TF_CONFIG is set and says something else.
    """
    for address in workers:
        check_address(address, "--workers has")
    if index is None:
        raise ValueError("--workers says which workers there are, and --worker_index is missing: the place of this one "
                         f"among them, 0 to {len(workers) - 1}")  # fmt: skip
    if not 0 <= index < len(workers):
        raise ValueError(f"--worker_index is {index}; expected 0 to {len(workers) - 1}, a place in --workers")
    config = {"cluster": {"worker": list(workers)}, "task": {"type": "worker", "index": index}}
    wanted = cluster_of(config)
    if os.environ.get(TF_CONFIG) and read_tf_config() != wanted:
        raise ValueError(f"--workers and --worker_index differ from {TF_CONFIG}, which is set; give one of the two")
    os.environ[TF_CONFIG] = json.dumps(config)
