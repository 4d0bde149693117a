"""A model as a giver of features: batches of clips in, the outputs of several of its layers out, in one pass."""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np

from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import Sampling
from keras_res3d.data.transform import preprocess_input
from keras_res3d.export.formats.base import Runner
from keras_res3d.inference.classifier import Classifier, as_classifier, check_takes_videos
from keras_res3d.inference.model_file import is_published, model_file
from keras_res3d.io import digest

ENGINES = ("keras", "bfloat16")
# The features of the paper's section 5; a model takes those of them that it has.
PAPER_LAYERS = ("res5b", "pool5", "prob")
# A name for the output of any model, whatever its last layer is called.
OUTPUT = "output"
# Layers whose numbers the bfloat16 engine stores in bfloat16, so that they are not converted at each call.
_STORED_SHORT = (keras.layers.Conv3D, keras.layers.Dense)


class FeatureNet:
    """Gives the features of clips.

    Args:
        model: as of `extract_features`.
        layers: names; None takes those of `PAPER_LAYERS` that the model has, or else its output.
        engine: a name in `ENGINES`.
        labels, sampling, card: as of `as_classifier`.
        file: where an export lies that `model` was opened from, for its digest.

    Attributes:
        card: class names and sampling.
        widths: how many numbers each layer gives for a clip.
        engine: as given.
        model: the Keras model; None of an export.
        path: of an export, where it is known.
        digest: SHA-256 of the weights, or of the file of an export.

    Raises:
        ValueError: there is no such layer or engine, or as of `as_classifier`.
    """

    def __init__(
        self,
        model,
        layers: Iterable[str] | None = None,
        engine: str = "keras",
        labels: Iterable[str] | None = None,
        sampling: Sampling | None = None,
        card: ModelCard | None = None,
        file=None,
    ):
        if engine not in ENGINES:
            raise ValueError(f"engine is {engine!r}; expected one of {', '.join(ENGINES)}")
        classifier = as_classifier(model, labels, sampling, card)
        check_takes_videos(classifier)
        self.card, self.engine, self._classifier = classifier.card, engine, classifier
        self.model, self.path = classifier.model, None
        wanted = None if layers is None else tuple(dict.fromkeys([layers] if isinstance(layers, str) else layers))
        if wanted == ():
            raise ValueError("layers is empty; expected names of layers, such as pool5")
        if classifier.model is None:
            self._forward, names = self._of_export(wanted)
            self.path = _path_of_export(model if file is None else file)
            self.digest = _digest_of_export(self.path)
        else:
            self._forward, names = self._of_keras(classifier.model, wanted)
            self.digest = _digest_of_weights(classifier.model)
        self.widths = self._measure(names)

    def __call__(self, clips: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Features of clips, and the model's own output.

        Args:
            clips: uint8 RGB `(batch, frames, height, width, 3)`, as `evaluation_clips` gives them.

        Returns:
            For each layer float32 `(batch, width)`, and the output, float32 `(batch, ...)`.
        """
        found, output = self._forward(clips)
        return {name: flattened(value) for name, value in found.items()}, np.asarray(output, np.float32)

    def _measure(self, names: tuple[str, ...]) -> dict[str, int]:
        """The width of each layer, seen from a clip of black frames, in the order of the names."""
        sampling = self.card.sampling
        found, _ = self(np.zeros((1, sampling.frames, *sampling.crop, 3), np.uint8))
        return {name: found[name].shape[1] for name in names}

    def _of_export(self, wanted: tuple[str, ...] | None) -> tuple[Callable, tuple[str, ...]]:
        """An export gives its output alone; where that is no scores, the caller may name the layer that it ends in."""
        if self.engine != "keras":
            raise ValueError(f"engine is {self.engine!r}; an export runs as it was made, so leave it out")
        names = wanted or (("prob",) if self.card.labels else (OUTPUT,))
        if len(names) > 1 or (self.card.labels and names[0] not in ("prob", OUTPUT)):
            raise ValueError(
                f"layers are {', '.join(names)}; an export gives its output alone ({OUTPUT}). For other layers take "
                "the Keras model, or export a model that ends in the layer"
            )

        def forward(clips: np.ndarray) -> tuple[dict, np.ndarray]:
            output = np.asarray(self._classifier.predict(clips))
            return {names[0]: output}, output

        return forward, names

    def _of_keras(self, model: keras.Model, wanted: tuple[str, ...] | None) -> tuple[Callable, tuple[str, ...]]:
        layers = _layers_by_name(model)
        names = wanted or tuple(name for name in PAPER_LAYERS if len(layers.get(name, ())) == 1) or (OUTPUT,)
        for name in names:
            _check_name(name, layers, model)
        if self.engine == "bfloat16":
            model = in_bfloat16(model)
            layers = _layers_by_name(model)
        taken = {name: layers[name][0] for name in names if name in layers}
        forward = _compiled(functools.partial(_outputs, model, taken, names), self._classifier.input_shape)
        mode = self.card.sampling.preprocessing
        return lambda clips: forward(preprocess_input(clips, mode)), names


def flattened(values: np.ndarray) -> np.ndarray:
    """A layer's output as one row a clip, float32: maps channel by channel, as Caffe's extraction writes them.

    Args:
        values: `(batch, ..., channels)`; of maps `(batch, time, height, width, channels)` the rows are in the order
            channels, time, height, width.
    """
    values = np.asarray(values, np.float32)
    return np.moveaxis(values, -1, 1).reshape(len(values), -1)


def _layers_by_name(model: keras.Model) -> dict[str, list]:
    """All layers of a model and of the models inside it."""
    found: dict[str, list] = {}
    for layer in model._flatten_layers(include_self=False):
        if layer not in found.setdefault(layer.name, []):
            found[layer.name].append(layer)
    return found


def _check_name(name: str, layers: dict[str, list], model: keras.Model) -> None:
    count = len(layers.get(name, ()))
    if count > 1:
        raise ValueError(f"{model.name} has {count} layers of the name {name!r}; give them names of their own")
    if not count and name != OUTPUT:
        close = difflib.get_close_matches(str(name), layers, 3)
        known = ", ".join(close or [layer for layer in layers if layer.startswith(("res", "pool", "fc", "prob"))][-8:])
        raise ValueError(f"{model.name} has no layer {name!r}; expected {OUTPUT} or the name of a layer"
                         f"{f', such as {known}' if known else ''}")  # fmt: skip


@contextlib.contextmanager
def _listening(taken: dict[str, keras.layers.Layer]) -> Iterator[dict[str, list]]:
    """Notes what these layers give, whatever model calls them and however deep they lie, while the block lasts."""
    heard: dict[str, list] = {name: [] for name in taken}

    def noting(name: str, call: Callable) -> Callable:
        @functools.wraps(call)
        def noted(*args, **kwargs):
            result = call(*args, **kwargs)
            heard[name].append(result)
            return result

        return noted

    kept = {name: layer.__dict__.get("call") for name, layer in taken.items()}
    try:
        for name, layer in taken.items():
            layer.call = noting(name, layer.call)
        yield heard
    finally:
        for name, layer in taken.items():
            del layer.call
            if kept[name] is not None:
                layer.call = kept[name]


def _outputs(model: keras.Model, taken: dict, names: tuple[str, ...], clips) -> tuple[dict, object]:
    """What the named layers give for clips, and the output, from one pass through the model."""
    with _listening(taken) as heard:
        output = keras.tree.flatten(model(clips, training=False))[0]
    found = {}
    for name in names:
        results = [output] if name not in taken else heard[name]
        if len(results) != 1:
            raise ValueError(f"{model.name} uses its layer {name!r} {len(results)} times for a clip; expected once")
        parts = keras.tree.flatten(results[0])
        if len(parts) != 1 or len(parts[0].shape) < 2:
            raise ValueError(f"{model.name}'s layer {name!r} gives no array of numbers for each clip; take another")
        found[name] = keras.ops.cast(parts[0], "float32")
    return found, keras.ops.cast(output, "float32")


def _compiled(function: Callable, input_shape: tuple) -> Callable:
    """The function as a graph for any number of clips, where Keras runs on TensorFlow."""
    if keras.backend.backend() != "tensorflow":

        def eager(clips):
            found, output = function(keras.ops.convert_to_tensor(clips))
            return keras.tree.map_structure(keras.ops.convert_to_numpy, (found, output))

        return eager
    import tensorflow as tf

    graph = tf.function(function, input_signature=[tf.TensorSpec((None, *input_shape), tf.float32)])

    def run(clips):
        found, output = graph(clips)
        return {name: value.numpy() for name, value in found.items()}, output.numpy()

    return run


def in_bfloat16(model: keras.Model) -> keras.Model:
    """A copy of a model that computes in bfloat16, but for its last layer, which is often a softmax.

    Raises:
        ValueError: the model is neither functional nor sequential.
    """
    last = model.layers[-1]

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer is not last and layer.compute_dtype == "float32":
            config["dtype"] = "bfloat16" if isinstance(layer, _STORED_SHORT) else "mixed_bfloat16"
        return type(layer).from_config(config)

    try:
        copy = keras.models.clone_model(model, clone_function=copied, recursive=True)
    except ValueError as error:
        raise ValueError(f"{model.name} is neither functional nor sequential, so no copy of it in bfloat16 can be "
                         "made; use the engine keras") from error  # fmt: skip
    copy.set_weights(model.get_weights())
    return copy


def _digest_of_weights(model: keras.Model) -> str:
    """SHA-256 of a model's weights with their shapes, in their order; names, which Keras may number, do not count."""
    total = hashlib.sha256()
    for variable in model.weights:
        value = np.ascontiguousarray(variable.numpy() if hasattr(variable, "numpy") else variable)
        total.update(f"{value.dtype} {value.shape}\n".encode())
        total.update(value.tobytes())
    return total.hexdigest()


def _path_of_export(model) -> pathlib.Path | None:
    """Where an export lies; None where it was opened by the caller and its path is not known."""
    if isinstance(model, Runner):
        path = model.path
    elif isinstance(model, Classifier):
        path = getattr(model.predict, "path", None)
    else:
        path = None if is_published(model) else model_file(model)
    return None if path is None else pathlib.Path(path)


def files_of_export(path: pathlib.Path) -> list[pathlib.Path]:
    """The files that make up an export, in a fixed order."""
    if path.is_dir():
        return [file for file in sorted(path.rglob("*")) if file.is_file()]
    # OpenVINO's weights lie beside its graph.
    return [path, *([path.with_suffix(".bin")] if path.suffix == ".xml" else [])]


def _digest_of_export(path: pathlib.Path | None) -> str:
    """SHA-256 of the files of an export; "" where they are not known."""
    if path is None:
        return ""
    total = hashlib.sha256()
    for file in files_of_export(path):
        total.update(f"{os.path.relpath(file, path.parent)} {digest(file)}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()
