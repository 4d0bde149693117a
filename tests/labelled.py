"""Drawn videos with two labels that do not depend on each other: the picture "moves" or not, and is "dark" or not."""

import csv

import numpy as np

from keras_res3d.data.sources.motion import MotionVideo
from keras_res3d.data.types import Example
from tests.conftest import write_video

CLASSES = ("dark", "moves")
FRAMES, SIZE = 10, 32


def draw(count, seed):
    """uint8 videos `(count, FRAMES, SIZE, SIZE, 3)` and their labels, bool `(count, 2)`: every combination alike."""
    rng = np.random.default_rng(seed)
    truth = np.stack([np.arange(count) % 2, np.arange(count) // 2 % 2], axis=1).astype(bool)
    videos = np.empty((count, FRAMES, SIZE, SIZE, 3), np.uint8)
    for video, (dark, moves) in zip(videos, truth, strict=True):
        texture = np.kron(rng.integers(0, 256, (SIZE // 4, SIZE // 4, 3)), np.ones((4, 4, 1), int))
        for number, frame in enumerate(video):
            frame[:] = np.roll(texture, 2 * number if moves else 0, axis=1) // (2 if dark else 1)
    return videos, truth


class Labelled:
    """Drawn videos as a multi-label data set."""

    classes, mirror_safe = CLASSES, True

    def __init__(self, count, seed=0):
        self.name, (self.videos, truth) = f"drawn {seed}", draw(count, seed)
        self.examples = tuple(
            Example(f"drawn/{seed}/{number}", None, labels=tuple(np.flatnonzero(row).tolist()))
            for number, row in enumerate(truth)
        )

    def __len__(self):
        return len(self.examples)

    def open(self, i, fps=None, strict=False):
        return MotionVideo(self.examples[i].path, self.videos[i], fps)


def write_list(folder, name, count, seed):
    """Writes drawn videos as files, and a CSV list of them with the labels as `dark|moves`; returns its path."""
    videos, truth = draw(count, seed)
    rows = [("path", "label")]
    for number, (frames, row) in enumerate(zip(videos, truth, strict=True)):
        path = write_video(folder / f"{name}{number}.mp4", frames)
        rows.append((path.name, "|".join(np.array(CLASSES)[row])))
    with open(folder / f"{name}.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / f"{name}.csv"
