r"""Converts original weights into a Keras file, checks it against a NumPy evaluation of the original, and says so.

    python tools/convert_weights.py --source c3d_resnet18_sports1m_r2_iter_2800000.caffemodel --net res3d18 \
        --output res3d18_sports1m.weights.h5 --report parity.json --licence "CC BY-NC 3.0"
"""

from __future__ import annotations

import json
import pathlib

import numpy as np
from absl import app, flags

from keras_res3d import __version__, get_architecture, preprocess_input
from keras_res3d.io import atomic_path, digest, write_atomically
from keras_res3d.weights.about import sidecar_path
from keras_res3d.weights.formats.registry import read_tensors

_SOURCE = flags.DEFINE_string("source", None, "Original file of Caffe, PyTorch or safetensors.", required=True)
_NET = flags.DEFINE_string("net", None, "Net of the zoo that it is for, e.g. res3d18.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "File to write: .weights.h5 or .keras.", required=True)
_REPORT = flags.DEFINE_string("report", None, "Where to write the parity report, as JSON.")
_LICENCE = flags.DEFINE_string("licence", "", "Licence of the weights, for the record beside them.")
_FRAMES = flags.DEFINE_integer("frames", None, "Clip length in training; the net's own where not given.", lower_bound=1)


def convert_file(source_path, net: str, output: pathlib.Path, licence: str = "", frames: int | None = None) -> dict:
    """Converts, compares, and writes the Keras file with its record. Returns the parity report; nothing is written
    where it does not agree."""
    source, row = read_tensors(source_path), get_architecture(net)
    # TensorFlow takes seconds to import: a file that cannot be read is refused before.
    from keras_res3d.nets.build import build_graph
    from keras_res3d.weights.convert import CONVERTER_VERSION, convert, count_classes
    from keras_res3d.weights.load import assign
    from keras_res3d.weights.parity import parity_report

    classes = count_classes(source, row)
    model = build_graph(row, classes=classes)
    converted = convert(source, row, classes=classes)
    assign(model, converted, source.path)
    clip = np.random.default_rng(0).integers(0, 256, row.input_shape, np.uint8)
    mode = "torchvision" if source.family == "torch" else "res3d"
    report = parity_report(source, row, model, clip, lambda pixels: preprocess_input(pixels, mode))
    report["notices"] = converted.notices
    if report["agrees"]:
        with atomic_path(output) as aside:
            (model.save if output.suffix == ".keras" else model.save_weights)(aside)
        record = {
            "net": row.name,
            "classes": model.output_shape[-1],
            "frames": frames or row.frames,
            "licence": licence,
            "source": source.path.name,
            "source_sha256": digest(source.path),
            "sha256": digest(output),
            "converter": CONVERTER_VERSION,
            "package": f"keras_res3d {__version__}",
            "notices": converted.notices,
        }
        write_atomically(sidecar_path(output), json.dumps(record, indent=2) + "\n")
    return report


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(arguments[1:])}")
    output = pathlib.Path(_OUTPUT.value)
    if not output.name.endswith((".weights.h5", ".keras")):
        raise app.UsageError(f"--output is {output}; expected a name that ends in .weights.h5 or .keras")
    print(f"converting {_SOURCE.value} into {output} ({_NET.value})")
    try:
        report = convert_file(_SOURCE.value, _NET.value, output, _LICENCE.value, _FRAMES.value)
    except (ValueError, OSError) as error:
        raise SystemExit(f"convert_weights: {error}") from error
    from keras_res3d.weights.parity import parity_table

    print(parity_table(report))
    for notice in report["notices"]:
        print(f"note: {notice}")
    if _REPORT.value:
        write_atomically(_REPORT.value, json.dumps(report, indent=2) + "\n")
        print(f"wrote {_REPORT.value}")
    if not report["agrees"]:
        raise SystemExit(f"convert_weights: the converted net differs from {_SOURCE.value}; {output} was not written")
    print(f"wrote {output} and {sidecar_path(output).name}")


if __name__ == "__main__":
    app.run(main)
