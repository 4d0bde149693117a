"""The layers of a model wherever they are in it, and settings that they have for a while; on every backend of Keras."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras


def every_layer(model: keras.Model) -> list[keras.Layer]:
    """The layers of a model in order; those of models and wrapped layers inside it stand in their place."""
    found = []
    for layer in model.layers:
        inner = layer.layer if isinstance(layer, keras.layers.Wrapper) else layer
        found += every_layer(inner) if isinstance(inner, keras.Model) else [inner]
    return found


def batch_norms(net: keras.Model) -> list[keras.layers.BatchNormalization]:
    return [layer for layer in every_layer(net) if isinstance(layer, keras.layers.BatchNormalization)]


@contextlib.contextmanager
def layers_set(layers: list[keras.Layer], attribute: str, value) -> Iterator[None]:
    """The layers have `attribute` set to `value` inside the block; each gets its own back after it."""
    before = [getattr(layer, attribute) for layer in layers]
    for layer in layers:
        setattr(layer, attribute, value)
    try:
        yield
    finally:
        for layer, old in zip(layers, before, strict=True):
            setattr(layer, attribute, old)


def synchronised(net: keras.Model, wanted: bool) -> contextlib.AbstractContextManager[None]:
    """Batch norm over all replicas' clips inside the block; the layers' settings are put back after it."""
    return layers_set(batch_norms(net), "synchronized", wanted)
