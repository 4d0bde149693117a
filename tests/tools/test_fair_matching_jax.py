"""The engine on JAX takes the very steps that `train` takes, and fills the folders that the tables are read from.

It runs in a process of its own, where Keras runs on JAX.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import keras_res3d
from keras_res3d.tasks.studies.budget import plan
from keras_res3d.tasks.studies.read import read_study
from keras_res3d.training.compile import compile_by_recipe, twin_of
from keras_res3d.training.fit import prepare_net

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = pathlib.Path(__file__).parents[2] / "tools"
pytestmark = [
    pytest.mark.skipif(not TOOLS.exists(), reason="the tools are not part of an installed package"),
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed"),
]

# Few videos, so that a run has few steps. The rest is the experiment's own.
SETTING = """
import sys, jax, numpy as np
import fair_matching, fair_matching_jax as engine
from keras_res3d.data.sources import motion
from keras_res3d.tasks.studies.budget import plan
from keras_res3d.tasks.studies.read import read_study
motion.SPLIT_SIZES.update(train=64, test=16)
fair_matching.BUDGET = 3e4
"""
STEPS = """
from keras_res3d.data.transform import preprocess_input
given = np.load(sys.argv[1])
options = fair_matching.options_of(4, 5)
(planned,) = [each for each in plan(read_study(fair_matching.STUDY), 8, options, 3e4) if each.name == sys.argv[3]]
trainer = engine.Trainer(planned, "motion", options, 1)
state = [[given[f"before/{v.path}"] for v in part]
         for part in (trainer.model.trainable_variables, trainer.model.non_trainable_variables)] + [trainer._slots]
losses, step = [], jax.jit(trainer.step)
for clips, labels in zip(given["clips"], given["labels"]):
    state, (loss, _) = step(state, preprocess_input(clips), labels)
    losses.append(loss)
after = [*zip(trainer.model.trainable_variables, state[0]), *zip(trainer.model.non_trainable_variables, state[1])]
np.savez(sys.argv[2], losses=np.array(losses), **{f"after/{v.path}": value for v, value in after})
"""


def in_jax(script: str, *words) -> str:
    """What a script prints in a process without TensorFlow, where Keras runs on JAX."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join([str(ROOT), str(TOOLS)])}
    refused = "import sys\nsys.modules['tensorflow'] = None\n"
    done = subprocess.run([sys.executable, "-c", refused + SETTING + script, *map(str, words)], env=environment,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", ["2.5D", "3D"])
def test_the_same_steps_as_train(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import fair_matching

    options = fair_matching.options_of(4, 5)
    planned = plan(read_study(fair_matching.STUDY), 8, options, 3e4)
    (planned,) = [each for each in planned if each.name == name]
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (3, 8, 4, 32, 32, 3), np.uint8)
    labels = rng.integers(0, 8, (3, 8)).astype(np.int32)
    net = prepare_net(planned.net, planned.sampling, 8, options, 64)
    before = {f"before/{v.path}": v.numpy() for v in net.variables}
    np.savez(tmp_path / "given.npz", clips=clips, labels=labels, **before)
    with twin_of(net, options, planned.sampling) as twin:
        compile_by_recipe(twin, options, options.total_steps(64))
        for batch in zip(clips, labels, strict=True):
            twin.train_on_batch(*batch)
    in_jax(STEPS, tmp_path / "given.npz", tmp_path / "found.npz", name)
    found = np.load(tmp_path / "found.npz")
    assert np.isfinite(found["losses"]).all() and found["losses"].shape == (3,)
    for variable in net.variables:
        moved = np.abs(variable.numpy() - before[f"before/{variable.path}"]).max()
        apart = np.abs(variable.numpy() - found[f"after/{variable.path}"]).max()
        assert apart <= 1e-3 * moved + 1e-6, variable.path


WHOLE = """
import pathlib, json
options = fair_matching.options_of(4, 2)
(planned,) = [each for each in plan(read_study(fair_matching.STUDY), 8, options, 1e4) if each.name == "MC1"]
log, scores = engine.Trainer(planned, "motion", options, 3)(0)
numbers, starts = engine.Trainer(planned, "motion", options, 3).order(1)
print(json.dumps({"log": log.splitlines(), "scores": scores, "numbers": numbers.tolist(), "starts": starts.tolist()}))
"""
SHARED = """
trained = []
class Trainer:
    compiled = 0.0
    def __init__(self, planned, data, options, clips):
        self.width = planned.net.width
    def __call__(self, seed):
        trained.append((self.width, seed))
        return "epoch,loss\\n1,2.0\\n", None if seed == 1 else {"video@1": self.width / 100, "seconds": 1.0}
engine.Trainer = Trainer
words = [sys.argv[1], "--engine", "jax", "--data", "motion", "--frames", "4", "--epochs", "2", "--seeds"]
fair_matching.main([*words, "2"])
first = len(trained)
fair_matching.main([*words, "3"])
print(first, len(set(trained)), len(trained))
"""


def test_a_whole_run(tmp_path):
    found = json.loads(in_jax(WHOLE).splitlines()[-1])
    assert found["log"][0] == "epoch,loss,clip@1" and len(found["log"]) == 3
    scores = found["scores"]
    assert scores["videos"] == 16 and scores["clips"] == 48 and 0 <= scores["video@1"] <= 1 and scores["seconds"] > 0
    # Two epochs of two steps: each has every video once, and clips of 4 of 16 frames begin at 0 to 12.
    numbers = np.array(found["numbers"]).reshape(2, 64)
    assert [sorted(epoch) for epoch in numbers.tolist()] == [list(range(64))] * 2 and (numbers[0] != numbers[1]).any()
    starts = np.array(found["starts"])
    assert starts.min() == 0 and starts.max() == 12


def test_each_net_is_trained_once_and_shared(tmp_path):
    """Training is made up; its seed 1 fails, and is tried again by the second call."""
    first, different, total = map(int, in_jax(SHARED, tmp_path).splitlines()[-1].split())
    cells = [tmp_path / "epochs2" / "motion" / "frames4" / count for count in ("all", "live", "macs")]
    nets = {(each["name"], each["width"]) for cell in cells for each in
            json.loads((cell / "study.json").read_text())["candidates"]}  # fmt: skip
    assert first == 2 * len(nets) and total == first + 2 * len(nets) and different <= 3 * len(nets)
    for cell in cells:
        results = keras_res3d.read_results(cell)
        assert results.header["engine"] == "jax" and len(results.failures) == 7
        for each in results.candidates:
            assert sorted(each.runs) == [0, 2] and each.runs[0]["video@1"] == each.facts["width"] / 100
