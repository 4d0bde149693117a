"""Scores of held-out videos after every epoch, from several clips of each, on one device or several."""

from __future__ import annotations

import functools
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_res3d.data.bad_videos import STOP, BadVideos
from keras_res3d.data.batches import video_batches
from keras_res3d.data.clips import Sampling
from keras_res3d.data.types import VideoError
from keras_res3d.training.cluster import ALONE
from keras_res3d.training.hosts import cluster_of_strategy, gather_arrays, own_replicas, spans_hosts
from keras_res3d.training.kinds import ONE_LABEL, LabelKind, kind_of
from keras_res3d.training.scored import gives_logits, scored_weights


class Predictor:
    """Probabilities of clips, each scored once; a batch is shared among the replicas of the model on this host.

    Attributes:
        losses: cross-entropy of every clip that was scored with its label, in order.
    """

    def __init__(self, model: keras.Model, kind: LabelKind = ONE_LABEL):
        self._model, self._strategy, self._kind = model, model.distribute_strategy, kind
        self._replicas, self._logits = own_replicas(self._strategy), gives_logits(model)
        self._run = tf.function(self._step, reduce_retracing=True, autograph=False, jit_compile=model.jit_compile)
        self._run_on_replicas = tf.function(
            lambda clips, labels: self._strategy.run(self._step, (clips, labels)), reduce_retracing=True
        )

    def _step(self, clips, labels):
        outputs = self._model(clips, training=False)
        losses = self._kind.clip_losses(labels, outputs, self._logits)
        outputs = tf.cast(outputs, tf.float32)
        return self._kind.probabilities(outputs) if self._logits else outputs, tf.cast(losses, tf.float32)

    def __call__(self, clips: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities `(batch, classes)` and cross-entropies `(batch,)` of clips as the model takes them."""
        if len(self._replicas) == 1 and not spans_hosts(self._strategy):
            probabilities, losses = self._run(tf.constant(clips), tf.constant(labels))
            return probabilities.numpy(), losses.numpy()
        each = -(-len(clips) // len(self._replicas))
        parts = [self._spread(values, each) for values in (clips, labels)]
        found = [self._strategy.experimental_local_results(values) for values in self._run_on_replicas(*parts)]
        probabilities, losses = (np.concatenate([part.numpy() for part in parts])[: len(clips)] for parts in found)
        return probabilities, losses

    def _spread(self, values: np.ndarray, each: int):
        """`each` rows for every replica; the last row is repeated to fill them."""
        padded = np.concatenate([values, np.repeat(values[-1:], each * len(self._replicas) - len(values), axis=0)])
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(padded[each * self._replicas.index(context.replica_id_in_sync_group) :][:each])
        )


class _EveryNth:
    """The videos number, number + count, number + 2 * count and so on of a data set: those that one host reads."""

    def __init__(self, data_set, number: int, count: int):
        self._data_set, self._numbers = data_set, range(number, len(data_set), count)
        self.examples = tuple(data_set.examples)[number::count]

    def __len__(self):
        return len(self._numbers)

    def __getattr__(self, name):
        return getattr(self._data_set, name)

    def open(self, i, *args, **kwargs):
        return self._data_set.open(self._numbers[i], *args, **kwargs)


class _Part(NamedTuple):
    """What a model says of some clips: outputs `(clips, classes)`, and for each its loss, its labels and its video."""

    outputs: np.ndarray
    losses: np.ndarray
    labels: np.ndarray
    numbers: np.ndarray


class ValidateVideos(keras.callbacks.Callback):
    """Scores held-out videos after every epoch and adds the figures to the logs.

    "val_loss": mean cross-entropy of the clips. "val_video@1": share of videos whose class has the highest mean
    probability over their clips. "val_clip@1": share of clips that are answered right, where a video has several.
    Callbacks that stand after this one in the list can monitor them. Each clip counts once, however batches and
    replicas fall. Where the optimizer averages the weights (`use_ema`), the averaged ones are scored. Of several hosts
    each reads and scores its share of the videos, and all get the same figures.

    Of a multi-label data set "val_loss" is binary cross-entropy summed over the classes, and "val_mAP" and
    "val_clip_mAP" stand in place of the other two: the mean over the classes of the average precision of videos, and of
    clips.

        validate = ValidateVideos(read_data_set("test.csv"), Sampling(), clips=3)
        model.fit(batches, epochs=5, callbacks=[validate, keras.callbacks.EarlyStopping("val_video@1", mode="max")])

    Args:
        data_set: with the classes that the model was trained on.
        sampling: how clips are cut, resized, cropped and preprocessed.
        clips: evenly spread clips of each video; one is the centre clip.
        batch_size: clips scored at a time.
        workers: videos read at a time; None: one for each processor core.
        preprocess: False for models that take pixels from 0 to 255.
        on_bad_video: "stop" ends `fit` with a VideoError at the first video that cannot be read. "skip" leaves it out
            of the scores and warns of it once. A `BadVideos` is "skip", and has their names.
    """

    def __init__(self, data_set, sampling: Sampling, clips: int = 1, batch_size: int = 16, workers: int | None = None,
                 preprocess: bool = True, *, on_bad_video: str | BadVideos = STOP):  # fmt: skip
        super().__init__()
        self.data_set, self.clips, self._cluster = data_set, clips, ALONE
        self._batches_of = functools.partial(
            video_batches, sampling=sampling, batch_size=batch_size, clips=clips, workers=workers,
            preprocess=preprocess, on_bad_video=on_bad_video,
        )  # fmt: skip
        self.batches = self._batches_of(data_set)
        self._predictor, self._kind = None, kind_of(data_set)

    def on_train_begin(self, logs=None):
        self._predictor = Predictor(self.model, self._kind)
        self._cluster = cluster_of_strategy(self.model.distribute_strategy)
        if len(self._cluster.workers) > 1:
            self.batches = self._batches_of(_EveryNth(self.data_set, self._cluster.index, len(self._cluster.workers)))

    def on_epoch_end(self, epoch, logs=None):
        with scored_weights(self.model):
            logs.update(self.scores())

    def scores(self) -> dict[str, float]:
        """The figures of the model as it is, by their names in the logs."""
        parts = self._own_parts() if len(self._cluster.workers) == 1 else [self._all_in_one()]
        kind = self._kind
        scored = [(part.outputs, part.labels, part.numbers) for part in parts]
        scores = kind.score(lambda outputs: outputs, scored, self.data_set.classes)
        figures = [kind.video_figure] if self.clips == 1 else [kind.video_figure, kind.clip_figure]
        loss = float(np.concatenate([part.losses for part in parts]).mean(dtype=np.float64))
        return {"val_loss": loss, **{name: getattr(scores, attribute) for name, attribute in figures}}

    def _own_parts(self) -> list[_Part]:
        """What the model says of this host's clips, batch by batch."""
        return [_Part(*self._predictor(clips, labels), labels, numbers) for clips, labels, numbers in self.batches]

    def _all_in_one(self) -> _Part:
        """What it says of the clips of all hosts, the videos in their order."""
        try:
            parts = self._own_parts() if len(self.batches.data_set) else []
        except VideoError:
            if self.batches.bad is None or len(self.batches.left_out) < len(self.batches.data_set):
                raise
            parts = []  # this host's videos are all bad and noted; others may be good
        own = [np.concatenate(values) for values in zip(*parts, strict=True)]
        if own:
            own[3] = own[3] * len(self._cluster.workers) + self._cluster.index
        found = [each for each in gather_arrays(self.model.distribute_strategy, own) if each]
        if not found:
            raise VideoError(f"{self.data_set.name}: none of its {len(self.data_set)} videos can be read")
        whole = _Part(*(np.concatenate(values) for values in zip(*found, strict=True)))
        order = np.argsort(whole.numbers, kind="stable")
        return _Part(*(values[order] for values in whole))
