"""The studies of the paper (tables 3 to 7 and 15 to 17) as rows: nets of the zoo with the figures that it prints."""

from __future__ import annotations

from keras_res3d.nets.zoo import PUBLISHED, ZOO
from keras_res3d.tasks.paper import SEARCH
from keras_res3d.tasks.studies.study import Candidate, Printed, Study

_SR18 = ZOO["sr18"]


def _row(name: str, net: str, ucf101: float | None = None, **sampling) -> Candidate:
    """A net of the zoo with what is printed of it; or with an accuracy of its own, where its clips are others."""
    accuracies = [SEARCH[data].get(net, ("", None))[1] for data in ("ucf101", "hmdb51")] if ucf101 is None else [ucf101]
    own = PUBLISHED[net]
    return Candidate(name, ZOO[net], sampling, Printed(own.params, own.gmacs, *accuracies))


_ROWS = (
    Study(
        "dimension", "Are 2D or 3D convolutions better, and are 18 or 34 layers?", "table 3", ZOO["res3d18"],
        (
            _row("2D-Res18", "res2d18"),
            _row("2D-Res34", "res2d34"),
            _row("3D-Res18", "res3d18"),
            _row("3D-Res34", "res3d34"),
        ),
    ),
    Study(
        "sampling", "How far apart are the best frames of a clip?", "table 4", _SR18,
        tuple(
            _row(f"stride{stride}", "sr18", accuracy, stride=stride)
            for stride, accuracy in {1: 43.8, 2: 46.3, 4: 46.1, 8: 38.8, 16: 38.1, 32: 36.9}.items()
        ),
    ),
    Study(
        "resolution", "Which size of the frames is best?", "table 5 and tables 15 to 17", _SR18,
        (
            _row("56", "sr18_56"),
            _row("112", "sr18"),
            _row("224", "sr18_224"),
        ),
    ),
    Study(
        "convolution", "In which groups should kernels reach over time?", "table 6 and tables 15 to 17", _SR18,
        (
            _row("MC1", "mc1"),
            _row("MC2", "mc2"),
            _row("MC3", "mc3"),
            _row("MC4", "mc4"),
            _row("MC5", "mc5"),
            _row("2.5D", "2.5d"),
            _row("3D", "sr18"),
        ),
    ),
    Study(
        "depth", "How many layers are best?", "table 7 and tables 15 to 17", _SR18,
        (
            _row("D10", "d10"),
            _row("D16", "d16"),
            _row("D18", "sr18"),
            _row("D26", "d26"),
            _row("D34", "d34"),
        ),
    ),
)  # fmt: skip

STUDIES: dict[str, Study] = {study.name: study for study in _ROWS}


def paper_study(name: str) -> Study:
    """The study of the paper of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in STUDIES:
        raise ValueError(f"the study is {name!r}; the paper's are {', '.join(STUDIES)}")
    return STUDIES[name]
