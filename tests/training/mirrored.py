"""Runs on one device and on two logical CPUs in one process; what came out goes to standard output as JSON."""

import json
import pathlib
import sys
import tempfile

import numpy as np

from keras_res3d.training.distributed import average_moving_statistics, make_logical_cpus, strategy_for
from keras_res3d.training.fit import TrainingOptions
from keras_res3d.training.step import NO_TOTALS, Learner
from tests.training.runs import run, tiny_net

MIRRORED = {"strategy": "mirrored", "cpu_replicas": 2}


def distance(first, second):
    """Largest difference of the weights, batch norm's statistics included; relative where they are above 1."""
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return max(float((np.abs(a - b) / np.maximum(1, np.abs(a))).max()) for a, b in pairs)


def results(folder):
    """Largest differences and counts, by name."""
    one, history = run(folder / "one", validation=7)
    two, other = run(folder / "two", validation=7, **MIRRORED)
    start = tiny_net(TrainingOptions())
    found = {
        "moved": distance(one, start),
        "weights": distance(one, two),
        "loss": max(abs(a - b) for a, b in zip(history["loss"], other["loss"], strict=True)),
        "val": [history["val_video@1"], other["val_video@1"]],
    }
    clip = {"clip_norm": 0.1, "validation": 0, "epochs": 1}
    found["clipped"] = distance(run(folder / "c1", **clip)[0], run(folder / "c2", **clip, **MIRRORED)[0])
    # Five clips: three for one replica, two for the other.
    odd = {"batch_size": 5, "videos": 5, "validation": 1, "epochs": 1}
    found["odd"] = distance(run(folder / "o1", **odd)[0], run(folder / "o2", **odd, **MIRRORED)[0])
    try:
        run(folder / "few", batch_size=1, videos=1, **MIRRORED)
    except ValueError as error:
        found["too_few"] = str(error)
    return found


def apart(folder):
    """Without synchronised batch norm: differences between replicas before and after they agree, and between runs."""
    options = TrainingOptions(synchronized=False, batch_size=8, **MIRRORED)
    strategy, net = strategy_for(options), tiny_net(options)
    learner = Learner(net, options, 4, "res3d", strategy)
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (1, 8, 4, 24, 24, 3), np.uint8)
    clips[:, 4:] //= 4
    learner.train(clips, np.zeros((1, 8), np.int32), np.ones((1, 8), np.float32), np.array(NO_TOTALS), np.array(0.0))
    mean = net.get_layer("bn_conv1").moving_mean

    def parts():
        return [part.numpy() for part in strategy.experimental_local_results(mean.value)]

    before = parts()
    average_moving_statistics(net, strategy)
    after = parts()
    learner.close()
    scores = learner.predict(clips[0, :3])
    run(folder / "apart", synchronized=False, epochs=1, **MIRRORED)
    return {
        "replicas_before": float(np.abs(before[0] - before[1]).max()),
        "replicas_after": float(np.abs(after[0] - after[1]).max()),
        "mean": float(np.abs(after[0] - (before[0] + before[1]) / 2).max()),
        "scored": list(scores.shape),
        "kernels": max(
            float(np.ptp([part.numpy() for part in strategy.experimental_local_results(v.value)], axis=0).max())
            for v in net.trainable_variables
        ),
        "scores_of_one_clip": float(np.abs(learner.predict(clips[0, :1]) - scores[:1]).max()),
    }


if __name__ == "__main__":
    make_logical_cpus(2)
    with tempfile.TemporaryDirectory() as name:
        found = {**results(pathlib.Path(name)), **apart(pathlib.Path(name))}
    pathlib.Path(sys.argv[1]).write_text(json.dumps(found))
