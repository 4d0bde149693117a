"""Pixels to net input: channel order, scale and mean by name, crops and mirroring of whole clips."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np


class Preprocessing(NamedTuple):
    """How pixels become a net's input: (pixels in `order` * scale - mean) / std.

    Args:
        order: of the input's channels, "rgb" or "bgr".
        scale: of pixels in 0..255.
        mean: of each channel, in the order of the input's channels.
        std: of each channel, in the same order.
    """

    order: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


PREPROCESSING: dict[str, Preprocessing] = {
    # The released nets: BGR, 128 subtracted from every channel, no division (C3D v1.1, image data layer).
    "res3d": Preprocessing("bgr", 1.0, (128.0, 128.0, 128.0), (1.0, 1.0, 1.0)),
    # torchvision's VideoClassification preset for r3d_18, mc3_18 and r2plus1d_18.
    "torchvision": Preprocessing("rgb", 1 / 255, (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
    # RGB as it is, 0..255: for models that scale their pixels themselves, as Keras' Rescaling layer does.
    "pixels": Preprocessing("rgb", 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


def preprocessing_row(mode: str) -> Preprocessing:
    """The row of `PREPROCESSING` of that name.

    Raises:
        ValueError: there is none; the message lists the names.
    """
    if mode not in PREPROCESSING:
        raise ValueError(f"preprocessing is {mode!r}; expected one of {sorted(PREPROCESSING)}")
    return PREPROCESSING[mode]


def preprocess_input(clip: Any, mode: str = "res3d") -> Any:
    """RGB pixels in 0..255 as a net's float32 input.

    Args:
        clip: RGB `(..., 3)`, uint8 or float in 0..255; a NumPy array, a TensorFlow tensor (eager, or symbolic inside
            tf.data) or a symbolic Keras tensor.
        mode: a name in `PREPROCESSING`: "res3d" gives BGR - 128, "torchvision" (RGB / 255 - mean) / std.

    Returns:
        float32 of the same shape and kind.

    Raises:
        ValueError: the last axis is not 3, or the values are known and hold NaN or are not in 0..255 (most often
            because the clip is in 0..1).
    """
    row = preprocessing_row(mode)
    kind = _kind(clip)
    if kind == "numpy":
        clip = np.asarray(clip)
    if not len(clip.shape) or clip.shape[-1] != 3:
        raise ValueError(f"clip has shape {tuple(clip.shape)}; expected (..., 3), RGB as the last axis")
    if kind == "numpy" or hasattr(clip, "numpy"):
        _check_pixels(np.asarray(clip))
    pixels = clip[..., ::-1] if row.order == "bgr" else clip
    if kind == "numpy":
        pixels = pixels.astype(np.float32)
    elif kind == "tensor":
        pixels = sys.modules["tensorflow"].cast(pixels, "float32")
    else:
        pixels = sys.modules["keras"].ops.cast(pixels, "float32")
    # One multiplication and one addition per pixel: both forms below fold mean and std beforehand.
    mean, std = np.array(row.mean, np.float64), np.array(row.std, np.float64)
    scale, offset = (row.scale / std).astype(np.float32), (-mean / std).astype(np.float32)
    return pixels + offset if (scale == 1).all() else pixels * scale + offset


def _kind(clip) -> str:
    """'numpy', 'tensor' or 'keras', without importing a framework that the caller has not."""
    keras, tensorflow = sys.modules.get("keras"), sys.modules.get("tensorflow")
    if keras is not None and isinstance(clip, getattr(keras, "KerasTensor", ())):
        return "keras"
    if tensorflow is not None and hasattr(tensorflow, "is_tensor") and tensorflow.is_tensor(clip):
        return "tensor"
    return "numpy"


def _check_pixels(clip: np.ndarray) -> None:
    if clip.dtype == np.uint8 or not clip.size:
        return
    if not (np.issubdtype(clip.dtype, np.integer) or np.issubdtype(clip.dtype, np.floating)):
        raise ValueError(f"clip has dtype {clip.dtype}; expected uint8, or float in 0..255")
    low, high = clip.min(), clip.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("clip holds NaN or infinite values; expected pixels in 0..255")
    if low < -0.5 or high > 255.5:
        raise ValueError(f"clip spans {low}..{high}; 0..255 expected: pass pixels that are not preprocessed yet")
    if np.issubdtype(clip.dtype, np.floating) and 0 < high <= 1:
        raise ValueError(f"clip spans {low}..{high}; 0..255 expected: multiply a clip in 0..1 by 255")


def to_uint8(preprocessed: Any, mode: str = "res3d") -> np.ndarray:
    """Undoes `preprocess_input`, for display.

    Args:
        preprocessed: a net's input, `(..., 3)`.
        mode: as of `preprocess_input`.

    Returns:
        uint8 RGB of the same shape, rounded and clipped.
    """
    row = preprocessing_row(mode)
    pixels = np.asarray(preprocessed, np.float32)
    if not pixels.ndim or pixels.shape[-1] != 3:
        raise ValueError(f"preprocessed has shape {pixels.shape}; expected (..., 3)")
    pixels = (pixels * np.float32(row.std) + np.float32(row.mean)) / np.float32(row.scale)
    pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return pixels[..., ::-1] if row.order == "bgr" else pixels


def _check_crop(clip, crop: tuple[int, int]) -> tuple[int, int]:
    height, width = clip.shape[-3:-1]
    if crop[0] > height or crop[1] > width:
        raise ValueError(f"crop is {tuple(crop)}, frames are {(height, width)}; expected a crop that fits the frames")
    return height, width


def centre_crop(clip: Any, crop: tuple[int, int]) -> Any:
    """The centre of every frame, as the released net tests: rows from (H - h) // 2, columns from (W - w) // 2.

    Args:
        clip: `(..., height, width, channels)`, an array or a tensor.
        crop: (height, width) in pixels. 128 x 171 cropped to 112 x 112 begins at row 8 and column 29.

    Returns:
        The same kind, cropped.

    Raises:
        ValueError: the crop is larger than the frames.
    """
    height, width = _check_crop(clip, crop)
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    return clip[..., top:top + crop[0], left:left + crop[1], :]


def random_crop_and_mirror(
    clip: np.ndarray, crop: tuple[int, int], rng: np.random.Generator, mirror: bool = True
) -> np.ndarray:
    """One crop for all frames, mirrored with probability 1/2: the same for the whole clip.

    The same numbers are drawn whether or not `mirror` allows mirroring, so that switching it leaves the crops alone.

    Args:
        clip: `(frames, height, width, channels)`.
        crop: (height, width) in pixels.
        rng: draws the crop's place and whether the clip is mirrored.
        mirror: whether the clip may be mirrored.

    Returns:
        `(frames, *crop, channels)`.

    Raises:
        ValueError: the crop is larger than the frames.
    """
    height, width = _check_crop(clip, crop)
    top, left = int(rng.integers(height - crop[0] + 1)), int(rng.integers(width - crop[1] + 1))
    mirrored = rng.random() < 0.5
    clip = clip[..., top:top + crop[0], left:left + crop[1], :]
    return np.ascontiguousarray(clip[..., ::-1, :] if mirrored and mirror else clip)


def random_resized_crop_and_mirror(
    clip: np.ndarray,
    crop: tuple[int, int],
    rng: np.random.Generator,
    mirror: bool = True,
    smallest_area: float = 0.35,
    widest: float = 4 / 3,
) -> np.ndarray:
    """A crop of random area and shape, resized to `crop`, mirrored with probability 1/2, the same for all frames.

    Resized bilinearly, with anti-aliasing where it shrinks. Pillow does this, whose boxes may begin between pixels.

    Args:
        clip: uint8 `(frames, height, width, 3)`.
        crop: (height, width) of the result in pixels.
        rng: draws the crop and whether the clip is mirrored.
        mirror: whether the clip may be mirrored.
        smallest_area: share of the frame's area, in (0, 1]; the area is drawn evenly from there to 1.
        widest: the crop's width over height is drawn log-evenly from 1 / widest to widest, relative to `crop`'s; a crop
            that sticks out of the frame is cut down to it.

    Returns:
        uint8 `(frames, *crop, 3)`.
    """
    from PIL import Image

    height, width = clip.shape[-3:-1]
    area = rng.uniform(smallest_area, 1) * height * width
    shape = crop[1] / crop[0] * np.exp(rng.uniform(-np.log(widest), np.log(widest)))
    wide, high = min(width, np.sqrt(area * shape)), min(height, np.sqrt(area / shape))
    left, top = rng.random() * (width - wide), rng.random() * (height - high)
    mirrored = rng.random() < 0.5
    box, size = (left, top, left + wide, top + high), (crop[1], crop[0])
    clip = np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR, box)) for frame in clip])
    return np.ascontiguousarray(clip[..., ::-1, :] if mirrored and mirror else clip)
