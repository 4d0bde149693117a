"""The embedded data set: balanced, repeatable, and only time tells the class."""

import numpy as np
import pytest

from keras_res3d.data.sources import motion
from keras_res3d.data.sources.motion import CLASSES, draw_scenes, draw_videos, motion_data_set, motion_videos, poses

PAIRS = [(0, 1), (2, 3), (4, 5), (6, 7)]


def test_videos_are_balanced_and_repeatable():
    videos, labels, names = motion_videos("train", 64)
    assert videos.shape == (64, 16, 32, 32, 3) and videos.dtype == np.uint8 and names == CLASSES
    assert np.bincount(labels).tolist() == [8] * 8
    assert np.array_equal(videos, motion_videos("train", 64)[0])
    assert not np.array_equal(videos, motion_videos("test", 64)[0])
    assert not np.array_equal(videos, motion_videos("train", 64, seed=1)[0])
    assert motion_videos("train", 3, frames=8, size=48)[0].shape == (3, 8, 48, 48, 3)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_video_played_backwards_is_one_of_the_paired_class(pair):
    scenes = draw_scenes(np.random.default_rng(0), 24, 16)
    one, other = (draw_videos(scenes, np.full(24, label), 16, 32) for label in pair)
    assert np.array_equal(one[:, ::-1], other)
    assert not np.array_equal(one, other)


def test_no_pose_of_a_single_frame_tells_the_class():
    scenes = draw_scenes(np.random.default_rng(0), 4000, 16)
    single = np.stack([poses(scenes, np.full(4000, label), 16).reshape(-1, 4) for label in range(8)])
    quantiles = np.quantile(single, [0.05, 0.25, 0.5, 0.75, 0.95], axis=1)
    spread = np.abs(quantiles - quantiles.mean(1, keepdims=True)).max(axis=(0, 1))
    assert (spread < [0.4, 0.4, 0.15, 0.03]).all(), spread


def test_each_class_moves_as_its_name_says():
    scenes = draw_scenes(np.random.default_rng(0), 50, 16)
    for label, (axis, sign) in enumerate([(0, -1), (0, 1), (1, -1), (1, 1), (2, -1), (2, 1), (3, 1), (3, -1)]):
        steps = np.diff(poses(scenes, np.full(50, label), 16), axis=1)
        assert (np.sign(steps[:, :, axis]) == sign).all(), CLASSES[label]
        assert (np.delete(steps, axis, axis=2) == 0).all(), CLASSES[label]
    steps = np.abs(np.diff(poses(scenes, np.zeros(50, int), 16), axis=1))[:, :, 0]
    assert steps.min() >= 0.99 and steps.max() <= 2


def test_the_picture_moves_as_the_pose_says():
    scenes = draw_scenes(np.random.default_rng(3), 20, 16)
    columns = np.arange(32)
    for label, sign in ((0, -1), (1, 1)):
        videos = draw_videos(scenes, np.full(20, label), 16, 32).astype(int)
        still = np.median(videos, axis=1, keepdims=True)
        moved = (np.abs(videos - still).sum(-1) > 60).sum(2)
        centre = (moved * columns).sum(-1) / np.maximum(moved.sum(-1), 1)
        assert (np.sign(centre[:, -1] - centre[:, 0]) == sign).all()


def test_the_patch_stays_in_the_frame_and_the_background_still():
    scenes = draw_scenes(np.random.default_rng(0), 400, 16)
    for label in range(8):
        pose = poses(scenes, np.full(400, label), 16)
        assert np.abs(pose[..., :2]).max() < 12
        assert motion.HALF_SIDE * np.exp(pose[..., 3]).max() < 11
    videos = draw_videos(scenes, np.zeros(400, int), 16, 32)
    assert (np.ptp(videos[:, :, 0, 0].astype(int), axis=1) == 0).mean() > 0.9


def test_the_data_set_reads_like_one_of_files():
    data = motion_data_set("test")
    assert len(data) == len(data.examples) == 400 and not data.mirror_safe
    assert data.classes == CLASSES and data.examples[9].label == 1 and data.examples[9].group is None
    with data.open(9) as video:
        assert video.num_frames == 16
        places = [np.array([0, 2, 15]), np.array([1, 1, 1])]
        drawn = list(video.clips(places, size=(32, 32)))
        assert drawn[0].shape == (3, 32, 32, 3) and (drawn[1][0] == drawn[1][2]).all()
        assert next(video.clips(places, size=(37, 49))).shape == (3, 37, 49, 3)
    assert np.array_equal(drawn[0], motion_videos("test", 400)[0][9][[0, 2, 15]])
    assert len(motion_data_set("train")) == 1600
    with pytest.raises(IndexError):
        data.open(400)


def test_out_of_range_is_refused():
    with pytest.raises(ValueError, match="'valid'"):
        motion_videos("valid", 8)
    with pytest.raises(ValueError, match="expected"):
        motion_videos("train", 0)
    with pytest.raises(ValueError, match="'valid'"):
        motion_data_set("valid")
