"""TensorFlow's SavedModel: a folder that TensorFlow Serving and `tf.saved_model.load` read without this package."""

from __future__ import annotations

import pathlib
import tempfile

import numpy as np

from keras_res3d.export.formats.base import CARD_NAME, Format, Request, Runner


def write(graph, path, request: Request | None = None) -> None:
    """A folder with the signature "serving_default", and the card as an asset where a request has one."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        if request is not None:
            card = pathlib.Path(folder, CARD_NAME)
            card.write_text(request.card.to_json(), encoding="utf-8")
            graph.card = tf.saved_model.Asset(str(card))
        try:
            tf.saved_model.save(graph, str(path), signatures={"serving_default": graph.function})
        finally:
            if request is not None:
                del graph.card


class SavedModelRunner(Runner):
    """Through `tf.saved_model.load`; `threads` is not used, since TensorFlow has its own setting."""

    runtime = "TensorFlow"

    def __init__(self, path, threads: int | None = None):
        import tensorflow as tf

        super().__init__(path)
        card = self.path / "assets" / CARD_NAME
        self.card_text = card.read_text(encoding="utf-8") if card.exists() else None
        self._keep_alive = tf.saved_model.load(str(path))
        self._serve = self._keep_alive.signatures["serving_default"]
        spec = next(iter(self._serve.structured_input_signature[1].values()))
        self._name, self.input_shape, self.dtype = spec.name, tuple(spec.shape[1:]), np.dtype(spec.dtype.as_numpy_dtype)
        sizes = next(iter(self._serve.structured_outputs.values())).shape
        self.classes = sizes[-1] if sizes.rank else None

    def _run(self, clips: np.ndarray) -> np.ndarray:
        import tensorflow as tf

        return next(iter(self._serve(**{self._name: tf.constant(clips)}).values())).numpy()


# TensorFlow's own 3-D convolutions are fast; the 2-D form moves more memory there.
SAVED_MODEL = Format(
    "saved_model",
    suffix="",
    form="3d",
    quantizations={"2d": ("none",), "3d": ("none",)},
    write=write,
    runner=SavedModelRunner,
)
