"""What the run is fed: uint8 clips from any step on, augmented and mixed by (seed, step) alone; and what it says."""

import numpy as np
import pytest

from keras_res3d.data.transform import random_resized_crop_and_mirror
from keras_res3d.training.feed import Feed, SeveralClips, mixup_shares
from keras_res3d.training.progress import Clock, epoch_line
from keras_res3d.training.recipes import TrainingOptions
from tests.training.runs import SAMPLING, Few


@pytest.mark.parametrize("change", [{}, {"mixup": 0.3, "smallest_area": 0.4}, {"clips_per_video": 2}])
def test_a_stream_begun_later_is_the_rest(change):
    options = TrainingOptions(epochs=2, batch_size=4, **change)
    whole, rest = Feed(Few("train", 9), SAMPLING, options, 0), Feed(Few("train", 9), SAMPLING, options, 2)
    whole.take(2)
    for first, second in zip(whole.take(1), rest.take(1), strict=True):
        assert np.array_equal(first, second)
    clips, labels, shares = rest.take(1)
    assert clips.dtype == "uint8" and clips.shape == (1, 4, 4, 24, 24, 3) and labels.shape == shares.shape == (1, 4)
    assert whole.waited > 0


def test_random_resized_crops():
    ramp = np.broadcast_to(np.arange(60, dtype=np.uint8)[None, None, :, None] * 4, (3, 40, 60, 3))
    areas, mirrored = [], 0
    for seed in range(200):
        clip = random_resized_crop_and_mirror(ramp, (20, 30), np.random.default_rng(seed), True, 0.25)
        assert clip.shape == (3, 20, 30, 3) and (clip[0] == clip[1]).all()
        rise = clip[0, 0, -1, 0].astype(int) - clip[0, 0, 0, 0]
        mirrored += rise < 0
        areas.append(abs(rise) / 236)
        still = random_resized_crop_and_mirror(ramp, (20, 30), np.random.default_rng(seed), False, 0.25)
        assert np.array_equal(still, clip[:, :, ::-1] if rise < 0 else clip)
    assert 70 < mirrored < 130 and min(areas) < 0.6 and max(areas) > 0.9
    whole = random_resized_crop_and_mirror(ramp, (40, 60), np.random.default_rng(0), False, 1.0, 1.0)
    assert np.abs(whole.astype(int) - ramp).max() <= 1


def test_shares_of_mixup():
    shares = np.concatenate([mixup_shares(TrainingOptions(mixup=0.4), step, 8) for step in range(50)])
    assert 0.5 <= shares.min() < 0.7 and shares.max() <= 1 and np.ptp(shares) > 0.3
    again = mixup_shares(TrainingOptions(mixup=0.4), 7, 8)
    assert np.array_equal(again, shares[56:64])
    assert (mixup_shares(TrainingOptions(), 7, 8) == 1).all()


def test_several_clips_of_a_video():
    data = SeveralClips(Few("train", 5), 3)
    assert len(data) == 15 and data.examples[7] == data.examples[2] and data.mirror_safe is False
    with data.open(12) as video:
        assert video.num_frames == 16


def test_the_line_of_an_epoch():
    class Waiting:
        waited = 0.0

    feed = Waiting()
    clock = Clock(feed)
    clock.clips, feed.waited = 100, 1e9
    measures = clock.measures()
    assert measures["data_wait"] == 1.0 and measures["clips_per_second"] > 0
    row = {"epoch": 3, "loss": 1.2345, "clip@1": 0.5, "clips_per_second": 21.34, "data_wait": 0.04, "seconds": 12.3,
           "learning_rate": 0.1, "val_video@1": 0.25}  # fmt: skip
    assert epoch_line(row, 20) == (
        "epoch 3/20: 12 s, 21.3 clips/s, 4% of the time waiting for data; loss 1.234, clip@1 0.500, val_video@1 0.250"
    )
