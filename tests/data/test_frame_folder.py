"""Folders of JPEG and PNG frames as videos."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_res3d.data.batches import training_batches, video_batches
from keras_res3d.data.clips import even_clips
from keras_res3d.data.open import read_data_set
from keras_res3d.data.sources import frame_folder
from keras_res3d.data.sources.frame_folder import FrameFolder
from keras_res3d.data.sources.video_file import Video
from keras_res3d.data.types import DataError


def save(folder, levels, pattern="image_{:05d}.jpg", size=(40, 32)):
    folder.mkdir(parents=True, exist_ok=True)
    for number, level in enumerate(levels, 1):
        Image.new("RGB", size, (level,) * 3).save(folder / pattern.format(number), quality=95)
    return folder


@pytest.mark.parametrize("pattern", ["image_{:05d}.jpg", "{:06d}.jpg", "{}.JPG", "frame {} ü.jpeg"])
def test_frames_come_in_the_order_of_their_numbers(tmp_path, pattern):
    levels = list(range(5, 245, 10))
    folder = save(tmp_path / "walk", levels, pattern)
    (folder / "notes.txt").write_text("no frame")
    (folder / "._1.jpg").write_text("no frame either")
    with FrameFolder(folder) as video:
        assert video.num_frames == 24 and video.frame_rate == 25 and video.seconds[2] == pytest.approx(0.08)
        clips = list(video.clips([[0, 2, 4], [23, 23, 22]]))
        assert [clip.shape for clip in clips] == [(3, 32, 40, 3)] * 2
        assert np.abs(clips[1].mean((1, 2, 3)) - [235, 235, 225]).max() < 2
        assert [round(float(f.mean())) for _, f in video.frames(range(24))] == pytest.approx(levels, abs=1)
        assert video.faults == 0


def test_png_frames_are_read_where_there_are_no_jpegs(tmp_path):
    levels = list(range(5, 245, 10))
    folder = save(tmp_path / "walk", levels, "{}.png")
    with FrameFolder(folder) as video:
        assert [int(f.mean()) for _, f in video.frames(range(24))] == levels and video.faults == 0
    data = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(data[:-20])
    with FrameFolder(folder) as video, pytest.warns(UserWarning, match=r"3\.png: cannot be decoded"):
        assert next(video.clips([[2]])).mean() == 15 and video.faults == 1
    with FrameFolder(folder, strict=True) as video, pytest.raises(ValueError, match=r"3\.png"):
        next(video.clips([[2]]))
    save(folder, [7, 9])
    with FrameFolder(folder) as video:
        assert video.num_frames == 2 and video.faults == 0
    # A small file that promises a picture of gigabytes is refused by its header.
    (tmp_path / "bomb").mkdir()
    (tmp_path / "bomb" / "1.png").write_bytes(data[:16] + (60000).to_bytes(4) * 2 + data[24:])
    with pytest.raises(ValueError, match="60000 x 60000"):
        next(FrameFolder(tmp_path / "bomb").clips([[0]]))


def test_only_frames_asked_for_are_read(tmp_path, monkeypatch):
    folder, opened = save(tmp_path, range(50)), []
    decode = frame_folder.decode_picture
    content = {path.read_bytes(): path.name[-9:] for path in folder.iterdir()}
    spied = lambda data, *_: opened.append(content[data]) or decode(data)  # noqa: E731
    monkeypatch.setattr(frame_folder, "decode_picture", spied)
    with FrameFolder(folder) as video:
        list(video.clips([[3, 5], [5, 7]]))
    assert opened == ["00004.jpg", "00006.jpg", "00008.jpg"]


def test_frames_are_resized_like_a_videos(tmp_path, make_video):
    rng = np.random.default_rng(0)
    frames = np.kron(rng.integers(0, 255, (6, 12, 16, 3), np.uint8), np.ones((1, 20, 20, 1), np.uint8))
    with Video(make_video(tmp_path / "a.mp4", frames)) as video:
        folder = tmp_path / "frames"
        folder.mkdir()
        for number, pixels in video.frames(range(6)):
            Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=98, subsampling=0)
        expected = next(video.clips([range(6)], size=(128, 171))).astype(int)
    with FrameFolder(folder) as video:
        found = next(video.clips([range(6)], size=(128, 171)))
        assert np.abs(found - expected).mean() < 4
    with FrameFolder(folder, size=(64, 86)) as video:
        assert next(video.clips([[0]])).shape == (1, 64, 86, 3)


def test_part_of_a_folder_and_another_rate(tmp_path):
    folder = save(tmp_path, range(0, 200, 10))
    with FrameFolder(folder, first_frame=6, frames=4) as video:
        assert video.num_frames == 4
        assert next(video.clips([[0]])).mean() == pytest.approx(50, abs=1)
    with FrameFolder(folder, fps=5) as video:
        assert video.num_frames == 4 and video.frame_rate == 5
        assert next(video.clips([range(4)])).mean((1, 2, 3)) == pytest.approx([0, 50, 100, 150], abs=1)
    with pytest.raises(ValueError, match="first_frame is 21"):
        FrameFolder(folder, first_frame=21)


def test_a_bad_frame_is_stood_in_for(tmp_path):
    folder = save(tmp_path, range(0, 200, 10))
    good = (folder / "image_00005.jpg").read_bytes()
    (folder / "image_00006.jpg").write_bytes(good[:200])
    (folder / "image_00001.jpg").write_text("text")
    with FrameFolder(folder) as video:
        with pytest.warns(UserWarning, match=r"image_00006.jpg: cannot be decoded"):
            clip = next(video.clips([[4, 5, 6]]))
        assert clip.mean((1, 2, 3)) == pytest.approx([40, 40, 60], abs=1)
        assert next(video.clips([[0]])).mean() == pytest.approx(10, abs=1) and video.faults == 2
    with FrameFolder(folder, strict=True) as video, pytest.raises(ValueError, match=r"image_00001\.jpg"):
        next(video.clips([[0]]))


def test_folders_that_are_no_videos(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        FrameFolder(tmp_path / "none")
    with pytest.raises(ValueError, match="holds no frames"):
        FrameFolder(tmp_path)
    (tmp_path / "1.jpg").write_text("text")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="no frame can be decoded"):
        next(FrameFolder(tmp_path).clips([[0]]))
    gif = io.BytesIO()
    Image.new("RGB", (8, 8)).save(gif, "GIF")
    (tmp_path / "1.jpg").write_bytes(gif.getvalue())
    with pytest.raises(ValueError, match="cannot be decoded"):
        next(FrameFolder(tmp_path, strict=True).clips([[0]]))
    save(tmp_path / "large", [1], size=(300, 300))
    with pytest.raises(ValueError, match="300 x 300"):
        next(FrameFolder(tmp_path / "large", max_pixels=80000).clips([[0]]))
    with pytest.raises(ValueError, match=r"expected 0\.\.0"):
        FrameFolder(tmp_path / "large").clips([[1]])


def test_lists_name_folders_of_frames(tmp_path):
    for label, level in (("dark", 40), ("bright", 200)):
        for name in ("a", "b c"):
            save(tmp_path / "v" / label / name, [level] * 20, size=(171, 128))
    data = read_data_set(tmp_path / "v")
    assert data.classes == ("bright", "dark") and len(data) == 4
    (tmp_path / "list.csv").write_text("path,label\nv/dark/b c,dark\nv/bright/a/,bright\n")
    assert [e.label for e in read_data_set(tmp_path / "list.csv").examples] == [1, 0]
    (tmp_path / "list.csv").write_text("path,label\nv/dark,dark\n")
    with pytest.raises(DataError, match="line 2: missing file"):
        read_data_set(tmp_path / "list.csv")
    from keras_res3d.data.clips import Sampling

    clips, labels = next(iter(training_batches(data, Sampling(), 4)))
    assert clips.shape == (4, 8, 112, 112, 3)
    assert [bool(clip.mean() > 0) for clip in clips.numpy()] == [label == 0 for label in labels.numpy()]
    assert sum(len(labels) for _, labels, _ in video_batches(data, Sampling(), 3, clips=2)) == 8
    with data.open(0) as video:
        assert len(even_clips(video.num_frames, 8, 2, 10)) == 6


