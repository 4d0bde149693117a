"""A check of Keras' backend, for what needs TensorFlow; docs/backends.md says what does and what does not."""

from __future__ import annotations

import importlib.util
import os


def require_tensorflow(what: str) -> None:
    """Refuses in one line where Keras does not run on TensorFlow; call it before `import tensorflow`.

    Args:
        what: the function or command that needs it, as the message shall name it.

    Raises:
        ImportError: TensorFlow is not installed.
        RuntimeError: Keras runs on another backend.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise ImportError(f"{what} needs TensorFlow, which is not installed: pip install tensorflow")
    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        said = "KERAS_BACKEND" if "KERAS_BACKEND" in os.environ else "keras.json"
        raise RuntimeError(f"{what} needs TensorFlow, and {said} sets Keras to {backend}: set KERAS_BACKEND=tensorflow")
