"""Frame arithmetic: golden indices, and properties over all sizes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_res3d.data.clips import (
    Sampling,
    at_frame_rate,
    clip_indices,
    clips_at_once,
    even_clips,
    for_crop,
    random_clip,
    sliding_clips,
)

sizes = st.integers(1, 400)
small = st.integers(1, 20)


def test_golden_indices():
    assert clip_indices(0, 8, 2, 100).tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert clip_indices(3, 8, 2, 10).tolist() == [3, 5, 7, 9, 9, 9, 9, 9]
    assert clip_indices(0, 8, 2, 1).tolist() == [0] * 8
    assert random_clip(100, 8, 2, 0.0)[0] == 0
    assert random_clip(100, 8, 2, 0.999999).tolist() == [85, 87, 89, 91, 93, 95, 97, 99]
    assert random_clip(15, 8, 2, 0.7).tolist() == list(range(0, 15, 2))
    assert random_clip(5, 8, 2, 0.9).tolist() == [0, 2, 4, 4, 4, 4, 4, 4]


def test_golden_clips():
    assert [c[0] for c in even_clips(105, 8, 2)] == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert [c[0] for c in even_clips(17, 8, 2)] == [0, 1, 2]
    assert [c.tolist() for c in even_clips(3, 4, 2)] == [[0, 2, 2, 2]]
    assert [c[0] for c in even_clips(105, 8, 2, clips=1)] == [45]
    assert [c[0] for c in sliding_clips(60, 16, 1, 16)] == [0, 16, 32]
    assert [c[0] for c in sliding_clips(10, 16, 1, 16)] == [0]


def test_any_number_of_clips_costs_no_more_than_their_places():
    assert [c[0] for c in even_clips(17, 8, 2, 10**12)] == [0, 1, 2]


def test_golden_frame_rates():
    assert at_frame_rate(np.arange(10) / 25, 25).tolist() == list(range(10))
    assert at_frame_rate(np.arange(12) / 30, 15).tolist() == [0, 2, 4, 6, 8, 10]
    assert at_frame_rate(np.arange(10) / 25, 15).tolist() == [0, 1, 3, 5, 6, 8]
    assert at_frame_rate(np.arange(3) / 10, 20).tolist() == [0, 0, 1, 1, 2, 2]
    assert at_frame_rate([0.0, 0.1, 0.2, 1.0, 1.1], 5).tolist() == [0, 2, 2, 2, 2, 3]
    assert at_frame_rate([7.0], 15).tolist() == [0]
    # Matroska's milliseconds: no frame of a 30 fps file is lost or doubled at 30 fps.
    assert at_frame_rate(np.round(np.arange(300) / 30, 3), 30).tolist() == list(range(300))


@given(sizes, small, small, st.floats(0, 1, exclude_max=True))
def test_random_clips_stay_in_the_video_and_keep_the_stride(num_frames, frames, stride, uniform):
    clip = random_clip(num_frames, frames, stride, uniform)
    assert clip.shape == (frames,) and clip.min() >= 0 and clip.max() < num_frames
    steps = np.diff(clip)
    whole = num_frames >= (frames - 1) * stride + 1
    assert (steps == stride).all() if whole else clip[0] == 0 and clip[-1] == num_frames - 1


@given(sizes, small, small, st.integers(1, 12))
def test_even_clips_cover_both_ends_without_duplicates(num_frames, frames, stride, clips):
    starts = [int(c[0]) for c in even_clips(num_frames, frames, stride, clips)]
    last = max(0, num_frames - ((frames - 1) * stride + 1))
    assert starts == sorted(set(starts))
    assert len(starts) == min(clips, last + 1)
    if clips > 1:
        assert starts[0] == 0 and starts[-1] == last
        assert len(starts) < 3 or max(np.diff(starts)) - min(np.diff(starts)) <= 2


@given(sizes, small, small, small)
def test_sliding_clips_are_whole(num_frames, frames, stride, step):
    clips = sliding_clips(num_frames, frames, stride, step)
    assert [c[0] for c in clips] == [i * step for i in range(len(clips))]
    span = (frames - 1) * stride + 1
    assert len(clips) == (1 if num_frames < span else (num_frames - span) // step + 1)


@given(st.lists(st.floats(0.002, 2), min_size=1, max_size=60), st.floats(0.5, 60))
def test_resampling_shows_the_frame_of_the_moment(gaps, fps):
    seconds = np.cumsum(gaps)
    shown = at_frame_rate(seconds, fps)
    assert shown[0] == 0 and (np.diff(shown) >= 0).all() and shown.max() < len(seconds)
    ticks = seconds[0] + np.arange(len(shown)) / fps
    assert (seconds[shown] <= ticks + 0.0011).all()
    later = shown < len(seconds) - 1
    assert (seconds[shown[later] + 1] > ticks[later] + 0.0009).all()


def test_sampling_of_the_paper():
    assert for_crop(8, 2, 112, "res3d").to_dict() == Sampling().to_dict()
    assert for_crop(16, 1, 56, "res3d").resize == (64, 86)
    assert for_crop(8, 2, 224, "res3d").resize == (256, 342)
    assert for_crop(8, 2, 32, "res3d").resize == (37, 49)
    assert for_crop(8, 2, (112, 56), "torchvision") == Sampling(8, 2, (128, 86), (112, 56), None, "torchvision")
    assert Sampling().span == 15


def test_sampling_to_a_dict_and_back():
    sampling = Sampling(frames=16, stride=1, fps=15.0, preprocessing="torchvision")
    assert sampling.to_dict()["crop"] == [112, 112]
    assert Sampling.from_dict(sampling.to_dict()) == sampling
    with pytest.raises(ValueError, match="colour"):
        Sampling.from_dict({"colour": 1})


@pytest.mark.parametrize("wrong", [
    {"frames": 0}, {"frames": 2.5}, {"frames": True}, {"stride": 0}, {"resize": 128}, {"resize": (128, 0)},
    {"crop": (129, 100)}, {"crop": (1, 2, 3)}, {"fps": 0}, {"fps": float("nan")}, {"fps": "15"},
    {"preprocessing": None}, {"frames": 10**9}, {"frames": 10**70}, {"stride": 10**7}, {"fps": 1e12}, {"fps": 10**400},
    {"fps": 1e-9}, {"crop": (20_000, 1)}, {"resize": (20_000, 20_000)},
])
def test_sampling_refuses_what_cannot_be(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*expected"):
        Sampling(**wrong)


def test_a_clip_fits_the_memory():
    """What is held at once is bounded, whatever a card says."""
    for frames, resize in ((64, (512, 512)), (300, (256, 340)), (16, (1080, 1920)), (1, (2160, 4096))):
        assert Sampling(frames=frames, resize=resize).frames == frames
    for frames, resize in ((4, (16_384, 16_384)), (1, (16_384, 16_384)), (10_000, (128, 171))):
        with pytest.raises(ValueError, match=r"has [\d,]+ pixels; expected up to 33,554,432"):
            Sampling(frames=frames, resize=resize, crop=(1, 1))
    large = Sampling(frames=300, resize=(256, 340), crop=(256, 256))
    assert clips_at_once(large, 16) == 1 and clips_at_once(replace(large, crop=(112, 112)), 16) == 8
    assert clips_at_once(Sampling(), 32) == 32


@pytest.mark.parametrize("call", [
    lambda: clip_indices(10, 8, 2, 10), lambda: clip_indices(-1, 8, 2, 10), lambda: random_clip(0, 8, 2, 0.5),
    lambda: random_clip(9, 8, 2, 1.0), lambda: even_clips(9, 8, 2, 0), lambda: sliding_clips(9, 8, 2, 0),
    lambda: at_frame_rate([], 15), lambda: at_frame_rate([1.0, 0.5], 15), lambda: at_frame_rate([0.0], 0),
    lambda: at_frame_rate([0.0, float("nan")], 15), lambda: at_frame_rate([0.0, 1.0], 1e12),
    lambda: at_frame_rate([0.0], 5e-324),
])
def test_numbers_out_of_range_are_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()
