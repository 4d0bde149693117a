"""From the tensors of a weights file to the variables of a Keras net, all faults in one error."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from keras_res3d.nets.architecture import Architecture
from keras_res3d.weights.names import Arrays, Wanted, wanted_tensors
from keras_res3d.weights.sketch import differences, sketch
from keras_res3d.weights.source import Source, WeightsError

# Raised whenever the same file would convert to other numbers.
CONVERTER_VERSION = 1
ADAPT = "adapt"
_LISTED = 5


@dataclass
class Converted:
    """The variables of a net.

    Attributes:
        layers: by Keras layer name, the arrays as `layer.set_weights` takes them.
        notices: what the user should know about how they were made.
    """

    layers: dict[str, Arrays] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def first_few(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


@dataclass
class _Faults:
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def check(self, source: Source, architecture: Architecture, wanted: list[Wanted]) -> None:
        """Raises WeightsError if there are any: first in what the nets differ, then the tensors."""
        lists = {"missing": self.missing, "misshapen or impossible": self.misshapen, "unused": self.unused}
        told = [f"{kind} ({len(names)}): {first_few(names)}" for kind, names in lists.items() if names]
        if not told:
            return
        ours = {key: shape for entry in wanted for key, shape in zip(entry.keys, entry.shapes, strict=True)}
        theirs = {name: tensor.shape for name, tensor in source.tensors.items()}
        differing = differences(sketch(theirs, source.family), sketch(ours, source.family))
        reason = f": {', '.join(differing)}" if differing else ""
        if any("input channels" in phrase for phrase in differing):
            reason += f' (channels="{ADAPT}" makes a first kernel for your channels from theirs)'
        raise WeightsError(f"{source.path} does not fit {architecture.name}{reason}. {'. '.join(told)}")


def _without_ones(shape) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _same_shape(found: tuple, expected: tuple) -> bool:
    """Old files keep vectors and matrices in blobs of four or five axes, the leading ones 1."""
    return found == expected or (len(expected) < 5 and _without_ones(found) == _without_ones(expected))


def _other_classes(source: Source, wanted: Wanted) -> int | None:
    """The number of classes of a classifier that differs from the wanted one in that alone."""
    if wanted.classes_axis is None or any(key not in source.tensors for key in wanted.keys):
        return None
    weights, bias = (source.tensors[key] for key in wanted.keys)
    classes = bias.size
    shape = tuple(classes if i == wanted.classes_axis else n for i, n in enumerate(wanted.shapes[0]))
    return classes if classes != wanted.shapes[1][0] and _same_shape(weights.shape, shape) else None


def _identity(wanted: Wanted) -> Arrays:
    """A projection, or its batch norm, that changes nothing: gamma makes up for the norm's epsilon."""
    from keras_res3d.nets.build import EPSILON  # which imports Keras; describing a file needs none

    if len(wanted.shapes) == 1:
        channels = max(wanted.shapes[0])  # square, and 1 x 1 x 1 in whichever order of axes
        return [np.eye(channels, dtype=np.float32).reshape(1, 1, 1, channels, channels)]
    zeros, ones = np.zeros(wanted.shapes[0], np.float32), np.ones(wanted.shapes[0], np.float32)
    return [ones * np.float32(np.sqrt(1 + EPSILON)), zeros, zeros, ones]


def _identity_layers(source: Source, architecture: Architecture, wanted: list[Wanted]) -> set[str]:
    """res2a's projection and its norm where the source's net, like torchvision's, has none: shape asks for none."""
    pair = [entry for entry in wanted if entry.layer in ("res2a_branch1", "bn2a_branch1")]
    fits = architecture.multipliers[0] == architecture.multipliers[1] and architecture.strides[1] == (1, 1, 1)
    absent = not any(key in source.tensors for entry in pair for key in entry.keys)
    # A Caffe file without it is a faulty one: the released nets have it.
    if len(pair) == 2 and fits and absent and source.family != "caffe":
        return {entry.layer for entry in pair}
    return set()


def _gather(source: Source, wanted: Wanted, faults: _Faults) -> Arrays | None:
    """The source's tensors of one layer in the shapes asked for; None where they do not fit, with the faults noted."""
    missing = [key for key in wanted.keys if key not in source.tensors]
    faults.missing += missing
    if missing:
        return None
    arrays = [source.tensors[key] for key in wanted.keys]
    wrong = [
        f"{key} is {array.shape}, expected {shape}"
        for key, array, shape in zip(wanted.keys, arrays, wanted.shapes, strict=True)
        if not _same_shape(array.shape, shape) or array.dtype != np.float32
    ]
    if wrong:
        faults.misshapen += wrong
        return None
    arrays = [array.reshape(shape) for array, shape in zip(arrays, wanted.shapes, strict=True)]
    made = [np.ascontiguousarray(array) for array in wanted.make(arrays)]
    if not all(np.isfinite(array).all() for array in made):  # the source's tensors are finite
        told = f"; its scale factor is {arrays[2].item():g}" if len(arrays) == 5 else ""
        faults.misshapen.append(f"{wanted.layer} becomes NaN or infinite{told}")
    elif len(made) == 4 and (made[3] < 0).any():
        faults.misshapen.append(f"{wanted.layer} has negative variances")
    return made


