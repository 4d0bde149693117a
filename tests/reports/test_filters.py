"""Filters as pictures, and their temporal share, on filters whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from keras_res3d import build_model
from keras_res3d.nets.zoo import ZOO
from keras_res3d.reports import filters

RNG = np.random.default_rng(0)
STILL = RNG.normal(size=(1, 1, 7, 7, 3)).astype(np.float32)


def test_temporal_share():
    still = STILL.repeat(3, axis=1)
    # The same slice with the signs + 0 -: nothing of it is left in the mean.
    moving = np.concatenate([STILL, 0 * STILL, -STILL], axis=1)
    # Slices a, a, b of equal energy and no overlap: the mean keeps (2/3)^2 + (1/3)^2 of each, 3 times, of 3 in all.
    a, b = np.zeros((1, 1, 1, 2, 3)), np.zeros((1, 1, 1, 2, 3))
    a[..., 0, :], b[..., 1, :] = 1, 1
    share = filters.temporal_share(np.concatenate([a, a, b], axis=1))
    assert share == pytest.approx([1 - 5 / 9])
    assert filters.temporal_share(np.concatenate([still, moving])) == pytest.approx([0, 1], abs=1e-6)
    assert filters.temporal_share(STILL).tolist() == [0] and filters.temporal_share(0 * still).tolist() == [0]


def test_best_matches():
    flat = RNG.normal(size=(3, 1, 5, 5, 3))
    deep = RNG.normal(size=(4, 3, 5, 5, 3))
    deep[2, 1] = 5 * flat[0, 0] + 1
    deep[0, 2] = flat[1, 0] + 0.1 * RNG.normal(size=(5, 5, 3))
    found = filters.best_matches(flat, deep)
    assert found[0][:2] == (2, 1) and found[0][2] == pytest.approx(1)
    assert found[1][:2] == (0, 2) and 0.9 < found[1][2] < 1
    with pytest.raises(ValueError, match="one size"):
        filters.best_matches(flat, deep[:, :, :3])


def test_sheets():
    deep = np.concatenate([STILL, -STILL, STILL], axis=1).repeat(5, axis=0)
    sheet = filters.filter_sheet(deep, columns=2)
    tile_height, tile_width = 7 * 4, 3 * 7 * 4
    assert sheet.shape == (3 * (tile_height + 4) + 4, 2 * (tile_width + 4) + 4, 3)
    first = sheet[4 : 4 + tile_height : 4, 4 : 4 + tile_width : 4]
    np.testing.assert_array_equal(first, np.concatenate(list(filters.filter_pixels(deep)[0]), axis=1))
    assert first.min() == 0 and first.max() == 255
    assert len(filters.moving_sheet(deep)) == 3


def test_a_gif_keeps_every_frame(tmp_path):
    frames = filters.moving_sheet(np.concatenate([STILL, STILL, -STILL], axis=1))
    path = filters.save_gif(frames, tmp_path / "moving.gif")
    with Image.open(path) as picture:
        total = 0
        for number in range(picture.n_frames):
            picture.seek(number)
            total += picture.info["duration"]
    assert total == 3 * 250


def test_filters_of_a_net_are_in_rgb():
    model = build_model(ZOO["sr18"], width=2, input_shape=(4, 32, 32, 3), classes=2)
    kernel = np.asarray(model.get_layer("conv1").kernel)
    np.testing.assert_array_equal(filters.first_filters(model)[1], kernel[..., 1])
    with pytest.raises(ValueError, match="reads 2 channels"):
        filters.first_filters(build_model(ZOO["sr18"], width=2, input_shape=(4, 32, 32, 2), classes=2))
