"""The table of frames that the packets promise."""

import numpy as np
import pytest

from keras_res3d.data.sources.container import Medium, open_container
from keras_res3d.data.sources.frame_table import read_frame_table
from keras_res3d.data.types import VideoError

MAX_PIXELS = 10_000_000


def table_of(path):
    container, stream = open_container(Medium(path), MAX_PIXELS)
    with container:
        return read_frame_table(Medium(path), container, stream)


@pytest.fixture(scope="module")
def pixels():
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 255, (40, 6, 8, 3), np.uint8), np.ones((1, 8, 8, 1), np.uint8))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_frames_out_of_order_are_numbered_as_shown(tmp_path, make_video, pixels, name):
    table = table_of(make_video(tmp_path / name, pixels, codec="libx264", options={"g": "10", "bf": "2"}))
    assert np.allclose(np.diff(table.seconds), 1 / 25, atol=2e-3) and len(table.seconds) == 40
    assert len(table.pts) == 40 and (np.diff(table.pts) > 0).all()
    assert table.keys[0] == 0 and len(table.keys) >= 4 and len(table.key_dts) == len(table.keys)
    assert table.promised == (40 if name == "a.mp4" else 0)


def test_avi_with_b_frames_is_counted_and_without_them_timed(tmp_path, make_video, pixels):
    plain = table_of(make_video(tmp_path / "a.avi", pixels, options={"g": "10"}))
    assert {0, 10, 20, 30} <= set(plain.keys.tolist()) and plain.promised == 40
    ordered = table_of(make_video(tmp_path / "b.avi", pixels, options={"g": "10", "bf": "2"}))
    assert ordered.pts is None and not len(ordered.keys) and len(ordered.seconds) == 40
    assert (np.diff(ordered.seconds) > 0).all()


def test_real_placeholders_are_no_frames(shared_data):
    name = "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi"
    table = table_of(shared_data / "clips" / name)
    assert len(table.seconds) == table.promised == 83


def test_a_bound_on_the_size_of_frames(tmp_path, make_video, pixels):
    path = make_video(tmp_path / "a.mp4", pixels[:2])
    with pytest.raises(VideoError, match=r"a\.mp4: frames are .*; expected at most 100 pixels"):
        open_container(Medium(path), 100)