def adapt_channels(kernel: np.ndarray, axis: int, channels: int) -> np.ndarray:
    """A kernel for another number of input channels, each the mean of the old ones, scaled by old number over new.

    From RGB to n channels, each is the mean times 3 / n. A clip that is the same in every channel then gives the same
    response as before.

    Args:
        kernel: with its input channels on `axis`.
        axis: of the input channels.
        channels: how many there are to be.
    """
    mean = kernel.mean(axis, np.float64, keepdims=True) * (kernel.shape[axis] / channels)
    return np.repeat(mean.astype(np.float32), channels, axis)


def _with_channels(source: Source, wanted: list[Wanted], result: Converted) -> Source:
    """The source with its first kernel adapted to the net's input channels, with a notice if that changes it."""
    first = next(entry for entry in wanted if entry.channels_axis is not None)
    kernel, axis = source.tensors.get(first.keys[0]), first.channels_axis
    channels = first.shapes[0][axis]
    if kernel is None or kernel.ndim != 5 or kernel.shape[axis] == channels:
        return source
    result.notices.append(
        f"input channels of {first.layer}: {channels} here, {kernel.shape[axis]} in {source.path.name}; each is given "
        f"the mean of the file's kernels times {kernel.shape[axis]} / {channels}"
    )
    adapted = adapt_channels(kernel, axis, channels)
    return replace(source, tensors={**source.tensors, first.keys[0]: adapted})


def _all_sizes(architecture: Architecture, input_shape) -> tuple:
    sizes = input_shape or (None,) * 4
    return tuple(size or own for size, own in zip(sizes, architecture.input_shape, strict=True))


def _scale_factor_notice(source: Source, wanted: list[Wanted]) -> list[str]:
    zero = [e.layer for e in wanted if len(e.keys) == 5 and not source.tensors[e.keys[2]].any()]
    if not zero:
        return []
    return [f"the statistics of {', '.join(zero)} have scale factor 0: never trained; mean and variance become 0"]


def convert(source: Source, architecture: Architecture, include_top: bool = True, input_shape=None,
            classes: int | None = None, channels: str | None = None) -> Converted:  # fmt: skip
    """The variables of `architecture` from `source`.

    A classifier with another number of classes is left out, with a notice. Weights without a projection in res2a
    (torchvision's) fit a net that has one: the projection becomes the identity, with a notice.

    Args:
        source: what `read_tensors` gives.
        architecture: the net.
        include_top: False leaves the head's tensors alone, whatever their shapes.
        input_shape: `(frames, height, width, channels)` of the Keras net; None means the architecture's own.
        classes: outputs of the net's classifier; None means the architecture's own number.
        channels: "adapt" makes the first kernel for the net's input channels from the source's (see
            `adapt_channels`); None refuses a source with another number of input channels.

    Raises:
        WeightsError: a tensor is missing, is not used or has another shape. The message says in what the nets differ,
            and names the first tensors of each kind.
    """
    architecture = replace(architecture, classes=classes or architecture.classes)
    wanted = list(wanted_tensors(source, architecture, _all_sizes(architecture, input_shape)))
    identity = _identity_layers(source, architecture, wanted)
    result, faults = Converted(), _Faults()
    if channels == ADAPT:
        source = _with_channels(source, wanted, result)
    used = {key for entry in wanted for key in entry.keys}
    # The counters of PyTorch's batch norms are of no use here.
    faults.unused += [key for key in source.tensors if key not in used and not key.endswith(".num_batches_tracked")]
    wanted = [entry for entry in wanted if include_top or not entry.top]
    for entry in wanted:
        if entry.layer in identity:
            result.layers[entry.layer] = _identity(entry)
        elif (classes := _other_classes(source, entry)) is not None:
            result.notices.append(
                f"{entry.layer} is left as it was: {source.path.name} has {classes} classes, "
                f"and the model has {entry.shapes[1][0]}"
            )
        elif (arrays := _gather(source, entry, faults)) is not None:
            result.layers[entry.layer] = arrays
    faults.check(source, architecture, wanted)
    if identity:
        result.notices.append("res2a's projection is set to the identity, since the weights' net has none")
    result.notices += _scale_factor_notice(source, wanted)
    return result


def count_classes(source: Source, architecture: Architecture) -> int:
    """Outputs of the classifier in `source`, which may differ from the architecture's own number.

    Raises:
        WeightsError: there is no classifier in it.
    """
    *_, last = wanted_tensors(source, architecture, architecture.input_shape)
    bias = source.tensors.get(last.keys[1])
    if bias is None:
        raise WeightsError(f"{source.path} has no classifier {last.keys[1]}; expected the whole of {architecture.name}")
    return bias.size
