"""A second embedded data set: half of the label is what the patch looks like, the other half is how it moves.

Videos are drawn as those of `motion` are, with another patch: stripes, checks, rings or wedges in two random colours.
The class says the texture, which any frame shows, and which path runs in which sense, which no single frame shows:
"rings_grow". Colours, phases, sizes and all paths are drawn before the class is known, so that nothing but the texture
and the motion can tell it; each texture goes with each motion equally often.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_res3d.data.sources.motion import CLASSES as ALL_MOTIONS
from keras_res3d.data.sources.motion import (
    PATCH_TEXELS,
    SPLIT_SIZES,
    MotionDataSet,
    check_request,
    draw_scenes,
    draw_videos,
)

TEXTURES = ("stripes", "checks", "rings", "wedges")
# Rings look the same however they are turned, so that turning is no motion here.
MOTIONS = ("left", "right", "grow", "shrink")
CLASSES = tuple(f"{texture}_{motion}" for texture in TEXTURES for motion in MOTIONS)
# Played backwards, a video of one class is a video of the other.
REVERSED = np.array([texture * 4 + other for texture in range(4) for other in (1, 0, 3, 2)])
_MOTION_OF_CLASS = np.array([ALL_MOTIONS.index(motion) for _ in TEXTURES for motion in MOTIONS])
_TEXTURE_OF_CLASS = np.arange(len(CLASSES)) // len(MOTIONS)
# Dark and bright colours of the patch lie beyond the middle greys of the background, 0.3 to 0.7.
DARK, BRIGHT = (0.0, 0.22), (0.78, 1.0)
# Periods over the side of a patch, which is 7 to 16 pixels long: coarse enough to be seen.
FEWEST, MOST = 1.6, 2.2
# Told to the random generator beside seed and split, so that these videos are others than those of `motion`.
_STREAM = 7


class Surfaces(NamedTuple):
    """What is drawn of each patch before its texture is known, one row per video.

    Args:
        phase: `(count, 2)`, radians.
        periods: `(count,)`, over the side of the patch.
        dark, bright: `(count, 3)`, RGB in 0..1.
        swapped: `(count,)`: whether the two colours change places.
    """

    phase: np.ndarray
    periods: np.ndarray
    dark: np.ndarray
    bright: np.ndarray
    swapped: np.ndarray


def draw_surfaces(rng: np.random.Generator, count: int) -> Surfaces:
    """Random Surfaces."""
    return Surfaces(
        phase=rng.uniform(0, 2 * np.pi, (count, 2)),
        periods=rng.uniform(FEWEST, MOST, count),
        dark=rng.uniform(*DARK, (count, 3)),
        bright=rng.uniform(*BRIGHT, (count, 3)),
        swapped=rng.random(count) < 0.5,
    )


def patches(surfaces: Surfaces, textures: np.ndarray, texels: int = PATCH_TEXELS) -> np.ndarray:
    """The patches of these textures: uint8 RGB `(count, texels, texels, 3)`.

    Args:
        surfaces: one for each patch.
        textures: numbers of `TEXTURES`, `(count,)`.
        texels: side of a patch.
    """
    side = (np.arange(texels) + 0.5) * 2 / texels - 1
    x, y = side[None, None, :], side[None, :, None]
    first, second = (surfaces.phase[:, number, None, None] for number in (0, 1))
    rate = np.pi * surfaces.periods[:, None, None]  # the side is 2 long
    waves = np.stack([
        np.broadcast_to(np.sin(rate * x + first), (len(textures), texels, texels)),
        np.sin(rate * x + first) * np.sin(rate * y + second),
        np.sin(rate * 2 * np.sqrt(x * x + y * y) + first),
        np.sin(3 * np.arctan2(y, x) + first),
    ])  # fmt: skip
    on = (waves[textures, np.arange(len(textures))] > 0) ^ surfaces.swapped[:, None, None]
    colours = np.where(on[..., None], surfaces.bright[:, None, None], surfaces.dark[:, None, None])
    return np.rint(255 * colours).astype(np.uint8)


def texture_videos(
    split: str, count: int, frames: int = 16, size: int = 32, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Draws videos, balanced over the classes; arguments, results and errors as of `motion.motion_videos`."""
    check_request(split, count, frames, size)
    rng = np.random.default_rng((seed, sorted(SPLIT_SIZES).index(split), _STREAM))
    labels = np.arange(count, dtype=np.int32) % len(CLASSES)
    scenes, surfaces = draw_scenes(rng, count, frames), draw_surfaces(rng, count)
    drawn = patches(surfaces, _TEXTURE_OF_CLASS[labels])
    return draw_videos(scenes, _MOTION_OF_CLASS[labels], frames, size, drawn), labels, CLASSES


class TextureDataSet(MotionDataSet):
    """A split of the second embedded data set as a `types.DataSet`: 1,600 training or 400 test videos, 16 classes.

    Args:
        split: "train" or "test".
    """

    classes = CLASSES
    family = "textures"
    draw = staticmethod(texture_videos)
