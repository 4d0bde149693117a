"""What works on Keras' other backends, where they are installed, and how the rest is refused."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d.nets.backend import require_tensorflow
from keras_res3d.nets.batch_norm import fuse_batch_norm
from keras_res3d.nets.zoo import ZOO
from keras_res3d.weights.trim import trim_weights
from tests.export.nets import randomise

ROOT = pathlib.Path(__file__).resolve().parents[2]
NET = replace(ZOO["res3d18"], width=4, crop=32, blocks=(1, 1, 1, 1), classes=5)


def test_tensorflow_is_asked_for_in_one_line(monkeypatch):
    require_tensorflow("training")  # it is there
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    line = "training needs TensorFlow, and KERAS_BACKEND sets Keras to jax: set KERAS_BACKEND=tensorflow"
    with pytest.raises(RuntimeError, match=f"^{line}$"):
        require_tensorflow("training")
    monkeypatch.delenv("KERAS_BACKEND")
    with pytest.raises(RuntimeError, match=r"keras\.json sets Keras to jax"):
        require_tensorflow("training")
    with pytest.raises(RuntimeError, match=r"^fuse_batch_norm needs TensorFlow"):
        fuse_batch_norm(keras.Sequential())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"^training needs TensorFlow, which is not installed: pip install"):
        require_tensorflow("training")


# Runs on the other backend; prints what it found. The files are TensorFlow's.
SCRIPT = """
import json, sys
import keras, numpy as np, keras_res3d
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.batch_norm import fuse_batch_norm
from keras_res3d.nets.recognise import architecture_of
folder = sys.argv[1]
net = Architecture(**json.load(open(f"{folder}/net.json")))
clips = np.load(f"{folder}/clips.npy")
predict = lambda model: np.asarray(model.predict(clips, verbose=0)).tolist()
model = keras_res3d.build_model(net, weights=f"{folder}/a.weights.h5")
found = {"backend": keras.backend.backend(), "weights": predict(model)}
found["keras"] = predict(keras_res3d.build_model(net, weights=f"{folder}/a.keras"))
found["loaded"] = predict(keras.models.load_model(f"{folder}/a.keras", safe_mode=True))
trimmed = keras_res3d.build_model(net, trim=True)
keras_res3d.trim_weights(model, trimmed)
found["trimmed"] = predict(trimmed)
found["recognised"] = architecture_of(model) == net and architecture_of(trimmed) == net
found["frozen"] = len(keras_res3d.freeze(model))
keras_res3d.unfreeze(model)
found["trainable"] = sum(int(np.prod(v.shape)) for v in model.trainable_variables) == keras_res3d.count_params(net)
model.compile("sgd", "sparse_categorical_crossentropy")
found["loss"] = float(model.fit(clips, np.arange(2), verbose=0).history["loss"][0])
try:
    fuse_batch_norm(model)
except (ImportError, RuntimeError) as error:
    found["refusal"] = str(error)
print(json.dumps(found))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_nets_work_on_other_backends(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    model = randomise(keras_res3d.build_model(NET))
    clips = np.random.default_rng(0).normal(size=(2, *NET.input_shape)).astype("float32")
    (tmp_path / "net.json").write_text(json.dumps(NET.to_dict()))
    np.save(tmp_path / "clips.npy", clips)
    model.save(tmp_path / "a.keras")
    model.save_weights(tmp_path / "a.weights.h5")
    environment = {**os.environ, "KERAS_BACKEND": backend}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout.splitlines()[-1])
    trimmed = keras_res3d.build_model(NET, trim=True)
    trim_weights(model, trimmed)
    for kind in ("weights", "keras", "loaded", "trimmed"):
        np.testing.assert_allclose(found[kind], model.predict(clips, verbose=0), rtol=1e-4, atol=1e-6, err_msg=kind)
    assert found["backend"] == backend and found["recognised"] and found["trainable"] and found["frozen"] == 20
    assert np.isfinite(found["loss"]) and found["refusal"].startswith("fuse_batch_norm needs TensorFlow")
