"""What several verbs share: flags of the sampling, where to write, tables of scores."""

from __future__ import annotations

import os
import pathlib
import sys
from dataclasses import replace

from absl import flags

from keras_res3d.data.clips import Sampling, for_crop

FLAGS = flags.FLAGS


def import_keras_quietly() -> None:
    """Imports Keras without the start-up lines that TensorFlow prints whatever its log level."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import keras  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def define_sampling_flags(what: str) -> None:
    """--frames, --stride, --crop, --fps; `what` says where the defaults come from."""
    flags.DEFINE_integer("frames", None, f"Frames per clip ({what} by default).", lower_bound=1)
    flags.DEFINE_integer("stride", None, f"Every n-th frame is taken ({what} by default).", lower_bound=1)
    flags.DEFINE_integer("crop", None, f"Height and width of the crop in pixels ({what} by default).", lower_bound=1)
    flags.DEFINE_float("fps", None, "Resample videos to this frame rate first (as stored by default).")


def sampling_from_flags(base: Sampling) -> Sampling:
    """`base` with what the flags say instead; another crop brings its own resize, in the paper's proportion."""
    sampling = replace(
        base,
        frames=FLAGS.frames or base.frames,
        stride=FLAGS.stride or base.stride,
        fps=FLAGS.fps or base.fps,
    )
    if FLAGS.crop is None or (FLAGS.crop, FLAGS.crop) == base.crop:
        return sampling
    cropped = for_crop(sampling.frames, sampling.stride, FLAGS.crop)
    return replace(sampling, crop=cropped.crop, resize=cropped.resize)


def fresh_folder(path, overwrite: bool) -> pathlib.Path:
    """A folder to write a run into; one that holds a model already is refused, unless told otherwise."""
    folder = pathlib.Path(path)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output is {folder}, a file; expected a folder")
    if (folder / "model.keras").exists() and not overwrite:
        raise ValueError(f"{folder} holds a model already; choose another --output, or say --overwrite")
    return folder


def percent(share: float) -> str:
    return "-" if share != share else f"{100 * share:.1f} %"
