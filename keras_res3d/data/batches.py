"""Batches of clips from a data set: training in a stateless random order, evaluation clip by clip in order."""

import collections
import contextlib
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from keras_res3d.data.clips import even_clips, random_clip
from keras_res3d.data.transform import centre_crop, preprocess_input, preprocessing_row, random_crop_and_mirror
from keras_res3d.data.types import VideoError

MAX_WORKERS = 16


def steps_per_epoch(n, batch_size):
    """Whole batches in n examples, at least one: an epoch leaves out the rest, other examples each time."""
    if n < 1 or batch_size < 1:
        raise ValueError(f"n, batch_size are {n}, {batch_size}; expected at least 1 each")
    return max(1, n // batch_size)


def _workers(workers):
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; expected None (one per processor core) or at least 1")
    return workers or min(MAX_WORKERS, os.cpu_count() or 1)


def training_batches(data_set, sampling, batch_size, epochs, seed=0, start_step=0, workers=None, mirror=True,
                     preprocess=True, augment=random_crop_and_mirror):
    """Random clips of all epochs, back to back, as a tf.data.Dataset.

    data_set: a `lists.DataSet` or the like. sampling: a `clips.Sampling`. epochs: passes over the data. seed: a
    non-negative integer. start_step: batches to leave out, nothing of them read. workers: videos read at a time.
    mirror: mirror half of the clips, where the data set is `mirror_safe`. preprocess: False leaves the clips as uint8
    RGB, for models that preprocess themselves. augment: called with (clip, crop, rng, mirror), gives the cropped clip.
    Yields (float32 clips of shape (b, frames, height, width, 3), int32 labels (b,)); b is batch_size, or the number of
    examples where there are fewer. The i-th batch depends on (seed, i) and the data alone: with start_step=k the stream
    is what the uninterrupted one gives from step k on. A file that cannot be read ends the stream with an error that
    names it (`naming_the_video` makes a VideoError of it).
    """
    n, workers = len(data_set), _workers(workers)
    steps, batch = steps_per_epoch(n, batch_size), min(n, batch_size)
    total = steps * epochs
    preprocessing_row(sampling.preprocessing)
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected 0 or more")
    if not 0 <= start_step <= total:
        raise ValueError(f"start_step is {start_step}; expected 0 to {total}, the steps in {epochs} epochs")
    mirror = mirror and data_set.mirror_safe

    def read(epoch, example):
        return _training_clip(data_set, sampling, seed, int(epoch), int(example), mirror, augment)

    def place(number):
        epoch, position = number // (steps * batch), number % (steps * batch)
        key = tf.stack([tf.constant(seed & 0x7FFFFFFF, tf.int64), epoch])
        return epoch, tf.random.experimental.index_shuffle(position, tf.cast(key, tf.int32), n - 1)

    def load(epoch, example):
        clip, label = tf.numpy_function(read, [epoch, example], [tf.uint8, tf.int32])
        return tf.ensure_shape(clip, (sampling.frames, *sampling.crop, 3)), tf.ensure_shape(label, ())

    data = tf.data.Dataset.range(start_step * batch, total * batch).map(place)
    data = data.map(load, num_parallel_calls=workers, deterministic=True).batch(batch, drop_remainder=True)
    if preprocess:
        data = data.map(lambda clips, labels: (preprocess_input(clips, sampling.preprocessing), labels))
    data = data.apply(tf.data.experimental.assert_cardinality(total - start_step))
    return data.prefetch(2)


def _training_clip(data_set, sampling, seed, epoch, example, mirror, augment):
    """One random clip, uint8, and its label. (seed, epoch, example) decides all that is random."""
    rng = np.random.default_rng((seed, epoch, example))
    with data_set.open(example, fps=sampling.fps) as video:
        indices = random_clip(video.num_frames, sampling.frames, sampling.stride, rng.random())
        clip = next(video.clips([indices], size=sampling.resize))
    clip = augment(clip, sampling.crop, rng, mirror)
    return clip, np.int32(data_set.examples[example].label)


@contextlib.contextmanager
def naming_the_video():
    """Turns what tf.data makes of a VideoError back into one: its message without TensorFlow's trace."""
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"VideoError: (.+)", str(error))
        if not found:
            raise
        raise VideoError(found[1].strip()) from None


class EvaluationBatches:
    """Every clip of every video once, in order; see `evaluation_batches`. Each pass over it reads the files again."""

    def __init__(self, data_set, sampling, batch_size, clips, workers, preprocess):
        if batch_size < 1 or clips < 1:
            raise ValueError(f"batch_size, clips are {batch_size}, {clips}; expected at least 1 each")
        preprocessing_row(sampling.preprocessing)
        self.data_set, self.sampling, self.batch_size, self.clips = data_set, sampling, batch_size, clips
        self.workers, self.preprocess = _workers(workers), preprocess

    def __iter__(self):
        held, count = collections.deque(), 0
        for number, clips in enumerate(self._videos()):
            held.append((clips, number))
            count += len(clips)
            while count >= self.batch_size:
                yield self._batch(held, self.batch_size)
                count -= self.batch_size
        if count:
            yield self._batch(held, count)

    def _batch(self, held, count):
        """Take `count` clips off the front of `held`, a queue of (clips of one video, video number)."""
        parts, numbers = [], []
        while count:
            clips, number = held.popleft()
            parts.append(clips[:count])
            numbers += [number] * len(parts[-1])
            if len(clips) > count:
                held.appendleft((clips[count:], number))
            count -= len(parts[-1])
        clips = np.concatenate(parts)
        if self.preprocess:
            clips = preprocess_input(clips, self.sampling.preprocessing)
        labels = np.array([self.data_set.examples[number].label for number in numbers], np.int32)
        return clips, labels, np.array(numbers, np.int32)

    def _videos(self):
        """The clips of each video in order; `workers` are read at a time and at most one more waits."""
        stop = threading.Event()
        with ThreadPoolExecutor(self.workers) as pool:
            pending = collections.deque()
            try:
                for number in range(len(self.data_set)):
                    pending.append(pool.submit(self._read, number, stop))
                    if len(pending) > self.workers:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                stop.set()
                for future in pending:
                    future.cancel()

    def _read(self, number, stop):
        """uint8 (clips, frames, height, width, 3) of one video, cropped as soon as decoded."""
        sampling, clips = self.sampling, []
        with self.data_set.open(number, fps=sampling.fps) as video:
            places = even_clips(video.num_frames, sampling.frames, sampling.stride, self.clips)
            for clip in video.clips(places, size=sampling.resize):
                if stop.is_set():
                    break
                clips.append(np.ascontiguousarray(centre_crop(clip, sampling.crop)))
        if not stop.is_set():
            expected = (len(places), sampling.frames, *sampling.crop, 3)
            assert np.shape(clips) == expected, f"video {number}: clips {np.shape(clips)}, expected {expected}"
        return np.stack(clips) if clips else None


def evaluation_batches(data_set, sampling, batch_size, clips=10, workers=None, preprocess=True):
    """Every clip of every video exactly once, in order: evenly spread clips, centre crop.

    data_set, sampling, workers: as in `training_batches`. clips: per video; short ones have fewer (`even_clips`).
    preprocess: False leaves the clips as uint8 RGB, for models that preprocess themselves.
    Iterating yields (float32 clips (b, frames, height, width, 3), int32 labels (b,), int32 video numbers (b,)); the
    last batch may be short, none is empty. Videos are read ahead, a few at a time. Raises VideoError, naming the file.
    """
    return EvaluationBatches(data_set, sampling, batch_size, clips, workers, preprocess)
