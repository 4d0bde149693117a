"""The guard against scoring weights on videos they were trained on."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Data sets published with several splits of the same videos: one split's test videos are another's training videos.
_CROSS_VALIDATED = ("ucf101", "hmdb51")
_MENTION = re.compile(r"(ucf|hmdb)[ _-]?(101|51)(?:[ ,_-]*splits?[ _-]*(\d+))?", re.IGNORECASE)
# What `read_layout` calls a training set: its split, and in brackets the folder of its lists, which may have any name.
_LISTED = re.compile(r"\b(ucf101|hmdb51) train split (\d+) \([^()]*\)")


class ContaminatedError(ValueError):
    """The evaluation's test videos are among the weights' training videos."""


def _plain(name) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _split_number(split) -> str | None:
    """"2" from 2, "2", "split 2", "testlist02.txt"; None where there is no number."""
    digits = re.search(r"(\d+)", "" if split is None else str(split))
    return digits[1].lstrip("0") or "0" if digits else None


def _training(weights) -> str:
    """The text that says what the weights were trained on."""
    if weights is None or isinstance(weights, str):
        return weights or ""
    if isinstance(weights, Mapping):
        return str(weights.get("trained_on") or "")
    return str(getattr(weights, "trained_on", "") or "")


def check_evaluation(weights, data_set: str, split, allow: bool = False) -> None:
    """Refuses to score weights on a split whose test videos they were trained on.

    Of UCF101 and HMDB51 every split's test videos are training videos of the other splits, so weights trained on
    split 1 may be scored on split 1 alone. Other data sets pass.

    Args:
        weights: what they were trained on ("sports1m, ucf101 split 1"), or anything that has it: a `ModelCard`, a
            catalog row, the JSON beside converted weights.
        data_set: name of the data set to be scored, e.g. "ucf101".
        split: its split, a number or a text that holds one. None means that it is not known, which is refused where
            the weights were trained on any split of `data_set`.
        allow: lets the scoring go on although the videos were seen in training.

    Raises:
        ContaminatedError: names the training and the test data.
    """
    name = _plain(data_set)
    if allow or name not in _CROSS_VALIDATED:
        return
    trained = _training(weights)
    wanted = _split_number(split)
    for prefix, number, seen in _MENTION.findall(_LISTED.sub(r"\1 split \2", trained)):
        if _plain(prefix + number) != name or (seen and seen.lstrip("0") == wanted):
            continue
        raise ContaminatedError(
            f"the weights were trained on {trained}, and {name} split {wanted or '(not named)'} is to be scored: its "
            f"test videos may be among their training videos. Score {name} split {seen or 'that they were trained on'}"
            ", use other weights, or pass allow=True and report the number as contaminated"
        )


def check_benchmark(weights, benchmark: str, allow: bool = False) -> None:
    """`check_evaluation` for every data set that a text mentions: "ucf101 split 2", or a file's name that says so."""
    for prefix, number, split in _MENTION.findall(str(benchmark)):
        check_evaluation(weights, prefix + number, split or None, allow)
