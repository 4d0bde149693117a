"""The architecture of a Keras model, read back from its layers: a saved model needs no file beside it for this."""

from __future__ import annotations

import itertools
import re

from keras_res3d.nets.architecture import FACTORIZATIONS, Architecture, walk

_BRANCH = re.compile(r"res(\d)([a-z])_branch2a(?:_temporal)?")
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


def _common_fields(model, layers: dict, convs: dict, firsts: dict) -> dict:
    plain = "conv1a" in convs or "conv1a_temporal" in convs
    width = firsts[1][-1].filters
    head = layers.get("fc8") or layers.get("fc8-1")
    dense = tuple(layers[name].units for name in ("fc6-1", "fc7-1") if name in layers)
    norms = [layer for layer in layers.values() if type(layer).__name__.endswith("BatchNormalization")]
    _, frames, height, *_ = model.input_shape
    return {
        "name": model.name,
        "width": width,
        "blocks": _count_blocks(convs, plain),
        "multipliers": tuple(firsts[group][-1].filters // width for group in range(1, 6)),
        "temporal_kernels": tuple(firsts[group][-1].kernel_size[0] for group in range(1, 6)),
        "strides": tuple(_joint_strides(firsts[group]) for group in range(1, 6)),
        "conv1": firsts[1][0].kernel_size[1],
        "shortcut": None if plain else "projection" if "res2a_branch1" in convs else "identity",
        "pools": tuple(tuple(layers[f"pool{g}"].pool_size) for g in range(1, 6)) if "pool1" in layers else (),
        "dense": dense,
        **({"frames": frames} if frames else {}),
        **({"crop": height} if height else {}),
        **({"classes": head.units} if head is not None else {}),
        "batch_norm_momentum": norms[0].momentum if norms else None,
    }


def _candidates(fields: dict, firsts: dict):
    """Architectures that would explain the layers seen; the walk decides."""
    if len(firsts[1]) == 1:
        yield Architecture(**fields)
        return
    stem = firsts[1][0].filters
    for rule, per_block, fixed in itertools.product(FACTORIZATIONS, (False, True), (None, stem)):
        yield Architecture(**fields, factorized=rule, factorized_per_block=per_block, factorized_stem=fixed)


def architecture_of(model) -> Architecture:
    """The `Architecture` that built `model`, verified convolution by convolution against its walk.

    Args:
        model: a Keras model from this package's builders, saved and loaded or not, with or without its top.

    Raises:
        ValueError: the model's layers are not those of any architecture of this family.
    """
    layers = {layer.name: layer for layer in model.layers}
    convs = {name: layer for name, layer in layers.items() if type(layer).__name__ == "Conv3D"}
    firsts = _first_convs(convs)
    refusal = f"{model.name} is not a net of this family: expected layers named as build_model names them"
    if len(firsts) != 5:
        raise ValueError(f"{refusal}; it has {', '.join(list(convs)[:5]) or 'no 3D convolution'}")
    seen = {
        name: (layer.filters, tuple(layer.kernel_size), tuple(layer.strides), layer.use_bias)
        for name, layer in convs.items()
    }
    for architecture in _candidates(_common_fields(model, layers, convs, firsts), firsts):
        walked = {
            layer.name: (layer.channels_out, layer.kernel, layer.strides, layer.bias)
            for layer in walk(architecture)
            if layer.op == "conv"
        }
        if walked == seen:
            return architecture
    raise ValueError(f"{refusal}; the names fit but kernels, strides or channels do not")
