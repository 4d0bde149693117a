"""TF_CONFIG read and set, and what is wrong with it."""

import json
import os
import threading
import warnings

import pytest

from keras_res3d.training.cluster import ALONE, Cluster, cluster_of, read_tf_config, set_tf_config, split_address
from keras_res3d.training.folder import held

WORKERS = ["host0:2222", "host1:2222"]


def config(workers=None, index=1, kind="worker", **jobs):
    cluster = jobs or {"worker": WORKERS if workers is None else workers}
    return {"cluster": cluster, "task": {"type": kind, "index": index}}


def test_workers_in_order_and_which_of_them_this_is():
    found = read_tf_config({"TF_CONFIG": json.dumps(config())})
    assert found == Cluster(("host0:2222", "host1:2222"), 1) and not found.is_chief
    assert found.name() == "worker 1 (host1:2222)" and found.name(0) == "worker 0 (host0:2222)"


def test_a_chief_comes_before_the_workers():
    jobs = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    assert cluster_of(config(index=0, kind="chief", **jobs)) == Cluster(("a:1", "b:1", "c:1"), 0)
    assert cluster_of(config(index=1, **jobs)) == Cluster(("a:1", "b:1", "c:1"), 2)


def test_addresses():
    assert split_address("host:80") == ("host", 80) and split_address("[::1]:80") == ("::1", 80)


@pytest.mark.parametrize(
    "given, message",
    [
        ("", "nothing says which workers there are; give --workers"),
        ("{", "TF_CONFIG is no JSON"),
        ("[]", "TF_CONFIG has no cluster"),
        ({"cluster": []}, r"has cluster \[\]; expected an object"),
        ({"cluster": {"worker": WORKERS}}, "has no task;"),
        (config(index=2), "has task.index 2; expected 0 to 1, since there are 2 of job worker"),
        (config(index=-1), "has task.index -1"),
        (config(index="1"), "has task.index '1'; expected a number"),
        (config(index=True), "has task.index True"),
        (config(kind="ps"), "has task.type 'ps'; expected one of worker"),
        (config(worker=WORKERS, ps=["x:1"]), "has the jobs ps; expected worker"),
        (config(chief=["a:1", "b:1"]), "has 2 chiefs"),
        (config([]), "has no worker"),
        (config("host0:2222"), "expected a list of host:port"),
        (config(["host0", "host1:2222"]), "has the worker 'host0'; expected host:port"),
        (config(["host0:2222", "host1:x"]), "'host1:x'"),
        (config(["host0:2222", "host1:70000"]), "'host1:70000'"),
        (config(["host0:2222", 7]), "has the worker 7"),
        (config(["host0:2222", "host0:2222"]), "has host0:2222 twice"),
    ],
)
def test_what_is_wrong_is_said(given, message):
    text = given if isinstance(given, str) else json.dumps(given)
    with pytest.raises(ValueError, match=message):
        read_tf_config({"TF_CONFIG": text})


def test_flags_set_tf_config(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "")
    set_tf_config(WORKERS, 1)
    assert json.loads(os.environ["TF_CONFIG"]) == config()
    set_tf_config(WORKERS, 1)  # the same again
    with pytest.raises(ValueError, match="differ from TF_CONFIG"):
        set_tf_config(WORKERS, 0)


@pytest.mark.parametrize(
    "workers, index, message",
    [
        (WORKERS, 2, "--worker_index is 2; expected 0 to 1"),
        (WORKERS, None, "--worker_index is missing"),
        (["host0"], 0, "--workers has 'host0'; expected host:port"),
        (["host0:1", "host0:1"], 0, "host0:1 twice"),
    ],
)
def test_wrong_flags(monkeypatch, workers, index, message):
    monkeypatch.setenv("TF_CONFIG", "")
    with pytest.raises(ValueError, match=message):
        set_tf_config(workers, index)
    assert not os.environ["TF_CONFIG"]


def refused(folder, cluster):
    """What a second run says, which is a thread here, while a first one holds the folder."""
    said = []

    def second():
        try:
            with held(folder, cluster):
                pass
        except ValueError as error:
            said.append(str(error))

    with held(folder, cluster):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    return said[0]


def test_a_second_run_hears_of_its_index(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    expected = "wait for it, or choose another output"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refused(tmp_path, ALONE).endswith(f"trains in {tmp_path}; {expected}")
    index = r"if that is worker 0 (host0:2222) too, give each worker its own --worker_index (task.index of TF_CONFIG)"
    assert refused(tmp_path, Cluster(tuple(WORKERS), 0)).endswith(f"; {index}; otherwise {expected}")


def test_a_run_by_itself_where_tf_config_names_several_is_told(tmp_path, monkeypatch):
    together = "TF_CONFIG names 2 workers, which only --strategy multi_worker lets train together"
    monkeypatch.setenv("TF_CONFIG", json.dumps(config()))
    with pytest.warns(UserWarning, match=f"this process trains by itself: {together}"):
        assert f"; {together}; otherwise wait" in refused(tmp_path, ALONE)
    for text in ("no JSON", json.dumps(config(workers=["host0:2222"], index=0))):
        monkeypatch.setenv("TF_CONFIG", text)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert "TF_CONFIG" not in refused(tmp_path, ALONE)
