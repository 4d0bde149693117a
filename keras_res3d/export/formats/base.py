"""What an export format is: how its files are written and run, and the wrapper that every runtime shares.

Converters and runtimes are imported when they are used: running LiteRT needs no TensorFlow.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from keras_res3d.cards import ModelCard, read_card

# What the card is called inside an export.
CARD_NAME = "model.json"
# What an export of one file calls the SHA-256 of itself, and what stands there, in a file that holds it among the bytes
# that it is of, until it is known.
DIGEST_NAME, UNKNOWN_DIGEST = "model_sha256", "0123456789abcdef" * 4


@dataclass(frozen=True)
class Request:
    """What a writer is asked for.

    Attributes:
        quantize: "none", "float16", "dynamic" or "int8".
        calibration: clips as the export takes them, `(clips, frames, height, width, channels)`; None where nothing
            needs them.
        integer_io: whether an int8 LiteRT file has integer input and output.
        card: to store inside the export.
        max_drop: for int8 OpenVINO: the share of the calibration's clips that may get another best class; layers go
            back to floats until that holds. None does without.
    """

    quantize: str
    calibration: np.ndarray | None
    integer_io: bool
    card: ModelCard
    max_drop: float | None = None


@dataclass(frozen=True)
class Format:
    """One export format: everything that the package knows of it.

    Attributes:
        name: what `export_model(format=...)` and `--format` call it.
        suffix: of its file; "" where an export is a folder.
        form: "2d" or "3d", the form that its runtime runs faster; taken where the caller names none.
        quantizations: for each form, what `quantize` may be; the 2-D form has all that the 3-D form has.
        write: `write(graph, path, request)` writes a `ServingGraph` as the file or folder `path`, for a `Request`.
        runner: `runner(path, threads)` loads an export as a `Runner`.
        limit: why the 3-D form has fewer quantisations, for messages; "" where it has all.
    """

    name: str
    suffix: str
    form: str
    quantizations: dict[str, tuple[str, ...]]
    write: Callable
    runner: Callable
    limit: str = ""


def missing_extra(format: str, error: ImportError) -> ImportError:
    """The error to raise where an optional converter or runtime is not installed."""
    return ImportError(f"{format} needs {error.name}, which is not installed: pip install 'keras-res3d[{format}]'")


def check_batch(clips, input_shape: tuple, dtype, *, any_type: bool = False) -> np.ndarray:
    """`clips` as an array, if they are what an export or a model takes.

    Args:
        clips: `(batch, frames, height, width, channels)`, batch from 1.
        input_shape: of the net, `(frames, height, width, channels)`; None where a size is open.
        dtype: of the clips that the net takes.
        any_type: whether clips of another dtype are taken too, for callers that convert them.

    Raises:
        ValueError: another rank, size or dtype, or an empty batch; the message has what is expected.
    """
    clips = np.asarray(clips)
    sizes = ", ".join("any" if n is None else str(n) for n in input_shape)
    meaning = "RGB pixels" if np.dtype(dtype) == np.uint8 else "preprocessed clips"
    expected = f"expected {np.dtype(dtype).name} ({meaning}) of shape (batch, {sizes})"
    fit = clips.ndim == 5 and all(own in (None, n) for own, n in zip(input_shape, clips.shape[1:], strict=True))
    if not fit or 0 in clips.shape[1:]:
        raise ValueError(f"clips have shape {clips.shape}; {expected}")
    if not len(clips):
        raise ValueError(f"clips are an empty batch; {expected}, batch from 1")
    if clips.dtype != np.dtype(dtype) and not any_type:
        raise ValueError(f"clips are {clips.dtype}; {expected}")
    return clips


def check_scores(scores, name) -> np.ndarray:
    """`scores` as an array, if every one of them is a number.

    Args:
        scores: what a model gave for a batch of clips, `(batch, ...)`.
        name: of the model, for the message: its file, where it has one.

    Raises:
        ValueError: NaN or an infinite value; names the model.
    """
    scores = np.asarray(scores)
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} gives scores that are NaN or infinite: its weights or its settings are damaged; "
                         "train, download or export it again")  # fmt: skip
    return scores


def first_line(error: Exception) -> str:
    """What an error says first, up to 300 characters; its type where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


