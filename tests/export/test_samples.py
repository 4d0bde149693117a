"""Clips from arrays, batches, data sets and the embedded data."""

import numpy as np
import pytest

from keras_res3d.data.batches import video_batches
from keras_res3d.data.clips import Sampling
from keras_res3d.data.open import read_data_set
from keras_res3d.data.transform import preprocess_input, to_uint8
from keras_res3d.export.samples import as_input, calibration_and_check, clips_from, default_count, embedded_clips

SAMPLING = Sampling(4, 2, (36, 48), (32, 24))


def test_embedded_clips_have_the_size_asked_for():
    clips = embedded_clips(SAMPLING, 10, "train")
    assert clips.shape == (10, 4, 32, 24, 3) and clips.dtype == np.uint8
    assert clips.std(axis=1).mean() > 1  # something moves
    assert not np.array_equal(clips, embedded_clips(SAMPLING, 10, "test"))


def test_how_many_clips_are_taken():
    assert [default_count(Sampling(f, 1, (c, c), (c, c))) for f, c in ((8, 112), (16, 32), (4, 16))] == [16, 97, 128]


@pytest.mark.parametrize("mode", ["res3d", "torchvision"])
def test_pixels_and_floats_are_exchangeable(mode):
    sampling = Sampling(4, 2, (36, 48), (32, 24), preprocessing=mode)
    pixels = embedded_clips(sampling, 3, "test")
    floats = preprocess_input(pixels, mode)
    np.testing.assert_array_equal(as_input(floats, sampling, preprocessing=True), pixels)
    np.testing.assert_array_equal(as_input(pixels, sampling, preprocessing=True), pixels)
    np.testing.assert_array_equal(as_input(pixels, sampling, preprocessing=False), floats)
    np.testing.assert_array_equal(as_input(floats, sampling, preprocessing=False), floats)


def test_what_is_no_clip_is_refused():
    pixels = embedded_clips(SAMPLING, 2, "test")
    with pytest.raises(ValueError, match=r"expected \(clips, 4, 32, 24, 3\)"):
        as_input(pixels[:, :3], SAMPLING, True)
    with pytest.raises(ValueError, match="1 or more"):
        as_input(pixels[:0], SAMPLING, True)
    with pytest.raises(ValueError, match="int64; expected uint8"):
        as_input(pixels.astype(np.int64), SAMPLING, True)
    with pytest.raises(ValueError, match="'res3d' cannot give"):
        as_input(pixels.astype(np.float32), SAMPLING, True)
    with pytest.raises(ValueError, match="cannot give"):
        as_input(np.full((1, 4, 32, 24, 3), np.nan, np.float32), SAMPLING, True)


def test_sources():
    import tensorflow as tf

    pixels = embedded_clips(SAMPLING, 6, "test")
    np.testing.assert_array_equal(clips_from(pixels, SAMPLING), pixels)
    np.testing.assert_array_equal(clips_from(pixels, SAMPLING, count=4), pixels[:4])
    data = tf.data.Dataset.from_tensor_slices((pixels, np.zeros(6))).batch(4)
    np.testing.assert_array_equal(clips_from(data, SAMPLING), pixels)
    np.testing.assert_array_equal(clips_from(data, SAMPLING, count=5), pixels[:5])
    np.testing.assert_array_equal(clips_from(data.map(lambda clips, _: clips), SAMPLING), pixels)
    with pytest.raises(ValueError, match="1 or more"):
        clips_from(data.take(0), SAMPLING)


def test_a_data_set_is_sampled_evenly():
    clips = clips_from("motion/test", SAMPLING, count=5)
    assert clips.shape == (5, 4, 32, 24, 3)
    whole = list(video_batches(read_data_set("motion/test"), SAMPLING, 400, clips=1))
    np.testing.assert_array_equal(clips[0], to_uint8(whole[0][0][0]))
    np.testing.assert_array_equal(clips[-1], to_uint8(whole[0][0][-1]))


def test_a_third_is_held_out_to_check_on():
    pixels = embedded_clips(SAMPLING, 10, "test")
    calibration, check = calibration_and_check(pixels, SAMPLING, False, 32)
    np.testing.assert_array_equal(calibration, preprocess_input(pixels[:7]))
    np.testing.assert_array_equal(check, pixels[7:])
    calibration, check = calibration_and_check([pixels[:2]], SAMPLING, True, 32)
    assert (len(calibration), len(check)) == (1, 1)
    calibration, check = calibration_and_check(pixels[:1], SAMPLING, True, 32)
    assert len(calibration) == 1 and check is None


def test_no_video_of_a_data_set_is_on_both_sides():
    calibration, check = calibration_and_check("motion/test", SAMPLING, True, 8)
    assert len(calibration) == default_count(SAMPLING) and len(check) == default_count(SAMPLING) // 2
    sides = [{clip.tobytes() for clip in clips} for clips in (calibration, check)]
    assert not sides[0] & sides[1]
    again = calibration_and_check("motion/test", SAMPLING, True, 8)
    np.testing.assert_array_equal(check, again[1])
    # All classes are on both sides: the data set's videos are sorted by class.
    whole = {clip.tobytes() for clip in clips_from("motion/test", SAMPLING, count=len(calibration) + len(check))}
    assert whole == sides[0] | sides[1]
