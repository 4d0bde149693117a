"""tools/convert_weights.py, as a maintainer runs it."""

import hashlib
import json
import pathlib
import subprocess
import sys

import numpy as np

from keras_res3d.nets.build import build_graph
from keras_res3d.nets.zoo import ZOO
from keras_res3d.weights.load import load_weights
from tests.weights import nets

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "convert_weights.py"


def run(*arguments):
    return subprocess.run([sys.executable, str(TOOL), *map(str, arguments)], capture_output=True, text=True)


def test_a_file_is_converted_checked_and_recorded(tmp_path):
    source = nets.caffemodel(tmp_path / "original.caffemodel", ZOO["res2d18"], raw=True)
    output, report = tmp_path / "out" / "res2d18.weights.h5", tmp_path / "report.json"
    where = ("--source", source, "--output", output, "--report", report)
    done = run(*where, "--net", "res2d18", "--licence", "CC BY-NC 3.0")
    assert done.returncode == 0, done.stderr
    assert "agrees: worst layer" in done.stdout
    assert json.loads(report.read_text())["agrees"]
    record = json.loads((tmp_path / "out" / "res2d18.json").read_text())
    assert record["source"] == "original.caffemodel"
    assert record["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert record["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert (record["licence"], record["frames"], record["converter"]) == ("CC BY-NC 3.0", 1, 1)
    assert {path.name for path in output.parent.iterdir()} == {"res2d18.weights.h5", "res2d18.json"}
    ours, theirs = (build_graph(ZOO["res2d18"]) for _ in range(2))
    load_weights(ours, output)
    load_weights(theirs, source)
    assert all(np.array_equal(a, b) for a, b in zip(ours.weights, theirs.weights, strict=True))


def test_a_damaged_file_leaves_nothing_behind(tmp_path):
    source = nets.caffemodel(tmp_path / "original.caffemodel", nets.RES3D)
    source.write_bytes(source.read_bytes()[:-100])
    done = run("--source", source, "--net", "sr18", "--output", tmp_path / "out" / "a.keras")
    assert done.returncode != 0
    assert "original.caffemodel: field 100" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
