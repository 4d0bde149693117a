"""A SavedModel is read by TensorFlow alone."""

import json
import subprocess
import sys

import numpy as np

from keras_res3d.export.formats import load_runner

PLAIN_TENSORFLOW = """
import sys, json, numpy as np, tensorflow as tf
path, clips, result = sys.argv[1:]
sys.modules["keras_res3d"] = None  # an import of it would raise
net = tf.saved_model.load(path)
scores = net.signatures["serving_default"](clip=tf.constant(np.load(clips)))["output"]
np.save(result, scores.numpy())
print(json.load(open(path + "/assets/model.json"))["labels"])
"""


def test_a_saved_model_needs_no_line_of_this_package(exported, clips, card, tmp_path):
    path, _ = exported("saved_model")
    np.save(tmp_path / "clips.npy", clips[:3])
    arguments = [path, tmp_path / "clips.npy", tmp_path / "scores.npy"]
    done = subprocess.run([sys.executable, "-c", PLAIN_TENSORFLOW, *map(str, arguments)],
                          cwd=tmp_path, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.replace("'", '"')) == list(card.labels)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), load_runner(path)(clips[:3]), atol=1e-6)
