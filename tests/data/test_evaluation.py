"""The clips by which a video is judged: the same, whether their frames are held together or read anew for each."""

from __future__ import annotations

import numpy as np
import pytest

from keras_res3d.data import evaluation
from keras_res3d.data.clips import Sampling
from keras_res3d.data.evaluation import evaluation_clips
from keras_res3d.data.open import open_video

SAMPLING = Sampling(frames=3, stride=4, resize=(8, 10), crop=(6, 6))


class Counted:
    """A video of 40 frames; counts what is read, and keeps how many frames were held for its clips."""

    def __init__(self):
        pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 10, 3), np.uint8)
        self._video, self.num_frames, self.passes = open_video(pixels), 40, 0

    def clips(self, places, size):
        self.passes += 1
        return self._video.clips(places, size=size)


@pytest.mark.parametrize(("clips", "step"), [(10, None), (1, 5)])
def test_clips_that_overlap_too_much_are_read_one_by_one(clips, step, monkeypatch):
    together, alone = Counted(), Counted()
    found = list(evaluation_clips(together, SAMPLING, clips, step))
    monkeypatch.setattr(evaluation, "MAX_HELD_PIXELS", 3 * 80)  # no more than the frames of one clip
    np.testing.assert_array_equal(found, list(evaluation_clips(alone, SAMPLING, clips, step)))
    assert together.passes == 1 and alone.passes == len(found)


def test_clips_that_lie_apart_are_read_in_one_pass(monkeypatch):
    video = Counted()
    monkeypatch.setattr(evaluation, "MAX_HELD_PIXELS", 9 * 80)  # the frames from the first to the last of one clip
    assert len(list(evaluation_clips(video, SAMPLING, 3))) == 3 and video.passes == 1
    assert not list(evaluation.clips_at(video, SAMPLING, []))
