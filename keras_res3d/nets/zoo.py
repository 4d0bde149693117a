"""The zoo: every net of the paper and torchvision's three, one row each."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, replace

from keras_res3d.nets.architecture import Architecture

_RES3D = Architecture("res3d18")
# Section 4: SR18 is the 18-layer net on 4 frames, without the temporal stride of conv5_1.
_SR18 = replace(_RES3D, name="sr18", frames=4, strides=((1, 2, 2), (1, 1, 1), (2, 2, 2), (2, 2, 2), (1, 2, 2)))
_RES2D = replace(
    _RES3D,
    name="res2d18",
    frames=1,
    temporal_kernels=(1,) * 5,
    strides=((1, 2, 2), (1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2)),
)
_TORCHVISION = replace(_RES3D, frames=16, classes=400, shortcut="identity", batch_norm_momentum=0.9)
_DEEP = (3, 4, 6, 3)


def mixed_temporal_kernels(first_2d_group: int) -> tuple[int, ...]:
    """Temporal kernels of MCi: groups i to 5 are 1 x d x d, the others 3 x d x d (paper, section 4.3)."""
    return tuple(1 if group >= first_2d_group else 3 for group in range(1, 6))


def _mixed(first_2d_group, width):
    kernels = mixed_temporal_kernels(first_2d_group)
    return replace(_SR18, name=f"mc{first_2d_group}", width=width, temporal_kernels=kernels)


def _depth(name, blocks, width):
    return replace(_SR18, name=name, blocks=blocks, width=width)


_ROWS = [
    _RES3D,
    replace(_RES3D, name="res3d34", blocks=_DEEP),
    _RES2D,
    replace(_RES2D, name="res2d34", blocks=_DEEP),
    _SR18,
    # Table 5; strides as in the text (the printed FLOPs would fit 1 x 2 x 2 at every resolution).
    replace(_SR18, name="sr18_56", crop=56, conv1=5, strides=((1, 1, 1), *_SR18.strides[1:])),
    replace(_SR18, name="sr18_224", crop=224, conv1=11, strides=((1, 4, 4), *_SR18.strides[1:])),
    _mixed(1, 109),
    _mixed(2, 109),
    _mixed(3, 108),
    _mixed(4, 103),
    _mixed(5, 90),
    replace(_SR18, name="2.5d", factorized="2.5d"),
    _depth("d10", (1, 1, 1, 1), 98),
    _depth("d16", (2, 2, 2, 1), 85),
    _depth("d26", (2, 3, 4, 3), 50),
    _depth("d34", _DEEP, 46),
    Architecture(
        "c3d",
        blocks=(1, 1, 2, 2, 2),
        multipliers=(1, 2, 4, 8, 8),
        strides=((1, 1, 1),) * 5,
        conv1=3,
        shortcut=None,
        pools=((1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
        dense=(4096, 4096),
        frames=16,
        classes=487,
        batch_norm_momentum=None,
    ),
    replace(_TORCHVISION, name="r3d_18"),
    replace(_TORCHVISION, name="mc3_18", temporal_kernels=(3, 3, 1, 1, 1), strides=_RES2D.strides),
    replace(
        _TORCHVISION, name="r2plus1d_18", factorized="r2plus1d", factorized_stem=45, factorized_per_block=True
    ),
]

ZOO: dict[str, Architecture] = {row.name: row for row in _ROWS}
ALIASES = {"d18": "sr18"}


def get_architecture(net: str | Architecture) -> Architecture:
    """The row called `net`, or `net` itself where it is an `Architecture` already.

    Raises:
        ValueError: no row has that name.
        TypeError: neither a name nor an `Architecture`.
    """
    if isinstance(net, Architecture):
        return net
    if not isinstance(net, str):
        raise TypeError(f"net is {net!r}; expected a name ({', '.join([*ZOO, *ALIASES])}) or an Architecture")
    name = net.lower()
    name = ALIASES.get(name, name)
    if name not in ZOO:
        close = difflib.get_close_matches(name, [*ZOO, *ALIASES], 3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join([*ZOO, *ALIASES])}"
        raise ValueError(f"no net is called {net!r}; {hint}")
    return ZOO[name]


def mixed_conv3d(first_2d_group: int, width: int | None = None) -> Architecture:
    """MCi of the paper's section 4.3, at its published width or another.

    Raises:
        ValueError: `first_2d_group` is not 1 to 5.
    """
    if first_2d_group not in range(1, 6):
        raise ValueError(f"first_2d_group is {first_2d_group!r}; expected 1 to 5, the first 1 x d x d group")
    row = ZOO[f"mc{first_2d_group}"]
    return row if width is None else replace(row, width=width)


def two_d_counterpart(net: str | Architecture) -> Architecture:
    """`net` with every kernel 1 x d x d, as MC1 is for SR18: it sees frames, but not their order."""
    architecture = get_architecture(net)
    kernels = mixed_temporal_kernels(1)
    return dataclasses.replace(architecture, name=f"{architecture.name}_2d", temporal_kernels=kernels, factorized=None)


@dataclass(frozen=True)
class Published:
    """What the paper (or torchvision) prints for a row: parameters in millions, operations in billions."""

    params: float
    gmacs: float
    classes: int
    source: str


PUBLISHED: dict[str, Published] = {
    "res2d18": Published(11.2, 1.6, 101, "table 3"),
    "res2d34": Published(21.5, 3.5, 101, "table 3"),
    "res3d18": Published(33.2, 19.3, 101, "table 3"),
    "res3d34": Published(63.5, 36.7, 101, "table 3"),
    "sr18": Published(33.2, 10.3, 101, "table 6"),
    "sr18_56": Published(33.2, 2.6, 101, "table 5"),
    "sr18_224": Published(33.3, 42.9, 101, "table 5"),
    "mc1": Published(32.5, 10.2, 101, "table 6"),
    "mc2": Published(32.5, 9.7, 101, "table 6"),
    "mc3": Published(32.8, 20.8, 101, "table 6"),
    "mc4": Published(32.4, 22.6, 101, "table 6"),
    "mc5": Published(33.0, 18.7, 101, "table 6"),
    "2.5d": Published(33.2, 10.3, 101, "table 6"),
    "d10": Published(33.7, 10.8, 101, "table 7"),
    "d16": Published(33.6, 16.7, 101, "table 7"),
    "d26": Published(33.8, 8.4, 101, "table 7"),
    "d34": Published(32.8, 10.0, 101, "table 7"),
    "c3d": Published(72.9, 38.5, 487, "section 5.1"),
    "r3d_18": Published(33.371472, 40.697, 400, "torchvision"),
    "mc3_18": Published(11.69544, 43.343, 400, "torchvision"),
    "r2plus1d_18": Published(31.505325, 40.519, 400, "torchvision"),
}


@dataclass(frozen=True)
class Paper:
    """Where a net was published."""

    title: str
    authors: str
    year: int
    address: str


_SEARCH = Paper(
    "ConvNet Architecture Search for Spatiotemporal Feature Learning",
    "Tran, Ray, Shou, Chang, Paluri", 2017, "https://arxiv.org/abs/1708.05038",
)  # fmt: skip
_C3D = Paper(
    "Learning Spatiotemporal Features with 3D Convolutional Networks",
    "Tran, Bourdev, Fergus, Torresani, Paluri", 2014, "https://arxiv.org/abs/1412.0767",
)  # fmt: skip
_CLOSER_LOOK = Paper(
    "A Closer Look at Spatiotemporal Convolutions for Action Recognition",
    "Tran, Wang, Torresani, Ray, LeCun, Paluri", 2017, "https://arxiv.org/abs/1711.11248",
)  # fmt: skip
_OF_THE_SEARCH = (
    "res3d18", "res3d34", "res2d18", "res2d34", "sr18", "sr18_56", "sr18_224", "mc1", "mc2", "mc3", "mc4", "mc5",
    "2.5d", "d10", "d16", "d26", "d34",
)  # fmt: skip
# By row: where the net was published.
PAPERS: dict[str, Paper] = {
    **dict.fromkeys(_OF_THE_SEARCH, _SEARCH),
    "c3d": _C3D,
    **dict.fromkeys(("r3d_18", "mc3_18", "r2plus1d_18"), _CLOSER_LOOK),
}
