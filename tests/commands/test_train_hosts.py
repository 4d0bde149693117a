"""`keras-res3d train --strategy multi_worker`: one command on several hosts, and what is said where it fails."""

import json
import signal
import socket
import time

import pytest

from keras_res3d.commands.main import main
from tests.training.workers import cluster, finish, start

FLAGS = ["--data", "motion", "--net", "d10", "--width", "2", "--crop", "16", "--iterations", "4", "--batch_size", "4",
         "--strategy", "multi_worker"]  # fmt: skip
TWO = "host0:2222,host1:2222"


@pytest.mark.parametrize(
    "flags, config, message",
    [
        ([], "", "nothing says which workers there are; give --workers host:port,host:port and --worker_index"),
        (["--workers", "3"], "", "nothing says which workers there are"),
        ([], "{", "TF_CONFIG is no JSON"),
        (["--workers", TWO], "", "--worker_index is missing"),
        (["--workers", TWO, "--worker_index", "2"], "", "--worker_index is 2; expected 0 to 1"),
        (["--workers", "host0,host1:1", "--worker_index", "0"], "", "--workers has 'host0'; expected host:port"),
        (["--worker_index", "0"], "", "--worker_index is 0, and --workers host:port,host:port is missing"),
        (["--workers", TWO, "--worker_index", "0", "--strategy", "none"], "", "go with --strategy multi_worker alone"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, capsys, monkeypatch, flags, config, message):
    monkeypatch.setenv("TF_CONFIG", config)
    assert main(["train", *FLAGS, "--output", str(tmp_path / "run"), *flags]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("keras-res3d train: ") and message in line
    assert not (tmp_path / "run").exists()


def test_workers_is_a_number_or_addresses(tmp_path, capsys):
    assert main(["train", *FLAGS, "--output", str(tmp_path / "run"), "--workers", "many"]) == 2
    assert "expected a number from 1 on, or the workers of a job as host:port,host:port" in capsys.readouterr().err


def test_several_hosts_train_alone(capsys):
    assert main(["search", "--help"]) == 0
    found = capsys.readouterr().out
    assert "--worker_timeout" not in found and "--worker_index" not in found


def test_a_port_that_is_taken(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "")
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        hosts = ["--workers", f"localhost:{port},localhost:1", "--worker_index", "0"]
        assert main(["train", *FLAGS, "--output", str(tmp_path / "run"), *hosts]) == 1
    assert f"port {port} of worker 0 (localhost:{port}) is taken by another program" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_worker_that_never_comes(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "")
    addresses = cluster(2)
    hosts = ["--workers", ",".join(addresses), "--worker_index", "0", "--worker_timeout", "0.5"]
    assert main(["train", *FLAGS, "--output", str(tmp_path / "run"), *hosts]) == 1
    assert f"worker 1 ({addresses[1]}) did not come within 0.5 s" in capsys.readouterr().err


def processes(folders, own=((), ())):
    """The command on as many workers as folders, each started in its folder, with flags of its own."""
    workers = cluster(len(folders))
    command = ["-m", "keras_res3d.commands.main", "train", *FLAGS, "--output", "run", "--worker_timeout", "900"]
    return [
        start([*command, "--workers", ",".join(workers), "--worker_index", str(index), *each], cwd=folder)
        for index, (folder, each) in enumerate(zip(folders, own, strict=True))
    ]


@pytest.mark.slow
def test_the_same_command_on_two_hosts(tmp_path):
    (code, first, errors, _), (other, second, *_) = finish(processes([tmp_path] * 2))
    assert (code, other) == (0, 0), errors
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert written == {"model.keras", "model.json", "log.csv", "curves.png"}
    assert json.loads((tmp_path / "run" / "model.json").read_text())["training"]["finished"] is True
    assert "recipe modern: 4 steps of 4 clips" in first and "wrote run/model.keras" in first
    assert second.startswith("worker 1 (localhost:") and "recipe" not in second and "wrote" not in second
    # A finished run is refused by each by itself, before it waits for anybody.
    for code, _, errors, _ in finish(processes([tmp_path] * 2)):
        assert code == 1 and "holds a finished run" in errors


@pytest.mark.slow
@pytest.mark.parametrize(
    "folders, own, message",
    [
        (("a", "b"), ((), ()), "the output folder run is not the same on all hosts: what worker 0 (localhost:"),
        (("a", "a"), ((), ("--seed", "3")), "the chief:\n  options.seed: 0 on the chief, 3 there"),
        (("a", "a"), (("--batch_size", "5"),) * 2, "5 clips for 2 replicas; expected a multiple of 2"),
    ],
    ids=["folder", "seed", "batch"],
)
def test_hosts_that_do_not_fit_together(tmp_path, folders, own, message):
    for name in folders:
        (tmp_path / name).mkdir(exist_ok=True)
    for code, _, errors, _ in finish(processes([tmp_path / name for name in folders], own)):
        assert code == 1 and message in errors, errors
        assert "Traceback" not in errors


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_worker_that_is_gone_ends_the_others_within_30_seconds(tmp_path, sent):
    pair = processes([tmp_path] * 2, [["--iterations", "1000000", "--checkpoint_steps", "50"]] * 2)
    try:
        while not (tmp_path / "run" / "checkpoint.npz").exists():
            assert pair[0].poll() is None and pair[1].poll() is None
            time.sleep(0.2)
        pair[1].send_signal(sent)
        begun = time.monotonic()
        _, errors = pair[0].communicate(timeout=60)
        assert time.monotonic() - begun < 30
    finally:
        for process in pair:
            process.kill()
    assert pair[0].returncode == 1 and "Traceback" not in errors
    assert "worker 1 (localhost:" in errors and "start all workers again with the same commands" in errors
