"""Drawn videos with two labels that do not depend on each other: the patch "moves" or not, and all is "dark" or not."""

import csv

import numpy as np

from keras_res3d.data.sources import motion
from keras_res3d.data.types import Example
from tests.conftest import write_video

CLASSES = ("dark", "moves")
FRAMES, SIZE = 10, 32


def draw(count, seed):
    """uint8 videos `(count, FRAMES, SIZE, SIZE, 3)` and their labels, bool `(count, 2)`: every combination alike."""
    rng = np.random.default_rng(seed)
    truth = np.stack([np.arange(count) % 2, np.arange(count) // 2 % 2], axis=1).astype(bool)
    scenes = motion.draw_scenes(rng, count, FRAMES)
    moments = np.where(truth[:, 1:], np.arange(FRAMES, dtype=np.float32) - (FRAMES - 1) / 2, scenes.still[:, :1])
    pose = np.repeat((scenes.middle + scenes.speed * scenes.still)[:, None], FRAMES, axis=1)
    pose[:, :, 0] = scenes.middle[:, :1] + 1.5 * scenes.speed[:, :1] * moments
    videos = np.empty((count, FRAMES, SIZE, SIZE, 3), np.uint8)
    videos[:] = (255 * (0.3 + 0.4 * motion._enlarge(scenes.background, SIZE))).astype(np.uint8)[:, None]
    patches = (255 * motion._enlarge(scenes.patch, motion.PATCH_TEXELS)).astype(np.uint8)
    motion._draw_patches(videos, patches, pose)
    videos[truth[:, 0]] //= 2
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
        return motion.MotionVideo(self.examples[i].path, self.videos[i], fps)


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
