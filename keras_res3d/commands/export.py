"""Write a trained net for deployment, and run what was written against the Keras model before it is put in place.

    keras-res3d export runs/fight --format saved_model --output runs/fight/serving
    keras-res3d export runs/fight --format litert --quantize int8 --calibration videos/train.csv --output fight.tflite
    keras-res3d export model.keras --format openvino --output model.xml --no_preprocessing

MODEL is a .keras file, its card beside it as .json, or a training folder that holds model.keras. An export takes uint8
RGB frames at the net's size; --no_preprocessing: float32 clips that are preprocessed already.
"""

from __future__ import annotations

import pathlib

from absl import flags

from keras_res3d.commands.common import import_keras_quietly

FLAGS = flags.FLAGS
USAGE = "MODEL --output PATH"

FORMATS = ("saved_model", "litert", "onnx", "openvino")
QUANTIZATIONS = ("none", "float16", "dynamic", "int8")


def define_flags():
    flags.DEFINE_enum("format", "saved_model", FORMATS, "What to write.")
    flags.DEFINE_string("output", None, "Where: a folder for saved_model, else a .tflite, .onnx or .xml file.")
    flags.DEFINE_enum("quantize", "none", QUANTIZATIONS, "Of the weights; int8: of the activations too.")
    flags.DEFINE_enum("form", None, ("2d", "3d"), "The exact 2-D form for one clip size, or the layers as they are "
                      "(by default, what the format's runtime runs faster).")  # fmt: skip
    flags.DEFINE_bool("no_preprocessing", False, "Take preprocessed float32 clips instead of uint8 RGB frames.")
    flags.DEFINE_string("calibration", None, "Videos to calibrate int8 on: a folder of class folders or a CSV list "
                        "(the embedded data set by default).")  # fmt: skip
    flags.DEFINE_string("check", None, "Videos to compare the export on (the embedded data set by default).")
    flags.DEFINE_bool("integer_io", False, "int8 litert: int8 output, and int8 instead of float32 input.")


def run(args: list[str]) -> int:
    if len(args) != 1 or not FLAGS.output:
        raise ValueError("expected one model and --output: keras-res3d export MODEL --format litert --output m.tflite")
    import_keras_quietly()
    import keras

    from keras_res3d.cards import read_card
    from keras_res3d.export.export import export_model

    path = pathlib.Path(args[0])
    path = path / "model.keras" if path.is_dir() else path
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; expected a .keras file, or a folder that holds model.keras")
    quantized = "" if FLAGS.quantize == "none" else f", {FLAGS.quantize}"
    print(f"exporting {path} as {FLAGS.format}{quantized}, then checking it against Keras")
    report = export_model(
        keras.saving.load_model(path, compile=False),
        FLAGS.output,
        FLAGS.format,
        FLAGS.quantize,
        FLAGS.form,
        preprocessing=not FLAGS.no_preprocessing,
        calibration=FLAGS.calibration,
        card=read_card(path),
        check_clips=FLAGS.check,
        integer_io=FLAGS.integer_io,
    )
    print(f"\n{report.table()}\n\nwrote {report.path} in {report.seconds:.0f} s")
    return 0
