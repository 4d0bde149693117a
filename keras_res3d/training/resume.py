"""A callback by which a run that was killed goes on where it was, and ends bit for bit as if it had not been."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from keras_res3d.remote import as_path
from keras_res3d.training import checkpoint
from keras_res3d.training.distributed import average_moving_statistics
from keras_res3d.training.hosts import gather_arrays, is_chief, own_replicas, spans_hosts
from keras_res3d.training.scored import check_finite
from keras_res3d.training.steps import watch
from keras_res3d.untrusted import Range

# What these callbacks of Keras have found out so far; all else about them is their configuration.
_FINDINGS = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch"),
    keras.callbacks.ModelCheckpoint: (
        "best", "epochs_since_last_save", "_batches_seen_since_last_saving", "_last_batch_seen", "_current_epoch",
    ),
    keras.callbacks.ReduceLROnPlateau: ("best", "wait", "cooldown_counter"),
}  # fmt: skip


_NEEDS = (
    "ResumeExactly needs fit(steps_per_epoch=...), and data that goes on from epoch to epoch and begins at its "
    "start_step, such as training_stream(..., start_step=resume.start_step)"
)


class _EpochIsFull:
    """What stands in `model.stop_training` when an epoch ends here, and nobody wants training to stop."""


_FULL = _EpochIsFull()


def _keeps_findings(callback: keras.callbacks.Callback) -> bool:
    return hasattr(callback, "get_state") or isinstance(callback, tuple(_FINDINGS))


def _names(callback: keras.callbacks.Callback) -> tuple[str, ...]:
    return next(names for kind, names in _FINDINGS.items() if isinstance(callback, kind))


def findings_of(callback: keras.callbacks.Callback) -> tuple[dict, list[np.ndarray]]:
    """What a callback has found out so far: plain values, and weights that it keeps."""
    if hasattr(callback, "get_state"):
        return callback.get_state(), []
    values = {name: getattr(callback, name) for name in _names(callback) if hasattr(callback, name)}
    values = {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}
    return values, list(getattr(callback, "best_weights", None) or [])


_COUNT = Range(0, 2**53)
_STATE = {
    "identity": (dict, None), "step": _COUNT, "metrics": _COUNT, "history": {"epoch": [_COUNT], "history": {str: list}},
    "callbacks": [{"kind": str, "found": dict, "weights": _COUNT}],
}  # fmt: skip


def restore_findings(callback: keras.callbacks.Callback, values: dict, weights: list[np.ndarray]) -> None:
    """Gives a callback what `findings_of` took from it."""
    if hasattr(callback, "set_state"):
        callback.set_state(values)
        return
    unknown = values.keys() - set(_names(callback))
    if unknown:
        raise ValueError(f"{type(callback).__name__} has no {', '.join(sorted(unknown))}, which the checkpoint holds")
    for name, value in values.items():
        setattr(callback, name, value)
    if weights:
        callback.best_weights = weights


def _sums(model: keras.Model) -> list[tf.Variable]:
    """The metrics' sums as each replica has its own: shared out anew, their total would be rounded another way."""
    parts = model.distribute_strategy.experimental_local_results
    return [part for variable in model.metrics_variables for part in parts(variable.value)]


def _sums_of_all(model: keras.Model) -> list[np.ndarray]:
    """The sums of the replicas of all hosts, which all call it: replica by replica for each of the variables."""
    own = [part.numpy() for part in _sums(model)]
    found = gather_arrays(model.distribute_strategy, own)
    each = len(own_replicas(model.distribute_strategy))
    return [value for first in range(0, len(own), each) for host in found for value in host[first : first + each]]


