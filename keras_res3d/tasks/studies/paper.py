"""The studies of the paper (tables 3 to 7 and 15 to 17) as rows: nets of the zoo with the figures that it prints."""

from __future__ import annotations

from dataclasses import replace

from keras_res3d.nets.zoo import ZOO
from keras_res3d.tasks.studies.study import Candidate, Printed, Study

_SR18 = ZOO["sr18"]


def _row(name: str, net: str, params=None, flops=None, ucf101=None, hmdb51=None, **sampling) -> Candidate:
    return Candidate(name, ZOO[net], sampling, Printed(params, flops, ucf101, hmdb51))


_ROWS = (
    Study(
        "dimension", "Are 2D or 3D convolutions better, and are 18 or 34 layers?", "table 3", ZOO["res3d18"],
        (
            _row("2D-Res18", "res2d18", 11.2, 1.6, 42.2),
            _row("2D-Res34", "res2d34", 21.5, 3.5, 42.2),
            _row("3D-Res18", "res3d18", 33.2, 19.3, 45.6),
            _row("3D-Res34", "res3d34", 63.5, 36.7, 45.9),
        ),
    ),
    Study(
        "sampling", "How far apart are the best frames of a clip?", "table 4", _SR18,
        tuple(
            _row(f"stride{stride}", "sr18", 33.2, 10.3, accuracy, stride=stride)
            for stride, accuracy in {1: 43.8, 2: 46.3, 4: 46.1, 8: 38.8, 16: 38.1, 32: 36.9}.items()
        ),
    ),
    Study(
        "resolution", "Which size of the frames is best?", "table 5 and tables 15 to 17", _SR18,
        (
            _row("56", "sr18_56", 33.2, 2.6, 37.6, 18.3),
            _row("112", "sr18", 33.2, 10.3, 46.1, 21.5),
            _row("224", "sr18_224", 33.3, 42.9, 44.0, 17.9),
        ),
    ),
    Study(
        "convolution", "In which groups should kernels reach over time?", "table 6 and tables 15 to 17", _SR18,
        (
            _row("MC1", "mc1", 32.5, 10.2, 43.3, 19.7),
            _row("MC2", "mc2", 32.5, 9.7, 44.5, 19.4),
            _row("MC3", "mc3", 32.8, 20.8, 44.8, 19.9),
            _row("MC4", "mc4", 32.4, 22.6, 44.3, 20.4),
            _row("MC5", "mc5", 33.0, 18.7, 45.1, 20.9),
            _row("2.5D", "2.5d", 33.2, 10.3, 44.6, 21.4),
            _row("3D", "sr18", 33.2, 10.3, 46.1, 21.5),
        ),
    ),
    Study(
        "depth", "How many layers are best?", "table 7 and tables 15 to 17", _SR18,
        (
            _row("D10", "d10", 33.7, 10.8, 45.3, 21.3),
            _row("D16", "d16", 33.6, 16.7, 46.8, 22.8),
            _row("D18", "sr18", 33.2, 10.3, 46.1, 21.5),
            _row("D26", "d26", 33.8, 8.4, 46.3, 22.0),
            _row("D34", "d34", 32.8, 10.0, 45.8, 20.1),
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
    return replace(STUDIES[name])
