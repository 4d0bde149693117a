"""Finding actions: frames shared by overlapping windows, and the chain against single windows scored by hand."""

import dataclasses

import numpy as np
import pytest

from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import Sampling
from keras_res3d.data.sources.array import ArrayVideo
from keras_res3d.inference.classifier import Classifier
from keras_res3d.tasks.detection import run
from keras_res3d.tasks.detection.detections import read_detections, write_detections
from keras_res3d.tasks.detection.moments import Annotations
from keras_res3d.tasks.detection.run import Detector, detect_actions, load_detector
from keras_res3d.tasks.detection.segment_data import Cutting
from keras_res3d.tasks.detection.window_clips import window_clips
from keras_res3d.tasks.detection.window_weights import WindowWeights
from keras_res3d.tasks.detection.windows import frames_of, sliding_windows

SAMPLING = Sampling(frames=16, stride=1, resize=(10, 12), crop=(8, 8))


class Counting(ArrayVideo):
    """An array that counts how often each frame is read."""

    def _read(self, numbers):
        self.read = getattr(self, "read", []) + list(numbers)
        return super()._read(numbers)


def _video(levels):
    frames = np.broadcast_to(np.asarray(levels, np.uint8)[:, None, None, None], (len(levels), 10, 12, 3))
    return Counting(np.ascontiguousarray(frames))


@pytest.mark.parametrize("count", [5, 16, 131])
def test_every_window_gets_its_frames_and_each_is_read_once(count):
    video, windows = _video(np.arange(count)), sliding_windows(count, (16, 32, 64))
    numbers = frames_of(windows, 16)
    rows = []
    for row, clip in window_clips(video, windows, SAMPLING):
        assert clip.shape == (16, 8, 8, 3) and (clip[:, 0, 0, 0] == numbers[row]).all()
        rows.append(row)
    assert sorted(rows) == list(range(len(windows))) and len(video.read) == len(set(video.read))


def test_no_more_frames_are_held_than_the_longest_window_spans():
    seen = []

    class Watched(Counting):
        def frames(self, indices, size=None):
            for number, pixels in super().frames(indices, size):
                seen.append(number)
                yield number, pixels

        def _clips(self, clips, size):
            self.inner = super()._clips(clips, size)
            return self.inner

    video = Watched(np.zeros((1000, 10, 12, 3), np.uint8))
    most = 0
    for _ in window_clips(video, sliding_windows(1000, (16, 64)), SAMPLING):
        most = max(most, len(video.inner.gi_frame.f_locals["held"]))
    assert 16 <= most <= 64 + 16 and len(seen) == 1000


def _detector(cutting):
    """Networks that see brightness: 100 is the class a, 200 the class b, the part of bright frames is the score."""
    def localization(clips):
        levels = clips[..., 0].mean(axis=(2, 3))
        shares = np.stack([(levels < 50), (levels > 50) & (levels < 150), levels > 150], axis=-1).mean(axis=1)
        return shares / shares.sum(axis=1, keepdims=True)

    def proposal(clips):
        action = 1 - localization(clips)[:, :1]
        return np.concatenate([1 - action, action], axis=1)

    cards = (ModelCard("p", ("background", "action"), SAMPLING), ModelCard("l", ("background", "a", "b"), SAMPLING))
    return Detector(Classifier(proposal, cards[0]), Classifier(localization, cards[1]), cutting)


def _levels():
    levels = np.zeros(300)
    levels[40:72], levels[152:168] = 100, 200
    return levels


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_chain_finds_what_is_there(batch_size):
    detector = _detector(Cutting((16, 32, 64)))
    found = detect_actions(detector, _video(_levels()), batch_size=batch_size, nms=0.3)
    assert found.classes == ("a", "b") and set(found.videos) == {"video"}
    best = {label: found.spans[found.labels == label][found.scores[found.labels == label] == 1] for label in (0, 1)}
    assert all((span >= 40 / 25 - 1e-9).all() and (span <= 72 / 25 + 1e-9).all() for span in best[0]) and len(best[0])
    assert np.allclose(best[1], [[152 / 25, 168 / 25]])
    assert (np.diff(found.scores) <= 0).all() and (found.windows == np.round(np.diff(found.spans)[:, 0] * 25)).all()
    one = detect_actions(detector, _video(_levels()), batch_size=1, nms=0.3)
    assert np.array_equal(one.spans, found.spans) and np.allclose(one.scores, found.scores)


