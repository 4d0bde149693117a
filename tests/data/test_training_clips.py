"""Clips read in child processes: the same as in threads, in the same order, and a crash is one bad video."""

import functools
import gc
import multiprocessing
import os
import pickle
import time

import numpy as np
import pytest
import tensorflow as tf

from keras_res3d.data.bad_videos import BadVideos
from keras_res3d.data.batches import naming_the_video, training_batches, training_stream
from keras_res3d.data.clips import Sampling
from keras_res3d.data.open import VideoFiles, read_data_set
from keras_res3d.data.pack import pack
from keras_res3d.data.sources.motion import motion_data_set
from keras_res3d.data.training_clips import SeveralClips
from keras_res3d.data.transform import random_resized_crop_and_mirror
from keras_res3d.data.types import Example, VideoError
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.training.stream import recipe_stream

SMALL = Sampling(frames=4, stride=2, resize=(32, 32), crop=(24, 24))


def _streamed(data, steps, **options):
    stream = training_stream(data, SMALL, 4, seed=3, last_step=steps, **options)
    return [[part.numpy() for part in batch] for batch in stream.take(steps - options.get("start_step", 0))]


def _same(first, second):
    return all(np.array_equal(a, b) for one, other in zip(first, second, strict=True)
               for a, b in zip(one, other, strict=True))


@pytest.fixture
def files(tmp_path, make_video):
    rng = np.random.default_rng(0)
    paths = [make_video(tmp_path / f"{n}.mp4", rng.integers(0, 256, (12, 40, 48, 3), np.uint8)) for n in range(6)]
    return VideoFiles(tuple(Example(str(path), n % 2) for n, path in enumerate(paths)), ("a", "b"), "test")


def test_processes_give_the_clips_of_threads_from_any_step_on(files):
    whole = _streamed(files, 6, sample_weight=np.arange(6))
    assert _same(_streamed(files, 6, sample_weight=np.arange(6), processes=2), whole)
    assert _same(_streamed(files, 6, sample_weight=np.arange(6), processes=1, start_step=4), whole[4:])


def test_every_kind_of_data_set_travels(files, tmp_path):
    pack(files, tmp_path / "shards", (32, 32), workers=1)
    shards = read_data_set(tmp_path / "shards")
    for data in (shards, motion_data_set("test"), SeveralClips(files, 3)):
        again = pickle.loads(pickle.dumps(data))
        assert len(again) == len(data) and again.classes == data.classes and again.examples == data.examples
        with again.open(1) as one, data.open(1) as other:
            pairs = zip(one.frames([0, 3]), other.frames([0, 3]), strict=True)
            assert all(np.array_equal(a, b) for (_, a), (_, b) in pairs)
    travelled = pickle.dumps(shards)  # shards are opened once, however often they come
    assert pickle.loads(travelled) is pickle.loads(travelled)
    assert pickle.loads(travelled) is not pickle.loads(pickle.dumps(read_data_set(tmp_path / "shards")))
    options = TrainingOptions(batch_size=4, clips_per_video=2, smallest_area=0.5, epochs=1)
    threads, children = (
        [[part.numpy() for part in batch] for batch in recipe_stream(shards, SMALL, each).take(3)]
        for each in (options, TrainingOptions(**{**vars(options), "processes": 1}))
    )
    assert _same(threads, children)


class Crashing(VideoFiles):
    """Video 2 crashes the process that opens it, video 4 cannot be read."""

    def open(self, i, fps=None, strict=False):
        if i == 2:
            os.abort()
        if i == 4:
            raise VideoError(f"{self.examples[i].path}: is damaged")
        return super().open(i, fps, strict)


@pytest.mark.slow
def test_a_native_crash_is_a_bad_video_that_is_skipped(files):
    data, bad = Crashing(files.examples, files.classes, files.name), BadVideos()
    got = _streamed(data, 4, processes=2, on_bad_video=bad)
    assert set(bad.faults) == {files.examples[2].path, files.examples[4].path}
    assert "2.mp4: crashed the process that decoded it (SIGABRT)" in bad.faults[files.examples[2].path]
    assert _same(_streamed(data, 4, processes=1, on_bad_video="skip", start_step=1), got[1:])
    with pytest.raises(VideoError, match=r"\.mp4: (crashed the process|is damaged)"), naming_the_video():
        _streamed(data, 4, processes=2)


def _broken(clip, crop, rng, mirror):
    raise KeyError("no such crop")


def test_what_is_no_fault_of_a_video_stops_all(files):
    with pytest.raises(tf.errors.OpError, match="a process that reads clips failed: 'no such crop'"):
        _streamed(files, 1, processes=1, augment=_broken, on_bad_video="skip")
    with pytest.raises(tf.errors.OpError, match="must be defined in a module"):
        _streamed(files, 1, processes=1, augment=lambda clip, *rest: clip)
    with pytest.raises(ValueError, match="processes is -1"):
        training_batches(files, SMALL, 2, processes=-1)


def test_children_end_with_the_data(files):
    children = multiprocessing.active_children
    gc.collect()
    before = len(children())
    for _ in range(2):
        data = training_batches(files, SMALL, 2, processes=2, augment=functools.partial(random_resized_crop_and_mirror))
        next(iter(data))
        assert len(children()) >= before + 1
        del data
        gc.collect()
    end = time.monotonic() + 20
    while len(children()) > before and time.monotonic() < end:
        time.sleep(0.1)
    assert len(children()) == before
