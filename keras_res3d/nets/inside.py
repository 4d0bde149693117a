"""Where a net of this family is inside a Keras model: the model itself, one with a user's layers, or one within it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

_HALF = r"(_spatial|_temporal)?"
_CONVOLUTION = re.compile(rf"(conv1|conv[1-5][ab]|res[2-5][a-z]_branch(1|2a|2b)){_HALF}")
_FIRST = re.compile(rf"conv1a?{_HALF}")


def own_convolutions(model) -> dict[str, object]:
    """The 3-D convolutions of `model` that have names of this family's, by name; a user's other layers are left out."""
    return {
        layer.name: layer
        for layer in model.layers
        if type(layer).__name__ == "Conv3D" and _CONVOLUTION.fullmatch(layer.name)
    }


def _nets(model) -> list:
    if any(_FIRST.fullmatch(name) for name in own_convolutions(model)):
        return [model]
    return [net for layer in model.layers if hasattr(layer, "layers") for net in _nets(layer)]


def net_inside(model: keras.Model) -> keras.Model:
    """The Keras model whose layers are a net of this family: one nested in `model`, or else `model` itself.

    Raises:
        ValueError: `model` holds several such nets.
    """
    nets = list({id(net): net for net in _nets(model)}.values())
    if len(nets) > 1:
        names = ", ".join(net.name for net in nets)
        raise ValueError(f"{model.name} holds several nets ({names}); expected one: pass model.get_layer(its name)")
    return nets[0] if nets else model