def test_thresholds_and_weights():
    detector, video = _detector(Cutting((16, 32))), _video(_levels())
    strict = detect_actions(detector, video, proposal_score=1.0, nms=None)
    loose = detect_actions(detector, video, proposal_score=0.5, nms=None)
    assert len(strict) < len(loose) and (strict.scores == 1).all() and loose.scores.min() < 1
    assert not len(detect_actions(detector, _video(np.zeros(40))))
    weights = WindowWeights((16, 32), ("a", "b"), np.array([[0.0, 1.0], [0.5, 1.0]]))
    weighed = detect_actions(detector, video, proposal_score=1.0, nms=None, window_weights=weights)
    a = weighed.labels == 0
    assert (weighed.scores[a] == np.where(weighed.windows[a] == 32, 0.5, 0)).all() and (weighed.scores[~a] == 1).all()
    short = detect_actions(detector, _video(np.full(5, 100)), nms=None, window_weights=weights)
    assert short.scores.tolist() == [0.0] and short.windows.tolist() == [5]  # counts as the shortest window
    unread = _video(np.zeros(40))
    for message, settings in (
        ("suppression", {"nms": 2}),
        ("lack the classes b", {"window_weights": WindowWeights((16, 32), ("a",), weights.table[:, :1])}),
        ("has 32 frames", {"window_weights": WindowWeights((16,), ("a", "b"), weights.table[:1])}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            detect_actions(detector, unread, **settings)
    assert not hasattr(unread, "read")


def test_what_is_found_in_a_video_of_one_frame_is_written_and_read(tmp_path):
    found = detect_actions(_detector(Cutting((16, 32))), _video([100]))
    assert found.spans.tolist() == [[0, 1 / 25]] and found.labels.tolist() == [0]
    truth = Annotations("made", found.classes, ("video",), [0], [[0, 1 / 25]])
    read = read_detections(write_detections(found, tmp_path / "found.json"), truth)
    assert read.spans.tolist() == found.spans.tolist() and read.scores.tolist() == found.scores.tolist()


def test_a_folder_without_networks(tmp_path):
    with pytest.raises(FileNotFoundError, match="no network proposal"):
        load_detector(tmp_path)


@pytest.mark.parametrize(("windows", "told"), [
    (3, "windows is 3; expected an object"), (None, "windows is None"), ({"lengths": 16}, "windows.lengths is 16"),
    ({"lengths": [16.5]}, r"lengths\[0\] is 16.5; expected a whole number"), ({"lengths": []}, "one or more"),
    ({"lengths": [32, 16]}, "ascending"), ({"lengths": [-1]}, "-1 frames"), ({"overlap": "much"}, "overlap is 'much'"),
    ({"overlap": 1}, "the overlap is 1"), ({"overlap": float("nan")}, "the overlap is nan"),
])  # fmt: skip
def test_windows_of_a_damaged_card_are_told(tmp_path, monkeypatch, windows, told):
    made = _detector(Cutting())

    def load(path):
        network = getattr(made, path.name)
        return dataclasses.replace(network, card=dataclasses.replace(network.card, training={"windows": windows}))

    monkeypatch.setattr(run, "load_model", load)
    for stage in ("proposal", "localization"):
        (tmp_path / stage).mkdir()
    with pytest.raises(ValueError, match=f"the card of the network localization in .* is damaged: .*{told}") as caught:
        load_detector(tmp_path)
    assert "\n" not in str(caught.value)
    windows = {"lengths": [16, 48], "labels": {}}
    assert load_detector(tmp_path).cutting == Cutting((16, 48), frames=SAMPLING.frames)
