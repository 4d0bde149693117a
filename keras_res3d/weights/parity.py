"""How far a converted net is from the original: layer by layer, and preprocessing apart from the model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_res3d.nets.architecture import Architecture
from keras_res3d.tables import as_text
from keras_res3d.weights.reference import activations, source_input
from keras_res3d.weights.source import Source

# Largest difference over largest value, of float32 against float64: measured 1e-6, and what goldens are held to.
TOLERANCE = 1e-4


def _difference(ours: np.ndarray, theirs: np.ndarray) -> dict:
    largest = float(np.abs(theirs).max())
    difference = float(np.abs(ours - theirs).max())
    return {
        "largest_difference": difference,
        "largest_value": largest,
        "relative": difference / largest if largest else difference,
    }


def _outputs(model, clip: np.ndarray) -> dict[str, np.ndarray]:
    """Every layer's output for one clip, inference mode."""
    import keras

    names = {layer.name: layer.output for layer in model.layers[1:]}
    outputs = keras.Model(model.inputs, names)([clip[None].astype(np.float32)], training=False)
    return {name: np.asarray(value)[0] for name, value in outputs.items()}


def parity_report(
    source: Source,
    architecture: Architecture,
    model,
    clip: np.ndarray,
    preprocess: Callable | None = None,
) -> dict:
    """Compares `model` with a NumPy evaluation of the source's own graph from its own tensors.

    Args:
        source: the original file's tensors.
        architecture: the net they are for.
        model: the Keras net that they were converted into.
        clip: RGB pixels, uint8 `(frames, height, width, 3)`, of a size that the net takes.
        preprocess: the package's preprocessing of that clip; None leaves the comparison out.

    Returns:
        A JSON-ready dictionary. "layers": per layer, in order, `largest_difference`, `largest_value` and `relative`
        (their quotient), both nets fed what the source's own program would feed. "worst": the row with the largest
        `relative`. "agrees": whether that is within `TOLERANCE`. "preprocessing": the same numbers for the inputs.
        "not_compared": layers that only the source has (a classifier left out).

    Raises:
        WeightsError: the source is a Keras file, which has no graph of its own.
    """
    reference = activations(source, architecture, fed := source_input(source, clip))
    ours = _outputs(model, fed)
    rows, not_compared = [], []
    for name, theirs in reference:
        theirs = np.moveaxis(theirs, 0, -1)
        if name not in ours or ours[name].shape != theirs.shape:
            not_compared.append(name)
            continue
        rows.append({"layer": name, **_difference(ours[name], theirs)})
    worst = max(rows, key=lambda row: row["relative"])
    return {
        "net": architecture.name,
        "source": source.path.name,
        "clip": list(clip.shape),
        "agrees": worst["relative"] <= TOLERANCE,
        "worst": worst,
        "preprocessing": None if preprocess is None else _difference(np.asarray(preprocess(clip)), fed),
        "layers": rows,
        "not_compared": not_compared,
    }


def parity_table(report: dict) -> str:
    """A report of `parity_report` as a short text table."""
    rows = report["layers"] if report["preprocessing"] is None else [
        {"layer": "(preprocessing)", **report["preprocessing"]}, *report["layers"]
    ]  # fmt: skip
    cells = [
        [row["layer"], f"{row['largest_difference']:.2e}", f"{row['largest_value']:.4g}", f"{row['relative']:.1e}"]
        for row in rows
    ]
    lines = [as_text(["layer", "difference", "of largest", "relative"], cells)]
    if report["not_compared"]:
        lines.append(f"not compared: {', '.join(report['not_compared'])}")
    verdict = "agrees" if report["agrees"] else "DIFFERS"
    lines.append(f"{verdict}: worst layer {report['worst']['layer']} at {report['worst']['relative']:.1e}")
    return "\n".join(lines)
