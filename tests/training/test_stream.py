"""What `fit` is fed: clips and targets from any step on, augmented and mixed by (seed, step) alone."""

import numpy as np
import pytest

from keras_res3d.data.transform import random_resized_crop_and_mirror
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.training.stream import SeveralClips, mixup_shares, recipe_stream, soft_targets
from tests.training.runs import SAMPLING, Few


@pytest.mark.parametrize("change", [{}, {"mixup": 0.3, "smallest_area": 0.4}, {"clips_per_video": 2}])
def test_a_stream_begun_later_is_the_rest(change):
    options = TrainingOptions(epochs=2, batch_size=4, **change)
    weights = np.arange(9.0)
    whole, rest = (
        list(recipe_stream(Few("train", 9), SAMPLING, options, start, preprocess=False, sample_weight=weights)
             .take(options.total_steps(9) - start))
        for start in (0, 2)
    )  # fmt: skip
    assert len(whole) - 2 == len(rest) == options.total_steps(9) - 2
    for first, second in zip(whole[2:], rest, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    clips, targets, weight = rest[0]
    assert clips.dtype == ("float32" if options.mixup else "uint8") and clips.shape == (4, 4, 24, 24, 3)
    assert targets.shape == ((4, 8) if options.mixup else (4,)) and weight.shape == (4,)
    stream = recipe_stream(Few("train", 9), SAMPLING, options)
    assert stream.cardinality().numpy() == -1 and stream.element_spec[0].dtype == "float32"
    np.testing.assert_allclose(next(iter(stream))[0], np.asarray(whole[0][0])[..., ::-1] - 128.0, atol=1e-4)


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


def test_smoothing_and_mixing_by_hand():
    labels, shares = np.array([0, 2, 1]), np.array([0.7, 0.6, 1.0], np.float32)
    smooth = [[0.9 * (k == label) + 0.1 / 3 for k in range(3)] for label in labels]
    np.testing.assert_allclose(soft_targets(labels, 3, 0.1), smooth, rtol=1e-6)
    mixed = [[0.7, 0.3, 0], [0.4, 0, 0.6], [0, 1, 0]]
    np.testing.assert_allclose(soft_targets(labels, 3, shares=shares), mixed, rtol=1e-6)


@pytest.mark.parametrize(
    "change", [{}, {"mixup": 0.3, "clips_per_video": 2}, {"label_smoothing": 0.1}], ids=["plain", "mixed", "smooth"]
)
def test_parts_for_hosts_are_every_nth_clip_of_each_batch(change):
    options, weights = TrainingOptions(epochs=2, batch_size=6, **change), np.arange(8.0)

    def stream(**part):
        whole = recipe_stream(
            Few("train", 8), SAMPLING, options, 1, preprocess=False, sample_weight=weights, **part
        )  # fmt: skip
        assert whole.cardinality().numpy() == -1
        return list(whole.take(options.total_steps(8) - 1))

    whole, parts = stream(), [stream(part=(number, 3)) for number in range(3)]
    assert len(whole) == options.total_steps(8) - 1
    for step, batch in enumerate(whole):
        for number, part in enumerate(parts):
            for expected, found in zip(batch, part[step], strict=True):
                assert found.shape[0] == 2  # known beforehand
                assert np.array_equal(expected[number::3], found)


@pytest.mark.parametrize("part", [(0, 4), (3, 3), (-1, 2)])
def test_parts_that_do_not_divide_a_batch_are_refused(part):
    with pytest.raises(ValueError, match="divides the batch"):
        recipe_stream(Few("train", 8), SAMPLING, TrainingOptions(batch_size=6), part=part)
