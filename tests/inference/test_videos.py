"""One video's scores: times, names, a folder of frames."""

import numpy as np
import pytest
from PIL import Image

from keras_res3d import open_video, predict_video
from keras_res3d.data.types import VideoError
from keras_res3d.inference.videos import VideoPrediction

from ..users_models import SAMPLING, foreign


def test_the_best_classes_by_name():
    found = VideoPrediction("x.mp4", ("a", "b", "c"), np.array([0.5]), np.array([[0.2, 0.5, 0.3], [0.2, 0.3, 0.5]]))
    assert [name for name, _ in found.top(5)] == ["b", "c", "a"]
    assert found.top(1) == [("b", pytest.approx(0.4))]


def test_a_folder_of_frames(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(1, 10):
        frame = Image.fromarray(rng.integers(0, 256, (36, 48, 3), np.uint8))
        frame.save(tmp_path / f"{number:06d}.jpg", quality=95)
    found = predict_video(foreign(), tmp_path, clips=2, labels="abc", sampling=SAMPLING)
    assert found.probabilities.shape == (2, 3) and found.labels == ("a", "b", "c") and len(found.seconds) == 2


def test_bytes_and_file_objects_score_as_their_file(tmp_path, make_video):
    frames = np.random.default_rng(0).integers(0, 256, (12, 36, 48, 3), np.uint8)
    path = make_video(tmp_path / "x.mp4", frames)
    model, options = foreign(), {"clips": 2, "labels": "abc", "sampling": SAMPLING}
    expected = predict_video(model, path, **options)
    data = path.read_bytes()
    with open(path, "rb") as file:
        found = [predict_video(model, source, **options) for source in (data, bytearray(data), file)]
    assert all(np.allclose(each.probabilities, expected.probabilities) for each in found)
    assert found[0].path == f"the video of {len(data)} bytes" and found[2].path == str(path)


def test_without_names_classes_have_numbers(tmp_path, make_video):
    make_video(tmp_path / "x.mp4", np.zeros((8, 36, 48, 3), np.uint8))
    with pytest.warns(UserWarning, match=r"foreign3 has no card; assumed numbered labels and Sampling"):
        found = predict_video(foreign(), tmp_path / "x.mp4", clips=1)
    assert {name for name, _ in found.top()} == {"class 0", "class 1", "class 2"}


def test_an_array_scores_as_the_file_that_it_was_read_from(tmp_path, make_video):
    rng = np.random.default_rng(0)
    frames = np.kron(rng.integers(0, 256, (20, 6, 8, 3), np.uint8), np.ones((1, 6, 6, 1), np.uint8))
    path = make_video(tmp_path / "x.mp4", frames)
    with open_video(path) as video:
        array = np.stack([pixels for _, pixels in video.frames(range(20))])
    options = {"clips": 3, "labels": "abc", "sampling": SAMPLING}
    model = foreign()
    file, memory = predict_video(model, path, **options), predict_video(model, array, **options)
    assert np.array_equal(file.probabilities, memory.probabilities)
    assert file.path == str(path) and memory.path == "the array of 20 frames"
    slow = predict_video(model, array, frame_rate=5, **options)
    assert slow.seconds == pytest.approx(file.seconds * 5)
    with pytest.raises(VideoError, match=r"np\.moveaxis"):
        predict_video(model, np.moveaxis(array, -1, 1), **options)
