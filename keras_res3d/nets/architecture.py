"""A net of this family as one value, and the walk over its layers that everything else reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

Triple = tuple[int, int, int]

# Intermediate channels of a t x d x d convolution from n to m channels that is split into 1 x d x d and t x 1 x 1.
# "2.5d": the paper's rule (section 4.3), each convolution by its own n and m. "r2plus1d": torchvision's.
FACTORIZATIONS = {
    "2.5d": lambda n, m, t, d: -(-t * m * n * d * d // (n * d * d + t * m)),
    "r2plus1d": lambda n, m, t, d: t * m * n * d * d // (n * d * d + t * m),
}

# What a field may be, from 1: far more than any net has, and little enough that no file which says more can keep the
# walk over a net's layers busy for ever.
LARGEST = {"width": 1 << 17, "blocks": 1_000, "multipliers": 1_024, "temporal_kernels": 101, "strides": 1_024,
           "conv1": 101, "factorized_stem": 65_536, "pools": 1_024, "dense": 1_000_000, "frames": 10_000,
           "crop": 16_384, "classes": 1_000_000, "channels": 65_536}  # fmt: skip
# The same for the sizes of a clip, (frames, height, width, channels).
LARGEST_CLIP = (LARGEST["frames"], LARGEST["crop"], LARGEST["crop"], LARGEST["channels"])


@dataclass(frozen=True)
class Architecture:
    """One net, in the paper's own notation. `dataclasses.replace` makes variants.

    Attributes:
        name: the row's name, and the Keras model's.
        width: k; the five groups have `k * multipliers` channels.
        blocks: residual blocks of conv2_x to conv5_x; of a plain net, the convolutions of its five groups.
        multipliers: channels of the five groups, in units of `width`.
        temporal_kernels: temporal extent of the kernels in each of the five groups, odd.
        strides: (time, height, width) of each group's first convolution.
        conv1: spatial extent of the first kernel, odd; all later ones are 3 x 3.
        factorized: None for whole convolutions, or a key of `FACTORIZATIONS`.
        factorized_stem: intermediate channels of a factorized conv1; None takes them from the rule of `factorized`.
        factorized_per_block: one intermediate width per block, from the block's own channels in and out, for both
            of its convolutions (torchvision); otherwise each convolution has its own.
        shortcut: "projection" in the first block of every group (the released net), "identity" wherever shape
            allows it (torchvision), or None for a plain stack of convolutions (C3D).
        pools: max-pooling after each of the five groups of a plain net, stride = kernel; () for none.
        dense: units of the hidden fully connected layers, each with ReLU and dropout 0.5, read from the flattened
            map; () makes the head a global average.
        frames, crop: the net's own input, `(frames, crop, crop, channels)`.
        classes: outputs when the caller names none.
        batch_norm_momentum: Keras' momentum of the moving statistics (eps is 1e-5); None builds convolutions with
            biases and without batch norm.
        channels: of the input: 3 for RGB and BGR, 1 for thermal video, 2 for optical flow, 4 with depth.
    """

    name: str
    width: int = 64
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    multipliers: tuple[int, ...] = (1, 1, 2, 4, 8)
    temporal_kernels: tuple[int, ...] = (3, 3, 3, 3, 3)
    strides: tuple[Triple, ...] = ((1, 2, 2), (1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    conv1: int = 7
    factorized: str | None = None
    factorized_stem: int | None = None
    factorized_per_block: bool = False
    shortcut: str | None = "projection"
    pools: tuple[Triple, ...] = ()
    dense: tuple[int, ...] = ()
    frames: int = 8
    crop: int = 112
    classes: int = 101
    batch_norm_momentum: float | None = 0.999
    channels: int = 3

    def __post_init__(self):
        # JSON gives lists where the fields are tuples; equality and hashing want tuples.
        for field in ("blocks", "multipliers", "temporal_kernels", "dense"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        for field in ("strides", "pools"):
            object.__setattr__(self, field, tuple(tuple(triple) for triple in getattr(self, field)))
        for fault in self._faults():
            raise ValueError(f"Architecture {self.name!r}: {fault}")

    def _faults(self) -> Iterator[str]:
        blocks = 5 if self.shortcut is None else 4
        expected_lengths = {"blocks": blocks, "multipliers": 5, "temporal_kernels": 5, "strides": 5}
        for field, length in expected_lengths.items():
            if len(getattr(self, field)) != length:
                yield f"{field} is {getattr(self, field)}; expected {length} values"
        if len(self.pools) not in (0, 5):
            yield f"pools is {self.pools}; expected none or one per group (5)"
        if not isinstance(self.name, str):
            yield "expected a string for its name"
        for field, largest in LARGEST.items():
            value = getattr(self, field)
            fits = all(type(number) is int and 1 <= number <= largest for number in _flat(value))
            if not fits and (field, value) != ("factorized_stem", None):
                yield f"{field} is {value!r}; expected integers from 1 to {largest:,}"
        if any(len(triple) != 3 for triple in self.strides + self.pools):
            yield f"strides is {self.strides}, pools {self.pools}; expected (time, height, width) of each group"
        if any(n % 2 == 0 for n in (self.conv1, *self.temporal_kernels)):
            yield f"kernels are odd; conv1 is {self.conv1}, temporal_kernels {self.temporal_kernels}"
        if self.factorized not in (None, *FACTORIZATIONS):
            yield f"factorized is {self.factorized!r}; expected None or one of {sorted(FACTORIZATIONS)}"
        if self.shortcut not in (None, "projection", "identity"):
            yield f"shortcut is {self.shortcut!r}; expected 'projection', 'identity' or None"
        momentum = self.batch_norm_momentum
        if momentum is not None and not (isinstance(momentum, (int, float)) and 0 <= momentum <= 1):
            yield f"batch_norm_momentum is {momentum!r}; expected None or a number from 0 to 1"

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """The net's own input, `(frames, height, width, channels)`."""
        return (self.frames, self.crop, self.crop, self.channels)

    @property
    def smallest_input(self) -> Triple:
        """The fewest frames, rows and columns that every strided layer can still read."""
        steps = self.strides + self.pools
        smallest = [1, 1, 1]
        for step in steps:
            smallest = [a * b for a, b in zip(smallest, step, strict=True)]
        return tuple(smallest)

    @property
    def fixed_input(self) -> bool:
        """Whether the head reads a flattened map, so that only one clip size fits."""
        return bool(self.dense)

    def to_dict(self) -> dict:
        """A JSON-ready dictionary; `Architecture(**d)` reads it back."""
        return dataclasses.asdict(self)


