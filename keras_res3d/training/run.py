"""A run from its first step or from its checkpoint to its end: epochs, scores, what is written, what stops it."""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib

import numpy as np
import tensorflow as tf

from keras_res3d.cards import ModelCard, save_model
from keras_res3d.data.batches import evaluation_batches
from keras_res3d.data.clips import Sampling
from keras_res3d.io import write_atomically
from keras_res3d.scores import score
from keras_res3d.training import checkpoint
from keras_res3d.training.feed import Feed
from keras_res3d.training.progress import Bar, Clock, TensorBoard, epoch_line
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.training.step import NO_TOTALS, Learner

# On a GPU steps run behind Python's back; it is asked for their result, and so for its waiting, every so often.
GPU_READ_EVERY = 8


class Run:
    """One training run in a folder.

    Args:
        learner: the net in training.
        data_set, validation, sampling, options: as of `train`.
        folder: for everything that is written.
        card: beside the models.
        state: of a checkpoint that `learner` has been restored from; None: from the first step.
    """

    def __init__(
        self, learner: Learner, data_set, validation, sampling: Sampling, options: TrainingOptions,
        folder: pathlib.Path, card: ModelCard, state: dict | None, identity: dict,
    ):  # fmt: skip
        self.learner, self.options, self.folder, self.card, self.identity = learner, options, folder, card, identity
        self.data_set, self.validation, self.sampling = data_set, validation, sampling
        self.steps = options.steps_per_epoch(len(data_set))
        self.total = options.total_steps(len(data_set))
        self.epochs = -(-self.total // self.steps)
        state = state or {"step": 0, "totals": NO_TOTALS, "rows": [], "best": -1.0, "best_epoch": 0, "finished": False}
        self.step, self.rows, self.finished = state["step"], state["rows"], state["finished"]
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.totals = tf.constant(state["totals"], tf.float64)
        self.tensorboard = TensorBoard(folder) if options.tensorboard else None

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return len(self.rows)

    def go(self) -> None:
        """Trains to the end; leaves the folder with models and log and without a checkpoint."""
        if self.step:
            print(f"going on at step {self.step} of {self.total}")
        self._write_log()
        feed = None if self.finished else Feed(self.data_set, self.sampling, self.options, self.step)
        while not self.finished:
            self._epoch(feed)
        with self.learner.as_scored():
            weights = [variable.numpy() for variable in self.learner.twin.trainable_variables]
        for variable, value in zip(self.learner.twin.trainable_variables, weights, strict=True):
            variable.assign(value)
        (self.folder / checkpoint.FILE).unlink(missing_ok=True)

    def _epoch(self, feed: Feed) -> None:
        end = min((self.epoch + 1) * self.steps, self.total)
        clock, bar = Clock(feed), Bar(end - self.epoch * self.steps, f"epoch {self.epoch + 1}/{self.epochs}")
        calls, every = 0, GPU_READ_EVERY if tf.config.list_physical_devices("GPU") else 1
        while self.step < end:
            count = self._steps_until(end)
            clips, labels, shares = feed.take(count)
            first = tf.constant(self.step, tf.float64)
            self.totals = self.learner.train(clips, labels, shares, self.totals, first)
            self.step, calls, clock.clips = self.step + count, calls + 1, clock.clips + int(tf.size(labels))
            if calls % every == 0:
                bar.update(self.step - self.epoch * self.steps, self._means(), clock.measures())
            if self.step < end and self.options.checkpoint_steps and self.step % self.options.checkpoint_steps == 0:
                self._checkpoint()
        row = {"epoch": self.epoch + 1, **self._means(), **clock.measures(), "seconds": clock.seconds()}
        bar.close()
        self._end_epoch(row)

    def _steps_until(self, end: int) -> int:
        """Steps in the next call: no call reaches over an epoch's end or a checkpoint."""
        every = self.options.checkpoint_steps
        stops = [end, self.step + self.options.steps_per_execution]
        return min([*stops, (self.step // every + 1) * every] if every else stops) - self.step

    def _means(self) -> dict[str, float]:
        """Loss and clip@1 of the epoch so far. Raises RuntimeError where a loss was not finite, naming the step."""
        loss, right, clips, bad = self.totals.numpy()
        if bad >= 0:
            raise RuntimeError(
                f"the loss became NaN or infinite at step {int(bad) + 1} of {self.total}; what was saved before it "
                "stays. A lower --learning_rate, --clip_norm 1 or --warmup help; --overwrite starts again"
            )
        clips = max(clips, 1.0)
        return {"loss": float(loss / clips), "clip@1": float(right / clips)}

    def _check_weights(self) -> None:
        """The update after a finite loss can still be a bad one."""
        for variable in self.learner.twin.variables:
            if not tf.as_dtype(variable.dtype).is_floating:
                continue
            if not np.isfinite(variable.numpy()).all():
                raise RuntimeError(f"{variable.path} became NaN or infinite by step {self.step}; it is not saved")

    def _end_epoch(self, row: dict) -> None:
        """Scores, models, checkpoint and log, in this order: the checkpoint never knows of what is not on disk."""
        self._check_weights()
        row["learning_rate"] = float(self.learner.optimizer.learning_rate)
        with self.learner.as_scored():
            if self.validation is not None:
                row |= self._scores()
            self._save(row)
        self.rows.append(row)
        self.totals = tf.constant(NO_TOTALS, tf.float64)
        patience = self.options.early_stopping
        stopped = patience and self.epoch - self.best_epoch >= patience
        self.finished = bool(self.step >= self.total or stopped)
        self._checkpoint()
        self._write_log()
        early = "; stopped early" if stopped and self.step < self.total else ""
        print(epoch_line(row, self.epochs) + early, flush=True)
        if self.tensorboard:
            self.tensorboard.write(row, self.step)

    def _scores(self) -> dict[str, float]:
        options = self.options
        batches = evaluation_batches(
            self.validation, self.sampling, options.batch_size, options.validation_clips, options.workers,
            preprocess=False,
        )  # fmt: skip
        scores = score(self.learner.predict, batches, self.data_set.classes)
        return {"val_clip@1": scores.clip_at_1, "val_video@1": scores.video_at_1}

    def _save(self, row: dict) -> None:
        results = {name: value for name, value in row.items() if name not in self.card.training and name != "epoch"}
        training = {**self.card.training, "epochs_done": row["epoch"], "steps_done": self.step, **results}
        card = dataclasses.replace(self.card, training=training)
        with self.learner.as_stored():
            save_model(self.learner.net, self.folder / "model.keras", card)
            if row.get("val_video@1", -1.0) > self.best:
                self.best, self.best_epoch = row["val_video@1"], row["epoch"]
                save_model(self.learner.net, self.folder / "best.keras", card)

    def _checkpoint(self) -> None:
        self._means()
        self._check_weights()
        self.learner.agree()
        state = {
            "identity": self.identity,
            "step": self.step,
            "totals": self.totals.numpy().tolist(),
            "rows": self.rows,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "finished": self.finished,
        }
        checkpoint.save(self.folder, [variable.numpy() for variable in self.learner.variables], state)

    def _write_log(self) -> None:
        """log.csv as a whole, so that a resumed run neither repeats nor loses a line."""
        if not self.rows:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.folder / "log.csv", text.getvalue())

    def history(self) -> dict[str, list[float]]:
        """Loss, clip@1 and the scores of the validation videos, a value per epoch."""
        names = [name for name in self.rows[0] if name in ("loss", "clip@1") or name.startswith("val_")]
        return {name: [row[name] for row in self.rows] for name in names}
