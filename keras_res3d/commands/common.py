"""What several verbs share: the flags of the sampling, the folder to write into, the backend of Keras."""

from __future__ import annotations

import json
import os
import pathlib
from dataclasses import replace
from typing import TYPE_CHECKING

from absl import flags

from keras_res3d.data.clips import Sampling, for_crop
from keras_res3d.io import silenced
from keras_res3d.remote import StorePath, as_path

if TYPE_CHECKING:
    from keras_res3d.inference.classifier import Classifier

FLAGS = flags.FLAGS


def import_keras_quietly() -> None:
    """Imports Keras without the start-up lines that TensorFlow prints whatever its log level."""
    with silenced(2):
        import keras  # noqa: F401


def configured_backend() -> str:
    """The backend that Keras will use, found as Keras finds it but without importing it.

    `KERAS_BACKEND` decides; without it `keras.json` in `KERAS_HOME` or `~/.keras`; without both it is TensorFlow.
    """
    named = os.environ.get("KERAS_BACKEND")
    if named:
        return named
    folder = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    try:
        with open(os.path.join(folder, "keras.json"), encoding="utf-8") as file:
            return json.load(file).get("backend", "tensorflow")
    except (OSError, ValueError, AttributeError, RecursionError):
        return "tensorflow"


def require_tensorflow(who: str) -> None:
    """Raises ValueError where Keras is set up for another backend than TensorFlow.

    Args:
        who: the command that needs it, `keras-res3d train`, for the message.
    """
    backend = configured_backend()
    if backend != "tensorflow":
        raise ValueError(
            f"this verb needs the TensorFlow backend of Keras, and {backend} is configured; "
            f"run it as KERAS_BACKEND=tensorflow {who} ..."
        )


def define_sampling_flags(what: str) -> None:
    """Defines --frames, --stride, --crop and --fps; `what` says where the defaults come from."""
    flags.DEFINE_integer("frames", None, f"Frames per clip ({what} by default).", lower_bound=1)
    flags.DEFINE_integer(
        "stride", None, f"Distance of a clip's frames: 2 takes every second frame ({what} by default).", lower_bound=1
    )
    flags.DEFINE_integer("crop", None, f"Height and width of the crop in pixels ({what} by default).", lower_bound=1)
    flags.DEFINE_float(
        "fps", None, f"Frames a second that videos are resampled to before clips are taken ({what} by default)."
    )


def define_ray_flags() -> None:
    """Defines --ray_address."""
    flags.DEFINE_string(
        "ray_address", None, "With --engine ray, the cluster: host:6379, or auto for the one that this host belongs "
        "to (by default what RAY_ADDRESS says, else auto, else a new one of this host alone).",
    )  # fmt: skip


def refused_without_ray(*names: str) -> list[str]:
    """Faults of the flags that are given, and for a Ray cluster alone."""
    return [f"--{name} is for --engine ray" for name in names if FLAGS[name].present]


def sampling_from_flags(base: Sampling) -> Sampling:
    """`base`, changed where a flag is given; another crop brings its own resize, in the paper's proportion."""
    sampling = replace(
        base,
        frames=base.frames if FLAGS.frames is None else FLAGS.frames,
        stride=base.stride if FLAGS.stride is None else FLAGS.stride,
        fps=base.fps if FLAGS.fps is None else FLAGS.fps,
    )
    if FLAGS.crop is None or (FLAGS.crop, FLAGS.crop) == base.crop:
        return sampling
    cropped = for_crop(sampling.frames, sampling.stride, FLAGS.crop)
    return replace(sampling, crop=cropped.crop, resize=cropped.resize)


def check_model(model: str) -> None:
    """Raises an error where there is no such model, before Keras is imported, which takes seconds."""
    from keras_res3d.inference.model_file import is_published, model_file

    if not is_published(model):
        model_file(model)


def model_from_flags(model: str | os.PathLike) -> Classifier:
    """The model of that name, opened, with the sampling that the flags say."""
    import_keras_quietly()
    from keras_res3d.inference.classifier import load_model, with_sampling

    classifier = load_model(model)
    return with_sampling(classifier, **sampling_from_flags(classifier.card.sampling).__dict__)


def fresh_folder(path, overwrite: bool) -> pathlib.Path | StorePath:
    """The folder to write a run into. Raises ValueError where it holds a model already, unless `overwrite` is set."""
    folder = as_path(path)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output is {folder}, a file; expected a folder, which is made where it is missing")
    if (folder / "model.keras").exists() and not overwrite:
        raise ValueError(f"{folder} holds a model already; choose another --output, or give --overwrite to replace it")
    return folder
