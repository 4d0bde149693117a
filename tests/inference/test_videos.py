"""One video's scores: times, names, a folder of frames."""

import numpy as np
import pytest
from PIL import Image

from keras_res3d import predict_video
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


def test_without_names_classes_have_numbers(tmp_path, make_video):
    make_video(tmp_path / "x.mp4", np.zeros((8, 36, 48, 3), np.uint8))
    with pytest.warns(UserWarning, match=r"foreign3 has no card; assumed numbered labels and Sampling"):
        found = predict_video(foreign(), tmp_path / "x.mp4", clips=1)
    assert {name for name, _ in found.top()} == {"class 0", "class 1", "class 2"}
