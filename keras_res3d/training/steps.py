"""What `fit` does between two calls of a callback: steps counted, seconds of waiting for data measured."""

from __future__ import annotations

import itertools
import time

import keras
import tensorflow as tf

from keras_res3d.training.hosts import hosts_of


class StepWatch:
    """Stands in for the train function of a model: hands it the batches one by one and keeps count.

    Only a clock around Python's own `next` tells how long the network waits: inside the data pipeline waiting and
    reading ahead look alike.

    Attributes:
        step: steps done, counted from the first step of the run.
        clips: training clips seen, by all hosts together.
        waited: seconds spent waiting for batches.
        passes: iterators that batches came from; one where data goes on from epoch to epoch.
        left: steps that remain until one where `fit` must be heard, so that a call of several steps ends there; 0: any
            number.
    """

    def __init__(self, model: keras.Model):
        inner = model.train_function
        self.train_function = inner.train_function if isinstance(inner, StepWatch) else inner
        self._model, self.history, self._iterator = model, model.history, None
        self._hosts = hosts_of(model.distribute_strategy)
        self.step, self.clips, self.waited, self.passes, self.left = 0, 0, 0.0, 0, 0

    def __call__(self, iterator):
        count = self._model.steps_per_execution
        if self.left:
            count = min(count, self.left)
            self.left -= count
        if iterator is not self._iterator:
            self._iterator = iterator
            self.passes += 1
        first = self._take(iterator)
        return self.train_function(itertools.chain([first], self._more(iterator, count - 1)))

    def _take(self, iterator):
        start = time.perf_counter()
        batch = next(iterator)
        self.waited += time.perf_counter() - start
        self.clips += _clips_in(batch) * self._hosts
        self.step += 1
        return batch

    def _more(self, iterator, count: int):
        for _ in range(count):
            try:
                batch = self._take(iterator)
            except StopIteration:
                return
            yield batch


def _clips_in(batch) -> int:
    first = batch[0] if isinstance(batch, (tuple, list)) else batch
    first = next(iter(first.values())) if isinstance(first, dict) else first
    parts = first.values if isinstance(first, tf.distribute.DistributedValues) else [first]
    return sum(int(part.shape[0]) for part in parts)


def watch(model: keras.Model) -> StepWatch:
    """The watch over a compiled model's train function; all callbacks of one `fit` share it.

    For a callback's `on_train_begin`: `fit` has made the train function and its history then, and calls what stands in
    the function's place. Keras keeps the function for the next `fit`, which counts anew.
    """
    found = model.train_function
    if not isinstance(found, StepWatch) or found.history is not model.history:
        model.train_function = StepWatch(model)
    return model.train_function
