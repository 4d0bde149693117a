"""Published weights, one row each: where the original lies, what it expects and what it may be used for."""

from __future__ import annotations

import os
import pathlib
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.counts import layer_counts
from keras_res3d.nets.zoo import get_architecture
from keras_res3d.remote import is_remote
from keras_res3d.weights.formats.registry import BY_NAME, SUFFIXES

# What `keras-res3d train` leaves in its folder.
RUN_MODEL = "model.keras"


@dataclass(frozen=True)
class WeightsEntry:
    """One published set of weights.

    Attributes:
        net: the row of the zoo it fits.
        tag: what `weights=` calls it.
        url: of the original file; "" where nobody serves it any more, in which case `published_as` is its name.
        format: of the original file, a key of `formats.registry.BY_NAME`.
        sha256: published digest of the original. Where it is None, the first download's digest is kept and enforced.
        classes, labels: outputs and the name of their label set (`label_names`).
        frames: clip length in training.
        stride: every stride-th frame is taken.
        fps: rate to which videos are resampled first; None takes frames as stored.
        resize, crop: (height, width) in pixels, resize before crop.
        preprocessing: mode of `preprocess_input`.
        licence: of the weights.
        trained_on: data sets, and splits where there are some, in the order of training.
        contaminated_for: what these weights must not be scored on: their training data holds its test videos.
        metrics: percent, "clip@1", "video@1", "video@5", on the validation or test videos of the last data set.
        metrics_source: who measured, and on what.
        remark: what else a user must know.
        published_as: name of the original file, of a row without an address.
    """

    net: str
    tag: str
    url: str
    format: str
    classes: int
    labels: str
    licence: str
    trained_on: str
    sha256: str | None = None
    frames: int = 8
    stride: int = 2
    fps: float | None = None
    resize: tuple[int, int] = (128, 171)
    crop: tuple[int, int] = (112, 112)
    preprocessing: str = "res3d"
    contaminated_for: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    metrics_source: str = ""
    remark: str = ""
    published_as: str = ""

    def __post_init__(self):
        if bool(self.url) == bool(self.published_as):
            raise ValueError(f"{self.name}: expected either an address (url) or the file's name (published_as)")
        if self.format not in BY_NAME:
            raise ValueError(f"{self.name}: format is {self.format!r}; expected one of {sorted(BY_NAME)}")

    @property
    def name(self) -> str:
        """`net/tag`."""
        return f"{self.net}/{self.tag}"

    @property
    def filename(self) -> str:
        """Of the original in the cache and in a mirror: the published name, with the format's suffix."""
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.url).path)
        name = self.published_as or pathlib.PurePosixPath(path).name
        suffix = BY_NAME[self.format].suffixes[0]
        return name if name.endswith(suffix) else name + suffix

    @property
    def source(self) -> str:
        """The original's address, or its name where it has none: what says that two originals are the same."""
        return self.url or self.filename

    @property
    def estimated_bytes(self) -> int:
        """Size of the file, estimated: its float32 parameters and batch-norm statistics, without names and headers."""
        rows = layer_counts(get_architecture(self.net), self.classes)
        statistics = sum(2 * layer.channels_out for layer, *_ in rows if layer.op == "norm")
        return 4 * (sum(params for _, _, params, _ in rows) + statistics)

    def sampling_fields(self) -> dict:
        """How clips are taken from a video, as the keyword arguments of `Sampling`."""
        return {name: getattr(self, name) for name in ("frames", "stride", "resize", "crop", "fps", "preprocessing")}


