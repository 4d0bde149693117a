"""Animated thumbnails and the page of a search."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from keras_res3d.reports.search import FRAMES, HEIGHT, search_page, thumbnail


@pytest.fixture(scope="module")
def video(tmp_path_factory, make_video):
    """Two seconds that grow lighter, at 25 frames a second."""
    level = np.linspace(20, 230, 50).astype("uint8")
    frames = np.broadcast_to(level[:, None, None, None], (50, 48, 64, 3))
    return make_video(tmp_path_factory.mktemp("search") / "grey.mp4", frames)


def levels(shown):
    """Brightness of each frame of a thumbnail."""
    picture = Image.open(io.BytesIO(base64.b64decode(shown.picture.partition(",")[2])))
    assert picture.size == (192, HEIGHT)
    found = []
    for number in range(picture.n_frames):
        picture.seek(number)
        found.append(np.asarray(picture.convert("RGB")).mean())
    return found


def test_the_whole_video_and_a_part_of_it(video):
    whole = levels(thumbnail(video, "grey", ["a line"]))
    assert len(whole) == FRAMES and whole == sorted(whole) and whole[0] < 30 and whole[-1] > 220
    assert levels(thumbnail(video, "grey", seconds=(math.nan, math.nan))) == whole
    part = levels(thumbnail(video, "grey", seconds=(1.0, 1.5)))
    # Frames 25 to 37 of 50.
    assert abs(part[0] - (20 + 210 * 25 / 49)) < 6 and abs(part[-1] - (20 + 210 * 37 / 49)) < 6


def test_times_outside_of_the_video_show_what_is_there(video):
    assert len(levels(thumbnail(video, "grey", seconds=(1.9, 9.0)))) >= 1
    assert levels(thumbnail(video, "grey", seconds=(50.0, 60.0)))[0] > 220


def test_a_video_that_cannot_be_read_is_said_on_the_page(video, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    shown = [thumbnail(path, path.name, ["<i>one</i>"]) for path in (bad, tmp_path / "gone.mp4", video)]
    assert [each.picture is None for each in shown] == [True, True, False] and all(each.fault for each in shown[:2])
    page = search_page(shown[2], shown, "A sentence.")
    assert page.count("No picture.") == 2 and page.count("data:image/webp") == 2
    assert "&lt;i&gt;one" in page and "<i>" not in page and "1. bad.mp4" in page and "3. grey.mp4" in page
