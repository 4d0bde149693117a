"""Workers that wait for one another, as threads of this process: they come in any order, differ, or do not come."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from keras_res3d.training.cluster import Cluster, split_address
from keras_res3d.training.meeting import meet
from tests.training.workers import cluster


def meeting(clusters, facts=None, seconds=10.0, delays=None):
    """What `meet` raised on each worker, None where nothing."""

    def one(index):
        time.sleep((delays or {}).get(index, 0))
        try:
            meet(clusters[index], (facts or {}).get(index, {"keras": "3"}), seconds)
        except Exception as error:
            return error
        return None

    with ThreadPoolExecutor(len(clusters)) as pool:
        return list(pool.map(one, range(len(clusters))))


def workers(count):
    addresses = tuple(cluster(count))
    return [Cluster(addresses, index) for index in range(count)]


@pytest.mark.parametrize("late", [0, 2])
def test_all_go_on_when_the_last_one_has_come(late):
    begun = time.monotonic()
    assert meeting(workers(3), delays={late: 0.5}) == [None, None, None]
    assert time.monotonic() - begun >= 0.5


def test_one_worker_waits_for_nobody():
    meet(Cluster(("nowhere:1",)), {}, 0.1)


def test_a_worker_that_does_not_come_is_named():
    chief, one, two = workers(3)
    errors = meeting([chief, one], seconds=0.7)
    message = f"{two.name()} did not come within 0.7 s"
    assert isinstance(errors[0], TimeoutError) and message in str(errors[0]) and "--worker_timeout" in str(errors[0])
    assert message in str(errors[1])  # the worker that came hears it too


def test_who_is_waited_for_is_told_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr("keras_res3d.training.meeting._FIRST_WORD", 0.1)
    monkeypatch.setattr("keras_res3d.training.meeting._FURTHER_WORDS", 0.2)
    chief, one, two = workers(3)
    meeting([chief, one], seconds=0.7)
    lines = capsys.readouterr().err.splitlines()
    assert lines.count(f"waiting for {two.name()}, up to 0.7 s") >= 2
    assert f"waiting for those for whom {chief.name()}, the chief, waits, up to 0.7 s" in lines
    with pytest.raises(TimeoutError):
        meet(two, {}, 0.5)
    assert f"waiting for {chief.name()}, the chief, up to 0.5 s" in capsys.readouterr().err


def test_a_chief_that_does_not_come_is_named():
    with pytest.raises(TimeoutError, match=r"worker 0 \(localhost:\d+\), the chief, did not come within 0.5 s"):
        meet(workers(2)[1], {}, 0.5)


def test_a_port_that_is_taken_is_named():
    chief, _ = workers(2)
    port = split_address(chief.workers[0])[1]
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("", port))
        other.listen()
        with pytest.raises(OSError, match=rf"port {port} of worker 0 \(localhost:{port}\) is taken"):
            meet(chief, {}, 5)


def test_workers_that_differ_are_refused_on_all_hosts():
    pair = workers(2)
    errors = meeting(pair, {0: {"keras": "3", "devices": "8"}, 1: {"keras": "4", "devices": "8"}})
    expected = f"{pair[1].name()} differs from the chief; keras: 3 on the chief, 4 there"
    assert [str(error) for error in errors] == [expected] * 2


def test_other_lists_of_workers_are_refused():
    chief, other = workers(2)
    errors = meeting([chief, Cluster((*other.workers, "host:1"), 1)])
    assert all("has the workers" in str(error) and "host:1" in str(error) for error in errors)


def test_strangers_and_workers_that_were_started_again_do_not_disturb():
    pair = workers(2)
    port = split_address(pair[0].workers[0])[1]

    def disturb():
        for text in (b"GET / HTTP/1.1\r\n\r\n", b"", b"{}\n", b'{"greeting": "hello"}\n', b"[" * 100_000):
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                try:
                    with socket.create_connection(("localhost", port), timeout=1) as caller:
                        caller.sendall(text)
                    break
                except ConnectionRefusedError:
                    time.sleep(0.05)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(disturb)
        assert meeting(pair, delays={1: 1.0}, seconds=20) == [None, None]
        done.result()
