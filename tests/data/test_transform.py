"""Preprocessing, crops and mirroring, eagerly and inside tf.data."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_res3d.data.transform import (
    PREPROCESSING,
    centre_crop,
    preprocess_input,
    random_crop_and_mirror,
    to_uint8,
)

PIXEL = np.array([[10, 20, 30]], np.uint8)


def test_released_preprocessing_is_bgr_minus_128():
    assert preprocess_input(PIXEL).tolist() == [[-98.0, -108.0, -118.0]]
    assert preprocess_input(PIXEL).dtype == np.float32


def test_torchvision_preprocessing():
    expected = (PIXEL / 255 - [0.43216, 0.394666, 0.37645]) / [0.22803, 0.22145, 0.216989]
    assert np.allclose(preprocess_input(PIXEL, "torchvision"), expected, atol=1e-6)


@pytest.mark.parametrize("mode", PREPROCESSING)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_arrays_tensors_and_datasets_agree(mode, dtype):
    clip = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 3)).astype(dtype)
    expected = preprocess_input(clip, mode)
    eager = preprocess_input(tf.constant(clip), mode)
    data = tf.data.Dataset.from_tensors(clip).map(lambda x: preprocess_input(x, mode))
    inside = next(iter(data))
    assert eager.dtype == inside.dtype == tf.float32
    assert np.allclose(eager, expected, atol=1e-5) and np.allclose(inside, expected, atol=1e-5)
    inputs = keras.Input((3, 4, 5, 3))
    model = keras.Model(inputs, preprocess_input(inputs, mode))
    assert np.allclose(model(clip.astype(np.float32)), expected, atol=1e-5)
    assert np.array_equal(to_uint8(expected, mode), clip)


@pytest.mark.parametrize("kind", [np.asarray, tf.constant])
def test_pixels_that_are_not_0_to_255_are_refused(kind):
    clip = np.random.default_rng(0).random((2, 4, 4, 3)).astype(np.float32)
    with pytest.raises(ValueError, match=r"0\.\.255 expected.*255"):
        preprocess_input(kind(clip))
    with pytest.raises(ValueError, match=r"0\.\.255 expected"):
        preprocess_input(kind(clip * 255 - 128))
    clip[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        preprocess_input(kind(clip))
    with pytest.raises(ValueError, match=r"shape \(2, 4, 4, 1\)"):
        preprocess_input(kind(clip[..., :1]))
    with pytest.raises(ValueError, match=r"'caffe'.*res3d"):
        preprocess_input(kind(clip), "caffe")


def test_black_clips_and_dark_integers_pass():
    assert (preprocess_input(np.zeros((2, 3), np.float32)) == -128).all()
    assert (preprocess_input(np.ones((2, 3), np.uint8)) == -127).all()
    with pytest.raises(ValueError, match="dtype"):
        preprocess_input(np.zeros((2, 3), bool))


def test_centre_crop_starts_where_the_released_net_does():
    rows, columns = np.mgrid[:128, :171]
    clip = np.stack([rows, columns, rows], -1)[None]
    crop = centre_crop(clip, (112, 112))
    assert crop.shape == (1, 112, 112, 3) and crop[0, 0, 0].tolist() == [8, 29, 8]
    assert np.array_equal(centre_crop(tf.constant(clip), (112, 112)), crop)
    with pytest.raises(ValueError, match=r"\(129, 112\)"):
        centre_crop(clip, (129, 112))


def test_one_random_crop_and_mirror_for_the_whole_clip():
    rows, columns = np.mgrid[:20, :30]
    clip = np.broadcast_to(np.stack([rows, columns, rows], -1), (4, 20, 30, 3)).astype(np.uint8)
    rng, seen = np.random.default_rng(0), set()
    for _ in range(400):
        crop = random_crop_and_mirror(clip, (18, 27), rng)
        assert crop.shape == (4, 18, 27, 3) and (crop == crop[0]).all() and crop.flags.c_contiguous
        first, second = crop[0, 0, 0], crop[0, 0, 1]
        mirrored = int(second[1]) < int(first[1])
        assert abs(int(second[1]) - int(first[1])) == 1
        seen.add((int(first[0]), int(first[1]) - (26 if mirrored else 0), mirrored))
    assert seen == {(top, left, m) for top in range(3) for left in range(4) for m in (False, True)}


def test_switching_the_mirror_off_leaves_the_crops_alone():
    clip = np.random.default_rng(1).integers(0, 256, (2, 20, 30, 3), np.uint8)
    pairs = [[random_crop_and_mirror(clip, (8, 8), np.random.default_rng(i), mirror) for mirror in (True, False)]
             for i in range(20)]
    same = [np.array_equal(a, b) for a, b in pairs]
    assert any(same) and not all(same)
    assert all(np.array_equal(a[:, :, ::-1], b) for (a, b), s in zip(pairs, same, strict=True) if not s)
