"""Streams of frames: which clip is scored when, smoothing, bounded memory."""

from dataclasses import replace

import numpy as np
import pytest

import keras_res3d
from keras_res3d.cards import ModelCard, card_of
from keras_res3d.data.clips import Sampling
from keras_res3d.inference.classifier import Classifier
from keras_res3d.inference.streaming import StreamingPredictor

SAMPLING = Sampling(3, 2, (10, 12), (8, 8))


class Recorder:
    """Scores a clip by the grey levels of its frames."""

    dtype = np.uint8

    def __init__(self):
        self.clips = []

    def __call__(self, clips):
        self.clips.append(clips)
        return clips[:, :, 0, 0, 0].astype(np.float32)


def grey(level, size=(10, 12)):
    """At the size of SAMPLING's resize by default, where no resizing rounds."""
    return np.full((*size, 3), level, np.uint8)


def test_which_clip_is_scored_when():
    predict = Recorder()
    stream = StreamingPredictor(predict, SAMPLING, every=3, smoothing=0)
    found = {number: scores for number in range(14) if (scores := stream.push(grey(number))) is not None}
    assert {number: scores.tolist() for number, scores in found.items()} == {
        4: [0, 2, 4], 7: [3, 5, 7], 10: [6, 8, 10], 13: [9, 11, 13]
    }  # fmt: skip
    assert all(clips.shape == (1, 3, 8, 8, 3) and clips.dtype == np.uint8 for clips in predict.clips)


@pytest.mark.parametrize("fps", [None, 5])
def test_a_whole_video_is_played_as_it_would_be_pushed(tmp_path, make_video, fps):
    frames = np.repeat(np.arange(0, 200, 10, dtype=np.uint8), 10 * 12 * 3).reshape(20, 10, 12, 3)
    sampling = replace(SAMPLING, fps=fps)
    stream = StreamingPredictor(Recorder(), sampling, every=2)
    pushed = StreamingPredictor(Recorder(), sampling, every=2)
    for source, rate in ((frames, 10.0), (make_video(tmp_path / "a.mkv", frames, codec="ffv1", fps=10), None)):
        stream.push(frames[0])  # forgotten
        found = list(stream.play(source, frame_rate=rate))
        pushed.reset()
        step = 1 if fps is None else 2
        wanted = [(0.1 * number, scores) for number in range(0, 20, step)
                  if (scores := pushed.push(frames[number])) is not None]  # fmt: skip
        assert [time for time, _ in found] == pytest.approx([time for time, _ in wanted], abs=2e-3) and len(found) > 2
        for (_, mine), (_, theirs) in zip(found, wanted, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=2)


def test_smoothing_is_a_running_mean():
    stream = StreamingPredictor(Recorder(), SAMPLING, every=1, smoothing=0.75)
    levels = [0] * 5 + [100] * 5
    last = [stream.push(grey(level)) for level in levels][-1]
    means = np.zeros(3)
    for clip in ([0, 0, 100], [0, 0, 100], [0, 100, 100], [0, 100, 100], [100, 100, 100]):
        means = 0.75 * means + 0.25 * np.array(clip)
    np.testing.assert_allclose(last, means, rtol=1e-6)
    stream.reset()
    assert stream.push(grey(0)) is None


def test_memory_is_bounded():
    stream = StreamingPredictor(Recorder(), SAMPLING, every=50)
    for number in range(200):
        stream.push(grey(number, size=(200, 300)))
    assert len(stream._frames) == SAMPLING.span == 5
    assert all(frame.base is None and frame.nbytes == 8 * 8 * 3 for frame in stream._frames)


def test_floats_are_preprocessed_unless_the_net_does_it():
    seen = []
    stream = StreamingPredictor(lambda clip: seen.append(clip) or np.zeros((1, 2)), Sampling(1, 1, (8, 8), (8, 8)), 1)
    stream.push(np.tile(np.uint8([1, 2, 3]), (8, 8, 1)))
    assert seen[0].dtype == np.float32 and seen[0][0, 0, 0, 0].tolist() == [-125, -126, -127]


