"""The benchmark of Keras' other backends runs on a processor too, where it finds that both nets are the same."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NEEDED = ("torch", "torchvision")


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_both_nets_agree_and_are_timed(backend, tmp_path):
    if missing := [name for name in (backend, *NEEDED) if importlib.util.find_spec(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    words = ["--device", "cpu", "--batch", "1", "--rounds", "1", "--dtypes", "float32", "--json", "found.json"]
    environment = {**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tools" / "benchmark_gpu.py"), *words]
    run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    agreement, *times = json.loads((tmp_path / "found.json").read_text())["results"]
    differences = {what: float(difference) for what, difference, _ in agreement["rows"]}
    assert differences["outputs"] < 1e-5 and differences["loss of step 2"] < 1e-3
    assert [list(each["values"]) for each in times] == [
        [f"keras_res3d on {backend}", "torchvision", "torchvision, channels last"]
    ] * 2
