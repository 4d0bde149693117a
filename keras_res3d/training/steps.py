"""What `fit` does between two calls of a callback: steps counted, seconds of waiting for data measured."""

from __future__ import annotations

import itertools
import time

import keras
import tensorflow as tf


class StepWatch:
    """Stands in for the train function of a model: hands it the batches one by one and keeps count.

    Only a clock around Python's own `next` tells how long the network waits: inside the data pipeline waiting and
    reading ahead look alike.

    Attributes:
        step: steps done, counted from the first step of the run.
        clips: training clips seen by this process.
        waited: seconds spent waiting for batches.
        left: steps that remain until one where `fit` must be heard, so that a call of several steps ends there; 0: any
            number.
    """

    def __init__(self, model: keras.Model):
        self._model, self._train_function = model, model.train_function
        self.step, self.clips, self.waited, self.left = 0, 0, 0.0, 0

    def __call__(self, iterator):
        count = self._model.steps_per_execution
        if self.left:
            count = min(count, self.left)
            self.left -= count
        first = self._take(iterator)
        return self._train_function(itertools.chain([first], self._more(iterator, count - 1)))

    def _take(self, iterator):
        start = time.perf_counter()
        batch = next(iterator)
        self.waited += time.perf_counter() - start
        self.clips += _clips_in(batch)
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

    For a callback's `on_train_begin`: `fit` has made the train function then, and calls what stands in its place.
    """
    if not isinstance(model.train_function, StepWatch):
        model.train_function = StepWatch(model)
    return model.train_function