def test_with_an_export_and_its_card(tmp_path):
    net = replace(keras_res3d.ZOO["sr18"], width=4, classes=3)
    model = keras_res3d.build_model(net, input_shape=(4, 32, 32, 3))
    card = card_of(model, "abc", Sampling(4, 2, (36, 48), (32, 32)))
    keras_res3d.export_model(model, tmp_path / "net.tflite", "litert", card=card)
    stream = StreamingPredictor(keras_res3d.load_runner(tmp_path / "net.tflite"), every=2)
    rng = np.random.default_rng(0)
    found = [stream.push(rng.integers(0, 256, (60, 80, 3), np.uint8)) for _ in range(11)]
    scored = [scores for scores in found if scores is not None]
    assert len(scored) == 3 and all(scores.shape == (3,) for scores in scored)
    np.testing.assert_allclose([scores.sum() for scores in scored], 1, atol=1e-4)


def test_with_what_load_model_gives():
    """It takes pixels, whatever the model behind it takes."""
    seen = []
    opened = Classifier(lambda clips: seen.append(clips) or np.zeros((1, 2)), ModelCard("x", ("a", "b"), SAMPLING))
    stream = StreamingPredictor(opened, every=1)
    for number in range(5):
        stream.push(grey(number))
    assert seen[0].dtype == np.uint8 and seen[0][0, :, 0, 0, 0].tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"every": 0}, "every is 0"), ({"smoothing": 1}, "smoothing is 1"), ({"sampling": None}, "no card")],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        StreamingPredictor(**{"predict": lambda clip: clip, "sampling": SAMPLING, **options})


def test_wrong_frames():
    stream = StreamingPredictor(Recorder(), SAMPLING)
    for frame in (grey(0)[None], grey(0)[..., :1], grey(0).astype(np.float32), grey(0)[:0]):
        with pytest.raises(ValueError, match=r"expected uint8 RGB of shape \(height, width, 3\)"):
            stream.push(frame)


class Script:
    """A camera that shows what a script says: (seconds, grey level, breaks so far, whether the caller is behind)."""

    def __init__(self, lines):
        self.lines, self.breaks, self.behind = lines, 0, False

    def __iter__(self):
        for seconds, level, breaks, behind in self.lines:
            self.breaks, self.behind = breaks, behind
            yield seconds, grey(level)


def test_a_camera_is_scored_as_its_frames_would_be_pushed():
    lines = [(0.1 * number, number, 0, False) for number in range(14)]
    stream = StreamingPredictor(Recorder(), SAMPLING, every=3, smoothing=0)
    stream.push(grey(200))  # forgotten
    found = [(time, scores.tolist()) for time, scores in stream.watch(Script(lines))]
    assert found == [(pytest.approx(0.4), [0, 2, 4]), (pytest.approx(0.7), [3, 5, 7]),
                     (pytest.approx(1.0), [6, 8, 10]), (pytest.approx(1.3), [9, 11, 13])]  # fmt: skip
    assert [time for time, _ in stream.watch(Script(lines), seconds=0.9)] == pytest.approx([0.4, 0.7])


def test_no_clip_reaches_over_a_break():
    lines = [(0.1 * number, number, int(number >= 7), False) for number in range(14)]
    stream = StreamingPredictor(Recorder(), SAMPLING, every=1, smoothing=0.5)
    found = [scores.tolist() for _, scores in stream.watch(Script(lines))]
    # Frames 0 to 6 give three clips; those from 7 on begin anew, their scores too.
    assert len(found) == 6 and found[0] == [0, 2, 4] and found[3] == [7, 9, 11]


def test_who_falls_behind_leaves_clips_out_and_no_frames():
    lines = [(0.1 * number, number, 0, 5 <= number <= 8) for number in range(14)]
    predict = Recorder()
    stream = StreamingPredictor(predict, SAMPLING, every=3, smoothing=0)
    found = {round(time, 1): scores.tolist() for time, scores in stream.watch(Script(lines))}
    assert found == {0.4: [0, 2, 4], 1.0: [6, 8, 10], 1.3: [9, 11, 13]} and len(predict.clips) == 3


def test_a_span_that_would_fill_the_memory_is_refused():
    wide = replace(SAMPLING, frames=4, stride=10**6, resize=(32, 32), crop=(32, 32))
    with pytest.raises(ValueError, match="a clip spans 3,000,001 frames of a stream, 3,072,001,024 pixels that are"):
        StreamingPredictor(lambda clips: None, wide)
