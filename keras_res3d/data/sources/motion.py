"""The embedded data set: a textured patch moves, turns or grows over a still background, and only time tells which.

Every video draws the same four paths (across, down, angle, size), each with its own middle, speed and sense. The class
says which one path runs with time, and in which sense; the other three stand still at a random moment of their own.
So a frame at a random moment has the same distribution in all eight classes, and a video played backwards is a video
of the paired class: left/right, up/down, turn_left/turn_right, grow/shrink.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from keras_res3d.data.sources.base import FRAME_RATE, Source
from keras_res3d.data.types import Example, one_line

CLASSES = ("left", "right", "up", "down", "turn_left", "turn_right", "grow", "shrink")
SPLIT_SIZES = {"train": 1600, "test": 400}
# Path that runs (x, y, angle, log size) and its sense, by class. Image rows grow downwards, so a positive angle turns
# clockwise.
PATH_OF_CLASS = np.repeat(np.arange(4), 2)
SENSE_OF_CLASS = np.array([-1, 1, -1, 1, -1, 1, 1, -1], np.float32)
# Speeds per frame at 32 x 32: pixels, pixels, radians, log of the size; drawn evenly between the two rows.
SLOWEST = np.array([1.0, 1.0, np.radians(8), 0.04], np.float32)
FASTEST = np.array([1.3, 1.3, np.radians(15), 0.055], np.float32)
# A path of these lengths keeps the patch inside the frame; longer videos move more slowly along it.
LONGEST = np.array([19.5, 19.5, np.inf, 0.825], np.float32)
MIDDLE_JITTER = np.array([1.5, 1.5, np.pi, 0.12], np.float32)
HALF_SIDE = 5.5
PATCH_CELLS, PATCH_TEXELS, BACKGROUND_CELLS = 4, 32, 8
CHUNK = 32


class Scenes(NamedTuple):
    """What is drawn before the class is known, one row per video (so that no class can leak into it).

    Args:
        middle: `(count, 4)`: x, y, angle, log size at the middle of the path.
        speed: `(count, 4)`: of each per frame, positive.
        still: `(count, 4)`: the moment, in frames from the middle, at which a path that does not run stands.
        patch: `(count, cells, cells, 3)`, 0..1.
        background: `(count, cells, cells, 3)`, 0..1.
    """

    middle: np.ndarray
    speed: np.ndarray
    still: np.ndarray
    patch: np.ndarray
    background: np.ndarray


def motion_videos(
    split: str, count: int, frames: int = 16, size: int = 32, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Draws videos, balanced over the classes, the same for the same arguments.

    Args:
        split: "train" or "test", which draw from different random streams.
        count: number of videos, from 1.
        frames: of each video, from 1.
        size: height and width in pixels, from 8.
        seed: a non-negative integer.

    Returns:
        uint8 RGB `(count, frames, size, size, 3)`, int32 labels `(count,)`, class names.

    Raises:
        ValueError: another split, or a number out of range.
    """
    check_request(split, count, frames, size)
    rng = np.random.default_rng((seed, sorted(SPLIT_SIZES).index(split)))
    labels = np.arange(count, dtype=np.int32) % len(CLASSES)
    return draw_videos(draw_scenes(rng, count, frames), labels, frames, size), labels, CLASSES


def check_request(split: str, count: int = 1, frames: int = 16, size: int = 32) -> None:
    """Raises ValueError where videos that are asked for, as of `motion_videos`, cannot be drawn."""
    if split not in SPLIT_SIZES:
        raise ValueError(f"split is {split!r}; expected one of {sorted(SPLIT_SIZES)}")
    if count < 1 or frames < 1 or size < 8:
        raise ValueError(f"count, frames, size are {count}, {frames}, {size}; expected at least 1, 1, 8")


def draw_scenes(rng: np.random.Generator, count: int, frames: int) -> Scenes:
    """Random Scenes for videos of that many frames."""
    half = (frames - 1) / 2
    speed = rng.uniform(SLOWEST, FASTEST, (count, 4)).astype(np.float32)
    speed = np.minimum(speed, LONGEST / max(1, frames - 1))
    return Scenes(
        middle=(rng.uniform(-1, 1, (count, 4)) * MIDDLE_JITTER).astype(np.float32),
        speed=speed,
        still=(rng.integers(0, frames, (count, 4)) - half).astype(np.float32),
        patch=rng.random((count, PATCH_CELLS, PATCH_CELLS, 3), np.float32),
        background=rng.random((count, BACKGROUND_CELLS, BACKGROUND_CELLS, 3), np.float32),
    )


def poses(scenes: Scenes, labels: np.ndarray, frames: int) -> np.ndarray:
    """x, y, angle, log size of the patch in each frame, from the frame's centre: float32 (count, frames, 4)."""
    moments = np.arange(frames, dtype=np.float32) - (frames - 1) / 2
    runs = PATH_OF_CLASS[labels][:, None] == np.arange(4)
    running = SENSE_OF_CLASS[labels][:, None, None] * moments[None, :, None]
    time = np.where(runs[:, None], running, scenes.still[:, None])
    return scenes.middle[:, None] + scenes.speed[:, None] * time


