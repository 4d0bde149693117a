"""Runs on one device and on two logical CPUs in one process; what came out goes to standard output as JSON."""

import contextlib
import json
import pathlib
import sys
import tempfile

import numpy as np
import tensorflow as tf

from keras_res3d.data.batches import training_stream, video_batches
from keras_res3d.training import checkpoint
from keras_res3d.training.callbacks import Speed
from keras_res3d.training.compile import compile_by_recipe, twin_of
from keras_res3d.training.distributed import average_moving_statistics, make_logical_cpus, strategy_for
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.training.validate import Predictor, ValidateVideos
from tests.training import workers
from tests.training.runs import SAMPLING, Few, run, run_labelled, tiny_net
from tests.training.test_callbacks import Kill, fit_resumable

MIRRORED = {"strategy": "mirrored", "cpu_replicas": 2}


def distance(first, second):
    """Of the nets' weights, as of `workers.distance`."""
    return workers.distance(first.get_weights(), second.get_weights())


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
    mixed = {"mixup": 0.4, "label_smoothing": 0.1, "ema": 0.9, "validation": 1, "epochs": 1}
    found["mixed"] = distance(run(folder / "m1", **mixed)[0], run(folder / "m2", **mixed, **MIRRORED)[0])
    labelled = {"mixup": 0.4, "label_smoothing": 0.1, "validation": 5, "validation_clips": 2, "epochs": 1}
    (one, first), (two, second) = (
        run_labelled(folder / name, **labelled, **more) for name, more in (("l1", {}), ("l2", MIRRORED))
    )
    found["labelled"] = [distance(one, two), *(abs(first[name][0] - second[name][0]) for name in first)]
    for name, videos in (("too_few", 1), ("odd", 5)):
        try:
            run(folder / name, batch_size=videos, videos=videos, **MIRRORED)
        except ValueError as error:
            found[name] = str(error)
    return found


def apart(folder):
    """Without synchronised batch norm: differences between replicas before and after they agree, and between runs."""
    options = TrainingOptions(synchronized=False, batch_size=8, **MIRRORED)
    strategy, net = strategy_for(options), tiny_net(options)
    rng = np.random.default_rng(0)
    clips, labels = rng.integers(0, 256, (8, 4, 24, 24, 3), np.uint8), np.zeros(8, np.int32)
    clips[4:] //= 4
    mean = net.get_layer("bn_conv1").moving_mean

    def parts():
        return [part.numpy() for part in strategy.experimental_local_results(mean.value)]

    with twin_of(net, options, SAMPLING) as twin:
        compile_by_recipe(twin, options, 4)
        twin.fit(tf.data.Dataset.from_tensors((clips, labels)), verbose=0)
        predict = Predictor(twin)
    before = parts()
    average_moving_statistics(net, strategy)
    after = parts()
    scores, losses = predict(clips[:3], labels[:3])
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
        "scores_of_one_clip": float(np.abs(predict(clips[:1], labels[:1])[0] - scores[:1]).max()),
        "losses": float(np.abs(losses + np.log(scores[:, 0])).max()),
    }


def interrupted(folder):
    """A run with dropout that an error ended in the middle of an epoch, and that went on; and one left alone."""
    options = {"dropout": 0.5, "validation": 3, "epochs": 2, "checkpoint_steps": 2, **MIRRORED}
    alone, history = run(folder / "i1", **options)
    with contextlib.suppress(InterruptedError):
        run(folder / "i2", callbacks=[Kill(7)], **options)
    reached = checkpoint.load(folder / "i2")[1]["step"]
    resumed, again = run(folder / "i2", resume=True, **options)
    return {"resumed": [reached, distance(alone, resumed), history == again]}


def own(folder):
    """A user's model, built and compiled in a strategy's scope by Keras' own means, with this package's callbacks."""
    with strategy_for(TrainingOptions(**MIRRORED)).scope():
        alone, history, _ = fit_resumable(folder / "o1")
        with contextlib.suppress(InterruptedError):
            fit_resumable(folder / "o2", 8)
        resumed, again, resume = fit_resumable(folder / "o2", start=99)
    apart_by = distance(alone, resumed)
    held_out = Few("test", 7)
    validate = ValidateVideos(held_out, SAMPLING, 2, batch_size=3)
    stream = training_stream(Few("train", 16), SAMPLING, 8)
    logs = alone.fit(stream, steps_per_epoch=2, callbacks=[validate, Speed()], verbose=0).history
    losses, right = [], []
    for clips, labels, _ in video_batches(held_out, SAMPLING, 1, 2):
        scores = np.asarray(alone(clips, training=False))[0]
        losses.append(-np.log(scores[labels[0]]))
        right.append(scores.argmax() == labels[0])
    return {
        "own_resumed": [resume.start_step, apart_by, history == again],
        "own_val": [logs["val_loss"][0] - float(np.mean(losses)), logs["val_clip@1"][0] - float(np.mean(right))],
        "own_speed": [logs["clips_per_second"][0], logs["data_wait"][0]],
    }


if __name__ == "__main__":
    make_logical_cpus(2)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        found = {**results(folder), **apart(folder), **interrupted(folder), **own(folder)}
    pathlib.Path(sys.argv[1]).write_text(json.dumps(found))
