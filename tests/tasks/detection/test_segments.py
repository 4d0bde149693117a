"""Windows, IoU, labels, suppression and window weights against numbers worked out by hand."""

import itertools

import numpy as np
import pytest

from keras_res3d.tasks.detection import suppression
from keras_res3d.tasks.detection.intervals import as_spans, shared, temporal_iou
from keras_res3d.tasks.detection.segment_labels import LabelRule, label_segments
from keras_res3d.tasks.detection.suppression import BLOCK, grouped, suppress, suppress_groups
from keras_res3d.tasks.detection.window_weights import WindowWeights, window_weights
from keras_res3d.tasks.detection.windows import frames_of, seconds_of, sliding_windows, step_of


def test_iou_of_stretches():
    first, second = as_spans([[0, 4], [5, 5]]), as_spans([[0, 4], [2, 6], [4, 8], [1, 2], [9, 10]])
    assert np.allclose(temporal_iou(first, second), [[1, 1 / 3, 0, 1 / 4, 0], [0, 0, 0, 0, 0]])
    assert shared(first, second)[0].tolist() == [4, 2, 0, 1, 0]
    assert temporal_iou(as_spans([]), second).shape == (0, 5)
    for wrong in ([[3, 1]], [[0, np.nan]], [[0, np.inf]], [[0, 1, 2]], [1, 2]):
        with pytest.raises(ValueError):
            as_spans(wrong)