def draw_videos(
    scenes: Scenes, labels: np.ndarray, frames: int, size: int, patches: np.ndarray | None = None
) -> np.ndarray:
    """Videos of these scenes with these labels: uint8 `(count, frames, size, size, 3)`.

    Args:
        scenes, frames, size: as of `motion_videos`.
        labels: which path runs, `(count,)`.
        patches: what moves, uint8 RGB `(count, texels, texels, 3)`; None takes the scenes' own.
    """
    count = len(labels)
    pose = poses(scenes, labels, frames)
    # The background keeps to the middle greys, so that the patch stands out from it in every frame.
    backgrounds = 255 * (0.3 + 0.4 * _enlarge(scenes.background, size))
    if patches is None:
        patches = (255 * np.clip(1.6 * _enlarge(scenes.patch, PATCH_TEXELS) - 0.3, 0, 1)).astype(np.uint8)
    videos = np.empty((count, frames, size, size, 3), np.uint8)
    videos[:] = backgrounds.astype(np.uint8)[:, None]
    for first in range(0, count, CHUNK):  # small enough to stay in the processor's cache
        part = slice(first, first + CHUNK)
        _draw_patches(videos[part], patches[part], pose[part])
    return videos


def _draw_patches(videos: np.ndarray, patches: np.ndarray, pose: np.ndarray) -> None:
    """Draws each video's patch over its frames, in place."""
    frames, size = videos.shape[1:3]
    texels = patches.shape[1]
    scale = size / 32
    grid = (np.arange(size, dtype=np.float32) - (size - 1) / 2)[None, None]
    x, y = grid - scale * pose[:, :, 0:1], grid - scale * pose[:, :, 1:2]
    half = scale * HALF_SIDE * np.exp(pose[:, :, 3:4])
    cos, sin = np.cos(pose[:, :, 2:3]) / half, np.sin(pose[:, :, 2:3]) / half
    # Where each pixel lies on the patch, -1..1 from edge to edge: the pixel turned back and scaled back.
    across = (x * cos)[:, :, None, :] + (y * sin)[:, :, :, None]
    down = (-x * sin)[:, :, None, :] + (y * cos)[:, :, :, None]
    inside = np.flatnonzero((np.abs(across) < 1) & (np.abs(down) < 1))
    column = ((across.ravel()[inside] + 1) * (texels / 2)).astype(np.int32)
    row = ((down.ravel()[inside] + 1) * (texels / 2)).astype(np.int32)
    number = (inside // (frames * size * size)).astype(np.int32)
    texel = (number * texels + np.minimum(row, texels - 1)) * texels + np.minimum(column, texels - 1)
    videos.reshape(-1, 3)[inside] = patches.reshape(-1, 3)[texel]


def _enlarge(cells: np.ndarray, size: int) -> np.ndarray:
    """Bilinear enlargement of (count, n, n, 3) random cells to (count, size, size, 3)."""
    n = cells.shape[1]
    place = np.linspace(0, n - 1, size)
    weights = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(n))).astype(np.float32)
    return np.einsum("ri,nijc,sj->nrsc", weights, cells, weights, optimize=True)


class MotionVideo(Source):
    """One video of the embedded data set. A drawn video has no rate of its own: it is shown at any that is asked for.

    Args:
        name: of the video.
        pixels: uint8 RGB `(frames, height, width, 3)`.
        fps: frames a second that it is shown at; None means 25.
    """

    def __init__(self, name: str, pixels: np.ndarray, fps: float | None = None):
        super().__init__(name)
        self._pixels = pixels
        rate = float(fps or FRAME_RATE)
        self._number_frames(np.arange(len(pixels)) / rate, None)
        self.frame_rate = rate

    def _read(self, numbers: list[int]) -> Iterator[np.ndarray]:
        return (self._pixels[number] for number in numbers)


class MotionDataSet:
    """A split of the embedded data set as a `types.DataSet`. Its videos are drawn at the first `open`.

    Args:
        split: "train" or "test".
    """

    classes = CLASSES
    family = "motion"
    draw = staticmethod(motion_videos)
    # A mirrored "left" is a "right".
    mirror_safe = False
    # A "left" played backwards is a "right" too.
    reverse_safe = False

    def __init__(self, split: str):
        check_request(split)
        self.split, self.name = split, f"{self.family}/{split}"
        numbers = range(SPLIT_SIZES[split])
        self.examples = tuple(Example(f"{self.name}/{i:04d}", i % len(self.classes)) for i in numbers)

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.examples)

    def open(self, i: int, fps: float | None = None, strict: bool = False) -> MotionVideo:
        """Opens a video as `types.DataSet.open` does; it has the same frames at any rate, and no damage."""
        return MotionVideo(self.examples[i].path, _drawn(self.draw, self.split)[range(len(self))[i]], fps)


def motion_data_set(split: str) -> MotionDataSet:
    """The embedded data set: 1,600 training or 400 test videos of 16 frames, 32 x 32.

    Args:
        split: "train" or "test".

    Raises:
        ValueError: another split.
    """
    return MotionDataSet(split)


@functools.lru_cache(maxsize=2 * len(SPLIT_SIZES))  # the splits of two data sets
def _drawn(draw: Callable, split: str) -> np.ndarray:
    return draw(split, SPLIT_SIZES[split])[0]
