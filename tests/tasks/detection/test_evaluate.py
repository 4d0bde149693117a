"""Mean average precision: properties, an independent slow implementation, the published numbers."""

import itertools

import numpy as np
import pytest

from keras_res3d.tasks.detection import evaluate
from keras_res3d.tasks.detection.annotations import read_annotations
from keras_res3d.tasks.detection.detections import read_detections
from keras_res3d.tasks.detection.evaluate import evaluate_detections
from keras_res3d.tasks.detection.moments import Annotations, Detections
from keras_res3d.tasks.detection.protocols import PROTOCOLS
from keras_res3d.tasks.detection.recall import average_recall
from keras_res3d.tasks.detection.suppression import suppress
from keras_res3d.tasks.detection.weights_file import read_window_weights
from keras_res3d.tasks.detection.window_weights import WindowWeights

CLASSES = ("a", "b", "c")


def _made(seed, detections=60, instances=14, ambiguous=3):
    """Random annotations and detections of three classes in four videos, times on a grid of 0.1 s, scores apart."""
    rng = np.random.default_rng(seed)

    def moments(count):
        begin = rng.integers(0, 100, count) / 10
        return np.round(np.stack([begin, begin + rng.integers(1, 40, count) / 10], axis=1), 1)

    labels = np.r_[rng.integers(0, 3, instances), np.full(ambiguous, -1)]
    videos = tuple(f"v{number}" for number in rng.integers(0, 4, instances + ambiguous))
    truth = Annotations("truth", CLASSES, videos, labels, moments(instances + ambiguous))
    # Half of the detections lie near an instance of their class, so that there is something to find.
    near = rng.integers(0, instances, detections // 2)
    spans = np.r_[truth.spans[near] + rng.integers(0, 8, (len(near), 2)) / 10, moments(detections - len(near))]
    names = [*np.array(videos)[near], *(f"v{n}" for n in rng.integers(0, 5, detections - len(near)))]
    spans = np.round(np.stack([spans[:, 0], np.maximum(spans[:, 1], spans[:, 0] + 0.1)], axis=1), 1)
    found = Detections(
        "found", CLASSES, tuple(map(str, names)),
        np.r_[labels[near], rng.integers(0, 3, detections - len(near))], spans,
        (rng.permutation(detections) + 1) / (detections + 1), 16 * 2 ** rng.integers(0, 3, detections),
    )  # fmt: skip
    return truth, found


def _iou(first, second):
    both = max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
    return both / (max(first[1], second[1]) - min(first[0], second[0])) if both > 0 else 0.0


def _slow(truth, found, threshold, protocol, nms=None):
    """AP of each class by loops over single detections, in the words of the public evaluations."""
    scores = []
    for label in range(len(truth.classes)):
        wanted = [i for i in range(len(truth)) if truth.labels[i] == label]
        rows = [i for i in sorted(range(len(found)), key=lambda i: -found.scores[i]) if found.labels[i] == label]
        if nms is not None:
            kept = []
            for row in rows:
                same = [i for i in kept if found.videos[i] == found.videos[row]]
                if all(_iou(found.spans[i], found.spans[row]) <= nms for i in same):
                    kept.append(row)
            rows = kept
        taken = {}
        if protocol == "thumos14":
            for i in wanted:
                free = [(_iou(truth.spans[i], found.spans[row]), -rows.index(row), row) for row in rows
                        if found.videos[row] == truth.videos[i] and row not in taken]  # fmt: skip
                if free and max(free)[0] > threshold:
                    taken[max(free)[2]] = i
            unsure = [i for i in range(len(truth)) if truth.labels[i] == -1]
            rows = [row for row in rows if row in taken or not any(
                found.videos[row] == truth.videos[i] and _iou(truth.spans[i], found.spans[row]) > 0 for i in unsure)]
        else:
            for row in rows:
                free = [(_iou(truth.spans[i], found.spans[row]), -wanted.index(i), i) for i in wanted
                        if found.videos[row] == truth.videos[i] and i not in taken.values()]  # fmt: skip
                if free and max(free)[0] >= threshold:
                    taken[row] = max(free)[2]
        points = []
        for rank, row in enumerate(rows, 1):
            right = sum(other in taken for other in rows[:rank])
            points.append((right / len(wanted) if wanted else np.nan, right / rank, row in taken))
        if not wanted:
            scores.append(np.nan)
        elif protocol == "thumos14":
            scores.append(sum(precision for _, precision, right in points if right) / len(wanted))
        else:
            recalls = [0.0, *(recall for recall, _, _ in points), 1.0]
            envelope = [max([p for r, p, _ in points if r >= recall], default=0.0) for recall in recalls]
            scores.append(sum((after - before) * high for before, after, high
                              in zip(recalls, recalls[1:], envelope[1:], strict=False)))  # fmt: skip
    return scores


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("seed", range(8))
def test_a_slow_implementation_gives_the_same(seed, protocol):
    truth, found = _made(seed)
    for nms in (None, 0.4):
        fast = evaluate_detections(found, truth, protocol=protocol, thresholds=(0.33, 0.52, 0.71), nms=nms)
        slow = np.array([_slow(truth, found, threshold, protocol, nms) for threshold in fast.thresholds]).T
        assert np.allclose(fast.average_precision, slow, equal_nan=True, atol=1e-12)
        assert 0 < fast.mean[0] < 1


def _of(truth, rows=None, scores=None):
    """The instances themselves as detections."""
    rows = np.flatnonzero(truth.labels >= 0) if rows is None else rows
    scores = np.linspace(1, 0.1, len(rows)) if scores is None else scores
    return Detections("found", truth.classes, tuple(truth.videos[row] for row in rows), truth.labels[rows],
                      truth.spans[rows], scores)  # fmt: skip


def _apart(count=9):
    """Instances that do not overlap, of two classes in three videos."""
    begin = np.arange(count) * 10.0
    videos = tuple(f"v{number % 3}" for number in range(count))
    return Annotations("truth", ("a", "b"), videos, np.arange(count) % 2, np.stack([begin, begin + 4], axis=1))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_properties(protocol):
    truth = _apart()
    perfect = evaluate_detections(_of(truth), truth, protocol=protocol)
    assert perfect.mean.tolist() == [1] * len(perfect.thresholds) and perfect.videos == 3
    doubled = _of(truth, np.repeat(np.arange(9), 2))
    twice = evaluate_detections(doubled, truth, protocol=protocol)
    assert (twice.mean < 0.8).all()  # each second one is wrong
    assert np.allclose(evaluate_detections(doubled, truth, protocol=protocol, nms=0.5).mean, 1)
    none = evaluate_detections(_of(truth, np.zeros(0, int)), truth, protocol=protocol)
    assert none.mean.tolist() == [0] * len(none.thresholds) and none.videos == 3
    half = evaluate_detections(_of(truth, np.flatnonzero(truth.labels == 0)), truth, protocol=protocol)
    assert np.allclose(half.average_precision, [[1] * len(half.thresholds), [0] * len(half.thresholds)])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_order_of_rows_and_the_scale_of_scores_do_not_matter(protocol):
    truth, found = _made(3)
    first = evaluate_detections(found, truth, protocol=protocol, nms=0.5).average_precision
    shuffled = found.rows(np.random.default_rng(0).permutation(len(found)))
    assert np.array_equal(first, evaluate_detections(shuffled, truth, protocol=protocol, nms=0.5).average_precision)
    scaled = Detections(found.name, CLASSES, found.videos, found.labels, found.spans, found.scores**3 * 7)
    assert np.array_equal(first, evaluate_detections(scaled, truth, protocol=protocol, nms=0.5).average_precision)


def test_a_class_without_an_instance_is_left_out_of_the_mean():
    truth = _apart()
    wider = Annotations("truth", ("a", "b", "c"), truth.videos, truth.labels, truth.spans, {"quiet": 60.0})
    extra = Detections("found", wider.classes, (*truth.videos, "elsewhere"), [*truth.labels, 2],
                       [*truth.spans.tolist(), [0, 3]], np.linspace(1, 0.1, 10))  # fmt: skip
    scores = evaluate_detections(extra, wider, thresholds=(0.5,))
    assert np.isnan(scores.average_precision[2, 0]) and scores.mean.tolist() == [1] and scores.instances[2] == 0
    assert scores.videos == 5  # one has a detection alone, another nothing
    assert scores.summary()["average_precision"] == {"a": [1.0], "b": [1.0], "c": [None]}


def test_ambiguous_moments_spare_wrong_detections():
    truth = Annotations("truth", ("a",), ("v", "v", "w"), [0, -1, 0], [[0, 4], [10, 14], [0, 4]])
    #                              right   touches the moment, wrong elsewhere, right
    spans, videos = [[0, 4], [13.5, 20], [30, 34], [0, 4]], ("v", "v", "v", "w")
    found = Detections("found", ("a",), videos, [0] * 4, spans, [0.6, 0.9, 0.8, 0.7])
    # Without the spared one the order is: wrong, right, right.
    assert evaluate_detections(found, truth, thresholds=(0.5,)).mean[0] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert evaluate_detections(found, truth, thresholds=(0.5,), protocol="activitynet").mean[0] == pytest.approx(0.5)
    beside = Detections("found", ("a",), videos, [0] * 4, [spans[0], [14, 20], *spans[2:]], [0.6, 0.9, 0.8, 0.7])
    assert evaluate_detections(beside, truth, thresholds=(0.5,)).mean[0] == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_thumos_asks_for_more_than_the_threshold_and_activitynet_for_as_much():
    truth = Annotations("truth", ("a",), ("v",), [0], [[0, 2]])
    found = Detections("found", ("a",), ("v",), [0], [[0, 4]], [1])
    assert evaluate_detections(found, truth, thresholds=(0.5, 0.49)).mean.tolist() == [0, 1]
    assert evaluate_detections(found, truth, thresholds=(0.5,), protocol="activitynet").mean.tolist() == [1]


def test_times_and_scores_are_rounded_as_released():
    truth = Annotations("truth", ("a",), ("v", "w"), [0, 0], [[0, 1], [0, 1]])
    # To 5 digits the scores are equal, and then the video that comes first does; its detection is wrong.
    found = Detections("found", ("a",), ("v", "w"), [0, 0], [[5, 6], [0.04, 1.04]], [0.5000001, 0.5000002])
    assert evaluate_detections(found, truth, thresholds=(0.95,)).mean.tolist() == [0.25]
    assert evaluate_detections(found, truth, thresholds=(0.5,), protocol="activitynet").mean.tolist() == [0.5]


def test_blocked_videos_do_not_count():
    truth, found = _made(5)
    whole = evaluate_detections(found, truth, blocked=["v1", "nobody"])
    keep = np.array([video != "v1" for video in truth.videos])
    names = tuple(video for video in truth.videos if video != "v1")
    fewer = Annotations("t", CLASSES, names, truth.labels[keep], truth.spans[keep])
    only = evaluate_detections(found.rows(np.flatnonzero([v != "v1" for v in found.videos])), fewer)
    assert np.array_equal(whole.average_precision, only.average_precision, equal_nan=True)
    assert whole.videos == len({*truth.videos, *found.videos} - {"v1"})
    with pytest.raises(ValueError, match="no instance"):
        evaluate_detections(found, truth, blocked=[f"v{n}" for n in range(5)])


def test_window_weights_change_the_scores():
    truth, found = _made(6)
    weights = WindowWeights((16, 32, 64), CLASSES, np.array([[1.0, 2, 3], [0.1, 0.2, 0.3], [5, 1, 0]]))
    rows = [weights.lengths.index(frames) for frames in found.windows.tolist()]
    scores = found.scores * weights.table[rows, found.labels]
    by_hand = Detections("f", CLASSES, found.videos, found.labels, found.spans, scores)
    assert np.array_equal(evaluate_detections(found, truth, window_weights=weights).average_precision,
                          evaluate_detections(by_hand, truth).average_precision)  # fmt: skip
    with pytest.raises(ValueError, match="from which windows"):
        evaluate_detections(by_hand, truth, window_weights=weights)


@pytest.mark.parametrize(("nms", "times"), [(0.4, 1), ("released", 5), (None, 0)])
def test_suppression_is_done_once_unless_it_follows_the_thresholds(nms, times, monkeypatch):
    truth, found = _made(1)
    expected = evaluate_detections(found, truth, nms=nms)
    calls = []

    def counted(spans, scores, threshold):
        calls.append(threshold)
        return suppress(spans, scores, threshold)

    monkeypatch.setattr(evaluate, "suppress", counted)
    scores = evaluate_detections(found, truth, nms=nms)
    assert len(calls) == times * len({*zip(found.labels.tolist(), found.videos, strict=True)})
    assert len(set(calls)) == times and np.array_equal(scores.average_precision, expected.average_precision)


def test_wrong_arguments():
    truth, found = _made(0)
    other = Annotations("truth", ("b", "a", "c"), truth.videos, truth.labels, truth.spans)
    for words, more, labels in (
        ("protocol", {"protocol": "x"}, truth), ("thresholds of IoU", {"thresholds": ()}, truth),
        ("thresholds of IoU", {"thresholds": (0.5, 1.5)}, truth), ("nms is", {"nms": 2.0}, truth),
        ("nms is", {"nms": "much"}, truth), ("other classes", {}, other),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            evaluate_detections(found, labels, **more)
    with pytest.raises(ValueError, match="labels from"):
        Detections("found", ("a",), ("v",), [1], [[0, 1]], [1])
    with pytest.raises(ValueError, match="2 scores"):
        Detections("found", ("a",), ("v",), [0], [[0, 1]], [1, 2])
    with pytest.raises(ValueError, match="not finite"):
        Detections("found", ("a",), ("v",), [0], [[0, 1]], [np.nan])


def test_recall_of_the_first_proposals():
    spans = [[0, 10], [20, 30], [0, 10], [40, 50]]
    truth = Annotations("truth", ("a", "b"), ("v", "v", "w", "v"), [0, 1, 0, -1], spans)
    # The best of v is 0.8 with the first instance; the second one is exact; nothing is in w.
    found = Detections("found", ("a", "b"), ("v",) * 3, [1, 1, 0], [[0, 8], [20, 30], [60, 61]], [0.9, 0.8, 0.7])
    thresholds = (0.5, 0.8, 0.9)
    expected = [2 / 3 / 3, (2 + 3) / 3 / 3, (2 + 3) / 3 / 3]
    assert np.allclose(average_recall(found, truth, (1, 2, 50), thresholds), expected)
    thresholds = (0.51, 0.79, 0.88)  # no IoU of times on a grid lies so close to these that rounding decides
    for seed, count in itertools.product(range(3), (1, 5, 1000)):
        truth, found = _made(seed)
        reached = 0
        for i in np.flatnonzero(truth.labels >= 0):
            rows = [row for row in np.argsort(-found.scores) if found.videos[row] == truth.videos[i]][:count]
            reached += sum(any(_iou(truth.spans[i], found.spans[row]) >= t for row in rows) for t in thresholds)
        assert average_recall(found, truth, (count,), thresholds)[0] == pytest.approx(reached / 14 / 3)
    assert average_recall(found, truth, (5,), blocked=["v9"])[0] == average_recall(found, truth, (5,))[0]
    for counts in ((), (0,)):
        with pytest.raises(ValueError, match="counts of proposals"):
            average_recall(found, truth, counts)
    with pytest.raises(ValueError, match="thresholds of IoU"):
        average_recall(found, truth, thresholds=(0.5, 1.5))


@pytest.fixture(scope="module")
def authors(shared_data):
    folder = shared_data / "thumos14_res3d"
    if not folder.is_dir():
        pytest.skip("the authors' detections are not there")
    annotations = read_annotations(folder / "annotation_test")
    found = read_detections(folder / "res_seg_swin.mat", annotations)
    return annotations, found, read_window_weights(folder / "weight.mat")


def test_the_published_numbers(authors):
    annotations, found, weights = authors
    scores = evaluate_detections(found, annotations, window_weights=weights)
    assert [f"{value:.5f}" for value in scores.mean] == ["0.40643", "0.32567", "0.22487", "0.12307", "0.06437"]
    assert scores.nms == "released" and scores.videos == 213 and scores.instances.sum() == 3358
    blocked = [f"video_test_{number:07d}" for number in (270, 1292, 1496)]
    assert evaluate_detections(found, annotations, thresholds=(0.5,), blocked=blocked).videos == 210
