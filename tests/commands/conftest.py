"""A small data set of real files, and a net trained on it through the command."""

import numpy as np
import pytest

from keras_res3d.commands.main import main


@pytest.fixture(scope="session")
def two_classes(tmp_path_factory, make_video):
    """A folder of class folders: four bright and four dark videos of 14 frames, names with spaces and Unicode."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for label, level in (("dark", 40), ("bright", 210)):
        (folder / label).mkdir()
        for number in range(4):
            frames = np.clip(rng.normal(level, 12, (14, 40, 48, 3)), 0, 255).astype(np.uint8)
            make_video(folder / label / f"clip ü {number}.mp4", frames)
    return folder


TRAIN_FLAGS = ["--net", "d10", "--width", "4", "--frames", "4", "--crop", "32", "--epochs", "12", "--batch_size", "4",
               "--learning_rate", "0.005"]  # fmt: skip


@pytest.fixture(scope="session")
def trained(tmp_path_factory, two_classes):
    """The output folder of `keras-res3d train` on those videos."""
    output = tmp_path_factory.mktemp("runs") / "small"
    flags = ["--data", str(two_classes), "--validation", str(two_classes), "--output", str(output), *TRAIN_FLAGS]
    assert main(["train", *flags]) == 0
    return output