def _own_sums(model: keras.Model, values: list[np.ndarray]) -> list[np.ndarray]:
    """Of what `_sums_of_all` found, what belongs to the replicas of this host.

    Where there were more or fewer replicas in all, the first one gets the total.
    """
    strategy = model.distribute_strategy
    if not spans_hosts(strategy):
        return values
    here, before = own_replicas(strategy), len(values) // max(1, len(model.metrics_variables))
    found = []
    for first in range(0, len(values), max(1, before)):
        parts = values[first : first + before]
        if before != strategy.num_replicas_in_sync:
            parts = [np.sum(parts, axis=0, dtype=parts[0].dtype)]
            parts += [np.zeros_like(parts[0])] * (strategy.num_replicas_in_sync - 1)
        found += [parts[number] for number in here]
    return found


class ResumeExactly(keras.callbacks.Callback):
    """Writes checkpoints, and lets `fit` go on from the last one in the middle of an epoch.

    The checkpoint holds the weights, the optimizer with its averaged weights, dropout's random state, the sums of the
    metrics, the history, and what other callbacks have found. The data must begin at `start_step` and have no end:

        resume = ResumeExactly("run", every_steps=100, callbacks=[early])
        stream = training_stream(data, sampling, batch_size=8, start_step=resume.start_step)
        model.fit(stream, epochs=5, steps_per_epoch=len(data) // 8, callbacks=[resume, early])

    Run the same lines again after a kill. Any tf.data.Dataset whose order does not depend on the past will do:
    `batches.repeat().skip(resume.start_step)`.

    Args:
        folder: where `checkpoint.npz` is written, whole or not at all.
        every_steps: a checkpoint after so many steps; one is written after every epoch but the last in any case.
        steps: of the whole run, where it ends within an epoch; None: `fit(epochs=...)` alone says.
        callbacks: those of the same `fit` whose findings are kept: EarlyStopping, ModelCheckpoint, ReduceLROnPlateau,
            and any that has `get_state()`, which returns plain values, and `set_state(values)`.
        identity: plain values that must be the same for a run to be resumed.
        keep: leave the checkpoint where it is when training has ended, for the caller to remove.

    Attributes:
        start_step: steps that are done already.

    Raises:
        ValueError: the checkpoint is damaged, or of another run; each difference is named.
    """

    def __init__(
        self, folder, every_steps: int = 0, *, steps: int | None = None,
        callbacks: Iterable[keras.callbacks.Callback] = (), identity: dict | None = None, keep: bool = False,
    ):  # fmt: skip
        super().__init__()
        if every_steps < 0:
            raise ValueError(f"every_steps is {every_steps}; expected a number of steps, or 0: after each epoch alone")
        self.folder, self.every_steps, self.steps = as_path(folder), every_steps, steps
        self.callbacks = [callback for callback in callbacks if _keeps_findings(callback)]
        self.identity, self.keep = identity, keep
        self._found = checkpoint.load(self.folder, _STATE)
        self._check_identity()
        self.start_step = 0 if self._found is None else self._found[1]["step"]

    def _check_identity(self) -> None:
        if self._found is None or self.identity is None:
            return
        different = checkpoint.differences(self._found[1]["identity"], self.identity)
        if different:
            raise ValueError(
                f"{self.folder} holds an unfinished run that differs:\n  " + "\n  ".join(different)
                + "\ngive the same settings to go on with it, another --output, or --overwrite to start again"
            )  # fmt: skip

    def on_train_begin(self, logs=None):
        if not self.params.get("steps"):
            raise ValueError(_NEEDS)
        self._epoch_steps, self._begun, self._saved = self.params["steps"], False, self.start_step
        self._watch = watch(self.model)
        self._watch.step = self.start_step
        with self.model.distribute_strategy.scope():
            if not self.model.optimizer.built:
                self.model.optimizer.build(self.model.trainable_variables)
        if self._found is not None:
            variables = self._variables()
            checkpoint.restore(variables, self._found[0][: len(variables)])
            self.model._initial_epoch = self.start_step // self._epoch_steps  # Keras' own way for callbacks

    def on_epoch_begin(self, epoch, logs=None):
        watched = self._watch
        if not self._begun:
            self._begun = True
            if self._found is not None:
                self._restore_findings()
            watched.step = max(watched.step, epoch * self._epoch_steps)
            self._saved = watched.step
        elif watched.step > self._saved:
            self._save()
        self._end = (epoch + 1) * self._epoch_steps
        if self.steps is not None:
            self._end = min(self._end, self.steps)
        watched.left = self._end - watched.step

    def on_train_batch_begin(self, batch, logs=None):
        step = self._watch.step
        if self.every_steps and step // self.every_steps > self._saved // self.every_steps:
            self._save()

    def on_train_batch_end(self, batch, logs=None):
        if self._watch.passes > 1:
            raise ValueError(_NEEDS)
        if self._watch.step >= self._end and not self.model.stop_training:
            self.model.stop_training = _FULL

    def on_epoch_end(self, epoch, logs=None):
        if self.model.stop_training is _FULL:
            self.model.stop_training = False

    def on_train_end(self, logs=None):
        self._watch.left, self._found, self.model._initial_epoch = 0, None, None
        if not self.keep and is_chief(self.model.distribute_strategy):
            checkpoint.remove(self.folder)

    def _variables(self) -> list[keras.Variable]:
        return [*self.model.variables, *self.model.optimizer.variables]

    def _save(self) -> None:
        """All of the run as it is between two steps, every other callback having heard of the last one."""
        check_finite(self.model, self._watch.step)
        average_moving_statistics(self.model, self.model.distribute_strategy)
        values = [variable.numpy() for variable in self._variables()]
        metrics = _sums_of_all(self.model)
        findings, kept = [], []
        for callback in self.callbacks:
            found, weights = findings_of(callback)
            findings.append({"kind": type(callback).__name__, "found": found, "weights": len(weights)})
            kept += weights
        history = self.model.history
        state = {
            "format": 2,
            "identity": self.identity,
            "step": self._watch.step,
            "metrics": len(metrics),
            "callbacks": findings,
            "history": {"epoch": history.epoch, "history": history.history},
        }
        if is_chief(self.model.distribute_strategy):
            checkpoint.save(self.folder, [*values, *metrics, *kept], state)
        self._saved = self._watch.step

    def _restore_findings(self) -> None:
        values, state = self._found
        rest = values[len(self._variables()) :]
        self._restore_metrics(rest[: state["metrics"]])
        rest = rest[state["metrics"] :]
        kinds = [type(callback).__name__ for callback in self.callbacks]
        if kinds != [found["kind"] for found in state["callbacks"]]:
            before = [found["kind"] for found in state["callbacks"]]
            raise ValueError(f"the unfinished run in {self.folder} had the callbacks {before}, this one has {kinds}")
        for callback, found in zip(self.callbacks, state["callbacks"], strict=True):
            restore_findings(callback, found["found"], rest[: found["weights"]])
            rest = rest[found["weights"] :]
        self.model.history.epoch = list(state["history"]["epoch"])
        self.model.history.history = state["history"]["history"]

    def _restore_metrics(self, values: list[np.ndarray]) -> None:
        """The sums of the epoch so far. Compiled metrics have variables only once the model has met its first batch."""
        model = self.model
        values = _own_sums(model, values)
        if len(_sums(model)) == len(values):
            checkpoint.restore(_sums(model), values)
            return
        compute = model.compute_metrics

        def compute_and_restore(*arguments, **named):
            if not tf.executing_eagerly():  # traced: what follows happens before the step runs for the first time
                results = compute(*arguments, **named)
                with tf.init_scope():
                    checkpoint.restore(_sums(model), values)
                del model.compute_metrics
                return results
            compute(*arguments, **named)
            checkpoint.restore(_sums(model), values)
            del model.compute_metrics
            return compute(*arguments, **named)

        model.compute_metrics = compute_and_restore
