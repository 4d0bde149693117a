"""From videos to features to what they are for: a net that was not trained tells bright videos from dark ones."""

import shutil

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d import extract_features, search_videos, transfer_knn, transfer_svm
from keras_res3d.commands.main import main

from ..users_models import NARROW, SAMPLING, SHAPE


@pytest.fixture(scope="module")
def world(tmp_path_factory, make_video):
    """Videos of two brightnesses with a training and a test list, a net, and features of all, whole and by clip."""
    folder, rng = tmp_path_factory.mktemp("chain"), np.random.default_rng(0)
    lines = {"train": ["path,label,group"], "test": ["path,label,group"]}
    for number in range(12):
        label = ("dark", "bright")[number % 2]
        path = folder / "videos" / label / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = rng.normal((60, 190)[number % 2] + 3 * number, 10, (20, 36, 48, 3))
        make_video(path, np.clip(frames, 0, 255).astype(np.uint8))
        lines["train" if number < 8 else "test"].append(f"videos/{label}/{number}.mp4,{label},g{number}")
    for name, rows in lines.items():
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    keras.utils.set_random_seed(0)
    keras_res3d.save_model(keras_res3d.build_model(NARROW, input_shape=SHAPE), folder / "run" / "model.keras",
                           labels="abc", sampling=SAMPLING)  # fmt: skip
    for name, per_clip in (("whole", False), ("clips", True)):
        extract_features(folder / "run", folder / "videos", ["pool5"], folder / name, per_clip=per_clip, overlap=2)
    shutil.copy(folder / "videos" / "bright" / "1.mp4", folder / "new.mp4")
    return folder


@pytest.mark.parametrize("name", ["whole", "clips"])
def test_lists_find_the_features_of_their_videos(world, name):
    found = transfer_svm(world / name, train_list=world / "train.csv", test_list=world / "test.csv")
    assert found.mean() == 1.0 and found.scores[0].train == 8 and found.scores[0].test == 4
    assert found.facts["model"]["net"] and transfer_knn(world / name, k=(1,)).mean(measure="recall@1") == 1.0


@pytest.mark.parametrize("name", ["whole", "clips"])
def test_a_new_video_is_extracted_as_the_others_were(world, name):
    hits = search_videos(world / name, world / "new.mp4", k=3, model=world / "run")
    # It is a copy of one of them.
    assert hits[0].id.endswith("bright/1.mp4") and hits[0].score == pytest.approx(1, abs=1e-5)
    assert [hit.label for hit in hits] == ["bright"] * 3
    known = search_videos(world / name, "bright/1.mp4", k=2)
    assert [hit.id for hit in known] == [hit.id for hit in hits[1:]]


def test_new_videos_that_cannot_be_compared(world, tmp_path):
    with pytest.raises(ValueError, match="give the model that they are of"):
        search_videos(world / "whole", world / "new.mp4")
    with pytest.raises(ValueError, match="no such file"):
        search_videos(world / "whole", world / "newer.mp4", model=world / "run")
    keras.utils.set_random_seed(1)
    keras_res3d.save_model(keras_res3d.build_model(NARROW, input_shape=SHAPE), tmp_path / "model.keras",
                           labels="abc", sampling=SAMPLING)  # fmt: skip
    with pytest.raises(ValueError, match="features are of another model"):
        search_videos(world / "whole", world / "new.mp4", model=tmp_path)
    with pytest.raises(ValueError, match="features are arrays"):
        search_videos((np.eye(2), ["a", "b"]), world / "new.mp4", model=world / "run")


def test_the_command_finds_what_is_like_a_new_video(world, tmp_path, capsys):
    words = ["--model", str(world / "run"), "--root", str(world / "videos"), "--output", str(tmp_path / "page.html")]
    assert main(["search-videos", str(world / "clips"), str(world / "new.mp4"), "--k", "2", *words]) == 0
    assert "bright/1.mp4" in capsys.readouterr().out.splitlines()[2]
    assert (tmp_path / "page.html").read_text().count("data:image/webp") == 3
