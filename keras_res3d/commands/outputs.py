"""Files that a verb is asked to write, held against what it reads before any work is done: no input is written over."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable

from absl import flags

from keras_res3d.remote import is_remote

FLAGS = flags.FLAGS
# What says that a folder is a run, features, packed shards or a study, and what else of it nobody can write again.
_FOLDERS = {"model.keras": ("log.csv", "checkpoint.npz"), "features.json": (), "manifest.json": (), "packing.json": (),
            "study.json": ("results.csv", "results.json")}  # fmt: skip
_PICTURES = (".png", ".jpg", ".jpeg")


def check_output(
    flag: str, words: Iterable[str], suffixes: tuple[str, ...] = (), path: str | os.PathLike | None = None,
    inputs: Iterable[str | os.PathLike] = (),
) -> None:  # fmt: skip
    """Refuses a file that is not to be written; nothing where the flag is not given, or names a folder or a store.

    Args:
        flag: that names the file.
        words: of the command, which count as inputs as the other flags do.
        suffixes: one of which the file's name has to end in; none is no rule.
        path: the file that the flag leads to, where it is not the flag's own value.
        inputs: that neither a word nor a flag names, such as the videos of a folder.

    Raises:
        ValueError: another suffix; or the file is one of the inputs, a frame in one of them, a model's card, or
            something else that a run, features, packed shards or a study need.
    """
    given = FLAGS[flag].value if path is None else path
    if given is None or is_remote(given):
        return
    file, what = pathlib.Path(given), f"--{flag} {'is' if path is None else 'writes'} {given}"
    if suffixes and file.suffix.lower() not in suffixes:
        raise ValueError(f"{what}; expected a name that ends in {' or '.join(suffixes)}")
    if not file.is_file():
        return
    if any(_is_in(file, each) for each in (*words, *_values(flag), *inputs)):
        raise ValueError(f"{what}, which this command reads; choose another name")
    if _is_kept(file):
        raise ValueError(f"{what}, which belongs to what lies in its folder; choose another name")


def _values(flag: str) -> list[str]:
    """What all other flags say, as far as it may be a path; several may stand in one with commas between."""
    values = [FLAGS[name].value for name in FLAGS if name != flag]
    texts = [each for value in values for each in (value if isinstance(value, list) else [value])]
    return [part for text in texts if isinstance(text, str) for part in {text, *text.split(",")}]


def _is_in(file: pathlib.Path, given: str | os.PathLike) -> bool:
    """Whether a file is what is given, or one picture of a folder of frames."""
    try:
        if os.path.samefile(file, given):
            return True
        frames = file.suffix.lower() in _PICTURES and not any((file.parent / name).exists() for name in _FOLDERS)
        return frames and os.path.samefile(file.parent, given)
    except (OSError, ValueError):  # no path at all
        return False


def _is_kept(file: pathlib.Path) -> bool:
    """Whether a file is part of a folder that this package made, or the card beside a model."""
    if file.suffix == ".keras" or file.name in _FOLDERS:
        return True
    if file.suffix == ".json" and file.with_suffix(".keras").exists():
        return True
    return any(file.name in names and (file.parent / mark).exists() for mark, names in _FOLDERS.items())
