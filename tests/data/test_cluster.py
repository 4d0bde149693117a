"""Work on a Ray cluster: the results of one host, in order, each once, whatever dies on the way; bounded memory."""

import collections
import sys
import time
import types

import numpy as np
import pytest

from keras_res3d.data.children import map_in_children
from keras_res3d.data.cluster import connected, map_on_cluster
from keras_res3d.data.open import read_data_set
from keras_res3d.data.pack import pack
from keras_res3d.remote import StoreError

from ..ray_nodes import noted, started, two_nodes, workers


@pytest.fixture(scope="module")
def nodes():
    pytest.importorskip("ray.data")
    with two_nodes() as found:
        yield found


@pytest.fixture(scope="module")
def videos(tmp_path_factory, make_video):
    """A list of 24 videos, of which one is bad."""
    folder, rng = tmp_path_factory.mktemp("videos"), np.random.default_rng(0)
    for number in range(24):
        make_video(folder / f"v{number:02d}.mp4", rng.integers(0, 256, (20 + number, 36, 48, 3), np.uint8))
    (folder / "v05.mp4").write_bytes(b"no video")
    lines = ["path,label", *(f"v{number:02d}.mp4,{'xy'[number % 2]}" for number in range(24))]
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_without_ray_the_engine_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"the engine ray needs .*pip install 'keras-res3d\[ray\]'"):
        list(map_on_cluster(noted, [(str(tmp_path), 0, 0)]))
    assert list(map_on_cluster(noted, [])) == []


def test_a_cluster_that_is_not_there_is_named(monkeypatch):
    pytest.importorskip("ray.data")
    with pytest.raises(ValueError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 "), connected("127.0.0.1:1"):
        pass
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ValueError, match="no Ray cluster answers at this host "), connected(None):
        pass


def test_an_engine_must_be_known(tmp_path):
    data = read_data_set("motion")
    with pytest.raises(ValueError, match="engine is 'dask'; expected one of local, ray"):
        pack(data, tmp_path, engine="dask")
    with pytest.raises(ValueError, match="ray_address is 'auto' and engine 'local'; expected an address with engine"):
        pack(data, tmp_path, ray_address="auto")


def test_an_address_that_is_none_names_the_flag(monkeypatch):
    """What `ray.init` says of it has neither the flag nor what is expected."""

    def init(**_):
        raise ValueError("Invalid address format: nonsense")

    ray = types.ModuleType("ray")
    ray.data, ray.init, ray.is_initialized = types.ModuleType("ray.data"), init, lambda: False
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", ray.data)
    said = r"{} is 'nonsense'; expected host:6379, or auto \(Invalid address format: nonsense\)"
    with pytest.raises(ValueError, match=said.format("--ray_address")), connected("nonsense"):
        pass
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    with pytest.raises(ValueError, match=said.format("RAY_ADDRESS")), connected(None):
        pass


@pytest.mark.slow
def test_results_are_those_of_one_host_in_order(nodes, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    items = [(str(tmp_path / "there"), number, 0.01 * (number % 3)) for number in range(30)]
    here = map_in_children(noted, [(str(tmp_path / "here"), *item[1:]) for item in items], 1)
    assert list(map_on_cluster(noted, items)) == list(here)
    assert sorted(started(tmp_path / "there")) == list(range(30))
    with pytest.raises(StoreError, match="s3://b/99"):
        list(map_on_cluster(noted, [(str(tmp_path / "there"), 99, 0)]))


@pytest.mark.slow
def test_what_waits_is_bounded(nodes, tmp_path):
    """Four hundred megabytes go through stores of 80 while nobody takes them."""
    results = map_on_cluster(noted, [(str(tmp_path), 1000 + number, 0) for number in range(400)])
    assert next(results).value[0] == 1000
    before = -1
    while before != (before := len(started(tmp_path))):
        time.sleep(3)
    assert 4 <= before < 300
    assert [outcome.value[0] for outcome in results] == list(range(1001, 1400))
    assert max(collections.Counter(started(tmp_path)).values()) == 1


@pytest.mark.slow
def test_a_node_that_dies_loses_nothing(nodes, tmp_path):
    results = map_on_cluster(noted, [(str(tmp_path), 1000 + number, 0.3) for number in range(160)])
    found = [next(results).value[0]]
    while len(workers(tmp_path)) < 2:  # both nodes are at work
        found.append(next(results).value[0])
    begun = len(started(tmp_path))
    nodes.kill_one()
    try:
        found += [outcome.value[0] for outcome in results]
    finally:
        nodes.add_one()
    assert begun < 160 and found == list(range(1000, 1160))


@pytest.mark.slow
def test_shards_are_the_same_bytes_when_a_node_dies(nodes, videos, tmp_path):
    data, options = read_data_set(videos), {"resize": (36, 48), "shard_bytes": 200_000}
    here = pack(data, tmp_path / "here", **options, workers=1)
    assert len(here["shards"]) > 3 and [video["name"] for video in here["left_out"]] == ["v05.mp4"]

    def stop(done, total):
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(data, tmp_path / "there", **options, engine="ray", progress=stop)
    kept = contents(tmp_path / "there")
    assert "shard-00000.tfrecord" in kept and "manifest.json" not in kept
    seen = []

    def kill(done, total):
        seen.append(done)
        if len(seen) == 4:
            nodes.kill_one()

    try:
        there = pack(data, tmp_path / "there", **options, engine="ray", progress=kill)
    finally:
        nodes.add_one()
    assert there == here and contents(tmp_path / "there") == contents(tmp_path / "here")
    assert seen[0] > 0 and seen[-1] == 24  # the second run began after the shards that were whole
    seen.clear()
    options["progress"] = lambda done, total: seen.append(done)
    assert pack(data, tmp_path / "there", **options, engine="ray") == here and seen == [24]
