"""Time in a stream: true to its stamps, whole over breaks; ticks are those of a whole video."""

import numpy as np
import pytest

from keras_res3d.data.clips import at_frame_rate
from keras_res3d.data.sources.stream_clock import StreamClock, Ticks


def test_a_frame_without_a_time_among_others():
    clock = StreamClock()
    clock.begin(by_arrival=False)
    found = [clock.seconds(stamp, 7 + 0.1 * n) for n, stamp in enumerate([5.0, None, None, 5.3])]
    assert [t for t, _ in found] == pytest.approx([0, 0.1, 0.2, 0.3]) and clock.breaks == 0


def test_ticks_are_those_of_a_whole_video():
    rng = np.random.default_rng(0)
    for fps in (3, 10, 24.0, 100):
        times = np.cumsum(rng.uniform(0, 0.08, 60))
        times -= times[0]
        ticks = Ticks(fps)
        found = [pair for n, t in enumerate(times) for pair in ticks.due(t, n + 1, n == 0)]
        expected = at_frame_rate(times, fps)
        assert [number - 1 for _, number in found] == expected[: len(found)].tolist()
        assert [t for t, _ in found] == pytest.approx((np.arange(len(found)) / fps).tolist())
        found += ticks.rest()
        assert abs(len(found) - len(expected)) <= 0.08 * fps + 1


def test_a_clock_begins_anew_where_time_stamps_leap():
    clock = StreamClock()
    clock.begin(by_arrival=False)
    stamps = [100.0, 100.04, 100.02, 100.08, 5000.0, 5000.04, 3.0, 3.04, None]
    found = [clock.seconds(stamp, 0.5 * n) for n, stamp in enumerate(stamps[:-1])]
    assert [t for t, _ in found] == pytest.approx([0, 0.04, 0.04, 0.08, 0.58, 0.62, 1.12, 1.16])
    assert [n for n, (_, begins) in enumerate(found) if begins] == [0, 4, 6] and clock.breaks == 2
    clock.begin(by_arrival=True)
    assert clock.seconds(99.0, 10.0) == (pytest.approx(1.16 + 6.5), True)
    assert clock.seconds(99.0, 10.25) == (pytest.approx(1.16 + 6.75), False)