@contextlib.contextmanager
def run_by(runtime: str, name, remedy: str = "") -> Iterator[None]:
    """Turns what a runtime raises while it runs a model, which is whatever it likes, into a ValueError of one line.

    Args:
        runtime: what the message calls it.
        name: of the model.
        remedy: what to do about it.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"{name} cannot be run by {runtime}: {first_line(error).rstrip('.')}{remedy}") from error


def check_digest(known: str, found: str) -> None:
    """Raises ValueError where a file's bytes are not those that it was written with."""
    if known != found:
        raise ValueError(f"its bytes are not those that it was written with ({DIGEST_NAME} in it is of others): it is "
                         "damaged, or another tool changed it; export it again")  # fmt: skip


def fixed_batches(clips: np.ndarray, batch: int, rank4: bool) -> Iterator[np.ndarray]:
    """`batch` clips at a time; the last of them is repeated where there are fewer left.

    Args:
        clips: `(clips, frames, height, width, channels)`.
        batch: how many a call takes.
        rank4: whether a call takes `(batch * frames, height, width, channels)`.
    """
    for start in range(0, len(clips), batch):
        part = clips[start : start + batch]
        part = np.concatenate([part, np.repeat(part[-1:], batch - len(part), 0)])
        yield part.reshape(-1, *part.shape[2:]) if rank4 else part


def fits(card: ModelCard, input_shape: tuple, classes: int | None) -> bool:
    """Whether a card can be that of a net with such clips and so many outputs (None where it is not known)."""
    size = (card.sampling.frames, *card.sampling.crop)
    return size == tuple(input_shape[:3]) and (classes is None or len(card.labels) in (0, classes))


class Runner:
    """An exported net: call it with a batch of clips.

    Threads may share a runner: each call gives the scores of its own clips. One LiteRT or OpenVINO runner works on one
    call at a time with all its threads, and calls from other threads wait; ONNX Runtime and TensorFlow overlap them.

    Attributes:
        runtime: what runs it, for messages.
        path: of the export.
        input_shape: of one clip, `(frames, height, width, channels)`.
        dtype: of clips: uint8 for RGB pixels, float32 for preprocessed clips.
        classes: how many scores a clip gets; None where the file does not say.
        card_text: the card as JSON, where the export holds one.
    """

    runtime: str = "its runtime"
    input_shape: tuple[int, ...]
    dtype: np.dtype
    classes: int | None = None
    card_text: str | None = None

    def __init__(self, path):
        self.path = pathlib.Path(path)
        # For runtimes that keep a call's clips and scores in one place.
        self._one_call = threading.Lock()

    @functools.cached_property
    def card(self) -> ModelCard | None:
        """The `ModelCard` that the export holds (class names, sampling), or None.

        Exports of older versions hold none; theirs lies beside them as .json. That may be another model's by now, so it
        is taken only where it fits.
        """
        if self.card_text is not None:
            card = ModelCard.from_json(self.card_text)
            if not fits(card, self.input_shape, self.classes):
                size = (card.sampling.frames, *card.sampling.crop)
                raise ValueError(f"it takes clips of {self.input_shape[:3]} and gives {self.classes} scores, its card "
                                 f"says {size} and names {len(card.labels)} classes")  # fmt: skip
            return card
        try:
            card = read_card(self.path)
        except ValueError:  # somebody's other JSON
            return None
        return card if card is not None and fits(card, self.input_shape, self.classes) else None

    def __call__(self, clips) -> np.ndarray:
        """Scores `(batch, classes)`, float32, of `(batch, *input_shape)`.

        Raises:
            ValueError: a clip does not fit, or the runtime cannot run the file, which is then damaged; names the file.
        """
        clips = check_batch(clips, self.input_shape, self.dtype)
        with run_by(self.runtime, self.path, "; export it again"):
            return self._run(clips)

    def _run(self, clips: np.ndarray) -> np.ndarray:
        raise NotImplementedError


def threads_or_all(threads: int | None) -> int:
    """The number of threads that a runtime is told to use."""
    return threads or os.cpu_count() or 1
