"""The engine on JAX takes the very steps that `train` takes, and fills the folders that the tables are read from.

It runs in a process of its own, where Keras runs on JAX.
"""

from __future__ import annotations

import importlib.util
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

ROOT = pathlib.Path(keras_res3d.__file__).parents[1]
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
    print(found["losses"])
    for variable in net.variables:
        moved = np.abs(variable.numpy() - before[f"before/{variable.path}"]).max()
        apart = np.abs(variable.numpy() - found[f"after/{variable.path}"]).max()
        print(variable.path, moved, apart)
        assert apart <= 1e-3 * moved + 1e-6, variable.path
