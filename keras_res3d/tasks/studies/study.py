"""A study as data: a base net, and candidates that differ from it in some fields of `Architecture` or `Sampling`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from keras_res3d.nets.architecture import Architecture

# What a study may say of how clips are taken; frames and crop are fields of the net.
SAMPLING_FIELDS = ("stride", "fps", "resize", "preprocessing")
# What it may say of the net.
NET_FIELDS = tuple(each.name for each in dataclasses.fields(Architecture) if each.name != "name")


@dataclass(frozen=True)
class Printed:
    """What the paper prints for a candidate; None where it prints nothing.

    Attributes:
        params: in millions.
        flops: in billions, as printed; not everywhere a count of multiply-accumulates (see docs/search.md).
        ucf101, hmdb51: accuracy in percent, trained from random weights.
    """

    params: float | None = None
    flops: float | None = None
    ucf101: float | None = None
    hmdb51: float | None = None


@dataclass(frozen=True)
class Candidate:
    """One design of a study.

    Attributes:
        name: in tables, and of its folder.
        net: at the width that it has where no budget is given.
        sampling: fields of `Sampling` in `SAMPLING_FIELDS` that it varies.
        printed: the paper's figures.
    """

    name: str
    net: Architecture
    sampling: Mapping = field(default_factory=dict)
    printed: Printed = Printed()


@dataclass(frozen=True)
class Study:
    """Designs that answer one question.

    Attributes:
        name: of the study.
        question: in one sentence.
        source: where the paper has it; "" for a study of one's own.
        base: the net that the candidates are variants of.
        candidates: at least one, each with a name of its own.
        sampling: as of `Candidate`, of all candidates that do not vary it.
    """

    name: str
    question: str
    source: str
    base: Architecture
    candidates: tuple[Candidate, ...]
    sampling: Mapping = field(default_factory=dict)

    def __post_init__(self):
        names = [each.name for each in self.candidates]
        twice = sorted({name for name in names if names.count(name) > 1})
        if not names or twice:
            what = f"two candidates called {', '.join(twice)}" if twice else "no candidate"
            raise ValueError(f"study {self.name!r} has {what}; expected at least one, each with a name of its own")
        for where, fields in [("it", self.sampling), *((each.name, each.sampling) for each in self.candidates)]:
            unknown = sorted(str(name) for name in set(fields) - set(SAMPLING_FIELDS))
            if unknown:
                raise ValueError(f"study {self.name!r}: sampling of {where} has {', '.join(unknown)}; expected some of "
                                 f"{', '.join(SAMPLING_FIELDS)}")  # fmt: skip

    def varied(self, candidate: Candidate) -> set[str]:
        """The fields of `Architecture` in which a candidate's net differs from the base; the name is none."""
        return {name for name in NET_FIELDS if getattr(candidate.net, name) != getattr(self.base, name)}

    def with_fields(self, **fields) -> Study:
        """The study with another base: each candidate takes the new fields but those that it varies itself.

        A crop that a candidate varies keeps its proportion to the base's: of the crops 56, 112 and 224 a base crop of
        32 makes 16, 32 and 64.

        Args:
            fields: of `Architecture`.

        Raises:
            TypeError: there is no such field.
            ValueError: a value is out of range.
        """
        base = replace(self.base, **fields)
        candidates = []
        for each in self.candidates:
            varied = self.varied(each)
            changes = {name: value for name, value in fields.items() if name not in varied}
            if "crop" in fields and "crop" in varied:
                changes["crop"] = max(1, round(each.net.crop * base.crop / self.base.crop))
            candidates.append(replace(each, net=replace(each.net, **changes)))
        return replace(self, base=base, candidates=tuple(candidates))
