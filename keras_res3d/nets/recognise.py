"""The architecture of a Keras model, read back from its layers. A model's card says it too; this needs no file."""

from __future__ import annotations

import itertools
import re

from keras_res3d.nets.architecture import FACTORIZATIONS, Architecture, walk
from keras_res3d.nets.inside import net_inside, own_convolutions
from keras_res3d.nets.taps import Taps, is_trimmed, kernel_taps, whole_extent

_BRANCH = re.compile(r"res(\d)([a-z])_branch2a(?:_temporal)?")
_DENSE = re.compile(r"fc\d-1")
_PLAIN = re.compile(r"conv(\d)([a-z])(?:_temporal)?")


def _first_convs(convs: dict) -> dict[int, list]:
    """The first convolution of each group: [whole] or [spatial half, temporal half]."""
    firsts = {}
    for group in range(1, 6):
        stems = ("conv1", "conv1a") if group == 1 else (f"res{group}a_branch2a", f"conv{group}a")
        for stem in stems:
            names = [stem, f"{stem}_spatial", f"{stem}_temporal"]
            if found := [convs[name] for name in names if name in convs]:
                firsts[group] = found
    return firsts


def _count_blocks(convs: dict, plain: bool) -> tuple[int, ...]:
    pattern = _PLAIN if plain else _BRANCH
    groups = [match[1] for name in convs if (match := pattern.fullmatch(name))]
    return tuple(groups.count(str(group)) for group in range(1 if plain else 2, 6))


def _joint_strides(halves) -> tuple[int, int, int]:
    """Of a whole convolution, or of a spatial and a temporal half together."""
    steps = zip(*(layer.strides for layer in halves), strict=True)
    return tuple(max(step) for step in steps)


def _own_input(model) -> tuple:
    """Shape of the clips that a net's first convolution reads, None where a size is open.

    A model that was built on an `input_tensor` may read something else.
    """
    convs = own_convolutions(model)
    readers = {*convs, *(f"{name}_pad" for name in convs)}
    for layer in model.layers:
        if layer.name in readers:
            return tuple(layer.input.shape)
    return tuple(model.input_shape)


def _common_fields(model, layers: dict, convs: dict, firsts: dict) -> dict:
    plain = "conv1a" in convs or "conv1a_temporal" in convs
    width = firsts[1][-1].filters
    # Hidden layers are numbered from fc6-1 on, and the classifier after them; without any it is fc8.
    flat = [layers[name] for name in sorted(layers) if _DENSE.fullmatch(name)]
    head = flat[-1] if flat else layers.get("fc8")
    norms = [layer for name, layer in layers.items() if name.startswith("bn") and hasattr(layer, "momentum")]
    _, frames, height, *_ = _own_input(model)
    return {
        "name": model.name,
        "width": width,
        "blocks": _count_blocks(convs, plain),
        "multipliers": tuple(firsts[group][-1].filters // width for group in range(1, 6)),
        "temporal_kernels": tuple(whole_extent(firsts[group][-1]) for group in range(1, 6)),
        "strides": tuple(_joint_strides(firsts[group]) for group in range(1, 6)),
        "conv1": firsts[1][0].kernel_size[1],
        "shortcut": None if plain else "projection" if "res2a_branch1" in convs else "identity",
        "pools": tuple(tuple(layers[f"pool{g}"].pool_size) for g in range(1, 6)) if "pool1" in layers else (),
        "dense": tuple(layer.units for layer in flat[:-1]),
        **({"frames": frames} if frames else {}),
        **({"crop": height} if height else {}),
        **({"classes": head.units} if head is not None else {}),
        "batch_norm_momentum": norms[0].momentum if norms else None,
        "channels": firsts[1][0].kernel.shape[-2],
    }


def _candidates(fields: dict, firsts: dict):
    """Architectures that would explain the layers seen; the walk decides."""
    if len(firsts[1]) == 1:
        yield Architecture(**fields)
        return
    stem = firsts[1][0].filters
    for rule, per_block, fixed in itertools.product(FACTORIZATIONS, (False, True), (None, stem)):
        yield Architecture(**fields, factorized=rule, factorized_per_block=per_block, factorized_stem=fixed)


def convolutions_of(architecture: Architecture, taps: dict | None = None) -> dict[str, tuple]:
    """By name, (channels, kernel, strides, bias) of the convolutions of a net.

    Args:
        architecture: the net.
        taps: `kernel_taps` of a trimmed net; None gives the whole kernels.
    """
    return {
        layer.name: (layer.channels_out, (taps[layer.name].count, *layer.kernel[1:]) if taps else tuple(layer.kernel),
                     layer.strides, layer.bias)
        for layer in walk(architecture)
        if layer.op == "conv"
    }  # fmt: skip


def architecture_of(model) -> Architecture:
    """The `Architecture` that built `model`, verified convolution by convolution against its walk.

    Args:
        model: a Keras model from this package's builders, saved and loaded or not, with or without its top; a
            trimmed one gives the whole architecture. A Keras model that extends such a net by other layers, or holds
            it as a nested model, is taken too.

    Raises:
        ValueError: the model's layers are not those of any architecture of this family, or those of several nets.
    """
    model = net_inside(model)
    layers, convs = {layer.name: layer for layer in model.layers}, own_convolutions(model)
    firsts = _first_convs(convs)
    refusal = f"{model.name} is not a net of this family: expected layers named as build_model names them"
    if len(firsts) != 5:
        found = [name for name, layer in layers.items() if type(layer).__name__ == "Conv3D"]
        raise ValueError(f"{refusal}; it has {', '.join(found[:5]) or 'no 3D convolution'}")
    seen = {
        name: (layer.filters, tuple(layer.kernel_size), tuple(layer.strides), layer.use_bias)
        for name, layer in convs.items()
    }
    trimmed_to = _own_input(model)[1] if is_trimmed(model) else None
    for architecture in _candidates(_common_fields(model, layers, convs, firsts), firsts):
        if convolutions_of(architecture, kernel_taps(architecture, trimmed_to)) == seen:
            return architecture
    raise ValueError(f"{refusal}; the names fit but kernels, strides or channels do not")


def taps_of(model) -> dict[str, Taps]:
    """By convolution, the temporal taps that a model of this package's builders has."""
    return kernel_taps(architecture_of(model), _own_input(net_inside(model))[1] if is_trimmed(model) else None)