_RES3D = WeightsEntry(
    net="res3d18",
    tag="sports1m",
    url="https://www.dropbox.com/s/qqfrg6h44d4jb46/c3d_resnet18_sports1m_r2_iter_2800000.caffemodel?dl=1",
    format="caffemodel",
    classes=487,
    labels="sports1m",
    licence="CC BY-NC 3.0",
    trained_on="sports1m",
    metrics={"clip@1": 48.8, "video@1": 65.6, "video@5": 87.8},
    metrics_source="paper, table 8 (of iteration 3.0M; the released file is iteration 2.8M)",
)
_R3D = WeightsEntry(
    net="r3d_18",
    tag="kinetics400",
    url="https://download.pytorch.org/models/r3d_18-b3b3357e.pth",
    format="pth",
    sha256="b3b3357ead25631ec9c57362ff2128a92d0427e01e2cd184951a44380c3f2e9d",
    classes=400,
    labels="kinetics400",
    licence="BSD-3-Clause",
    trained_on="kinetics400",
    frames=16,
    stride=1,
    fps=15.0,
    preprocessing="torchvision",
    metrics={"video@1": 63.2, "video@5": 83.479},
    metrics_source="torchvision (validation videos, 5 clips of 16 frames each, 15 frames/s)",
)
ROWS = (
    _RES3D,
    replace(
        _RES3D,
        tag="ucf101",
        url="https://www.dropbox.com/s/bf5z2jw1pg07c9n/c3d_resnet18_ucf101_r2_ft_iter_20000.caffemodel?dl=1",
        classes=101,
        labels="ucf101",
        trained_on="sports1m, ucf101 split 1",
        contaminated_for=("ucf101 split 2", "ucf101 split 3"),
        metrics={},
        metrics_source="",
        remark="fine-tuned on UCF101 split 1; the authors' test script scores it with the batch statistics of shuffled "
        "batches of 20 clips, this package with the stored ones",
    ),
    replace(
        _RES3D,
        tag="ucf101-scratch",
        url="",
        published_as="c3d_resnet18_ucf101_r2_iter_90000.caffemodel",
        classes=101,
        labels="ucf101",
        trained_on="ucf101",
        metrics={},
        metrics_source="",
        remark="trained on UCF101 alone, from random weights, 90,000 iterations of 20 clips each. The file has no "
        "public address: the folder that its authors shared may be gone. Its split is not recorded, so that no split "
        "is known to be free of its training videos; the licence is that of the authors' other files",
        contaminated_for=("ucf101 split 1", "ucf101 split 2", "ucf101 split 3"),
    ),
    replace(
        _R3D,
        net="res3d18",
        remark="r3d_18's weights; res2a's projection, which r3d_18 has not, is set to the identity: same outputs",
    ),
    replace(
        _RES3D,
        net="c3d",
        url="https://www.dropbox.com/s/vr8ckp0pxgbldhs/conv3d_deepnetA_sport1m_iter_1900000?dl=1",
        frames=16,
        stride=1,
        metrics={"clip@1": 46.1, "video@1": 61.1, "video@5": 85.2},
        metrics_source="paper, table 8 (which of the C3D paper's nets the released file is, is not recorded)",
        remark="the released C3D v1.0 subtracts a mean volume of 16 x 128 x 171 before the crop, which is not in the "
        "weights file; 'res3d' subtracts the constant 128 instead, an approximation",
    ),
    _R3D,
    replace(
        _R3D,
        net="mc3_18",
        url="https://download.pytorch.org/models/mc3_18-a90a0ba3.pth",
        sha256="a90a0ba35ca1242d15b77511ff28bfb29cc596988b5ea36081042f8e2f54212b",
        metrics={"video@1": 63.96, "video@5": 84.13},
        remark="width 64 and no temporal stride in the 2D groups: not the paper's MC3",
    ),
    replace(
        _R3D,
        net="r2plus1d_18",
        url="https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth",
        sha256="91a641e6c2ab531d1aca5f4321b4d802ec5c3babc15df855cdb6e39c6a1107c8",
        metrics={"video@1": 67.463, "video@5": 86.175},
        remark="stem of 45 intermediate channels, one intermediate width per block",
    ),
)


def entries() -> tuple[WeightsEntry, ...]:
    """Every row, in the order of the tables."""
    return ROWS


def find(net: str, tag: str) -> WeightsEntry:
    """The row of `net` and `tag`.

    Raises:
        ValueError: there is none; the message lists what there is for that net.
    """
    for entry in entries():
        if (entry.net, entry.tag) == (net, tag):
            return entry
    tags = [entry.tag for entry in entries() if entry.net == net]
    if tags:
        raise ValueError(f"no weights {tag!r} are known for {net}; there are {', '.join(map(repr, tags))}")
    names = ", ".join(entry.name for entry in entries())
    raise ValueError(f"no published weights are known for {net} (asked for {tag!r}); there are {names}")


def find_name(name: str) -> WeightsEntry:
    """The row called `net/tag`.

    Raises:
        ValueError: there is none, or `name` is not of that form; the message lists what there is.
    """
    net, slash, tag = name.partition("/")
    if not slash or not net or not tag:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(entry.name for entry in entries())}")
    return find(net, tag)


def resolve(net: str | Architecture | None, weights) -> WeightsEntry | None:
    """The catalog's row that `weights=` means for `net`; None where it is None or a path.

    Args:
        net: a name of the zoo or an `Architecture`; None where it is not known yet, and then no tag alone is taken.
        weights: None, a tag of the net ("sports1m"), a "net/tag", or a path: anything of `pathlib`, a text that ends
            like a weights file, the name of an existing file, or of a folder that holds a `model.keras`, or an address
            in a store.

    Raises:
        ValueError: neither a path nor known; the message lists the net's tags.
    """
    if weights is None or isinstance(weights, os.PathLike):
        return None
    if not isinstance(weights, str):
        raise TypeError(f"weights is {weights!r}; expected None, the name of published weights, or a path")
    # A folder of videos may well be called like the weights ("ucf101"); a run's holds a model.
    if is_remote(weights) or weights.endswith(SUFFIXES):
        return None
    if os.path.isfile(weights) or os.path.isfile(os.path.join(weights, RUN_MODEL)):
        return None
    own = None if net is None else get_architecture(net).name
    try:
        if "/" not in weights and own is not None:
            return find(own, weights)
        entry = find_name(weights)
    except ValueError as error:
        what = f"and that folder holds no {RUN_MODEL}" if os.path.isdir(weights) else "and no file has that name"
        raise ValueError(
            f"weights is {weights!r}, {what}: {error}. A path ends in {', '.join(SUFFIXES)}, or is a folder "
            f"that holds a {RUN_MODEL}"
        ) from None
    # The same file may be catalogued for this net as well, with what it takes to fit.
    same = [row for row in entries() if row.net == own and row.source == entry.source]
    return same[0] if same else entry
