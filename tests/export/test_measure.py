"""Exports are run in a process of their own."""

import subprocess
import sys

import numpy as np
import pytest

from keras_res3d.export.formats import load_runner
from keras_res3d.export.measure import in_batches, median_seconds, run_export


def test_run_export(exported, clips):
    path, _ = exported("litert")
    found = run_export(path, clips[:5])
    np.testing.assert_allclose(found.scores, load_runner(path)(clips[:5]), atol=1e-6)
    assert found.latency_seconds > 0 and 1e7 < found.peak_memory_bytes < 3e8
    with pytest.raises(RuntimeError, match=r"net\.onnx failed with exit code 1"):
        run_export(path.with_suffix(".onnx"), clips[:1])


def test_running_litert_loads_no_tensorflow(exported):
    code = ("import sys; from keras_res3d.export.formats import load_runner; load_runner(sys.argv[1]); "
            "assert not {'tensorflow', 'keras'} & set(sys.modules)")  # fmt: skip
    subprocess.run([sys.executable, "-c", code, str(exported("litert")[0])], check=True)


def test_median_and_batches():
    calls = []
    assert median_seconds(lambda: calls.append(1), repeats=3) >= 0 and len(calls) == 4
    sizes = []
    clips = np.arange(9).reshape(9, 1)
    assert np.array_equal(in_batches(lambda part: sizes.append(len(part)) or part, clips, 4), clips)
    assert sizes == [4, 4, 1]
