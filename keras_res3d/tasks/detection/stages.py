"""The three networks of S-CNN as rows: what each tells apart, what it starts from, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Stage:
    """A network of S-CNN.

    Attributes:
        recipe: the name of its settings in `training.recipes`.
        binary: whether it tells actions from background alone, and not from each other.
        after: the stage whose network it starts from; None starts from weights of another data set.
        overlap: the weight of the overlap loss; 0 is none.
    """

    recipe: str
    binary: bool = False
    after: str | None = None
    overlap: float = 0.0


STAGES: Mapping[str, Stage] = MappingProxyType({
    "proposal": Stage("scnn_proposal", binary=True),
    "classification": Stage("scnn_classification"),
    "localization": Stage("scnn_localization", after="classification", overlap=1.0),
})  # fmt: skip
