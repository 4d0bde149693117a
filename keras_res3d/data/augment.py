"""Random changes of training clips as rows of a table: colours, grey, playing backwards; and a random stride.

Each change is the same for all frames of a clip. All that is random follows from the generator that a clip comes with,
which the seed, the epoch and the example decide, and from nothing else. Every row has its own random number, drawn
whether or not the row is used, so that switching one leaves the others and the crops as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np

from keras_res3d.data.clips import Sampling
from keras_res3d.data.transform import random_crop_and_mirror

# Of red, green and blue in brightness (BT.601), as OpenCV and torchvision have them.
GREY = np.float32([0.299, 0.587, 0.114])


class Augmentation(NamedTuple):
    """A random change of a clip.

    Args:
        apply: takes the clip, uint8 RGB `(frames, height, width, 3)`, a random number in [0, 1) and the strength, and
            returns a clip of the same shape and type.
        most: the largest strength; 0 is no change.
    """

    apply: Callable[[np.ndarray, float, float], np.ndarray]
    most: float


def _rounded(pixels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _factor(draw: float, strength: float) -> float:
    """A factor drawn evenly from 1 - strength to 1 + strength."""
    return 1 + strength * (2 * draw - 1)


def _grey(clip: np.ndarray) -> np.ndarray:
    """Brightness of each pixel, float32 `(..., 1)`."""
    red, green, blue = (clip[..., channel : channel + 1] * GREY[channel] for channel in range(3))
    return red + green + blue


def _brightness(clip: np.ndarray, draw: float, strength: float) -> np.ndarray:
    """Every pixel times the factor."""
    return _rounded(np.arange(256) * _factor(draw, strength))[clip]


def _contrast(clip: np.ndarray, draw: float, strength: float) -> np.ndarray:
    """The distance of every pixel from the mean brightness of the clip, times the factor."""
    mean = float(_grey(clip).mean(dtype=np.float64))
    return _rounded(mean + (np.arange(256) - mean) * _factor(draw, strength))[clip]


def _saturation(clip: np.ndarray, draw: float, strength: float) -> np.ndarray:
    """The distance of every pixel from its own brightness, times the factor."""
    grey = _grey(clip)
    return _rounded(grey + (clip - grey) * np.float32(_factor(draw, strength)))


def _hue(clip: np.ndarray, draw: float, strength: float) -> np.ndarray:
    """Hues turned by up to `strength` of the circle either way; brightest and darkest channel keep their values."""
    import cv2  # which lists can do without

    rows = np.ascontiguousarray(clip.reshape(-1, clip.shape[-2], 3), np.float32)
    colours = cv2.cvtColor(rows, cv2.COLOR_RGB2HSV)
    colours[..., 0] = (colours[..., 0] + 360 * strength * (2 * draw - 1)) % 360
    return _rounded(cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)).reshape(clip.shape)


def _to_grey(clip: np.ndarray, draw: float, strength: float) -> np.ndarray:
    """The share `strength` of all clips without colours."""
    return np.repeat(_rounded(_grey(clip)), 3, axis=-1) if draw < strength else clip


def _backwards(clip: np.ndarray, draw: float, strength: float) -> np.ndarray:
    """The share `strength` of all clips from the last frame to the first."""
    return clip[::-1] if draw < strength else clip


# In the order in which they are applied. A row has the random number of its place in the table: new ones go to the end.
AUGMENTATIONS: dict[str, Augmentation] = {
    "brightness": Augmentation(_brightness, 1.0),
    "contrast": Augmentation(_contrast, 1.0),
    "saturation": Augmentation(_saturation, 1.0),
    "hue": Augmentation(_hue, 0.5),
    "grey": Augmentation(_to_grey, 1.0),
    "reverse": Augmentation(_backwards, 1.0),
}


class Augment:
    """Crops and changes clips at random: what `training_batches` and `training_stream` take as `augment`.

        keras_res3d.training_batches(data, sampling, 8, augment=keras_res3d.Augment({"brightness": 0.4, "grey": 0.2}))

    Args:
        strengths: of rows of `AUGMENTATIONS`, from 0, which is no change. "brightness", "contrast" and "saturation"
            are multiplied by a factor from 1 - strength to 1 + strength; "hue" turns by up to that share of the circle,
            0.5 at most; "grey" and "reverse" are the share of clips without colours, and played backwards.
        crop: called first with (clip, crop, rng, mirror); gives the cropped clip.
        largest_stride: the distance of a clip's frames is drawn evenly from the sampling's stride up to this one, as
            far as the clip fits in the video. None keeps the sampling's.
        one_way: numbers of the classes whose videos are never played backwards, such as "open" beside "close".

    Raises:
        ValueError: no such row, or a strength out of its range.
    """

    def __init__(
        self,
        strengths: Mapping[str, float] | None = None,
        crop: Callable = random_crop_and_mirror,
        largest_stride: int | None = None,
        one_way: Collection[int] = (),
    ):
        strengths = dict(strengths or {})
        for name, strength in strengths.items():
            if name not in AUGMENTATIONS:
                raise ValueError(f"augmentation is {name!r}; expected some of {list(AUGMENTATIONS)}")
            if not 0 <= strength <= AUGMENTATIONS[name].most:
                raise ValueError(f"{name} is {strength!r}; expected 0 to {AUGMENTATIONS[name].most:g}")
        if largest_stride is not None and largest_stride < 1:
            raise ValueError(f"largest_stride is {largest_stride!r}; expected 1 or more, or None")
        self.strengths, self.crop = strengths, crop
        self.largest_stride, self.one_way = largest_stride, frozenset(map(int, one_way))

    def __call__(
        self, clip: np.ndarray, crop: tuple[int, int], rng: np.random.Generator, mirror: bool = True,
        label: int | tuple[int, ...] | None = None,
    ) -> np.ndarray:  # fmt: skip
        """The clip cropped and changed.

        Args:
            clip: uint8 RGB `(frames, height, width, 3)`.
            crop: (height, width) of the result in pixels.
            rng: draws all that is random.
            mirror: whether the clip may be mirrored.
            label: the class number of the clip, or a tuple of all its class numbers; None where it is not known, and
                then no clip of a data set with `one_way` classes is reversed.

        Returns:
            uint8 `(frames, *crop, 3)`.
        """
        clip = self.crop(clip, crop, rng, mirror)
        for (name, row), draw in zip(AUGMENTATIONS.items(), rng.random(len(AUGMENTATIONS)), strict=True):
            strength = self.strengths.get(name, 0)
            if strength and not (name == "reverse" and self._is_one_way(label)):
                clip = row.apply(clip, float(draw), strength)
        return np.ascontiguousarray(clip)

    def _is_one_way(self, label: int | tuple[int, ...] | None) -> bool:
        if label is None:
            return bool(self.one_way)
        return any(int(number) in self.one_way for number in (label if isinstance(label, tuple) else (label,)))


def clip_stride(augment: Callable, sampling: Sampling, num_frames: int, rng: np.random.Generator) -> int:
    """The distance of a training clip's frames.

    Args:
        augment: where it is an `Augment` with a `largest_stride`, the stride is drawn.
        sampling: its stride is the smallest.
        num_frames: frames of the video; no larger stride is drawn than lets the clip fit.
        rng: of the clip; its next numbers stay as they are.
    """
    largest = getattr(augment, "largest_stride", None)
    if largest is None:
        return sampling.stride
    largest = max(sampling.stride, min(largest, (num_frames - 1) // max(1, sampling.frames - 1)))
    draw = np.random.Generator(rng.bit_generator.jumped()).random()
    return sampling.stride + int(draw * (largest - sampling.stride + 1))


def augmented(
    augment: Callable, clip: np.ndarray, crop: tuple[int, int], rng: np.random.Generator, mirror: bool,
    label: int | tuple[int, ...] | None,
) -> np.ndarray:
    """The clip as `augment` changes it; an `Augment` hears of the label, any other function need not know of it."""
    more = {"label": label} if isinstance(augment, Augment) else {}
    return augment(clip, crop, rng, mirror, **more)