def _flat(value) -> list:
    """The numbers in a field: of a tuple, of a tuple of tuples, or one."""
    return [number for each in value for number in _flat(each)] if isinstance(value, tuple) else [value]


@dataclass(frozen=True)
class Layer:
    """One step of the walk.

    Attributes:
        op: "conv", "norm", "relu", "add", "pool", "average" (global), "flatten", "dense" or "dropout".
        name: the layer's name, as in the released net.
        inputs: names of the layers it reads; "input" is the clip.
        group: 1 to 5, or 0 for the head.
        channels_in, channels_out: of convolutions; a dense layer's `channels_out` is its units.
        kernel, strides: (time, height, width) of convolutions and pools.
        bias: whether the convolution or dense layer adds one.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    group: int
    channels_in: int = 0
    channels_out: int = 0
    kernel: Triple = (1, 1, 1)
    strides: Triple = (1, 1, 1)
    bias: bool = False


class _Walker:
    """Collects layers; every method returns the name of the layer that the next one reads."""

    def __init__(self, architecture: Architecture):
        self.net = architecture
        self.layers: list[Layer] = []

    def add(self, op, name, *inputs, group, **fields) -> str:
        self.layers.append(Layer(op, name, inputs, group, **fields))
        return name

    def conv(self, name, source, group, n, m, kernel, strides, relu) -> str:
        """One convolution with its batch norm, and ReLU if asked."""
        norm = self.net.batch_norm_momentum is not None
        x = self.add("conv", name, source, group=group, channels_in=n, channels_out=m, kernel=kernel,
                     strides=strides, bias=not norm)  # fmt: skip
        if norm:
            norm_name = name.replace("res", "bn", 1) if name.startswith("res") else f"bn_{name}"
            x = self.add("norm", norm_name, x, group=group, channels_out=m)
        return self.add("relu", f"{name}_relu", x, group=group) if relu else x

    def body_conv(self, name, source, group, n, m, d, strides, relu, middle=None) -> str:
        """A t x d x d convolution, whole or in two halves."""
        t = self.net.temporal_kernels[group - 1]
        if self.net.factorized is None:
            return self.conv(name, source, group, n, m, (t, d, d), strides, relu)
        middle = middle or FACTORIZATIONS[self.net.factorized](n, m, t, d)
        x = self.conv(f"{name}_spatial", source, group, n, middle, (1, d, d), (1, *strides[1:]), relu=True)
        return self.conv(f"{name}_temporal", x, group, middle, m, (t, 1, 1), (strides[0], 1, 1), relu)

    def block(self, name, source, group, n, m, strides) -> str:
        net = self.net
        middle = None
        if net.factorized and net.factorized_per_block:
            middle = FACTORIZATIONS[net.factorized](n, m, net.temporal_kernels[group - 1], 3)
        first = name.endswith("a")
        x = self.body_conv(f"res{name}_branch2a", source, group, n, m, 3, strides, True, middle)
        x = self.body_conv(f"res{name}_branch2b", x, group, m, m, 3, (1, 1, 1), False, middle)
        fits = n == m and strides == (1, 1, 1)
        if first and not (net.shortcut == "identity" and fits):
            source = self.conv(f"res{name}_branch1", source, group, n, m, (1, 1, 1), strides, relu=False)
        x = self.add("add", f"res{name}_sum", source, x, group=group)
        # The released net's ReLU works in place: what it calls res5b is the value after it.
        return self.add("relu", f"res{name}", x, group=group)

    def residual(self) -> str:
        net = self.net
        n = net.width * net.multipliers[0]
        x = self.body_conv("conv1", "input", 1, net.channels, n, net.conv1, net.strides[0], True, net.factorized_stem)
        for group, count in enumerate(net.blocks, 2):
            m = net.width * net.multipliers[group - 1]
            for index in range(count):
                strides = net.strides[group - 1] if index == 0 else (1, 1, 1)
                x = self.block(f"{group}{chr(ord('a') + index)}", x, group, n, m, strides)
                n = m
        return x

    def plain(self) -> str:
        net, x, n = self.net, "input", self.net.channels
        for group, count in enumerate(net.blocks, 1):
            m = net.width * net.multipliers[group - 1]
            for index in range(count):
                d = net.conv1 if group == 1 else 3
                strides = net.strides[group - 1] if index == 0 else (1, 1, 1)
                x = self.body_conv(f"conv{group}{chr(ord('a') + index)}", x, group, n, m, d, strides, True)
                n = m
            if net.pools:
                pool = net.pools[group - 1]
                x = self.add("pool", f"pool{group}", x, group=group, kernel=pool, strides=pool)
        return x

    def head(self, x, classes) -> str:
        units = self.net.dense
        if not units:
            x = self.add("average", "pool5", x, group=0)
            return self.add("dense", "fc8", x, group=0, channels_out=classes, bias=True)
        x = self.add("flatten", "flatten", x, group=0)
        for number, count in enumerate(units, 6):
            x = self.add("dense", f"fc{number}-1", x, group=0, channels_out=count, bias=True)
            x = self.add("relu", f"fc{number}-1_relu", x, group=0)
            x = self.add("dropout", f"drop{number}", x, group=0)
        return self.add("dense", f"fc{6 + len(units)}-1", x, group=0, channels_out=classes, bias=True)


def walk(architecture: Architecture, classes: int | None = None, include_top: bool = True) -> list[Layer]:
    """Every layer of `architecture` in order, without the softmax; the last layer of the body gives the feature map.

    Args:
        architecture: the net.
        classes: outputs of the classifier; None means the net's own.
        include_top: whether to add pooling and classifier.

    Raises:
        ValueError: `classes` is not an integer from 1.
    """
    classes = architecture.classes if classes is None else classes
    if not isinstance(classes, int) or classes < 1:
        raise ValueError(f"classes is {classes!r}; expected an integer from 1")
    walker = _Walker(architecture)
    x = walker.plain() if architecture.shortcut is None else walker.residual()
    if include_top:
        walker.head(x, classes)
    return walker.layers


def convolutions(architecture: Architecture) -> list[Layer]:
    """The convolutions of the walk, in order."""
    return [layer for layer in walk(architecture) if layer.op == "conv"]


def check_input_shape(architecture: Architecture, input_shape) -> tuple:
    """`input_shape` as a tuple `(frames, height, width, channels)`; a size of None means any.

    Raises:
        ValueError: wrong rank, an unknown number of channels, a size below the strides' product (TensorFlow would
            return uninitialised memory for an empty map).
    """
    needed = "x".join(str(n) for n in architecture.smallest_input)
    expected = f"{architecture.name} needs (frames, height, width, channels) of at least {needed}"
    shape = tuple(input_shape)
    if len(shape) != 4:
        raise ValueError(f"input_shape is {shape}; {expected}")
    if not isinstance(shape[3], int) or shape[3] < 1:
        raise ValueError(f"input_shape is {shape}; {expected}, channels last and their number known")
    for size, least, most in zip(shape, (*architecture.smallest_input, 1), LARGEST_CLIP, strict=True):
        if size is not None and (not isinstance(size, int) or size < least):
            raise ValueError(f"input_shape is {shape}; {expected}, channels last")
        if size is not None and size > most:
            at_most = "x".join(str(n) for n in LARGEST_CLIP)
            raise ValueError(f"input_shape is {shape}; expected (frames, height, width, channels) of at most {at_most}")
    return shape


def for_input(architecture: Architecture, input_shape=None) -> tuple[Architecture, tuple]:
    """The net for clips of `input_shape`, with as many input channels as the shape has, and that shape.

    Args:
        architecture: the net.
        input_shape: `(frames, height, width, channels)`; None means the net's own.

    Raises:
        ValueError: as of `check_input_shape`.
    """
    shape = check_input_shape(architecture, architecture.input_shape if input_shape is None else input_shape)
    return dataclasses.replace(architecture, channels=shape[3]), shape


def layer_shapes(layers: list[Layer], input_shape: tuple) -> dict[str, tuple]:
    """Output shape of every layer for a clip of `input_shape`, all sizes known: `(t, h, w, c)` or `(c,)`."""
    shapes = {"input": tuple(input_shape)}
    for layer in layers:
        shape = shapes[layer.inputs[0]]
        if layer.op in ("conv", "pool"):
            # Symmetric padding of an odd kernel, and pooled sizes that round up, both give ceil(size / stride).
            sizes = tuple(-(-size // step) for size, step in zip(shape[:3], layer.strides, strict=True))
            shape = (*sizes, layer.channels_out or shape[3])
        elif layer.op == "average":
            shape = shape[3:]
        elif layer.op == "flatten":
            shape = (shape[0] * shape[1] * shape[2] * shape[3],)
        elif layer.op == "dense":
            shape = (layer.channels_out,)
        shapes[layer.name] = shape
    return shapes
