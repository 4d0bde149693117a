"""The second embedded data set: texture and motion are both needed, and neither leaks into the other."""

from __future__ import annotations

import numpy as np
import pytest

from keras_res3d import read_data_set
from keras_res3d.data.sources import textures
from keras_res3d.data.sources.motion import draw_scenes, draw_videos, poses
from keras_res3d.data.sources.textures import CLASSES, REVERSED, draw_surfaces, patches, texture_videos
from keras_res3d.data.types import DataError


def test_videos_are_balanced_and_repeatable():
    videos, labels, names = texture_videos("train", 64)
    assert videos.shape == (64, 16, 32, 32, 3) and videos.dtype == np.uint8 and names == CLASSES
    assert np.bincount(labels).tolist() == [4] * 16 and len(set(CLASSES)) == 16
    assert np.array_equal(videos, texture_videos("train", 64)[0])
    assert not np.array_equal(videos, texture_videos("test", 64)[0])


def drawn(label, count=24):
    rng = np.random.default_rng(0)
    scenes, surfaces = draw_scenes(rng, count, 16), draw_surfaces(rng, count)
    texture = np.full(count, textures._TEXTURE_OF_CLASS[label])
    return draw_videos(scenes, np.full(count, textures._MOTION_OF_CLASS[label]), 16, 32, patches(surfaces, texture))


@pytest.mark.parametrize("label", [0, 3, 9, 14])
def test_a_video_played_backwards_has_the_same_texture_and_the_other_motion(label):
    other = int(REVERSED[label])
    assert CLASSES[label].split("_")[0] == CLASSES[other].split("_")[0] and label != other
    assert np.array_equal(drawn(label)[:, ::-1], drawn(other))


def test_the_texture_leaves_the_paths_alone():
    """The same scenes in two textures: pixels differ where the patch is, and nowhere else."""
    one, other = drawn(0), drawn(8)
    differ = (one != other).any(axis=-1)
    assert differ.any(axis=(1, 2, 3)).all()
    rng = np.random.default_rng(0)
    pose = poses(draw_scenes(rng, 24, 16), np.full(24, textures._MOTION_OF_CLASS[0]), 16)
    grid = np.arange(32) - 15.5
    across, down = (pose[:, :, axis, None, None] for axis in (0, 1))
    away = np.hypot(grid[None, None, None] - across, grid[None, None, :, None] - down)
    reach = np.sqrt(2) * 5.5 * np.exp(pose[:, :, 3, None, None])
    assert not differ[away > reach + 1].any()


def test_no_pose_of_a_single_frame_tells_the_motion():
    scenes = draw_scenes(np.random.default_rng(0), 4000, 16)
    motions = sorted(set(textures._MOTION_OF_CLASS.tolist()))
    single = np.stack([poses(scenes, np.full(4000, label), 16).reshape(-1, 4) for label in motions])
    quantiles = np.quantile(single, [0.05, 0.25, 0.5, 0.75, 0.95], axis=1)
    spread = np.abs(quantiles - quantiles.mean(1, keepdims=True)).max(axis=(0, 1))
    assert (spread < [0.4, 0.4, 0.15, 0.03]).all(), spread


def test_colours_and_areas_do_not_tell_the_texture():
    surfaces = draw_surfaces(np.random.default_rng(0), 2000)
    means, shares = [], []
    for texture in range(4):
        made = patches(surfaces, np.full(2000, texture)).astype(float)
        means.append(made.mean(axis=(1, 2, 3)).mean())
        shares.append((made.mean(axis=-1) > 127).mean())
    assert np.ptp(means) < 4 and np.ptp(shares) < 0.02 and abs(np.mean(shares) - 0.5) < 0.02


def test_textures_look_as_they_are_called():
    surfaces = draw_surfaces(np.random.default_rng(1), 50)
    bright = [patches(surfaces, np.full(50, texture)).mean(axis=-1) > 127 for texture in range(4)]
    stripes, checks, rings, wedges = bright
    assert (stripes == stripes[:, :1]).all() and not (checks == checks[:, :1]).all(axis=(1, 2)).any()
    assert np.array_equal(rings, rings[:, ::-1]) and np.array_equal(rings, rings.transpose(0, 2, 1))
    # Opposite wedges of three have opposite colours.
    assert (wedges != wedges[:, ::-1, ::-1]).mean() > 0.95


def test_it_reads_like_motion():
    data = read_data_set("textures/test")
    assert len(data) == 400 and data.classes == CLASSES and not data.mirror_safe and not data.reverse_safe
    with data.open(17) as video:
        frame = next(video.frames([5]))[1]
    assert np.array_equal(frame, texture_videos("test", 400)[0][17, 5]) and data.examples[17].label == 1
    assert len(read_data_set("textures")) == 1600 and read_data_set("textures").name == "textures/train"
    with pytest.raises(DataError, match="textures/train or textures/test"):
        read_data_set("textures/valid")
    with pytest.raises(DataError, match="textures has"):
        read_data_set("textures", classes=["walk"])
