"""Zero padding along one axis: how much there is of it, and how often a tap of a kernel reads anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def same_pads(size, extent: int, stride: int, larger: Callable = max) -> tuple:
    """Zeros before and after an axis, as padding "same" adds them.

    Args:
        size: length of the axis, an integer or a tensor.
        extent: of the kernel, dilation included.
        stride: step between outputs.
        larger: the larger of two numbers; of tensors their backend's own.
    """
    missing = larger((-(-size // stride) - 1) * stride + extent - size, 0)
    return missing // 2, missing - missing // 2


def reads(size: int, offsets: Iterable[int], stride: int, outputs: int) -> list[int]:
    """For each tap of a kernel, at how many output positions it reads real input.

    Args:
        size: length of the input along the axis.
        offsets: of the taps, from the place of an output in the input; negative ones lie before it.
        stride: step between outputs.
        outputs: how many there are.
    """
    return [sum(0 <= output * stride + offset < size for output in range(outputs)) for offset in offsets]
