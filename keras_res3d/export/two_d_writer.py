"""Makes the layers of a 2-D form, each once and under a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import keras
import numpy as np
from keras import layers

from keras_res3d.export.maps import Maps, as_maps, zero_padded
from keras_res3d.export.stand_ins import find_stand_in


class Writer:
    """Makes the layers of a 2-D form, each once however often it is called, under names that do not repeat.

    Args:
        stand_ins: functions that give a stock layer for one of a class, as `to_2d` takes them.

    Attributes:
        taken_over: (name, function, specs of its tensors) of every layer and operation that no rule is known for.
    """

    def __init__(self, stand_ins: Mapping[type, Callable] | None = None):
        self.taken_over: list[tuple] = []
        self._stand_ins = dict(stand_ins or {})
        self._stood_in: dict[int, tuple] = {}
        self._made: dict[tuple, tuple] = {}
        self._names: set[str] = set()

    def stand_in(self, operation):
        """The stock layer that computes what `operation` does, where one is known; otherwise `operation`."""
        if id(operation) not in self._stood_in:
            self._stood_in[id(operation)] = (find_stand_in(operation, self._stand_ins), operation)
        return self._stood_in[id(operation)][0]

    def name(self, wanted: str) -> str:
        """A name that no other layer has."""
        return unique_name(wanted, self._names)

    def make(self, source, kind, weights: Callable, key=(), **config):
        """A layer that stands for `source`; it takes its weights at its first call.

        Args:
            source: the layer of the model.
            kind: class of the new layer.
            weights: called at first use; gives its arrays.
            key: what else the new layer depends on, where `source` is called several times.
            config: of the new layer.
        """
        key = (id(source), kind, *key)
        if key not in self._made:
            layer = kind(name=self.name(source.name), dtype="float32", **config)
            self._made[key] = (_WithWeights(layer, weights), source)  # the source is kept, so that its id stays its own
        return self._made[key][0]

    def copy(self, source):
        """A layer like `source`, in float32, with its weights."""
        key = (id(source), "copy")
        if key not in self._made:
            self._made[key] = (_WithWeights(_like(source, self.name(source.name)), source.get_weights), source)
        return self._made[key][0]

    def plain(self, value):
        """An ordinary tensor, `(batch, frames, height, width, channels)` for maps."""
        return self.settled(value).clip() if isinstance(value, Maps) else value

    def settled(self, maps: Maps) -> Maps:
        """Maps with nothing left to be done to their pixels, and no zeros to be put around."""
        if maps.order is not None or maps.scale is not None:
            channels = maps.stored[-1]
            kernel = np.eye(channels)[list(maps.order or range(channels))].T * _scale_of(maps)[:, None]
            layer = self.make(_CHANNELS, layers.Conv2D, lambda: [kernel[None, None]], (id(maps),), filters=channels,
                              kernel_size=1, use_bias=False)  # fmt: skip
            maps = replace(maps, x=layer(maps.x), order=None, scale=None)
        return zero_padded(maps)

    def as_it_is(self, operation, args, kwargs):
        """The results of a layer that no rule is known for, on ordinary tensors."""
        args, kwargs = keras.tree.map_structure(self.plain, (args, kwargs))
        run = self.copy(operation) if isinstance(operation, layers.Layer) else operation
        results = run(*args, **kwargs)
        tensors = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
        if any(len(x.shape) == 5 for x in [*tensors, *keras.tree.flatten(results)]):
            self._note(operation, run, args, kwargs)
        return keras.tree.map_structure(_maps_of_clips, results)

    def _note(self, operation, run, args, kwargs) -> None:
        import tensorflow as tf

        flat = keras.tree.flatten((args, kwargs))
        places = [number for number, x in enumerate(flat) if isinstance(x, keras.KerasTensor)]
        specs = [tf.TensorSpec(flat[place].shape, flat[place].dtype) for place in places]

        def call(*tensors):
            filled = list(flat)
            for place, tensor in zip(places, tensors, strict=True):
                filled[place] = tensor
            args, kwargs = keras.tree.pack_sequence_as((given_args, given_kwargs), filled)
            return run(*args, **kwargs)

        given_args, given_kwargs = args, kwargs
        self.taken_over.append((f"{operation.name} ({type(operation).__name__})", call, specs))


def unique_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, or with a number after it that makes it differ from those taken; it is added to them."""
    name, number = wanted, 1
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    taken.add(name)
    return name


class _WithWeights:
    """A layer that is given its weights after its first call has made them."""

    def __init__(self, layer, weights: Callable):
        self.layer, self._weights = layer, weights

    def __call__(self, *args, **kwargs):
        result = self.layer(*args, **kwargs)
        if self._weights is not None:
            self.layer.set_weights(self._weights())
            self._weights = None
        return result


def _like(source, name: str):
    """A layer of the same configuration in float32, not called yet."""
    if isinstance(source, keras.Model):
        return keras.models.clone_model(source)
    if type(source) is layers.Lambda:  # Keras does not make one from a configuration, which could be anybody's
        return layers.Lambda(source.function, source._output_shape, source.mask, source.arguments, name=name)
    config = source.get_config() | {"name": name}
    if "dtype" in config and source.compute_dtype in ("bfloat16", "float16"):
        config["dtype"] = "float32"
    return type(source).from_config(config)


class _Named:
    name = "input_channels"


_CHANNELS = _Named()


def _maps_of_clips(value):
    known = isinstance(value, keras.KerasTensor) and len(value.shape) == 5 and None not in value.shape[1:]
    return as_maps(value) if known else value


def _scale_of(maps: Maps) -> np.ndarray:
    return np.ones(maps.stored[-1]) if maps.scale is None else maps.scale


def is_channels_last(layer) -> bool:
    return layer.data_format == "channels_last"


def channels_last(rule: Callable) -> Callable:
    """A rule that holds for channels as the last axis alone; other layers are taken over as they are."""

    def checked(writer, layer, x, **kwargs):
        if not is_channels_last(layer):
            return writer.as_it_is(layer, (x,), {})
        return rule(writer, layer, x, **kwargs)

    return checked
