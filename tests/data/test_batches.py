"""Batches: stateless order, exact resuming, every clip once, errors that name the file."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_res3d.data.bad_videos import SHOWN, BadVideos
from keras_res3d.data.batches import (
    evaluation_batches,
    naming_the_video,
    training_batches,
    training_stream,
    video_batches,
)
from keras_res3d.data.clips import Sampling, for_crop, steps_per_epoch
from keras_res3d.data.open import VideoFiles
from keras_res3d.data.sources.motion import motion_data_set
from keras_res3d.data.types import Example, VideoError

SMALL = Sampling(frames=4, stride=2, resize=(20, 26), crop=(16, 16))


class CountedVideo:
    """Frames whose pixels say which video (red) and which frame (green) they are; brighter to the right (blue)."""

    def __init__(self, number, num_frames):
        self.number, self.num_frames = number, num_frames

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def clips(self, clips, size):
        for clip in clips:
            pixels = np.zeros((len(clip), *size, 3), np.uint8)
            pixels[..., 0], pixels[..., 2] = self.number, np.arange(size[1])
            pixels[..., 1] = np.asarray(clip)[:, None, None]
            yield pixels


class CountedSet:
    """A data set of CountedVideos that notes what is opened."""

    mirror_safe, classes, name = True, ("a", "b", "c"), "counted"

    def __init__(self, lengths):
        self.lengths, self.opened, self.lock = lengths, [], threading.Lock()
        self.examples = tuple(Example(f"{i}", i % 3) for i in range(len(lengths)))

    def __len__(self):
        return len(self.lengths)

    def open(self, i, fps=None):
        with self.lock:
            self.opened.append(i)
        return CountedVideo(i, self.lengths[i])


def batches(*args, epochs, **options):
    """The batches of several passes, back to back."""
    data = training_batches(*args, **options)
    return [(clips.numpy(), labels.numpy()) for _ in range(epochs) for clips, labels in data]


def streamed(*args, last_step, start_step=0, **options):
    """The batches of a stream to its last step; Keras takes it for endless, so nothing may ask for more."""
    stream = training_stream(*args, start_step=start_step, last_step=last_step, **options)
    return [(clips.numpy(), labels.numpy()) for clips, labels in stream.take(last_step - start_step)]


def videos_of(clips):
    return (clips[:, 0, 0, 0, 2] + 128).astype(int).tolist()


def test_steps_per_epoch():
    assert [steps_per_epoch(n, 4) for n in (1, 4, 7, 8, 9)] == [1, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="expected"):
        steps_per_epoch(0, 4)


def test_an_epoch_takes_every_example_once_in_a_new_order():
    data = CountedSet([40] * 12)
    got = batches(data, SMALL, 4, epochs=3)
    assert len(got) == 9
    assert all(c.shape == (4, 4, 16, 16, 3) and c.dtype == np.float32 and y.dtype == np.int32 for c, y in got)
    epochs = [[v for c, _ in got[i:i + 3] for v in videos_of(c)] for i in (0, 3, 6)]
    assert [sorted(e) for e in epochs] == [list(range(12))] * 3
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert all((np.array(videos_of(c)) % 3 == y).all() for c, y in got)


def test_the_rest_of_an_epoch_differs_each_time():
    data = CountedSet([40] * 7)
    got = batches(data, SMALL, 4, epochs=12)
    assert len(got) == 12
    left_out = [set(range(7)) - set(videos_of(c)) for c, _ in got]
    assert all(len(v) == 3 for v in left_out) and len({frozenset(v) for v in left_out}) > 3
    assert [c.shape[0] for c, _ in batches(CountedSet([40] * 2), SMALL, 4, epochs=2)] == [2, 2]


@pytest.mark.parametrize("start", [1, 3, 5, 9])
def test_a_resumed_stream_is_the_rest_of_the_uninterrupted_one(start):
    data = CountedSet([40, 30, 20, 10, 5, 60, 70, 80, 9, 8])
    whole = batches(data, SMALL, 3, epochs=3, seed=5, workers=3)
    data.opened.clear()
    rest = streamed(data, SMALL, 3, seed=5, start_step=start, last_step=9, workers=1)
    assert len(data.opened) == 3 * (9 - start)
    assert len(rest) == 9 - start
    for (a, b), (c, d) in zip(whole[start:], rest, strict=True):
        assert np.array_equal(a, c) and np.array_equal(b, d)


def test_the_seed_decides_and_the_mirror_is_honoured():
    data = CountedSet([40] * 8)
    one, same, other = (batches(data, SMALL, 8, epochs=1, seed=s)[0][0] for s in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)

    def mirrored(**options):
        clips = np.concatenate([c for c, _ in batches(data, SMALL, 8, epochs=4, **options)])
        return clips[:, 0, 0, 1, 0] < clips[:, 0, 0, 0, 0]

    assert 4 < mirrored().sum() < 28
    assert not mirrored(mirror=False).any()
    data.mirror_safe = False
    assert not mirrored().any()
    with pytest.raises(ValueError, match="start_step is 5"):
        training_stream(data, SMALL, 8, start_step=5, last_step=4)
    with pytest.raises(ValueError, match="seed is -1"):
        training_batches(data, SMALL, 8, seed=-1)


def test_the_data_know_their_shapes_and_length():
    data = training_batches(CountedSet([40] * 8), SMALL, 4)
    assert data.cardinality().numpy() == 2
    assert data.element_spec[0] == tf.TensorSpec((4, 4, 16, 16, 3), tf.float32)
    assert data.element_spec[1] == tf.TensorSpec((4,), tf.int32)
    assert training_stream(CountedSet([40] * 8), SMALL, 4, last_step=7).cardinality().numpy() == -1
    assert evaluation_batches(CountedSet([40] * 9), SMALL, 4, clips=1).cardinality().numpy() == 3
    with pytest.raises(ValueError, match=r"sample_weight has shape \(3,\)"):
        training_batches(CountedSet([40] * 8), SMALL, 4, sample_weight=[1, 1, 1])


def test_old_code_that_names_the_epochs_still_runs():
    data = CountedSet([40] * 12)
    with pytest.warns(DeprecationWarning, match="fit"):
        old = training_batches(data, SMALL, 4, epochs=3)
    assert old.cardinality().numpy() == 3
    rest, whole = training_batches(data, SMALL, 4, start_step=4).take(2), streamed(data, SMALL, 4, last_step=6)
    for (a, b), (c, d) in zip(rest, whole[4:], strict=True):
        assert np.array_equal(a, c) and np.array_equal(b, d)


def fitted(data, **options):
    """The batches that `fit` has trained on: videos and labels, one row each."""
    seen = []

    class Note(keras.Model):
        def train_step(self, batch):
            seen.append(tf.numpy_function(lambda clips, labels: note(clips, labels), batch[:2], tf.int64))
            return {"loss": tf.cast(seen[-1], tf.float32)}

    rows = []

    def note(clips, labels):
        rows.append((videos_of(clips), labels.tolist(), clips[..., 1].sum()))
        return np.int64(len(rows))

    model = Note()
    model.compile()
    model.fit(data, verbose=0, shuffle=False, **options)
    return rows


@pytest.mark.parametrize("options", [{"epochs": 3}, {"epochs": 3, "steps_per_epoch": 3}])
def test_fit_makes_as_many_passes_as_it_has_epochs_with_new_crops(options):
    data = CountedSet([40] * 12)
    rows = fitted(training_batches(data, SMALL, 4), **options)
    assert len(rows) == 9
    epochs = [rows[i : i + 3] for i in (0, 3, 6)]
    assert [sorted(v for videos, *_ in epoch for v in videos) for epoch in epochs] == [list(range(12))] * 3
    assert all((np.array(videos) % 3 == labels).all() for videos, labels, _ in rows)
    expected = [(videos_of(clips), labels.tolist()) for clips, labels in streamed(data, SMALL, 4, last_step=9)]
    assert [row[:2] for row in rows] == expected


@pytest.mark.filterwarnings("error:Your input ran out of data")
@pytest.mark.parametrize("clips", [1, 5])
def test_evaluate_predict_and_validation_data_give_the_right_figures(clips):
    data = CountedSet([40, 7, 9, 1, 30])
    stream = evaluation_batches(data, SMALL, 4, clips=clips)
    model = keras.Sequential([keras.Input((4, 16, 16, 3)), keras.layers.GlobalAveragePooling3D(),
                              keras.layers.Dense(3, activation="softmax")])  # fmt: skip
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    scores = model.predict(stream, verbose=0)
    labels = np.concatenate([labels for _, labels, _ in video_batches(data, SMALL, 4, clips)])
    assert len(scores) == len(labels) == (5 if clips == 1 else 15)
    found = model.evaluate(stream, verbose=0, return_dict=True)
    # By hand, from logits: probabilities of a net that has learnt nothing underflow here.
    pixels = np.concatenate([clips for clips, _ in stream]).mean(axis=(1, 2, 3), dtype=np.float64)
    kernel, bias = (np.asarray(weight, np.float64) for weight in model.get_weights())
    logits = pixels @ kernel + bias
    top = logits.max(axis=1, keepdims=True)
    truth = (top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True)))[:, 0] - logits[range(len(labels)), labels]
    assert found["loss"] == pytest.approx(truth.mean(), rel=1e-4)
    assert found["accuracy"] == pytest.approx((scores.argmax(1) == labels).mean())
    model.optimizer.learning_rate = 0.0
    history = model.fit(training_batches(data, SMALL, 2), epochs=2, validation_data=stream, verbose=0).history
    assert history["val_loss"] == pytest.approx([found["loss"]] * 2, rel=1e-5)


def test_evaluation_gives_every_clip_once_in_order():
    lengths = [40, 7, 9, 1, 30]
    data = CountedSet(lengths)
    counts = [5, 1, 3, 1, 5]
    stream = video_batches(data, SMALL, 4, clips=5, workers=3)
    pairs = evaluation_batches(data, SMALL, 4, clips=5, workers=3)
    for _ in range(2):
        got = list(stream)
        for (clips, labels), (theirs, others, _) in zip(pairs, got, strict=True):
            assert np.array_equal(clips, theirs) and np.array_equal(labels, others)
        assert [len(y) for _, y, _ in got] == [4, 4, 4, 3]
        assert all(c.shape[1:] == (4, 16, 16, 3) and c.dtype == np.float32 for c, _, _ in got)
        numbers = np.concatenate([v for _, _, v in got])
        assert numbers.tolist() == np.repeat(range(5), counts).tolist()
        assert np.concatenate([y for _, y, _ in got]).tolist() == (numbers % 3).tolist()
        clips = np.concatenate([c for c, _, _ in got])
        assert videos_of(clips) == numbers.tolist()
        starts = (clips[:, 0, 0, 0, 1] + 128).astype(int)
        assert starts[:5].tolist() == [0, 8, 16, 25, 33] and (clips[:, 0, 0, 0, 0] + 128 == 5).all()
    exact = list(video_batches(CountedSet([40] * 4), SMALL, 5, clips=5))
    assert [len(y) for _, y, _ in exact] == [5] * 4


def test_evaluation_reads_only_a_few_videos_ahead():
    data = CountedSet([40] * 50)
    stream = iter(video_batches(data, SMALL, 5, clips=5, workers=2))
    next(stream)
    stream.close()
    assert len(data.opened) <= 5


def test_unreadable_files_are_named(tmp_path, make_video):
    good = make_video(tmp_path / "good.mp4", np.full((10, 48, 64, 3), 128, np.uint8))
    (tmp_path / "bad ü.mp4").write_bytes(b"not a video" * 100)
    data = VideoFiles((Example(str(good), 0), Example(str(tmp_path / "bad ü.mp4"), 1)), ("a", "b"), "test")
    with pytest.raises(tf.errors.OpError, match=r"bad ü\.mp4: cannot be opened as a video"):
        list(training_batches(data, SMALL, 2))
    with pytest.raises(VideoError, match=r"bad ü\.mp4"):
        list(video_batches(data, SMALL, 2, clips=1))
    for batches_of in (training_batches, evaluation_batches):
        with pytest.raises(VideoError, match=r"bad ü\.mp4") as error, naming_the_video():
            list(batches_of(data, SMALL, 2))
        assert "Traceback" not in str(error.value) and "\n" not in str(error.value)


class DamagedSet(CountedSet):
    """A CountedSet some of whose videos cannot be read, as their files or only where frames are asked for."""

    def __init__(self, lengths, bad):
        super().__init__(lengths)
        self.bad = bad

    def open(self, i, fps=None):
        if i in self.bad and i % 2:
            raise VideoError(f"{i}: cannot be opened as a video")
        video = super().open(i, fps)
        if i in self.bad:
            video.clips = self.fail
        return video

    def fail(self, clips, size):
        raise OSError("no such colours")
        yield


def test_a_skipped_video_is_replaced_by_one_that_seed_epoch_and_video_decide():
    data, bad = DamagedSet([40] * 12, {3, 4, 11}), BadVideos()
    with pytest.warns(UserWarning, match="left out: 3: cannot be opened as a video"):
        source = training_batches(
            data, SMALL, 4, seed=2, on_bad_video=bad, sample_weight=np.arange(12) / 4, workers=3
        )  # fmt: skip
        got = [[part.numpy() for part in batch] for _ in range(6) for batch in source]
    assert bad.faults == {"3": "3: cannot be opened as a video", "11": "11: cannot be opened as a video",
                          "4": "no such colours"}  # fmt: skip
    sound = batches(CountedSet([40] * 12), SMALL, 4, epochs=6, seed=2)
    replaced = []
    for (clips, labels, weights), (expected, _) in zip(got, sound, strict=True):
        videos = np.array(videos_of(clips))
        assert (videos % 3 == labels).all() and (videos / 4 == weights).all()
        for clip, video, theirs, right in zip(clips, videos, expected, videos_of(expected), strict=True):
            if right in data.bad:
                replaced.append(video)
            else:
                assert np.array_equal(clip, theirs)
    assert len(replaced) == 18 and not set(replaced) & data.bad and len(set(replaced)) > 4


@pytest.mark.parametrize("start", [2, 5])
def test_a_resumed_stream_skips_as_the_uninterrupted_one(start):
    options = {"seed": 5, "last_step": 8, "on_bad_video": "skip"}
    whole = streamed(DamagedSet([40] * 10, {0, 7}), SMALL, 3, workers=3, **options)
    rest = streamed(DamagedSet([40] * 10, {0, 7}), SMALL, 3, start_step=start, workers=1, **options)
    for (a, b), (c, d) in zip(whole[start:], rest, strict=True):
        assert np.array_equal(a, c) and np.array_equal(b, d)


def test_bad_videos_stop_unless_they_are_skipped_and_all_bad_is_an_error():
    with pytest.raises(tf.errors.OpError, match="3: cannot be opened"):
        batches(DamagedSet([40] * 4, {3}), SMALL, 4, epochs=1)
    hopeless = DamagedSet([40] * 4, {0, 1, 2, 3})
    with pytest.raises(VideoError, match="counted: none of its 4 videos can be read"), naming_the_video():
        batches(hopeless, SMALL, 2, epochs=1, on_bad_video="skip")
    with pytest.raises(VideoError, match=r"none of its 4 videos can be read; the last one: 3"):
        list(video_batches(hopeless, SMALL, 2, on_bad_video="skip"))
    with pytest.raises(ValueError, match="on_bad_video is 'go on'; expected stop or skip"):
        training_batches(hopeless, SMALL, 2, on_bad_video="go on")


def test_evaluation_leaves_out_bad_videos():
    stream = video_batches(DamagedSet([40] * 6, {1, 4}), SMALL, 4, clips=2, on_bad_video="skip")
    for _ in range(2):
        numbers = np.concatenate([videos for *_, videos in stream])
        assert numbers.tolist() == [0, 0, 2, 2, 3, 3, 5, 5]
        assert stream.left_out == {1: "1: cannot be opened as a video", 4: "no such colours"}
    assert len(stream.bad) == 2


def test_bad_videos_are_listed_once(tmp_path, recwarn):
    for _ in range(2):  # of two runs into one folder
        bad = BadVideos(tmp_path / "bad_videos.txt")
        for number in [*range(SHOWN + 5), 0, 1]:
            bad.note(f"video\n{number}", VideoError(f"video\n{number}: is no video"))
        assert len(bad) == SHOWN + 5
    lines = (tmp_path / "bad_videos.txt").read_text().splitlines()
    assert lines == [f"video\\n{n}\tvideo\\n{n}: is no video" for n in range(SHOWN + 5)]
    said = [str(warning.message) for warning in recwarn]
    assert said[0] == "left out: video\\n0: is no video" and said[SHOWN].startswith("more than 20 bad videos")


def test_files_and_the_embedded_set_give_net_inputs(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", np.full((30, 48, 64, 3), (200, 128, 28), np.uint8))
    data = VideoFiles((Example(str(path), 0),) * 3, ("a",), "test")
    clips, labels = batches(data, for_crop(8, 2, 56), 2, epochs=1)[0]
    assert clips.shape == (2, 8, 56, 56, 3) and labels.tolist() == [0, 0]
    assert np.abs(clips.mean((0, 1, 2, 3)) - [-100, 0, 72]).max() < 4
    sampling = Sampling(8, 2, (32, 32), (28, 28))
    clips, labels = batches(motion_data_set("test"), sampling, 16, epochs=1)[0]
    assert clips.shape == (16, 8, 28, 28, 3) and len(set(labels.tolist())) > 3
    resampled = Sampling(4, 1, (32, 32), (28, 28), fps=5.0)
    (_, _, numbers), = video_batches(data, resampled, 99, clips=10)
    assert np.bincount(numbers).tolist() == [3, 3, 3]


def test_real_videos_in_batches(shared_data):
    from keras_res3d.data.open import read_data_set

    data = read_data_set(shared_data / "fight" / "test.csv")
    part = VideoFiles(data.examples[:6], data.classes, data.name)
    clips, _ = batches(part, Sampling(), 6, epochs=1)[0]
    assert clips.shape == (6, 8, 112, 112, 3) and clips.std() > 20
    numbers = np.concatenate([v for _, _, v in video_batches(part, Sampling(), 16)])
    assert (np.bincount(numbers) == 10).all()
