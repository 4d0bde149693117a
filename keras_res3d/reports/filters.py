"""The first convolution's filters as pictures (figure 2 of the paper), and how much of them changes in time."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_res3d.data.transform import preprocessing_row
from keras_res3d.export.graph import all_layers
from keras_res3d.inference.classifier import Classifier
from keras_res3d.io import atomic_path

SCALE, SPACE = 4, 4
MILLISECONDS = 250
_BACKGROUND = 255


def first_filters(model) -> np.ndarray:
    """The kernels of a net's first convolution in RGB: float32 `(filters, frames, height, width, 3)`.

    Args:
        model: what `load_model` returned, whose preprocessing says the order of the channels; or a Keras model, whose
            channels are taken as RGB. A 2-D convolution has one frame.

    Raises:
        ValueError: an export; or a model without a convolution, or whose first one does not read three channels, or has
            weights that are NaN or infinite.
    """
    order, name = "rgb", getattr(model, "name", "the model")
    if isinstance(model, Classifier):
        if model.model is None:
            raise ValueError(f"{model.card.net} is an export; filters are those of a .keras file")
        order, model = preprocessing_row(model.card.sampling.preprocessing).order, model.model
    found = [layer for layer in all_layers(model) if type(layer).__name__ in ("Conv2D", "Conv3D")]
    if not found or found[0].kernel.shape[-2] != 3:
        what = f"whose first convolution reads {found[0].kernel.shape[-2]} channels" if found else "no convolution"
        raise ValueError(f"{model.name} has {what}; expected one that reads the 3 channels of pictures")
    kernel = np.asarray(found[0].kernel, np.float32)
    if not np.isfinite(kernel).all():
        raise ValueError(f"{name} has weights in {found[0].name} that are NaN or infinite: it is damaged; train or "
                         "download it again")  # fmt: skip
    kernel = kernel[None] if kernel.ndim == 4 else kernel
    kernel = np.moveaxis(kernel, -1, 0)
    return kernel[..., ::-1] if order == "bgr" else kernel


def temporal_share(filters: np.ndarray) -> np.ndarray:
    """The share of each filter's energy that changes in time, from 0 to 1, `(filters,)`.

    The energy of a filter is the sum of its squares. What is left of it when every slice is replaced by their mean does
    not change in time; the rest does. A 2-D filter has a share of 0.

    Args:
        filters: as of `first_filters`.
    """
    filters = np.asarray(filters, np.float64)
    energy = (filters**2).sum(axis=(1, 2, 3, 4))
    still = filters.shape[1] * (filters.mean(axis=1) ** 2).sum(axis=(1, 2, 3))
    return np.where(energy > 0, 1 - still / np.where(energy > 0, energy, 1), 0).clip(0, 1)


def best_matches(flat: np.ndarray, deep: np.ndarray) -> list[tuple[int, int, float]]:
    """For each 2-D filter the 3-D one that has the slice most like it: (number, slice, correlation).

    Args:
        flat: as of `first_filters`, with one frame.
        deep: the same with any number of frames, of the same height and width.

    Raises:
        ValueError: the sizes differ.
    """
    if flat.shape[1] != 1 or flat.shape[2:] != deep.shape[2:]:
        raise ValueError(f"filters are {flat.shape[1:]} and {deep.shape[1:]}; expected one frame, and one size")
    left, right = _centred(flat.reshape(len(flat), -1)), _centred(deep.reshape(len(deep) * deep.shape[1], -1))
    correlation = left @ right.T
    best = correlation.argmax(axis=1)
    return [(int(place) // deep.shape[1], int(place) % deep.shape[1], float(correlation[row, place]))
            for row, place in enumerate(best)]  # fmt: skip


def _centred(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64) - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def filter_pixels(filters: np.ndarray) -> np.ndarray:
    """Filters as uint8 pixels: the smallest weight of each filter is black and its largest white, over all slices."""
    low = filters.min(axis=(1, 2, 3, 4), keepdims=True)
    span = filters.max(axis=(1, 2, 3, 4), keepdims=True) - low
    return np.rint(255 * (filters - low) / np.where(span > 0, span, 1)).astype(np.uint8)


def _grid(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Tiles of one size in rows, each pixel a square of `SCALE`."""
    tiles = [tile.repeat(SCALE, 0).repeat(SCALE, 1) for tile in tiles]
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (height + SPACE) + SPACE, columns * (width + SPACE) + SPACE, 3), _BACKGROUND, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = SPACE + number // columns * (height + SPACE), SPACE + number % columns * (width + SPACE)
        sheet[y : y + height, x : x + width] = tile
    return sheet


def filter_sheet(filters: np.ndarray, columns: int = 8) -> np.ndarray:
    """All filters as one picture: for each its temporal slices side by side, upscaled 4 times; uint8 RGB."""
    return _grid([np.concatenate(list(pixels), axis=1) for pixels in filter_pixels(filters)], columns)


def moving_sheet(filters: np.ndarray, columns: int = 8) -> list[np.ndarray]:
    """All filters as an animation: a picture for each temporal slice."""
    pixels = filter_pixels(filters)
    return [_grid(list(pixels[:, frame]), columns) for frame in range(pixels.shape[1])]


def match_sheet(flat: np.ndarray, deep: np.ndarray, columns: int = 4) -> np.ndarray:
    """Each 2-D filter, a white gap, and the slices of the 3-D filter that matches it best."""
    left, right = filter_pixels(flat), filter_pixels(deep)
    gap = np.full((flat.shape[2], 1, 3), _BACKGROUND, np.uint8)
    tiles = [np.concatenate([left[row, 0], gap, *right[number]], axis=1)
             for row, (number, _, _) in enumerate(best_matches(flat, deep))]  # fmt: skip
    return _grid(tiles, columns)


def side_by_side(sheets: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures beside each other, their tops in one line."""
    height = max(len(sheet) for sheet in sheets)
    padded = [np.pad(sheet, ((0, height - len(sheet)), (0, 2 * SPACE), (0, 0)), constant_values=_BACKGROUND)
              for sheet in sheets]  # fmt: skip
    return np.concatenate(padded, axis=1)


def save_picture(pixels: np.ndarray, path) -> pathlib.Path:
    """Writes uint8 RGB pixels as PNG, whole or not at all."""
    with atomic_path(path) as aside:
        Image.fromarray(pixels).save(aside, "PNG", optimize=True)
    return pathlib.Path(path)


def save_gif(frames: Sequence[np.ndarray], path, milliseconds: int = MILLISECONDS) -> pathlib.Path:
    """Writes uint8 RGB frames of one size as a GIF that loops, whole or not at all."""
    pictures = [Image.fromarray(frame) for frame in frames]
    with atomic_path(path) as aside:
        # Frames that are alike would be dropped, and the rest would run faster.
        pictures[0].save(aside, "GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0,
                         optimize=False)  # fmt: skip
    return pathlib.Path(path)
