"""Each candidate of a study at the budget: its width, its clips, and what whole widths make of the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from keras_res3d.data.clips import PAPER_CROP, PAPER_RESIZE, Sampling
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.counts import count_macs, count_params, solve_width
from keras_res3d.tasks.studies.study import Candidate, Printed, Study
from keras_res3d.training.recipes import TrainingOptions

SMALLEST, LARGEST = 10**4, 10**8


@dataclass(frozen=True)
class Planned:
    """A candidate as it is trained.

    Attributes:
        name, printed: of the candidate.
        net: at the width of the budget.
        sampling: how its clips are taken.
        params, live_params, macs, live_macs: counts at that clip and number of classes (`count_params`, `count_macs`).
        off: by which share of the budget it has too much, or too little where negative; None without a budget.
    """

    name: str
    net: Architecture
    sampling: Sampling
    params: int
    live_params: int
    macs: int
    live_macs: int
    off: float | None
    printed: Printed

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Of one clip: `(frames, height, width, channels)`."""
        return (self.sampling.frames, *self.sampling.crop, self.net.channels)


def plan(
    study: Study,
    classes: int,
    options: TrainingOptions | None = None,
    target: float | None = None,
    count: str = "all",
    sampling: Mapping | None = None,
) -> list[Planned]:
    """Every candidate of a study at one budget.

    Args:
        study: of `read_study`.
        classes: outputs of the nets.
        options: of the training, whose frames, stride and crop are those of all candidates that do not vary them.
        target: the budget, from 10^4 to 10^8 parameters; None takes the widths of the rows (the paper's).
        count: what the budget counts: "all" parameters, "live" ones, or live multiply-accumulates of a clip ("macs").
        sampling: fields of `Sampling` in `SAMPLING_FIELDS`, in place of the study's.

    Raises:
        ValueError: the budget or the count is out of range; a clip is too small for a candidate, which is named.
    """
    options = options or TrainingOptions()
    if target is not None and count != "macs" and not SMALLEST <= target <= LARGEST:
        raise ValueError(f"target_params is {target:g}; expected from {SMALLEST:,} to {LARGEST:,}")
    own = {name: value for name in ("frames", "crop") if (value := getattr(options, name)) is not None}
    study = study.with_fields(**own)
    return [_planned(study, each, classes, options, target, count, sampling or {}) for each in study.candidates]


def _planned(study: Study, candidate: Candidate, classes: int, options, target, count, given) -> Planned:
    sampling = _sampling(study, candidate, options, given)
    shape = (sampling.frames, *sampling.crop, candidate.net.channels)
    try:
        net, off = candidate.net, None
        if target is not None:
            net = replace(net, width=solve_width(net, target, count=count, classes=classes, input_shape=shape))
        counts = [
            counted(net, classes=classes, input_shape=shape, live=live)
            for counted in (count_params, count_macs) for live in (False, True)
        ]  # fmt: skip
    except ValueError as error:
        raise ValueError(f"study {study.name!r}, candidate {candidate.name}: {error}") from error
    if target is not None:
        off = dict(zip(("all", "live", "", "macs"), counts, strict=True))[count] / target - 1
    return Planned(candidate.name, net, sampling, *counts, off, candidate.printed)


def _sampling(study: Study, candidate: Candidate, options: TrainingOptions, given: Mapping) -> Sampling:
    """The clips of a candidate. A resize that is given is the base's; that of another crop keeps the proportion."""
    fields = {"stride": options.stride or 2, **study.sampling, **given, **candidate.sampling}
    net = candidate.net
    resize, crop = fields.pop("resize", None), study.base.crop
    if resize is None:
        resize, crop = PAPER_RESIZE, PAPER_CROP
    resize = tuple(max(net.crop, int(side * net.crop / crop + 0.5)) for side in resize)
    return Sampling(frames=net.frames, crop=(net.crop, net.crop), resize=resize, **fields)
