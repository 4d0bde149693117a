"""Small callbacks for any model in `fit`: how fast it goes, and a stop where the loss is no number any more."""

from __future__ import annotations

import math
import time

import keras

from keras_res3d.training.scored import check_finite
from keras_res3d.training.steps import watch


class Speed(keras.callbacks.Callback):
    """Adds "clips_per_second" and "data_wait" to the logs, which the bar, History and CSVLogger of Keras show.

    "data_wait" is the share of the time, from 0 to 1, in which the net waited for clips. Both are of the epoch so far,
    without validation. Put it before the callbacks that should see them.
    """

    def on_train_begin(self, logs=None):
        self._watch = watch(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self._start, self._clips, self._waited = time.perf_counter(), self._watch.clips, self._watch.waited

    def on_train_batch_end(self, batch, logs=None):
        seconds = max(time.perf_counter() - self._start, 1e-9)
        self._measures = {
            "clips_per_second": (self._watch.clips - self._clips) / seconds,
            "data_wait": min(1.0, (self._watch.waited - self._waited) / seconds),
        }
        logs.update(self._measures)

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self._measures)


class StopOnNaN(keras.callbacks.Callback):
    """Ends training with an error that names the step where the loss became NaN or infinite.

    Put it first: nothing that stands after it then saves the damaged model. The weights are looked at after every
    epoch too, since an update after a good loss can be a bad one.

    Raises:
        RuntimeError: from `fit`.
    """

    def on_train_begin(self, logs=None):
        self._watch = watch(self.model)

    def on_train_batch_end(self, batch, logs=None):
        loss = logs.get("loss", 0.0)
        if math.isfinite(loss):
            return
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        total = f" of {steps * epochs}" if steps and epochs else ""
        at = "at" if self.model.steps_per_execution == 1 else "by"
        raise RuntimeError(
            f"the loss became NaN or infinite {at} step {self._watch.step}{total}; what was saved before it stays. "
            "A lower learning rate, clip_norm=1 or a longer warm-up helps"
        )

    def on_epoch_end(self, epoch, logs=None):
        check_finite(self.model, self._watch.step)
