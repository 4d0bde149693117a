"""A clip as 2-D maps, one for each frame, and what happens to it along time: the values of the 2-D form.

Everything is written in `keras.ops`, so that it works on symbolic tensors and gives a Keras model. No tensor has more
than four axes: runtimes are slow or unable beyond that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from keras import ops

Pads = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
NO_PADS: Pads = ((0, 0), (0, 0), (0, 0))


@dataclass(frozen=True)
class Maps:
    """A batch of clips, whose frames lie one after the other in the batch axis.

    Args:
        x: `(batch * frames, height, width, channels)`; all but the first known.
        frames: of each clip.
        pads: zeros that are still to be put before and after the frames, rows and columns. A convolution takes them
            into its own padding, so that taps which meet nothing but zeros can be left out.
        order: for each channel, which channel of `x` it is; None where they are the same.
        scale: what each channel of `x` is still to be multiplied by, `(channels,)`; None where it is 1. Order and scale
            are folded into the kernel of a convolution that follows.
    """

    x: object
    frames: int
    pads: Pads = NO_PADS
    order: tuple[int, ...] | None = None
    scale: np.ndarray | None = None

    @property
    def stored(self) -> tuple[int, int, int, int]:
        """(frames, height, width, channels) of what `x` holds, without the zeros that are still to be put around."""
        return (self.frames, *map(int, self.x.shape[1:]))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(frames, height, width, channels) with these zeros."""
        *sizes, channels = self.stored
        return (*(size + sum(pad) for size, pad in zip(sizes, self.pads, strict=True)), channels)

    def by_time(self):
        """`(batch, frames, height * width, channels)`."""
        frames, height, width, channels = self.stored
        return ops.reshape(self.x, (-1, frames, height * width, channels))

    def rows(self):
        """`(batch, frames * height, width, channels)`: the frames above one another, one map to pool."""
        frames, height, width, channels = self.stored
        return ops.reshape(self.x, (-1, frames * height, width, channels))

    def clip(self):
        """`(batch, frames, height, width, channels)`, the tensor of the 3-D model."""
        return ops.reshape(self.x, (-1, *self.stored))

    def with_frames(self, by_time, frames: int) -> Maps:
        """Maps of the same size from `(batch, frames, height * width, channels)`."""
        _, height, width, _ = self.stored
        return Maps(ops.reshape(by_time, (-1, height, width, by_time.shape[-1])), frames)


def as_maps(clip) -> Maps:
    """Maps of a tensor `(batch, frames, height, width, channels)` whose sizes are known but for the batch."""
    frames, *size = map(int, clip.shape[1:])
    return Maps(ops.reshape(clip, (-1, *size)), frames)


def zero_padded(maps: Maps) -> Maps:
    """The same with its zeros put around."""
    if maps.pads == NO_PADS:
        return maps
    (before, after), *sides = maps.pads
    result = replace(maps, pads=NO_PADS)
    if any(map(any, sides)):
        result = replace(result, x=ops.pad(result.x, ((0, 0), *sides, (0, 0))))
    if before or after:
        padded = ops.pad(result.by_time(), ((0, 0), (before, after), (0, 0), (0, 0)))
        result = replace(result.with_frames(padded, maps.frames + before + after), order=maps.order, scale=maps.scale)
    return result


def read_frames(maps: Maps, positions: int, offsets: Sequence[int], stride: int) -> list:
    """For each offset, the frames `offset + stride * position`; zeros where there is no such frame.

    Args:
        maps: the frames.
        positions: how many of them to take.
        offsets: of the first position's frame, may be negative.
        stride: frames from one position to the next.

    Returns:
        A tensor `(batch, positions, height * width, channels)` for each offset.
    """
    x, reach = maps.by_time(), (positions - 1) * stride + 1
    before, after = max(0, -min(offsets)), max(0, max(offsets) + reach - maps.frames)
    if before or after:
        x = ops.pad(x, ((0, 0), (before, after), (0, 0), (0, 0)))
    total = maps.frames + before + after
    return [_part(x, before + offset, reach, stride, total) for offset in offsets]


def _part(x, start: int, length: int, stride: int, total: int):
    return x if (start, length, stride) == (0, total, 1) else x[:, start : start + length : stride]


def windows(maps: Maps, size: int, stride: int, same: bool) -> tuple[list, np.ndarray]:
    """The frames of each pooling window, those outside the clip replaced by the nearest inside it.

    Args:
        maps: the frames.
        size, stride: of the windows, in frames.
        same: whether windows stick out of the clip as Keras' "same" lets them; otherwise none does.

    Returns:
        The n-th frame of every window, `(batch, windows, height * width, channels)` for each n, and a 0-1 array
        `(size, windows)`: whether that frame is really in the window.
    """
    frames = maps.frames
    count = -(-frames // stride) if same else (frames - size) // stride + 1
    before = max(0, (count - 1) * stride + size - frames) // 2 if same else 0
    places = np.arange(size)[:, None] - before + stride * np.arange(count)
    inside = ((places >= 0) & (places < frames)).astype(np.float32)
    # Repeating an edge frame leaves a window's maximum as it is, and unlike minus infinity it can be quantised.
    after = max(0, int(places.max()) + 1 - frames)
    x = maps.by_time()
    if before or after:
        x = ops.concatenate([x[:, :1]] * before + [x] + [x[:, -1:]] * after, 1)
    total, reach = frames + before + after, (count - 1) * stride + 1
    return [_part(x, start, reach, stride, total) for start in range(size)], inside


def repeat_frames(maps: Maps, times: int) -> Maps:
    """Every frame several times, one after the other."""
    if times == 1:
        return maps
    frames, height, width, channels = maps.stored
    x = ops.reshape(maps.x, (-1, 1, height * width, channels))
    x = ops.concatenate([x] * times, 1)
    return Maps(ops.reshape(x, (-1, height, width, channels)), frames * times)


def spread_frames(maps: Maps, stride: int) -> Maps:
    """The frames with `stride - 1` frames of zeros after each but the last."""
    if stride == 1 or maps.frames == 1:
        return maps
    frames, height, width, channels = maps.stored
    x = ops.reshape(maps.x, (-1, 1, height * width, channels))
    x = ops.pad(x, ((0, 0), (0, stride - 1), (0, 0), (0, 0)))
    x = ops.reshape(x, (-1, frames * stride, height * width, channels))
    count = (frames - 1) * stride + 1
    return maps.with_frames(x[:, :count], count)
