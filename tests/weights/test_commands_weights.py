"""keras-res3d weights: the list, and getting one row."""

import dataclasses

import pytest

from keras_res3d.commands.main import main
from keras_res3d.nets.build import build_graph
from keras_res3d.nets.zoo import ZOO
from keras_res3d.weights import catalog, store
from keras_res3d.weights.catalog import WeightsEntry
from tests.weights.serving import serving


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(store.MIRROR_VARIABLE, raising=False)


def test_list(capsys):
    first, second = catalog.entries()[:2]
    store.cache_home().mkdir()
    store.original_path(second).write_bytes(b"x")
    store.converted_path(first).write_bytes(b"x")
    assert main(["weights"]) == 0
    shown = capsys.readouterr().out
    lines = {line.split()[0]: line for line in shown.splitlines() if line}
    for entry in catalog.entries():
        assert entry.licence in lines[entry.name] and entry.trained_on in lines[entry.name]
    assert "clip@1 48.8, video@1 65.6, video@5 87.8" in lines["res3d18/sports1m"]
    assert lines["res3d18/sports1m"].endswith("converted") and lines["res3d18/ucf101"].endswith("cached")
    assert "mean volume" in shown and str(store.cache_home()) in shown


def test_get(tmp_path, monkeypatch, capfd):
    tiny = dataclasses.replace(ZOO["sr18"], name="tiny", width=2, blocks=(1, 1, 1, 1), crop=32, classes=3)
    build_graph(tiny).save(tmp_path / "tiny.keras")
    monkeypatch.setitem(ZOO, "tiny", tiny)
    with serving() as server:
        server.files["tiny.keras"] = (tmp_path / "tiny.keras").read_bytes()
        row = WeightsEntry("tiny", "x", server.url("tiny.keras"), "keras", 3, "ucf101", "CC0", "nothing", frames=4,
                           crop=(32, 32))  # fmt: skip
        monkeypatch.setattr(catalog, "ROWS", (row,))
        assert main(["weights", "get", "tiny/x"]) == 0
        server.files.clear()
        assert main(["weights", "get", "tiny/x"]) == 0
    shown = capfd.readouterr()
    assert f"ready: {store.converted_path(row)}" in shown.out and "weights='x'" in shown.out
    assert shown.err.count("licence CC0") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["got", "x"], "expected nothing, or: get NAME"),
        (["get"], "expected nothing, or: get NAME"),
        (["get", "sports1m"], "expected one of res3d18/sports1m"),
        (["get", "c3d/ucf101"], "for c3d; there are 'sports1m'"),
    ],
)
def test_wrong_calls(arguments, message, capsys):
    assert main(["weights", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_help(capsys):
    assert main(["weights", "--help"]) == 0
    assert "keras-res3d weights get res3d18/sports1m" in capsys.readouterr().out