def test_windows_slide_by_a_quarter():
    windows = sliding_windows(40, (16, 32))
    assert windows[windows[:, 1] - windows[:, 0] == 16][:, 0].tolist() == [0, 4, 8, 12, 16, 20, 24]
    assert windows[windows[:, 1] - windows[:, 0] == 32].tolist() == [[0, 32], [8, 40]]
    assert sliding_windows(5).tolist() == [[0, 5]]
    assert len(sliding_windows(512)) == sum((512 - n) // (n // 4) + 1 for n in (16, 32, 64, 128, 256, 512))
    assert step_of(16, 0) == 16 and step_of(1) == 1 and sliding_windows(4, (2,), 0).tolist() == [[0, 2], [2, 4]]
    for call in (lambda: sliding_windows(0), lambda: sliding_windows(9, ()), lambda: sliding_windows(9, (8, 4)),
                 lambda: step_of(16, 1.0), lambda: step_of(0), lambda: frames_of(windows, 0)):  # fmt: skip
        with pytest.raises(ValueError):
            call()


def test_sixteen_frames_stand_for_a_window():
    frames = frames_of(np.array([[4, 20], [8, 40], [0, 512], [2, 6]]))
    assert frames[0].tolist() == list(range(4, 20)) and frames[1].tolist() == list(range(8, 40, 2))
    assert frames[2].tolist() == list(range(0, 512, 32)) and frames[3].tolist() == sorted([2, 3, 4, 5] * 4)


def test_seconds_follow_the_frames_times():
    seconds = 10 + np.array([0.0, 0.1, 0.2, 0.6, 0.7])  # a held frame, and a clock that does not start at 0
    found = seconds_of(np.array([[0, 3], [2, 4], [3, 5]]), seconds, 9.0)
    assert np.allclose(found, [[0, 0.6], [0.2, 0.7], [0.6, 0.8]])
    assert np.allclose(seconds_of(sliding_windows(1), seconds[:1], 0.04), [[0, 0.04]])


def test_labels_by_three_thresholds():
    #           fits       the best of the 2nd  0.55, not best  0.25 with it  0.4: neither  nothing
    windows = as_spans([[0, 10], [24, 32], [24.5, 30], [35, 40], [4, 10.0], [50, 60]])
    instances, classes = as_spans([[0, 10], [20, 32]]), [3, 7]
    found = label_segments(windows, instances, classes)
    assert found.labels.tolist() == [3, 7, -1, 0, -1, 0]
    assert np.allclose(found.ious, [1, 8 / 12, 0, 0, 0, 0])
    loose = label_segments(windows, instances, classes, LabelRule(0.5, 0.5, 0.5))
    assert loose.labels.tolist() == [3, 7, 0, 0, 3, 0]
    assert label_segments(windows, np.zeros((0, 2)), []).labels.tolist() == [0] * 6
    assert not len(label_segments(np.zeros((0, 2)), instances, classes).labels)
    with pytest.raises(ValueError, match="from 1"):
        label_segments(windows, instances, [0, 1])
    for wrong in ((0.5, 0.7, 0.3), (0.7, 0.2, 0.3), (0.7, 0.5, 0.0), (1.2, 0.5, 0.3)):
        with pytest.raises(ValueError, match="thresholds"):
            LabelRule(*wrong)


def test_the_nearer_instance_gives_the_label():
    found = label_segments(as_spans([[0, 10]]), as_spans([[0, 8], [0, 9]]), [1, 2])
    assert found.labels.tolist() == [2] and found.ious.tolist() == [0.9]


def _slow_suppress(spans, scores, threshold):
    kept = []
    for row in sorted(range(len(scores)), key=lambda row: (-scores[row], -row)):
        if all(temporal_iou(spans[[row]], spans[[other]])[0, 0] <= threshold for other in kept):
            kept.append(row)
    return kept


@pytest.mark.parametrize("count", [0, 1, 40, 2 * BLOCK + 30])
def test_suppression_is_the_greedy_one(count):
    rng = np.random.default_rng(count)
    begin = rng.integers(0, 60, count).astype(float)
    spans = as_spans(np.stack([begin, begin + rng.integers(1, 9, count)], axis=1))
    scores = rng.integers(0, 12, count) / 10  # many ties
    for threshold in (0.0, 0.25, 0.6, 1.0):
        assert suppress(spans, scores, threshold).tolist() == _slow_suppress(spans, scores, threshold)
    with pytest.raises(ValueError, match="of suppression"):
        suppress(spans, scores, -0.1)


def test_suppression_of_many_rows_holds_few_numbers_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    begin = rng.random(300) * 40
    spans, scores = np.stack([begin, begin + 4], axis=1), rng.random(300)
    whole = suppress(spans, scores, 0.3)
    sizes = []

    def watched(first, second):
        sizes.append(len(first) * len(second))
        return temporal_iou(first, second)

    monkeypatch.setattr(suppression, "temporal_iou", watched)
    monkeypatch.setattr(suppression, "HELD", 1000)
    assert suppress(spans, scores, 0.3).tolist() == whole.tolist() and max(sizes) <= 1000


def test_of_equal_scores_the_later_row_wins_and_the_threshold_itself_stays():
    spans = as_spans([[0, 4], [1, 5], [0, 4]])
    assert suppress(spans, np.array([0.5, 0.4, 0.5]), 0.5).tolist() == [2]
    assert suppress(spans, np.array([0.5, 0.4, 0.5]), 3 / 5).tolist() == [2, 1]


def test_groups_do_not_suppress_each_other():
    spans = as_spans([[0, 4]] * 4)
    groups = np.array([[1, 0], [0, 5], [1, 0], [0, 4]])
    assert suppress_groups(spans, np.array([0.1, 0.2, 0.3, 0.4]), groups, 0.5).tolist() == [1, 2, 3]
    assert {key: rows.tolist() for key, rows in grouped(groups).items()} == {(0, 4): [3], (0, 5): [1], (1, 0): [0, 2]}
    assert grouped(groups[:0]) == {} and not len(suppress_groups(spans[:0], np.zeros(0), groups[:0], 0.5))


def test_window_weights_are_shares_of_hits():
    found = window_weights([0.6, 0.9, 1.2, 30, 500], [0, 0, 0, 1, 2], ("a", "b", "c"))
    # 0.6 hits 16 alone (32 begins at 0.62); 0.9 and 1.2 hit 16 and 32; 30 hits 512; 500 hits nothing.
    assert np.allclose(found.table[:, 0], [3 / 5, 2 / 5, 0, 0, 0, 0]) and found.table[:, 1].tolist() == [0] * 5 + [1]
    assert not found.table[:, 2].any()
    assert found.of(np.array([32, 512]), np.array([1, 0]), ("b", "a")).tolist() == [2 / 5, 1]
    with pytest.raises(ValueError, match="17 frames"):
        found.of(np.array([17]), np.array([0]), ("a",))
    with pytest.raises(ValueError, match="lack the classes d"):
        found.of(np.array([16]), np.array([0]), ("d",))
    nameless = WindowWeights((32, 16), None, np.array([[0.25], [0.75]]))
    assert nameless.of(np.array([16, 32]), np.array([0, 0]), ("any",)).tolist() == [0.75, 0.25]
    for table in (np.ones((2, 1)) * np.nan, -np.ones((2, 1)), np.ones((3, 1)), np.ones(2)):
        with pytest.raises(ValueError, match="window weights"):
            WindowWeights((16, 32), None, table)
    with pytest.raises(ValueError, match="one for each"):
        nameless.of(np.array([16]), np.array([1]), ("a", "b"))


def test_every_frame_but_the_tail_is_in_a_window():
    for frames, lengths in itertools.product((16, 17, 100, 1000), [(16,), (16, 64, 512)]):
        windows = sliding_windows(frames, lengths)
        seen = np.zeros(frames, bool)
        for begin, end in windows:
            seen[begin:end] = True
        assert seen[: frames - frames % 4].all() and windows[:, 1].max() <= frames
