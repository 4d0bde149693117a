"""Live and dead taps: with few frames, some taps of a kernel meet nothing but zero padding. Needs no TensorFlow.

Dead taps change no output and get no gradient. A trimmed net (`build_model(..., trim=True)`) leaves them out. The taps
that stay are neighbours, and the middle tap is always among them.
"""

from __future__ import annotations

from dataclasses import dataclass

from keras_res3d.nets.architecture import Architecture, Layer, layer_shapes, walk
from keras_res3d.nets.inside import net_inside, own_convolutions
from keras_res3d.nets.padding import reads

# MSRA filler: kernels start with a variance of this over their fan-out.
MSRA_SCALE = 2.0


@dataclass(frozen=True)
class Taps:
    """The temporal taps that a convolution keeps.

    Attributes:
        first: place of the first one in the whole kernel.
        count: how many, all neighbours.
        before, after: frames of zero padding that they need at either end of the clip.
    """

    first: int
    count: int
    before: int
    after: int

    @property
    def indices(self) -> range:
        """Places in the whole kernel."""
        return range(self.first, self.first + self.count)

    @property
    def kept(self) -> slice:
        """Of the first axis of the whole kernel."""
        return slice(self.first, self.first + self.count)


def live_taps(size: int, kernel: int, stride: int) -> list[int]:
    """For each tap of a 1-D kernel under symmetric padding, at how many output positions it reads real input.

    Args:
        size: length of the input along this axis, from 1.
        kernel: odd number of taps.
        stride: step between outputs.
    """
    return reads(size, range(-(kernel // 2), kernel - kernel // 2), stride, -(-size // stride))


def live_indices(size: int, kernel: int, stride: int) -> list[int]:
    """The taps of a 1-D kernel that read real input at least once; arguments as of `live_taps`."""
    return [tap for tap, count in enumerate(live_taps(size, kernel, stride)) if count]


def _live(layer: Layer, length: int) -> Taps:
    """The live taps of a convolution that reads a map of `length` frames."""
    size, stride, middle = layer.kernel[0], layer.strides[0], layer.kernel[0] // 2
    live = live_indices(length, size, stride)
    if len(live) == size:
        return _all(layer)
    positions = -(-length // stride)
    last_read = (positions - 1) * stride + live[-1] - middle
    return Taps(live[0], len(live), middle - live[0], max(0, last_read - (length - 1)))


def _all(layer: Layer) -> Taps:
    return Taps(0, layer.kernel[0], layer.kernel[0] // 2, layer.kernel[0] // 2)


def kernel_taps(architecture: Architecture, frames: int | None = None) -> dict[str, Taps]:
    """By convolution, the temporal taps that are live in clips of `frames`; None gives all of them.

    Taps that are dead in space (kernels wider than the map) count as live here.
    """
    layers = walk(architecture, include_top=False)
    convs = [layer for layer in layers if layer.op == "conv"]
    if frames is None:
        return {layer.name: _all(layer) for layer in convs}
    shapes = layer_shapes(layers, (frames, *architecture.smallest_input[1:], architecture.channels))
    return {layer.name: _live(layer, shapes[layer.inputs[0]][0]) for layer in convs}


def newly_live_taps(architecture: Architecture, source_frames: int, frames: int | None) -> dict[str, list[int]]:
    """Temporal taps that never met data at `source_frames` and would at `frames`, by convolution.

    Args:
        architecture: the net.
        source_frames: clip length in training.
        frames: clip length now; None means any.
    """
    before, after = kernel_taps(architecture, source_frames), kernel_taps(architecture, frames)
    found = {name: sorted({*taps.indices} - {*before[name].indices}) for name, taps in after.items()}
    return {name: taps for name, taps in found.items() if taps}


def initial_scale(layer: Layer, taps: Taps) -> float:
    """Scale of a `VarianceScaling` by fan-out that gives the taps kept the variance they have in the whole kernel."""
    return MSRA_SCALE * taps.count / layer.kernel[0]


def whole_extent(conv) -> int:
    """Temporal extent of the whole kernel of a Keras convolution, trimmed or not.

    A trimmed SR18 has the kernel sizes of MC5. Only the scale of the initialiser tells what was left out.
    """
    initializer = conv.kernel_initializer
    scale = initializer.scale if getattr(initializer, "mode", None) == "fan_out" else MSRA_SCALE
    return round(conv.kernel_size[0] * MSRA_SCALE / scale)


def is_trimmed(model) -> bool:
    """Whether a net of this package's builders lacks taps of its architecture.

    Args:
        model: such a net, or a Keras model that holds one (`net_inside`).
    """
    convs = own_convolutions(net_inside(model)).values()
    return any(conv.kernel_size[0] != whole_extent(conv) for conv in convs)
