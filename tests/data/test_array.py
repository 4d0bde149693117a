"""Arrays of frames as videos, and what is said of arrays that are none."""

import numpy as np
import pytest

from keras_res3d.data.open import open_video
from keras_res3d.data.sources.array import ArrayVideo
from keras_res3d.data.types import VideoError, VideoSource

FRAMES = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 48, 3), np.uint8)


def test_an_array_is_a_video():
    with open_video(FRAMES) as video:
        assert isinstance(video, VideoSource) and isinstance(video, ArrayVideo)
        assert video.num_frames == 20 and video.frame_rate == 25 and video.seconds[5] == pytest.approx(0.2)
        assert np.array_equal(next(video.clips([[3, 7, 19]])), FRAMES[[3, 7, 19]])
        assert next(video.clips([[3]], size=(16, 24))).shape == (1, 16, 24, 3) and video.faults == 0
    with open_video(FRAMES, frame_rate=10, fps=5, size=(8, 8)) as video:
        assert video.num_frames == 10 and video.frame_rate == 5
        assert next(video.clips([range(10)]))[:, 0, 0, 0].tolist() == list(range(0, 20, 2))
    with open_video(list(FRAMES)) as video:
        assert video.num_frames == 20


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (FRAMES / 255.0, r"float64 of shape \(20, 32, 48, 3\); expected uint8.*np\.rint\(255 \* array\)"),
        (FRAMES.astype(np.int64), r"int64.*array\.astype\(np\.uint8\)"),
        (np.moveaxis(FRAMES, -1, 1), r"shape \(20, 3, 32, 48\).*np\.moveaxis\(array, 1, -1\)"),
        (np.moveaxis(FRAMES, -1, 0), r"np\.moveaxis\(array, 0, -1\)"),
        (FRAMES[..., :1], r"it is grey, so pass np\.repeat\(array, 3, axis=-1\)"),
        (FRAMES[..., 0], r"it is grey, so pass np\.repeat\(array\[\.\.\., None\], 3, axis=-1\)"),
        (np.concatenate([FRAMES, FRAMES[..., :1]], axis=-1), r"leave alpha out, as array\[\.\.\., :3\]"),
        (FRAMES[0], r"pass array\[None\] for one frame"),
        (FRAMES[None], "one video at a time"),
        (FRAMES[:0], "at least one frame"),
        ([FRAMES[0], FRAMES[0, :16]], r"several sizes.*\(16, 48, 3\), \(32, 48, 3\)"),
        ([], "expected uint8 RGB"),
        (["a.jpg", "b.jpg"], "expected uint8 RGB"),
    ],
)
def test_arrays_that_are_no_videos(array, message):
    with pytest.raises(VideoError, match=message):
        open_video(array)


def test_a_rate_that_is_none():
    for rate in (0, -1, float("nan"), float("inf")):
        with pytest.raises(VideoError, match="the array of 20 frames: frame_rate is"):
            open_video(FRAMES, frame_rate=rate)
