"""The workers of a job wait for one another before TensorFlow starts: its own wait is silent and has no end."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

from keras_res3d.training.cluster import Cluster, split_address

# A message is a line of JSON; nobody needs a longer one.
_LONGEST = 1 << 16
# Seconds between two tries to reach the chief, and for somebody who has connected to say who they are.
_PAUSE, _PATIENCE = 0.3, 5.0
# Seconds after which a worker first says for whom it waits, and from then on.
_FIRST_WORD, _FURTHER_WORDS = 10.0, 60.0
# What two workers of one job must have in common besides the list of workers, and what a difference means.
_GREETING = "keras-res3d worker"


def meet(cluster: Cluster, facts: dict, seconds: float) -> None:
    """Returns once all workers are there and agree; every worker calls it.

    Each worker holds its own port meanwhile, so that another program on it is noticed now. The others tell the chief
    who they are, and the chief answers all of them when the last one has come.

    Args:
        cluster: the workers, and which of them this is.
        facts: plain values that must be the same on all, by name.
        seconds: how long to wait for the others.

    Raises:
        TimeoutError: names the workers that have not come.
        ValueError: the workers differ; says in what.
        OSError: the port of this worker is taken, or cannot be opened.
    """
    if len(cluster.workers) == 1:
        return
    with _own_port(cluster) as listener:
        if cluster.is_chief:
            _receive_all(listener, cluster, facts, seconds)
        else:
            heard = threading.Event()
            chief = f"{cluster.name(0)}, the chief"
            with _telling(lambda: f"those for whom {chief}, waits" if heard.is_set() else chief, seconds):
                _report(cluster, facts, seconds, heard)


@contextlib.contextmanager
def _own_port(cluster: Cluster) -> Iterator[socket.socket]:
    _, port = split_address(cluster.workers[cluster.index])
    both = socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server(
            ("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            what = "is taken by another program on this host; choose another port, or end that program"
        else:
            what = f"cannot be opened: {error.strerror or error}"
        raise OSError(f"port {port} of {cluster.name()} {what}") from None
    with listener:
        yield listener


@contextlib.contextmanager
def _telling(whom: Callable[[], str], seconds: float) -> Iterator[None]:
    """Says on stderr, while the block waits, for whom: after some seconds, then now and then."""
    done = threading.Event()

    def tell() -> None:
        pause = _FIRST_WORD
        while not done.wait(pause):
            print(f"waiting for {whom()}, up to {seconds:g} s", file=sys.stderr, flush=True)
            pause = _FURTHER_WORDS

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _receive_all(listener: socket.socket, cluster: Cluster, facts: dict, seconds: float) -> None:
    """The chief's part: hears from each worker, then answers all."""
    deadline, here = time.monotonic() + seconds, {}
    with contextlib.ExitStack() as open_sockets:
        open_sockets.enter_context(_telling(lambda: " and ".join(_missing(cluster, here)), seconds))
        fault = None
        while fault is None and len(here) < len(cluster.workers) - 1:
            listener.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                caller = open_sockets.enter_context(listener.accept()[0])
                hello = _hear(caller, _PATIENCE)
            except TimeoutError:
                if time.monotonic() >= deadline:
                    fault = _absent(cluster, here, seconds)
                continue
            if hello is None or hello.get("greeting") != _GREETING:  # a port scan, a worker that was killed, anything
                continue
            fault = _difference(cluster, facts, hello)
            here[hello.get("index")] = caller  # a worker that was started again takes its own place
        for caller in here.values():
            _say(caller, {"greeting": _GREETING, "fault": None if fault is None else str(fault)})
    if fault is not None:
        raise fault


def _missing(cluster: Cluster, here: dict) -> list[str]:
    return [cluster.name(index) for index in range(1, len(cluster.workers)) if index not in here]


def _absent(cluster: Cluster, here: dict, seconds: float) -> TimeoutError:
    return TimeoutError(
        f"{' and '.join(_missing(cluster, here))} did not come within {seconds:g} s; start every worker with the same "
        "command and its own index, or wait longer with --worker_timeout"
    )


def _difference(cluster: Cluster, facts: dict, hello: dict) -> ValueError | None:
    """What is wrong with a worker that has come."""
    index = hello.get("index")
    who = f"the process that says it is worker {index!r}"
    if hello.get("workers") != list(cluster.workers):
        return ValueError(f"{who} has the workers {hello.get('workers')}, the chief has {list(cluster.workers)}")
    if not isinstance(index, int) or not 0 < index < len(cluster.workers):
        return ValueError(f"{who} has an index that is taken or out of range; expected 1 to {len(cluster.workers) - 1}")
    theirs = hello.get("facts") or {}
    odd = [f"{name}: {value} on the chief, {theirs.get(name)} there" for name, value in facts.items()
           if theirs.get(name) != value]  # fmt: skip
    return ValueError(f"{cluster.name(index)} differs from the chief; {'; '.join(odd)}") if odd else None


def _report(cluster: Cluster, facts: dict, seconds: float, heard: threading.Event) -> None:
    """A worker's part: tells the chief who it is, again and again until it answers; `heard` is set while it listens."""
    hello = {"greeting": _GREETING, "index": cluster.index, "workers": list(cluster.workers), "facts": facts}
    # The chief answers when its own time is over; it may have begun later.
    begun, last = time.monotonic(), "no answer"
    while time.monotonic() < begun + seconds:
        try:
            with socket.create_connection(split_address(cluster.workers[0]), timeout=_PATIENCE) as chief:
                _say(chief, hello)
                heard.set()
                answer = _hear(chief, max(0.01, begun + seconds + _PATIENCE - time.monotonic()))
        except OSError as error:  # not there yet, or a name that is not known yet
            answer, last = None, error.strerror or str(error) or type(error).__name__
        if answer is not None and answer.get("greeting") == _GREETING:
            if answer.get("fault"):
                raise ValueError(answer["fault"])
            return
        heard.clear()
        time.sleep(_PAUSE)
    raise TimeoutError(
        f"{cluster.name(0)}, the chief, did not come within {seconds:g} s ({last}); start every worker with the same "
        "command and its own index, or wait longer with --worker_timeout"
    )


def _say(connection: socket.socket, message: dict) -> None:
    with contextlib.suppress(OSError):  # somebody who has gone meanwhile is found out by TensorFlow
        connection.settimeout(_PATIENCE)
        connection.sendall(json.dumps(message).encode() + b"\n")


def _hear(connection: socket.socket, seconds: float) -> dict | None:
    """A message; None where the other side has gone, or says something else.

    Raises:
        TimeoutError: it does not come in time.
    """
    deadline, text = time.monotonic() + seconds, b""
    while not text.endswith(b"\n"):
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            part = connection.recv(4096)
        except ConnectionError:
            return None
        if not part or len(text) > _LONGEST:
            return None
        if time.monotonic() > deadline:
            raise TimeoutError
        text += part
        if not text.startswith(b"{"):  # another program, such as TensorFlow's server of a job that is just ending
            return None
    try:
        message = json.loads(text)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
