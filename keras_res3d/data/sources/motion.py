"""The embedded data set: a textured patch moves, turns or grows over a still background, and only time tells which.

Every video draws the same four paths (across, down, angle, size), each with its own middle, speed and sense. The class
says which one path runs with time, and in which sense; the other three stand still at a random moment of their own.
So a frame at a random moment has the same distribution in all eight classes, and a video played backwards is a video
of the paired class: left/right, up/down, turn_left/turn_right, grow/shrink.
"""

import functools
from typing import NamedTuple

import numpy as np

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
    """What is drawn before the class is known, one row per video (so that no class can leak into it)."""

    middle: np.ndarray  # (count, 4): x, y, angle, log size at the middle of the path
    speed: np.ndarray  # (count, 4): per frame, positive
    still: np.ndarray  # (count, 4): moment, signed frames from the middle, at which a path that does not run stands
    patch: np.ndarray  # (count, cells, cells, 3), 0..1
    background: np.ndarray  # (count, cells, cells, 3), 0..1


def motion_videos(split, count, frames=16, size=32, seed=0):
    """Draw `count` videos, balanced over the classes, the same for the same arguments.

    split: "train" or "test", which draw from different random streams. size: height and width in pixels.
    Returns (uint8 RGB of shape (count, frames, size, size, 3), int32 labels (count,), class names).
    """
    if split not in SPLIT_SIZES:
        raise ValueError(f"split is {split!r}; expected one of {sorted(SPLIT_SIZES)}")
    if count < 1 or frames < 1 or size < 8:
        raise ValueError(f"count, frames, size are {count}, {frames}, {size}; expected at least 1, 1, 8")
    rng = np.random.default_rng((seed, sorted(SPLIT_SIZES).index(split)))
    labels = np.arange(count, dtype=np.int32) % len(CLASSES)
    return draw_videos(draw_scenes(rng, count, frames), labels, frames, size), labels, CLASSES


def draw_scenes(rng, count, frames):
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


def poses(scenes, labels, frames):
    """x, y, angle, log size of the patch in each frame, from the frame's centre: float32 (count, frames, 4)."""
    moments = np.arange(frames, dtype=np.float32) - (frames - 1) / 2
    runs = PATH_OF_CLASS[labels][:, None] == np.arange(4)
    running = SENSE_OF_CLASS[labels][:, None, None] * moments[None, :, None]
    time = np.where(runs[:, None], running, scenes.still[:, None])
    return scenes.middle[:, None] + scenes.speed[:, None] * time


def draw_videos(scenes, labels, frames, size):
    """uint8 (count, frames, size, size, 3) of these scenes with these labels."""
    count = len(labels)
    pose = poses(scenes, labels, frames)
    # The background keeps to the middle greys, so that the patch stands out from it in every frame.
    backgrounds = 255 * (0.3 + 0.4 * _enlarge(scenes.background, size))
    patches = (255 * np.clip(1.6 * _enlarge(scenes.patch, PATCH_TEXELS) - 0.3, 0, 1)).astype(np.uint8)
    videos = np.empty((count, frames, size, size, 3), np.uint8)
    videos[:] = backgrounds.astype(np.uint8)[:, None]
    for first in range(0, count, CHUNK):  # small enough to stay in the processor's cache
        part = slice(first, first + CHUNK)
        _draw_patches(videos[part], patches[part], pose[part])
    return videos


def _draw_patches(videos, patches, pose):
    """Draw each video's patch over its frames, in place."""
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


def _enlarge(cells, size):
    """Bilinear enlargement of (count, n, n, 3) random cells to (count, size, size, 3)."""
    n = cells.shape[1]
    place = np.linspace(0, n - 1, size)
    weights = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(n))).astype(np.float32)
    return np.einsum("ri,nijc,sj->nrsc", weights, cells, weights, optimize=True)


class MotionExample(NamedTuple):
    """As `lists.Example`: a made-up path that names the video, its label, no group."""

    path: str
    label: int
    group: str | None = None


class MotionVideo:
    """One video of the embedded data set, with the interface of `decode.Video` that reading clips needs."""

    def __init__(self, pixels):
        self._pixels = pixels
        self.num_frames = len(pixels)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def close(self):
        """Nothing to let go of."""

    def clips(self, clips, size=None):
        """Yield each clip as uint8 (frames, height, width, 3); frames as drawn where `size` is theirs, else resized."""
        for clip in clips:
            pixels = self._pixels[np.asarray(clip)]
            same = size is None or tuple(size) == pixels.shape[1:3]
            yield pixels if same else np.stack([_resize(frame, size) for frame in pixels])


def _resize(frame, size):
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR))


class MotionDataSet:
    """A split of the embedded data set, with the interface of `lists.DataSet`. Videos are drawn at the first `open`."""

    classes = CLASSES
    # A mirrored "left" is a "right".
    mirror_safe = False

    def __init__(self, split):
        if split not in SPLIT_SIZES:
            raise ValueError(f"split is {split!r}; expected one of {sorted(SPLIT_SIZES)}")
        self.split, self.name = split, f"motion/{split}"
        numbers = range(SPLIT_SIZES[split])
        self.examples = tuple(MotionExample(f"{self.name}/{i:04d}", i % len(CLASSES)) for i in numbers)

    def __len__(self):
        return len(self.examples)

    def open(self, i, fps=None, strict=False):
        """The i-th video. fps and strict are those of `lists.DataSet.open`; drawn videos have no rate and no damage."""
        return MotionVideo(_drawn(self.split)[range(len(self))[i]])


def motion_data_set(split):
    """The embedded data set: 1,600 training or 400 test videos of 16 frames, 32 x 32. split: "train" or "test"."""
    return MotionDataSet(split)


@functools.lru_cache(maxsize=len(SPLIT_SIZES))
def _drawn(split):
    return motion_videos(split, SPLIT_SIZES[split])[0]
