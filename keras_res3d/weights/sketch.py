"""What the names and shapes of tensors tell of their net, so that two nets are compared before tensors are listed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# The kernels whose names tell where they stand: group, block, and half of a convolution that is split in two.
_STEM = {"torch": re.compile(r"stem\.(?P<half>0|3)\.weight"), "": re.compile(r"conv1(?:_(?P<half>\w+))?/0")}
_BLOCK = {
    "torch": re.compile(r"layer(?P<group>\d)\.(?P<block>\d+)\.conv1\.0(?:\.(?P<half>0|3))?\.weight"),
    "": re.compile(r"res(?P<group>\d)(?P<block>[a-z])_branch2a(?:_(?P<half>\w+))?/0"),
}
_PLAIN = re.compile(r"conv(?P<group>\d)(?P<block>[a-z])(?:_(?P<half>\w+))?/0")
_HEAD = {"torch": re.compile(r"fc\.bias"), "": re.compile(r"fc\d(?:-\w+)?/1")}


@dataclass(frozen=True)
class Sketch:
    """A net as far as its tensors tell it; None, or (), where they do not.

    Attributes:
        plain: whether it is a plain stack of convolutions, as C3D is, and no residual net.
        channels: of the input.
        width: channels of the first convolution.
        blocks: residual blocks of conv2_x to conv5_x; of a plain net, the convolutions of its five groups.
        temporal_kernels: temporal extent of the kernels, group by group.
        split: whether convolutions are split into a spatial and a temporal half.
        classes: outputs of the classifier.
    """

    plain: bool = False
    channels: int | None = None
    width: int | None = None
    blocks: tuple[int, ...] = ()
    temporal_kernels: tuple[int, ...] = ()
    split: bool = False
    classes: int | None = None


def _kernel(shape: tuple, family: str) -> tuple[int, int, int]:
    """(channels in, channels out, temporal extent) of a kernel."""
    return (shape[3], shape[4], shape[0]) if family == "keras" else (shape[1], shape[0], shape[2])


def _kernels(shapes: Mapping[str, tuple], family: str) -> dict[tuple[int, str], list]:
    """The first kernel of each block, whole or as its two halves, by (group, block)."""
    layout, found = "torch" if family == "torch" else "", {}
    for name, shape in shapes.items():
        stem, block = _STEM[layout].fullmatch(name), _BLOCK[layout].fullmatch(name) or _PLAIN.fullmatch(name)
        if len(shape) != 5 or not (stem or block):
            continue
        # torchvision's layer1 is conv2_x.
        place = (1, "") if stem else (int(block["group"]) + (layout == "torch"), block["block"])
        second = (stem or block)["half"] in ("temporal", "3")
        found.setdefault(place, {})[second] = _kernel(shape, family)
    return {place: [halves[second] for second in sorted(halves)] for place, halves in found.items()}


def sketch(shapes: Mapping[str, tuple], family: str) -> Sketch:
    """The net whose tensors have these names and shapes.

    Args:
        shapes: by the tensors' names, in the order of the layers.
        family: of the names, see `Source`.
    """
    kernels = _kernels(shapes, family)
    plain = any(_PLAIN.fullmatch(name) for name in shapes)
    places = sorted(kernels)
    counted = [group for group, block in places if block]
    heads = sorted(name for name in shapes if _HEAD["torch" if family == "torch" else ""].fullmatch(name))
    first = kernels[places[0]] if places and places[0][0] == 1 else None
    groups = sorted({group for group, _ in places})
    extents = [max(t for *_, t in kernels[next(place for place in places if place[0] == group)]) for group in groups]
    return Sketch(
        plain,
        channels=first[0][0] if first else None,
        width=first[-1][1] if first else None,
        blocks=tuple(counted.count(group) for group in range(1 if plain else 2, 6)) if counted else (),
        temporal_kernels=tuple(extents),
        split=any(len(halves) > 1 for halves in kernels.values()),
        classes=max(shapes[heads[-1]], default=None) if heads else None,
    )


def differences(theirs: Sketch, ours: Sketch) -> list[str]:
    """A phrase for each difference of two nets; () and None do not count. "there" means the file, "here" the net."""
    if not theirs.blocks:
        return ["none of its tensors is of a net of this family"]
    if theirs.plain != ours.plain:
        kinds = {False: "a residual net", True: "a plain net like C3D"}
        return [f"{kinds[theirs.plain]} there, {kinds[ours.plain]} here"]
    told = []
    for name in ("width", "blocks", "temporal_kernels", "channels"):
        there, here = getattr(theirs, name), getattr(ours, name)
        if there and here and there != here:
            what = {"channels": "input channels"}.get(name, name.replace("_", " "))
            told.append(f"{what} {there} there, {here} here")
    if theirs.split != ours.split:
        kinds = {False: "whole convolutions", True: "convolutions split into spatial and temporal halves"}
        told.append(f"{kinds[theirs.split]} there, {kinds[ours.split]} here")
    if theirs.classes is None and ours.classes is not None:
        told.append("no classifier there, one here (include_top=False takes the body alone)")
    return told
