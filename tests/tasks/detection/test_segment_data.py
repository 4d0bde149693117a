"""Windows of made long videos as a data set, and the made videos themselves."""

import numpy as np
import pytest

from keras_res3d.data.sources.array import ArrayVideo
from keras_res3d.data.types import DataError, DataSet, VideoSource
from keras_res3d.tasks.detection.made import MOTION, MadeVideos
from keras_res3d.tasks.detection.moments import Annotations
from keras_res3d.tasks.detection.segment_data import Cutting, name_of, segment_set
from keras_res3d.tasks.detection.segment_labels import LabelRule

CUTTING = Cutting((16, 32, 64), frames=16)


@pytest.fixture(scope="module")
def videos():
    return MadeVideos(3, actions=4, seed=5)


def test_made_videos_move_where_they_are_said_to(videos):
    truth = videos.annotations()
    assert isinstance(videos, DataSet) and len(truth) == 12 and set(truth.durations) == set(truth.videos)
    lasting = np.diff(truth.spans)[:, 0] * 25
    assert lasting.min() >= MOTION[0] - 1e-6 and lasting.max() <= MOTION[1] + 1e-6
    for number, example in enumerate(videos.examples):
        with videos.open(number) as video:
            frames = np.stack([pixels for _, pixels in video.frames(range(video.num_frames))]).astype(int)
        assert len(frames) == round(truth.durations[example.path] * 25)
        changes = np.abs(np.diff(frames, axis=0)).sum(axis=(1, 2, 3)) > 0
        spans = np.round(truth.spans[[video == example.path for video in truth.videos]] * 25).astype(int)
        inside = np.zeros(len(frames) - 1, bool)
        for begin, end in spans:
            assert changes[begin : end - 1].mean() > 0.9  # a patch that turns slowly may keep its pixels for a frame
            inside[begin : end - 1] = True
        # Outside nothing moves, but for one jump in the middle of a quiet stretch.
        assert changes[~inside].sum() <= len(spans) + 1
    again = MadeVideos(3, actions=4, seed=5)
    assert np.array_equal(again.annotations().spans, truth.spans)
    for wrong in ((0,), (1, 0), (1, 1, -1), (1, 1, 0, 4)):
        with pytest.raises(ValueError, match="at least"):
            MadeVideos(*wrong)


def test_windows_are_videos_of_sixteen_frames(videos):
    data = segment_set(videos, videos.annotations(), cutting=CUTTING)
    assert isinstance(data, DataSet) and data.classes == ("background", *videos.classes)
    assert not data.mirror_safe and len({example.path for example in data.examples}) == len(data)
    paths = [example.path for example in videos.examples]
    for i in (0, len(data) // 2, -1):
        with data.open(i) as window, videos.open(paths.index(data.examples[i].group)) as whole:
            assert isinstance(window, VideoSource) and window.num_frames == 16
            first, end = data.windows[i]
            numbers = first + np.arange(16) * (end - first) // 16
            clip = next(window.clips([range(16)]))
            assert np.array_equal(clip, np.stack([pixels for _, pixels in whole.frames(numbers)]))
            assert np.allclose(window.seconds, whole.seconds[numbers])
            assert next(window.clips([range(16)], size=(20, 24))).shape == (16, 20, 24, 3)
    with pytest.raises(ValueError, match="expected None"):
        data.open(0, fps=10)


def test_a_video_of_one_frame_shows_what_its_annotation_says(monkeypatch):
    videos = MadeVideos(1, actions=1)
    monkeypatch.setattr(videos, "open", lambda *args, **more: ArrayVideo(np.zeros((1, 32, 32, 3), np.uint8)))
    truth = Annotations("made", ("a",), (videos.examples[0].path,), [0], [[0, 1 / 25]])
    data = segment_set(videos, truth, cutting=CUTTING)
    assert [(example.label, example.span) for example in data.examples] == [(1, (0, 1 / 25))] and data.ious == [1]


def test_labels_agree_with_the_annotations(videos):
    truth = videos.annotations()
    data = segment_set(videos, truth, cutting=CUTTING, background=2.0)
    labels = np.array([example.label for example in data.examples])
    for example, (first, end), iou in zip(data.examples, data.windows / 25, data.ious, strict=True):
        assert example.span == pytest.approx((first, end))
        spans = truth.spans[[video == example.group for video in truth.videos]]
        both = np.clip(np.minimum(end, spans[:, 1]) - np.maximum(first, spans[:, 0]), 0, None)
        ious = both / (end - first + spans[:, 1] - spans[:, 0] - both)
        if example.label:
            assert ious.max() == pytest.approx(iou, abs=1e-6) and iou > 0.5
        else:
            assert ious.max() < 0.3 and iou == 0
    counts = np.bincount(labels, minlength=9)
    assert counts[0] == round(2 * counts[1:].sum() / (counts[1:] > 0).sum())
    binary = segment_set(videos, truth, binary=True, cutting=CUTTING)
    assert binary.classes == ("background", "action") and len(binary) == 2 * counts[1:].sum()
    assert sum(example.label for example in binary.examples) == counts[1:].sum()
    other = segment_set(videos, truth, binary=True, cutting=CUTTING, seed=1)
    assert {e.path for e in other.examples} != {e.path for e in binary.examples}


def test_ambiguous_moments_are_no_background(videos):
    truth = videos.annotations()
    name = videos.examples[0].path
    unsure = Annotations("t", truth.classes, (*truth.videos, name), [*truth.labels, -1], [*truth.spans, (0, 1000)])
    data = segment_set(videos, unsure, cutting=CUTTING, background=1e6)
    assert all(example.label for example in data.examples if example.group == name)
    assert any(not example.label for example in data.examples)


def test_faults(videos):
    truth = videos.annotations()
    with pytest.raises(DataError, match="missing video nowhere in made/5"):
        segment_set(videos, Annotations("t", ("a",), ("nowhere",), [0], [[0, 1]]))
    doubled = MadeVideos(2)
    doubled.examples = doubled.examples[:1] * 2
    with pytest.raises(DataError, match="several videos are called made/0/0000"):
        segment_set(doubled, Annotations("t", ("a",), ("made/0/0000",), [0], [[0, 1]]))
    with pytest.raises(ValueError, match="no window of made/5 shows an action"):
        segment_set(videos, truth, cutting=Cutting((512,), rule=LabelRule(1.0, 1.0, 0.3)))
    assert name_of(videos.examples[0]) == "made/5/0000"
    assert name_of(videos.examples[0]._replace(path="/a/video_test_1.2.MP4")) == "video_test_1.2"
