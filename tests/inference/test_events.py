"""Events of made scores, whose right answers are known."""

import fractions

import numpy as np
import pytest

import keras_res3d
from keras_res3d import find_events, predict_video
from keras_res3d.inference.videos import VideoPrediction

from ..users_models import SAMPLING, foreign


def made(scores, step=1.0, length=1.0, labels="ab"):
    """A prediction of clips that begin every `step` seconds; the second class has what the first one lacks."""
    scores = np.asarray(scores, np.float64)
    starts = step * np.arange(len(scores))
    extents = np.stack([starts, starts + length], axis=1)
    return VideoPrediction("x.mp4", tuple(labels), extents.mean(axis=1), np.stack([scores, 1 - scores], 1), extents)


def spans(prediction, *args, **options):
    return [(event.start, event.end) for event in find_events(prediction, *args, classes="a", **options)]


def test_an_event_has_true_times_and_scores():
    found = find_events(made([0.1, 0.6, 0.9, 0.75, 0.2, 0.5, 0.1]), 0.5, classes=["a"])
    assert [(event.label, event.number, event.start, event.end, event.clips) for event in found] == [
        ("a", 0, 1.0, 4.0, 3), ("a", 0, 5.0, 6.0, 1)
    ]  # fmt: skip
    assert [(event.mean, event.peak) for event in found] == [(pytest.approx(0.75), 0.9), (0.5, 0.5)]


def test_every_class_has_its_own_events():
    found = find_events(made([0.9, 0.9, 0.1, 0.1]), 0.5)
    assert [(event.label, event.start, event.end) for event in found] == [("a", 0, 2), ("b", 2, 4)]
    assert find_events(made([0.9, 0.1]), 0.95) == []


def test_events_at_the_ends_of_the_video_and_over_all_of_it():
    assert spans(made([0.8, 0.1, 0.8])) == [(0, 1), (2, 3)]
    assert spans(made([0.8, 0.8, 0.8])) == [(0, 3)]
    assert spans(made([0.8])) == [(0, 1)]


def test_clips_that_overlap_are_cut_at_their_own_times():
    # Clips of 2 seconds every second: the event lasts from the first clip's start to the last clip's end.
    assert spans(made([0.1, 0.8, 0.8, 0.1, 0.1, 0.1, 0.8], length=2.0)) == [(1, 4), (6, 8)]
    # The stretches touch, and are two; those that overlap are one, with the clip between them.
    assert spans(made([0.8, 0.1, 0.8], length=2.0)) == [(0, 2), (2, 4)]
    (event,) = find_events(made([0.8, 0.1, 0.8], length=2.5), 0.5, classes=["a"])
    assert (event.start, event.end, event.clips, event.mean) == (0, 4.5, 3, pytest.approx(1.7 / 3))


def test_a_low_threshold_keeps_an_event_whole():
    wavering = made([0.2, 0.4, 0.9, 0.45, 0.8, 0.35, 0.1, 0.45, 0.4])
    assert spans(wavering, 0.5) == [(2, 3), (4, 5)]
    # What never reaches the threshold itself is no event, however long it stays above the low one.
    assert spans(wavering, 0.5, low_threshold=0.3) == [(1, 6)]


def test_gaps_are_joined_before_short_events_are_left_out():
    scores = made([0.9, 0.1, 0.9, 0.1, 0.1, 0.1, 0.9])
    assert spans(scores, 0.5, max_gap_seconds=1) == [(0, 3), (6, 7)]
    assert spans(scores, 0.5, max_gap_seconds=0.9) == [(0, 1), (2, 3), (6, 7)]
    assert spans(scores, 0.5, max_gap_seconds=1, min_seconds=2) == [(0, 3)]
    assert spans(scores, 0.5, min_seconds=1) == [(0, 1), (2, 3), (6, 7)] and spans(scores, 0.5, min_seconds=1.5) == []


def test_nan_is_no_event_and_logits_have_thresholds_of_their_own():
    assert spans(made([0.9, np.nan, 0.9])) == [(0, 1), (2, 3)]
    assert spans(made([-3.0, 4.0, -3.0]), 2.0) == [(1, 2)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"threshold": 0.5, "low_threshold": 0.6}, "low_threshold is 0.6; expected"),
        ({"min_seconds": -1}, "min_seconds is -1"),
        ({"max_gap_seconds": float("inf")}, "max_gap_seconds is inf"),
        ({"classes": ["c"]}, "there is no class 'c'; the model has"),
        ({"classes": []}, "classes is empty; expected names"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        find_events(made([0.9]), **options)


def test_a_prediction_without_extents_is_refused():
    with pytest.raises(ValueError, match="no extents"):
        find_events(VideoPrediction("x", ("a",), np.zeros(1), np.zeros((1, 1))))


def test_clips_of_a_video_begin_and_end_when_their_frames_do(tmp_path, make_video):
    """At an uneven rate: frame 5 is shown for half a second."""
    frames = np.zeros((14, 36, 48, 3), np.uint8)
    ticks = [0, 40, 80, 120, 160, 200, 700, 740, 780, 820, 860, 900, 940, 980]
    path = make_video(tmp_path / "x.mkv", frames, pts=ticks, time_base=fractions.Fraction(1, 1000))
    found = predict_video(foreign(), path, step=2, labels="abc", sampling=SAMPLING)
    # Clips of 7 frames that begin at frames 0, 2, 4 and 6; frame 13, the last one, is shown for 40 ms.
    assert found.extents.tolist() == pytest.approx(np.array([(0, 0.74), (0.08, 0.82), (0.16, 0.9), (0.7, 0.98)]))
    short = predict_video(foreign(), frames[:3], labels="abc", sampling=SAMPLING, frame_rate=10)
    assert short.extents.tolist() == pytest.approx(np.array([(0, 0.3)]))
    with_clock = predict_video(foreign(), frames, step=1, labels="abc", sampling=keras_res3d.Sampling(
        frames=4, stride=2, resize=(36, 48), crop=(32, 32), fps=5), frame_rate=10)  # fmt: skip
    assert with_clock.extents.tolist() == pytest.approx(np.array([(0, 1.4)]))
