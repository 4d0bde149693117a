"""A run small enough to be killed and repeated: the embedded data set's first videos and a net of two convolutions."""

import functools
import json
import os
import pathlib
import signal
import sys

import keras
import numpy as np

from keras_res3d.data.clips import Sampling
from keras_res3d.data.sources.motion import motion_data_set
from keras_res3d.data.types import VideoError
from keras_res3d.training.distributed import strategy_for
from keras_res3d.training.fit import train
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.training.steps import StepWatch
from tests.labelled import CLASSES, Labelled

SAMPLING = Sampling(frames=4, stride=2, resize=(32, 32), crop=(24, 24))


class Few:
    """The first videos of the embedded data set."""

    def __init__(self, split, count):
        whole = motion_data_set(split)
        self.examples, self.classes, self.name = whole.examples[:count], whole.classes, whole.name
        self.open, self.mirror_safe, self.reverse_safe = whole.open, whole.mirror_safe, whole.reverse_safe

    def __len__(self):
        return len(self.examples)


class Damaged(Few):
    """Of `Few` the videos of some numbers cannot be read."""

    def __init__(self, split, count, holes):
        super().__init__(split, count)
        self._holes, self._open = holes, self.open
        self.open = self._or_fail

    def _or_fail(self, i, *args, **options):
        if i in self._holes:
            raise VideoError(f"{self.examples[i].path}: is damaged")
        return self._open(i, *args, **options)


def tiny_net(options, dropout=0.0, classes=8, activation="softmax"):
    """Convolution, batch norm, convolution, perhaps dropout, classifier; eight classes."""
    keras.utils.set_random_seed(options.seed)
    with strategy_for(options).scope():
        inputs = x = keras.Input((4, 24, 24, 3))
        x = keras.layers.Conv3D(4, 3, strides=(1, 2, 2), use_bias=False, name="conv1")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name="bn_conv1")(x)
        x = keras.layers.ReLU(name="relu1")(x)
        x = keras.layers.Conv3D(8, (1, 3, 3), strides=(1, 2, 2), name="conv2")(x)
        x = keras.layers.GlobalAveragePooling3D(name="pool5")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name="drop")(x)
        x = keras.layers.Dense(classes, name="fc8")(x)
        softmax, other = keras.layers.Softmax, functools.partial(keras.layers.Activation, activation)
        kind = softmax if activation == "softmax" else other
        return keras.Model(inputs, kind(dtype="float32", name="prob")(x), name="tiny")


def run(output, dropout=0.0, resume=False, validation=8, videos=40, callbacks=(), holes=(), **changes):
    """Trains a tiny net; returns it and its history. Videos of the numbers in `holes`, in both lists, are damaged."""
    options = TrainingOptions(**{"epochs": 2, "batch_size": 8, "learning_rate": 0.05, **changes})
    net = tiny_net(options, dropout)
    held_out = Damaged("test", validation, holes) if validation else None
    data = Damaged("train", videos, holes)
    return net, train(net, data, SAMPLING, output, options, held_out, resume=resume, callbacks=callbacks)


def run_labelled(output, dropout=0.0, resume=False, validation=8, videos=40, callbacks=(), **changes):
    """The same on drawn videos with two labels that do not depend on each other, by a net with a sigmoid."""
    options = TrainingOptions(**{"epochs": 2, "batch_size": 8, "learning_rate": 0.05, **changes})
    net = tiny_net(options, dropout, len(CLASSES), "sigmoid")
    held_out = Labelled(validation, seed=1) if validation else None
    data = Labelled(videos)
    return net, train(net, data, SAMPLING, output, options, held_out, resume=resume, callbacks=callbacks)


def die_at(step):
    """The process kills itself when the run asks for the batch of that step, counted from 0."""
    take = StepWatch._take

    def taking(self, iterator):
        if self.step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return take(self, iterator)

    StepWatch._take = taking


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    step = arguments.pop("die_at")
    if step is not None:
        die_at(step)
    net, _ = run(**arguments)
    np.savez(pathlib.Path(arguments["output"]) / "weights.npz", *net.get_weights())
