"""The paper's accuracies on its data sets, in percent: tables 3 to 9, 11, 15 to 17 and figure 3."""

from __future__ import annotations

import re
from typing import NamedTuple

# Table 9 by public data set and task: the mean over three splits.
TABLE_9 = {
    ("ucf101", "svm"): {"Res3D": 83.1, "C3D": 82.2, "2D-Resnet": 79.2},
    ("hmdb51", "svm"): {"Res3D": 51.3, "C3D": 51.6, "2D-Resnet": 47.2},
    ("ucf101", "finetune"): {"Res3D": 85.8, "C3D": 82.3},
    ("hmdb51", "finetune"): {"Res3D": 54.9, "C3D": 50.3},
}
# Figure 3 by public data set: accuracy at a number of dimensions. The paper names these three points in its text.
FIGURE_3 = {"ucf101": {"Res3D": {10: 56.7, 300: 82.9}, "C3D": {10: 52.8}}}
# Table 11, action similarity: accuracy, and the area under the ROC curve.
TABLE_11 = {"Res3D": (78.8, 86.6), "C3D": (78.3, 86.5), "2D-Resnet": (77.2, 85.0), "AlexNet": (67.5, 73.8)}
# Table 8, the test videos of Sports-1M.
TABLE_8 = {
    name: dict(zip(("clip@1", "video@1", "video@5"), figures, strict=True))
    for name, figures in {
        "Res3D": (48.8, 65.6, 87.8), "C3D": (46.1, 61.1, 85.2), "2D-Resnet": (45.5, 59.4, 83.0),
        "DeepVideo": (41.9, 60.9, 80.2),
    }.items()
}  # fmt: skip
# The architecture search by public data set: table and accuracy of each net of the zoo, trained from random weights on
# the first split and scored there.
SEARCH = {
    "ucf101": {
        "res2d18": ("table 3", 42.2), "res2d34": ("table 3", 42.2), "res3d18": ("table 3", 45.6),
        "res3d34": ("table 3", 45.9), "sr18_56": ("table 5", 37.6), "sr18": ("table 5", 46.1),
        "sr18_224": ("table 5", 44.0), "mc1": ("table 6", 43.3), "mc2": ("table 6", 44.5), "mc3": ("table 6", 44.8),
        "mc4": ("table 6", 44.3), "mc5": ("table 6", 45.1), "2.5d": ("table 6", 44.6), "d10": ("table 7", 45.3),
        "d16": ("table 7", 46.8), "d26": ("table 7", 46.3), "d34": ("table 7", 45.8),
    },
    "hmdb51": {
        "sr18_56": ("table 15", 18.3), "sr18": ("table 15", 21.5), "sr18_224": ("table 15", 17.9),
        "mc1": ("table 16", 19.7), "mc2": ("table 16", 19.4), "mc3": ("table 16", 19.9), "mc4": ("table 16", 20.4),
        "mc5": ("table 16", 20.9), "2.5d": ("table 16", 21.4), "d10": ("table 17", 21.3), "d16": ("table 17", 22.8),
        "d26": ("table 17", 22.0), "d34": ("table 17", 20.1),
    },
}  # fmt: skip
_NAMED = re.compile(r"\W*(ucf|hmdb|sports)[\W_]*(101|51|1m)(?![a-z0-9])", re.IGNORECASE)


class PaperFigures(NamedTuple):
    """What the paper prints for a data set.

    Args:
        source: the table, and what it says of its figures.
        nets: percent by net and measure.
        search: what the paper prints for the net itself, as a sentence; "" where it does not.
    """

    source: str
    nets: dict[str, dict[str, float]]
    search: str = ""


def paper_figures(benchmark: str, net: str = "") -> PaperFigures | None:
    """What the paper prints beside the accuracies of a benchmark, or None where it is not one of the paper's.

    Args:
        benchmark: such as "ucf101 split 2"; it begins with the data set's name.
        net: of the zoo; the paper's own accuracy of it is found where it has one.
    """
    found = _NAMED.match(benchmark)
    data_set = "".join(found.groups()).lower() if found else ""
    if data_set == "sports1m":
        return PaperFigures("table 8", TABLE_8)
    if (data_set, "finetune") not in TABLE_9:
        return None
    nets = {name: {"video@1": value} for name, value in TABLE_9[data_set, "finetune"].items()}
    search = ""
    if net in SEARCH[data_set]:
        table, value = SEARCH[data_set][net]
        search = f"{net}, at its published width and from random weights, on split 1: accuracy {value} % ({table})"
    return PaperFigures("table 9: Sports-1M weights, fine-tuned, mean of three splits", nets, search)
