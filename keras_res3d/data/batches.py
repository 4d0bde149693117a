"""Batches of clips from a data set: training in a stateless random order, evaluation clip by clip in order."""

from __future__ import annotations

import collections
import contextlib
import itertools
import math
import re
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from keras_res3d.data.bad_videos import STOP, UNREADABLE, BadVideos, collector, none_is_left
from keras_res3d.data.clips import MAX_HELD_PIXELS, Sampling, steps_per_epoch
from keras_res3d.data.crashes import opened
from keras_res3d.data.evaluation import evaluation_clips, evaluation_places
from keras_res3d.data.leaving import stop_flag
from keras_res3d.data.targets import target_of, target_spec
from keras_res3d.data.training_clips import ClipsFromChildren, TrainingClips
from keras_res3d.data.transform import preprocess_input, preprocessing_row, random_crop_and_mirror
from keras_res3d.data.types import VideoError
from keras_res3d.io import reader_threads


class _Source:
    """How the examples of a data set become training batches; the arguments of `training_stream`."""

    def __init__(self, data_set, sampling, batch_size, seed, workers, mirror, preprocess, augment, sample_weight,
                 on_bad_video, processes, part=(0, 1), neighbours=False):  # fmt: skip
        preprocessing_row(sampling.preprocessing)
        if seed < 0:
            raise ValueError(f"seed is {seed}; expected 0 or more")
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight, np.float32)
            if sample_weight.shape != (len(data_set),):
                raise ValueError(f"sample_weight has shape {sample_weight.shape}; expected a number for each of the "
                                 f"{len(data_set)} videos")  # fmt: skip
        self.data_set, self.sampling, self.seed, self.sample_weight = data_set, sampling, seed, sample_weight
        if processes < 0:
            raise ValueError(f"processes is {processes}; expected 0, for threads, or more")
        self.workers, self.preprocess, self.bad = reader_threads(workers), preprocess, collector(on_bad_video)
        self.clips = TrainingClips(data_set, sampling, augment, mirror and data_set.mirror_safe)
        if processes:
            # Two clips wait for a process, so that none is idle.
            self.clips, self.workers = ClipsFromChildren(self.clips, processes), processes + 2
        self.batch, self.steps = min(len(data_set), batch_size), steps_per_epoch(len(data_set), batch_size)
        self.part, self.neighbours = part, neighbours
        if not 0 <= part[0] < part[1] or self.batch % part[1]:
            raise ValueError(f"part is {part} of a batch of {self.batch} clips; expected (number, count) where count "
                             "divides the batch")  # fmt: skip

    def numbers(self, first_step: int, last_step: int) -> tf.data.Dataset:
        """The numbers of this part's clips in these steps; with neighbours, those follow the step's own."""
        own = tf.data.Dataset.range(first_step * self.batch + self.part[0], last_step * self.batch, self.part[1])
        if not self.neighbours:
            return own

        def with_neighbours(own):
            place = own % self.batch
            return tf.data.Dataset.from_tensor_slices(tf.concat([own, own - place + (place - 1) % self.batch], axis=0))

        return own.batch(self.batch // self.part[1]).flat_map(with_neighbours)

    def batches(self, numbers: tf.data.Dataset, cardinality) -> tf.data.Dataset:
        """Batches of the clips with these numbers, counted from the first clip of the first epoch."""
        data = numbers.map(self._place)
        data = data.map(self._load, num_parallel_calls=self.workers, deterministic=True)
        data = data.batch(self.batch // self.part[1] * (2 if self.neighbours else 1), drop_remainder=True)
        if self.preprocess:
            mode = self.sampling.preprocessing
            data = data.map(lambda clips, *rest: (preprocess_input(clips, mode), *rest))
        data = data.apply(tf.data.experimental.assert_cardinality(cardinality)).prefetch(2)
        if isinstance(self.clips, ClipsFromChildren):
            # TensorFlow keeps functions for good, so the children cannot end with the one that calls them. Not at the
            # end of the program: calls that wait for an answer then would take their videos for crashing ones.
            weakref.finalize(data, self.clips.close).atexit = False
        return data

    def _place(self, number):
        """Epoch and example of the clip with this number."""
        epoch, position = number // (self.steps * self.batch), number % (self.steps * self.batch)
        key = tf.stack([tf.constant(self.seed & 0x7FFFFFFF, tf.int64), epoch])
        return epoch, tf.random.experimental.index_shuffle(position, tf.cast(key, tf.int32), len(self.data_set) - 1)

    def _load(self, epoch, example):
        target = target_spec(self.data_set)
        clip, label, example = tf.numpy_function(self._read, [epoch, example], [tf.uint8, target.dtype, tf.int64])
        clip = tf.ensure_shape(clip, (self.sampling.frames, *self.sampling.crop, 3))
        label, example = tf.ensure_shape(label, target.shape), tf.ensure_shape(example, ())
        if self.sample_weight is None:
            return clip, label
        return clip, label, tf.gather(self.sample_weight, example)

    def _read(self, epoch, example):
        """One random clip, uint8, its target, and its number; (seed, epoch, example) decides all that is random."""
        key = self.seed, int(epoch), int(example)
        try:
            return self._clip(key[2], key)
        except VideoError as error:
            if self.bad is None:
                raise
            last = error
        # Nothing is remembered of earlier clips: a resumed run meets the same faults, and takes the same videos.
        for other in np.random.default_rng((*key, 1)).permutation(len(self.data_set)).tolist():
            try:
                if other != key[2]:
                    return self._clip(other, (*key, 2, other))
            except VideoError as error:
                last = error
        raise none_is_left(self.data_set, last)

    def _clip(self, number: int, key: tuple[int, ...]):
        example = self.data_set.examples[number]
        try:
            clip = self.clips.read(number, key)
        except UNREADABLE as error:
            if self.bad is None:
                raise
            self.bad.note(example.path, error)
            raise VideoError(str(error)) from error
        return clip, target_of(self.data_set, number), np.int64(number)


def training_stream(
    data_set,
    sampling: Sampling,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    workers: int | None = None,
    mirror: bool = True,
    preprocess: bool = True,
    augment: Callable = random_crop_and_mirror,
    *,
    last_step: int | None = None,
    sample_weight=None,
    on_bad_video: str | BadVideos = STOP,
    processes: int = 0,
    part: tuple[int, int] = (0, 1),
    neighbours: bool = False,
) -> tf.data.Dataset:
    """Training batches of all epochs back to back, from any step on: what an exactly resumed run needs.

    Give `fit` this together with `steps_per_epoch`; Keras takes it as a stream without an end.

    Args:
        data_set, sampling, batch_size, seed, workers, mirror, preprocess, augment, sample_weight, on_bad_video,
        processes: as of `training_batches`.
        start_step: batches to leave out; nothing of them is read.
        last_step: nothing is read beyond this step, counted from the first step of all, and asking for more is an
            error. None: there is no end.
        part: (number, count) of a host and of how many there are: of each batch it reads the clips number,
            number + count, number + 2 * count and so on alone.
        neighbours: each batch then has the part's clips, followed by the clip before each of them in the whole batch
            (before its first one stands its last).

    Returns:
        A tf.data.Dataset whose k-th batch is batch `start_step + k` of the whole stream: that of (seed, epoch, place
        in the epoch) and the data alone.
    """
    source = _Source(data_set, sampling, batch_size, seed, workers, mirror, preprocess, augment, sample_weight,
                     on_bad_video, processes, part, neighbours)  # fmt: skip
    end = np.iinfo(np.int64).max // (source.batch + 1) if last_step is None else last_step
    if not 0 <= start_step <= end:
        raise ValueError(f"start_step is {start_step}; expected 0 to {end}, the last step")
    return source.batches(source.numbers(start_step, end), tf.data.INFINITE_CARDINALITY)


def training_batches(
    data_set,
    sampling: Sampling,
    batch_size: int,
    epochs: int | None = None,
    seed: int = 0,
    start_step: int = 0,
    workers: int | None = None,
    mirror: bool = True,
    preprocess: bool = True,
    augment: Callable = random_crop_and_mirror,
    *,
    sample_weight=None,
    on_bad_video: str | BadVideos = STOP,
    processes: int = 0,
) -> tf.data.Dataset:
    """Random clips for `model.fit`: each pass over it is the next epoch, in a new order and with new crops.

    Args:
        data_set: as `read_data_set` returns it.
        sampling: how clips are cut, resized and cropped.
        batch_size: clips in a batch; a smaller data set gives batches of all its clips.
        epochs: has no effect any more; `fit(epochs=...)` says how many epochs there are.
        seed: a non-negative integer. The i-th batch of the e-th pass depends on (seed, e, i) and the data alone.
        start_step: a number above 0 gives the endless stream of `training_stream`, from this step on.
        workers: videos read at a time; None means one for each processor core.
        mirror: whether half of the clips are mirrored, where the data set is `mirror_safe`.
        preprocess: False leaves the clips as uint8 RGB, for models that preprocess themselves.
        augment: called with (clip, crop, rng, mirror); gives the cropped clip. An `Augment` also changes colours,
            stride and direction.
        sample_weight: a weight for each video, `(videos,)`; batches then have it as their third element.
        on_bad_video: "stop" ends with an error at the first video that cannot be read. "skip" takes a clip of another
            video in its place, and warns once of each: the next that can be read in a random order of all videos,
            which follows from (seed, epoch, video) alone, so that a resumed run takes the same. A `BadVideos` is
            "skip", and has their names.
        processes: a number reads in so many child processes in place of threads, the same clips. They share no lock,
            so many cores serve a fast GPU; a file that crashes its decoder is a video that cannot be read. Data set
            and `augment` are sent to them by pickle.

    Returns:
        A tf.data.Dataset of float32 clips `(batch, frames, height, width, 3)` and int32 labels `(batch,)`, of a
        multi-label data set float32 `(batch, classes)`, 1 for each label that a video has and 0 for all others. It
        knows its length: the whole batches in an epoch. A file that cannot be read ends it with an error that names
        the file (`naming_the_video` makes a VideoError of it), unless it is skipped.
    """
    if epochs is not None:
        warnings.warn("training_batches(epochs=...) has no effect: each pass is one epoch, and fit(epochs=...) says "
                      "how many there are", DeprecationWarning, stacklevel=2)  # fmt: skip
    if start_step:
        return training_stream(data_set, sampling, batch_size, seed, start_step, workers, mirror, preprocess, augment,
                               sample_weight=sample_weight, on_bad_video=on_bad_video, processes=processes)  # fmt: skip
    source = _Source(data_set, sampling, batch_size, seed, workers, mirror, preprocess, augment, sample_weight,
                     on_bad_video, processes)  # fmt: skip
    passes, clips = itertools.count(), source.steps * source.batch

    def one_pass(_):
        # Asked when the first batch of a pass is asked for: Keras also makes iterators that it never reads.
        number = tf.numpy_function(lambda: np.int64(next(passes)), [], tf.int64)
        return tf.data.Dataset.range(clips).map(lambda place: tf.ensure_shape(number, ()) * clips + place)

    return source.batches(tf.data.Dataset.from_tensors(0).flat_map(one_pass), source.steps)


@contextlib.contextmanager
def naming_the_video() -> Iterator[None]:
    """Turns the error that tf.data makes of a VideoError back into one, without TensorFlow's trace."""
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"VideoError: (.+)", str(error))
        if not found:
            raise
        raise VideoError(found[1].strip()) from None


class VideoBatches:
    """Every clip of every video once, in order; see `video_batches`. Each pass over it reads the files again.

    Attributes:
        left_out: what is wrong with each video that the last pass has skipped, by the video's number.
    """

    def __init__(self, data_set, sampling, batch_size, clips, workers, preprocess, on_bad_video=STOP):
        if batch_size < 1 or clips < 1:
            raise ValueError(f"batch_size, clips are {batch_size}, {clips}; expected at least 1 each")
        preprocessing_row(sampling.preprocessing)
        self.data_set, self.sampling, self.batch_size, self.clips = data_set, sampling, batch_size, clips
        # Each worker holds the clips of a video.
        most = MAX_HELD_PIXELS // (clips * sampling.frames * math.prod(sampling.crop))
        self.workers, self.preprocess = max(1, min(reader_threads(workers), most)), preprocess
        self.bad, self.left_out = collector(on_bad_video), {}

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        held, count, self.left_out = collections.deque(), 0, {}
        for number, clips in enumerate(self._each_video(self._read)):
            if isinstance(clips, Exception):
                self._leave_out(number, clips)
                continue
            held.append((clips, number))
            count += len(clips)
            while count >= self.batch_size:
                yield self._batch(held, self.batch_size)
                count -= self.batch_size
        if count:
            yield self._batch(held, count)

    def _batch(self, held, count):
        """Takes `count` clips off the front of `held`, a queue of (clips of one video, video number)."""
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
        targets = np.array([target_of(self.data_set, number) for number in numbers])
        return clips, targets, np.array(numbers, np.int32)

    def _leave_out(self, number, error):
        self.left_out[number] = self.bad.note(self.data_set.examples[number].path, error)
        if len(self.left_out) == len(self.data_set):
            raise none_is_left(self.data_set, error)

    def clip_counts(self) -> list[int]:
        """The number of clips of each video; every file is opened, and none is decoded."""
        return list(self._each_video(self._count))

    def _each_video(self, function):
        """`function` of each video's number, in order; `workers` are read at a time and at most one more waits."""
        stop = stop_flag()
        with ThreadPoolExecutor(self.workers) as pool:
            pending = collections.deque()
            try:
                for number in range(len(self.data_set)):
                    pending.append(pool.submit(function, number, stop))
                    if len(pending) > self.workers:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                stop.set()
                for future in pending:
                    future.cancel()

    def _read(self, number, stop):
        """uint8 (clips, frames, height, width, 3) of one video, cropped as soon as decoded; the error of a bad one."""
        clips = []
        try:
            with opened(self.data_set, number, self.sampling.fps) as video:
                for clip in evaluation_clips(video, self.sampling, self.clips):
                    if stop.is_set():
                        return None
                    clips.append(clip)
        except UNREADABLE as error:
            if self.bad is None:
                raise
            return error
        return np.stack(clips)

    def _count(self, number, stop):
        if stop.is_set():
            return 0
        with opened(self.data_set, number, self.sampling.fps) as video:
            return len(evaluation_places(video, self.sampling, self.clips))


def video_batches(data_set, sampling: Sampling, batch_size: int, clips: int = 10, workers: int | None = None,
                  preprocess: bool = True, *, on_bad_video: str | BadVideos = STOP) -> VideoBatches:  # fmt: skip
    """Every clip of every video exactly once, in order, with its video's number, as scores per video need them.

    Args:
        data_set, sampling, workers: as of `training_batches`.
        batch_size: clips in a batch; the last one may be short, none is empty.
        clips: evenly spread clips of each video, centre crop; a short video has fewer (`even_clips`).
        preprocess: False leaves the clips as uint8 RGB, for models that preprocess themselves.
        on_bad_video: "stop" ends with an error at the first video that cannot be read. "skip" leaves it out, warns
            once of each, and is an error where no video can be read. A `BadVideos` is "skip", and has their names.

    Returns:
        An iterable of NumPy batches: clips `(batch, frames, height, width, 3)`, int32 labels `(batch,)`, or
        `(batch, classes)` as of `training_batches`, int32 video numbers `(batch,)`. Videos are read ahead, a few at a
        time. Iterating raises VideoError, naming the file. After a pass the attribute `left_out` says what is wrong
        with each video that it has skipped, by its number.
    """
    return VideoBatches(data_set, sampling, batch_size, clips, workers, preprocess, on_bad_video)


def evaluation_batches(data_set, sampling: Sampling, batch_size: int, clips: int = 10, workers: int | None = None,
                       preprocess: bool = True) -> tf.data.Dataset:  # fmt: skip
    """Every clip of every video exactly once, in order, for `evaluate`, `predict` and `fit(validation_data=...)`.

    Keras has to know how many batches there are. So with more than one clip, of which a short video has fewer, this
    opens every file for its number of frames; none is decoded before a pass.

    Args:
        data_set, sampling, batch_size, clips, workers, preprocess: as of `video_batches`.

    Returns:
        A tf.data.Dataset of clips `(batch, frames, height, width, 3)`, float32 or uint8, and int32 labels `(batch,)`,
        or `(batch, classes)` as of `training_batches`.
        It knows its length, and each pass over it gives the same batches. A file that cannot be read ends it with an
        error that names the file (`naming_the_video` makes a VideoError of it).

    Raises:
        VideoError: with more than one clip, a file that cannot be opened.
    """
    batches = VideoBatches(data_set, sampling, batch_size, clips, workers, preprocess)
    target = target_spec(data_set)
    signature = (
        tf.TensorSpec((None, sampling.frames, *sampling.crop, 3), tf.float32 if preprocess else tf.uint8),
        tf.TensorSpec((None, *target.shape), target.dtype),
    )

    def pairs():
        for pixels, labels, _ in batches:
            yield pixels, labels

    count = len(data_set) if clips == 1 else sum(batches.clip_counts())
    data = tf.data.Dataset.from_generator(pairs, output_signature=signature)
    return data.apply(tf.data.experimental.assert_cardinality(-(-count // batch_size))).prefetch(1)
