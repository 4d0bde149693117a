"""Clips to calibrate and to check an export with, from wherever the caller has them."""

from __future__ import annotations

import os

import numpy as np

from keras_res3d.data.clips import Sampling
from keras_res3d.data.evaluation import evaluation_clips
from keras_res3d.data.open import kind_of, read_data_set
from keras_res3d.data.sources.motion import motion_videos
from keras_res3d.data.transform import centre_crop, preprocess_input, preprocessing_row, to_uint8

# Calibration time grows with clips x positions: 16 clips of 8 x 112 x 112, 98 of 16 x 32 x 32.
POSITIONS, FEWEST, MOST = 1_600_000, 16, 128


def default_count(sampling: Sampling) -> int:
    """How many clips are taken from a source that has more."""
    return int(np.clip(POSITIONS // (sampling.frames * sampling.crop[0] * sampling.crop[1]), FEWEST, MOST))


def embedded_clips(sampling: Sampling, count: int, split: str) -> np.ndarray:
    """Clips of the embedded data set, drawn at the size asked for: uint8 `(count, frames, height, width, 3)`."""
    height, width = sampling.crop
    frames = (sampling.frames - 1) * sampling.stride + 1
    pixels = motion_videos(split, count, frames=frames, size=max(height, width, 8))[0]
    return np.ascontiguousarray(centre_crop(pixels[:, :: sampling.stride], sampling.crop))


def embedded_input(sampling: Sampling, count: int, split: str, channels: int = 3) -> np.ndarray:
    """Embedded clips for a net of any number of channels.

    RGB clips are uint8. For another number they are preprocessed float32, whose channels are those three in turn.
    """
    pixels = embedded_clips(sampling, count, split)
    if channels == 3:
        return pixels
    return preprocess_input(pixels)[..., [channel % 3 for channel in range(channels)]]


def _from_data_set(path, sampling: Sampling, count: int, multi_label: bool) -> np.ndarray:
    """The centre clip of `count` different videos, evenly spread over a data set: uint8."""
    data_set = read_data_set(path, multi_label=multi_label and kind_of(path) == "csv")
    clips = []
    for number in np.unique(np.linspace(0, len(data_set) - 1, count).round().astype(int)):
        with data_set.open(int(number), fps=sampling.fps) as video:
            clips.extend(evaluation_clips(video, sampling, clips=1))
    return np.stack(clips)


def _from_batches(batches, count: int) -> np.ndarray:
    """The first `count` clips of an iterable of batches, of clips alone or of tuples that start with them."""
    taken, total = [], 0
    for batch in batches:
        clips = np.asarray(batch[0] if isinstance(batch, (tuple, list)) else batch)
        taken.append(clips[: count - total])
        total += len(taken[-1])
        if total >= count:
            break
    return np.concatenate(taken) if taken else np.empty((0,), np.uint8)


def as_input(clips: np.ndarray, sampling: Sampling, preprocessing: bool, channels: int = 3) -> np.ndarray:
    """Pixels or preprocessed clips as what an export takes.

    Args:
        clips: `(clips, frames, height, width, channels)`; uint8 is taken for RGB pixels, float for preprocessed clips.
        sampling: whose frames, crop and preprocessing they have.
        preprocessing: whether the export takes uint8 pixels, or preprocessed float32 clips.
        channels: of the net; for other than 3 only preprocessed float32 clips exist.

    Raises:
        ValueError: no clips, clips of another shape or dtype, or floats that preprocessing cannot have given.
    """
    expected = (sampling.frames, *sampling.crop, channels)
    if clips.ndim != 5 or clips.shape[1:] != expected or not len(clips):
        raise ValueError(
            f"clips have shape {clips.shape}; expected (clips, {', '.join(map(str, expected))}), 1 or more"
        )
    if channels != 3:
        return _finite_floats(clips, channels)
    mode = sampling.preprocessing
    if clips.dtype == np.uint8:
        return np.ascontiguousarray(clips) if preprocessing else preprocess_input(clips, mode)
    if not np.issubdtype(clips.dtype, np.floating):
        raise ValueError(f"clips are {clips.dtype}; expected uint8 RGB pixels, or float32 preprocessed for {mode!r}")
    row = preprocessing_row(mode)
    bounds = [(limit * row.scale - np.array(row.mean)) / np.array(row.std) for limit in (-0.5, 255.5)]
    if not ((clips >= bounds[0]) & (clips <= bounds[1])).all():
        raise ValueError(
            f"float clips span {clips.min()}..{clips.max()}, which preprocessing {mode!r} cannot give; "
            "expected uint8 RGB pixels, or preprocessed floats"
        )
    return to_uint8(clips, mode) if preprocessing else np.ascontiguousarray(clips, np.float32)


def _finite_floats(clips: np.ndarray, channels: int) -> np.ndarray:
    if not np.issubdtype(clips.dtype, np.floating):
        raise ValueError(f"clips are {clips.dtype} of {channels} channels; expected preprocessed float32")
    if not np.isfinite(clips).all():
        raise ValueError("clips hold NaN or infinite values; expected preprocessed float32")
    return np.ascontiguousarray(clips, np.float32)


def clips_from(
    source, sampling: Sampling, preprocessing: bool = True, count: int | None = None, channels: int = 3,
    multi_label: bool = False,
) -> np.ndarray:  # fmt: skip
    """Clips as an export takes them.

    Args:
        source: an array `(clips, frames, height, width, channels)`, uint8 RGB pixels or preprocessed float32; an
            iterable of batches (a tf.data set), of clips or of tuples that start with clips; or the path of a data
            set, as of `read_data_set`.
        sampling: of the clips.
        preprocessing: whether the export takes uint8 pixels.
        count: most clips to take; None decides by their size (an array is taken whole).
        channels: of the net.
        multi_label: whether a CSV file has several labels a video.

    Returns:
        uint8, or float32 without preprocessing, `(clips, frames, height, width, channels)`.

    Raises:
        ValueError: as of `as_input`; DataError and VideoError from reading.
    """
    if isinstance(source, (str, os.PathLike)):
        clips = _from_data_set(source, sampling, count or default_count(sampling), multi_label)
    elif hasattr(source, "shape"):
        clips = np.asarray(source)[:count]
    else:
        clips = _from_batches(source, count or default_count(sampling))
    return as_input(clips, sampling, preprocessing, channels)


def calibration_and_check(
    source, sampling: Sampling, preprocessing: bool, checks: int, channels: int = 3, multi_label: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Clips to calibrate on and others to check on, from one source; the same source always gives the same.

    Of a data set, a clip of every third video is held out; of arrays and batches, whose neighbours may be of one video,
    the last third.

    Args:
        source: as of `clips_from`.
        sampling, preprocessing, channels, multi_label: as of `clips_from`, for the clips to calibrate on.
        checks: how many clips to hold out of a source that has enough.

    Returns:
        Clips to calibrate on as the export takes them, and clips to check on as `export_model` compares them: pixels
        where the net is for RGB. The second is None where the source has one clip alone.
    """
    most = default_count(sampling)
    count = None if hasattr(source, "shape") else max(3 * checks, 3 * most // 2)
    clips = clips_from(source, sampling, channels == 3, count, channels, multi_label)
    if len(clips) < 2:
        held_out = np.zeros(len(clips), bool)
    elif isinstance(source, (str, os.PathLike)):
        held_out = np.arange(len(clips)) % 3 == min(2, len(clips) - 1)
    else:
        held_out = np.arange(len(clips)) >= len(clips) - max(1, len(clips) // 3)
    kept = clips[~held_out]
    if not hasattr(source, "shape"):
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, most).round().astype(int))]
    check = clips[held_out]
    return as_input(kept, sampling, preprocessing, channels), check if len(check) else None
