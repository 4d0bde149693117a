"""Class names of the public data sets, and predictions with names."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources

import numpy as np

# Number of classes of each embedded list; the count alone tells which list a net's output belongs to.
LABEL_SETS = {"sports1m": 487, "kinetics400": 400, "ucf101": 101, "hmdb51": 51}


@functools.cache
def label_names(name: str) -> tuple[str, ...]:
    """Class names of a public data set, in its published order.

    Args:
        name: "sports1m", "kinetics400", "ucf101" or "hmdb51".

    Raises:
        ValueError: any other name.
    """
    if name not in LABEL_SETS:
        raise ValueError(f"label set is {name!r}; expected one of {sorted(LABEL_SETS)}")
    text = resources.files(__package__).joinpath("label_names", f"{name}.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


def decode_predictions(
    probabilities: np.ndarray, top: int = 5, labels: str | Sequence[str] | None = None
) -> list[list[tuple[int, str, float]]]:
    """The most probable classes of each sample, by name, best first.

    Args:
        probabilities: `(samples, classes)`, an array or a tensor.
        top: classes per sample, from 1.
        labels: a label set's name as of `label_names`, a sequence of names, or None, which takes the embedded set with
            that many classes (487, 400, 101 or 51).

    Returns:
        A list of (index, name, score) for each sample.

    Raises:
        ValueError: counts disagree, or no embedded set has that many classes.
    """
    scores = np.asarray(probabilities)
    if scores.ndim != 2:
        raise ValueError(f"probabilities has shape {scores.shape}; expected (samples, classes)")
    classes = scores.shape[1]
    if labels is None:
        labels = next((name for name, count in LABEL_SETS.items() if count == classes), None)
        if labels is None:
            raise ValueError(f"probabilities has {classes} classes, and the embedded label sets have "
                             f"{list(LABEL_SETS.values())}; pass labels, {classes} names")
    names = label_names(labels) if isinstance(labels, str) else tuple(labels)
    if len(names) != classes:
        raise ValueError(f"labels has {len(names)} names, probabilities has {classes} classes; expected equal counts")
    if top < 1:
        raise ValueError(f"top is {top}; expected 1 or more")
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [[(int(i), names[i], float(row[i])) for i in order] for row, order in zip(scores, best, strict=True)]
