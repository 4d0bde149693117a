"""The runs of `fair_matching.py` on JAX: a training is one compiled function, which takes a GPU seconds.

`keras_res3d.search_architectures` trains through tf.data and `fit`, which read any video and can stop at any step. Nets
as small as these leave a GPU idle between two steps. Here a net is compiled once, all steps in one loop, and called for
each seed; data sets are small enough to lie on the device. What is trained is the same: nets of `build_model`, the
recipe's optimizer (`make_optimizer`), batch norm, clips and scores. Random numbers are others, so that a seed here is
not the same seed there.

Needs KERAS_BACKEND=jax, JAX and no TensorFlow. It computes in float32, on GPUs too (no TF32).
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import keras
import numpy as np
from jax import numpy as jnp

from keras_res3d.applications import build_model
from keras_res3d.data.clips import even_clips
from keras_res3d.data.open import read_data_set
from keras_res3d.data.transform import preprocess_input
from keras_res3d.io import write_atomically
from keras_res3d.scores import Scores
from keras_res3d.tasks.studies.budget import Planned
from keras_res3d.tasks.studies.folder import FAILURE, SCORES, StudyFolder, read_scores
from keras_res3d.training.optimizers import make_optimizer
from keras_res3d.training.recipes import TrainingOptions, batch_norm_momentum

LOG = "log.csv"


@dataclasses.dataclass(frozen=True)
class Job:
    """A net, and the cells of the experiment that it is a candidate of.

    Args:
        planned: the net under its name.
        data: name of the data set.
        options: of the training.
        folders: of the cells.
    """

    planned: Planned
    data: str
    options: TrainingOptions
    folders: Sequence[StudyFolder]

    def missing(self, seeds: Iterable[int]) -> list[int]:
        """The seeds that no cell has scores of; those that one cell has are given to the others."""
        left = []
        for seed in seeds:
            runs = [folder.run(self.planned.name, seed) for folder in self.folders]
            done = [run for run in runs if read_scores(run) is not None]
            if not done:
                left.append(seed)
            for run in runs if done else ():
                if run not in done:
                    write_atomically(run / LOG, (done[0] / LOG).read_text())
                    write_atomically(run / SCORES, (done[0] / SCORES).read_text())
        return left

    def write(self, seed: int, log: str, scores: Mapping) -> None:
        """What came of a run, into all cells."""
        for folder in self.folders:
            run = folder.run(self.planned.name, seed)
            write_atomically(run / LOG, log)
            folder.write(run / SCORES, scores)
            folder.write(run / FAILURE, None)


def jobs_of(cells: Iterable[tuple[str, TrainingOptions, StudyFolder, Sequence[Planned]]]) -> list[Job]:
    """A job for each net of the cells (data, options, folder, candidates), in their order; no net has two."""
    found: dict[tuple, Job] = {}
    for data, options, folder, planned in cells:
        for each in planned:
            key = (data, options, each.name, each.net, each.sampling)
            found.setdefault(key, Job(each, data, options, [])).folders.append(folder)
    return list(found.values())


def train_jobs(jobs: Iterable[Job], seeds: Sequence[int], clips: int, report: Callable[[str], None] = print) -> None:
    """Trains and scores what is missing of the jobs. Other processes may do the same at once: each net has one owner.

    Args:
        jobs: the most important ones first.
        seeds: of each net.
        clips: evenly spread ones that are scored of each test video.
        report: called with a line for each net.
    """
    if keras.backend.backend() != "jax":
        raise RuntimeError(f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=jax")
    jax.config.update("jax_default_matmul_precision", "highest")
    for job in jobs:
        with job.folders[0].claim(job.planned.name, seeds[0]) as mine:
            if mine and (left := job.missing(seeds)):
                _train_job(job, left, clips, report)


def _train_job(job: Job, seeds: Sequence[int], clips: int, report: Callable[[str], None]) -> None:
    trainer, done = Trainer(job.planned, job.data, job.options, clips), []
    for seed in seeds:
        log, scores = trainer(seed)
        if scores is None:
            for folder in job.folders:
                folder.write(folder.run(job.planned.name, seed) / FAILURE, {"error": "RuntimeError: the loss is NaN"})
            continue
        job.write(seed, log, scores)
        done.append((scores["seconds"], scores["video@1"]))
    seconds, accuracy = np.mean(done, axis=0) if done else (np.nan, np.nan)
    what = f"{job.data}, {job.planned.sampling.frames} frames, {job.planned.name}, width {job.planned.net.width}"
    report(f"{what}: compiled in {trainer.compiled:.1f} s, trained in {seconds:.2f} s a seed, video@1 "
           f"{100 * accuracy:.1f}")  # fmt: skip
    keras.utils.clear_session()


@functools.lru_cache(maxsize=4)
def on_device(data: str, preprocessing: str) -> tuple[jax.Array, jax.Array]:
    """All videos of a data set as a net's input `(videos, frames, height, width, 3)`, and their classes `(videos,)`.

    Raises:
        ValueError: the videos differ in size, or may be mirrored: neither is done here.
    """
    data_set = read_data_set(data)
    if data_set.mirror_safe:
        raise ValueError(f"{data_set.name} may be mirrored, which this engine does not do; expected an embedded data "
                         "set")  # fmt: skip
    videos = []
    for number in range(len(data_set)):
        video = data_set.open(number)
        videos.append(next(video.clips([np.arange(video.num_frames)])))
    labels = np.array([example.label for example in data_set.examples], np.int32)
    return jax.device_put((preprocess_input(np.stack(videos), preprocessing), labels))


class Trainer:
    """Trains a net with a seed, and scores it. It is compiled at the first call.

    Args:
        planned: the net, and how its clips are taken.
        data: name of an embedded data set; its test split is scored.
        options: of the training, of a recipe without augmentation.
        clips: that are scored of each test video.

    Attributes:
        compiled: seconds that it took to compile.
    """

    def __init__(self, planned: Planned, data: str, options: TrainingOptions, clips: int):
        self.planned, self.options, self.compiled = planned, options, 0.0
        self._classes = read_data_set(data).classes
        sampling = planned.sampling
        self.videos, self.labels = on_device(f"{data}/train", sampling.preprocessing)
        self._test, truth = on_device(f"{data}/test", sampling.preprocessing)
        self._truth = np.asarray(truth)
        if sampling.crop != sampling.resize or self.videos.shape[2:4] != sampling.crop:
            raise ValueError(f"videos are {self.videos.shape[2:4]}, the sampling is {sampling}; expected whole frames")
        frames = self._test.shape[1]
        self._places = np.stack(even_clips(frames, sampling.frames, sampling.stride, clips))
        self.steps, self.batch = options.total_steps(len(self.labels)), min(options.batch_size, len(self.labels))
        self.model = self.build(0)
        self.optimizer = make_optimizer(self.model, options, self.steps)
        self._slots = [variable.value for variable in self.optimizer.variables]
        self._compiled = None

    def build(self, seed: int) -> keras.Model:
        """The net with the weights of a seed, without its softmax."""
        architecture, sampling = self.planned.net, self.planned.sampling
        momentum = batch_norm_momentum(architecture.batch_norm_momentum, self.steps)
        keras.utils.set_random_seed(seed)
        with jax.default_device(jax.devices("cpu")[0]):
            return build_model(
                dataclasses.replace(architecture, batch_norm_momentum=momentum),
                input_shape=(sampling.frames, *sampling.crop, 3), classes=len(self._classes),
                classifier_activation=None,
            )  # fmt: skip

    def order(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The videos of each step, and where their clips begin, `(steps, batch)`; an epoch has every video once."""
        rng, sampling = np.random.default_rng((seed, 1)), self.planned.sampling
        whole = self.options.steps_per_epoch(len(self.labels)) * self.batch
        epochs = -(-self.steps * self.batch // whole)
        numbers = np.concatenate([rng.permutation(len(self.labels))[:whole] for _ in range(epochs)])
        numbers = numbers.reshape(-1, self.batch)[: self.steps].astype(np.int32)
        starts = max(1, self.videos.shape[1] - sampling.span + 1)
        return numbers, rng.integers(0, starts, numbers.shape, np.int32)

    def loss(self, trainable, fixed, clips, labels):
        """Mean cross-entropy of a batch; and the state of batch norm after it, and the share of right answers."""
        logits, fixed = self.model.stateless_call(trainable, fixed, clips, training=True)
        losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return losses.mean(), (fixed, (logits.argmax(axis=-1) == labels).mean())

    def step(self, state, clips, labels):
        """One step: the state (weights, batch norm's state, optimizer's state) after it, and loss and right answers."""
        trainable, fixed, slots = state
        (loss, (fixed, right)), gradients = jax.value_and_grad(self.loss, has_aux=True)(
            trainable, fixed, clips, labels
        )  # fmt: skip
        trainable, slots = self.optimizer.stateless_apply(slots, gradients, trainable)
        return (trainable, fixed, slots), (loss, right)

    def _run(self, state, numbers, starts, videos, labels, test):
        """All steps, then the probabilities of the test clips `(clips of a video, videos, classes)`."""
        offsets = self.planned.sampling.stride * np.arange(self.planned.sampling.frames)

        def step(state, batch):
            which, start = batch
            places = jnp.minimum(start[:, None] + offsets, videos.shape[1] - 1)
            return self.step(state, videos[which[:, None], places], labels[which])

        (trainable, fixed, _), curves = jax.lax.scan(step, state, (numbers, starts))

        def scored(places):
            return jax.nn.softmax(self.model.stateless_call(trainable, fixed, test[:, places], training=False)[0])

        return curves, jax.lax.map(scored, jnp.asarray(self._places))

    def __call__(self, seed: int) -> tuple[str, dict | None]:
        """The log of a run as CSV, and its scores; None of a run whose loss became NaN."""
        model = self.build(seed)
        state = ([v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables],
                 self._slots)  # fmt: skip
        state, numbers, starts = jax.device_put((state, *self.order(seed)), jax.devices()[0])
        arguments = (state, numbers, starts, self.videos, self.labels, self._test)
        if self._compiled is None:
            start = time.perf_counter()
            self._compiled = jax.jit(self._run).lower(*arguments).compile()
            self.compiled = time.perf_counter() - start
        start = time.perf_counter()
        curves, probabilities = jax.device_get(self._compiled(*arguments))
        seconds = time.perf_counter() - start
        if not np.isfinite(curves[0]).all():
            return "", None
        probabilities = probabilities.transpose(1, 0, 2)
        clips = np.repeat(np.arange(len(self._truth)), probabilities.shape[1])
        found = Scores(self._classes, probabilities.reshape(len(clips), -1), clips, self._truth)
        return self._log(curves), {**found.summary(), "seconds": seconds}

    def _log(self, curves: tuple[np.ndarray, np.ndarray]) -> str:
        """Means of each epoch, as `train` writes them."""
        text, steps = io.StringIO(newline=""), self.options.steps_per_epoch(len(self.labels))
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", "loss", "clip@1"])
        for epoch in range(-(-self.steps // steps)):
            part = slice(epoch * steps, (epoch + 1) * steps)
            writer.writerow([epoch + 1, *(float(curve[part].mean()) for curve in curves)])
        return text.getvalue()
