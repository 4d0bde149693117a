"""Write a trained net for deployment, and run what was written against the Keras model before it is put in place.

    keras-res3d export runs/fight --format saved_model --output runs/fight/serving
    keras-res3d export runs/fight --format litert --quantize int8 --calibration videos/train.csv --output fight.tflite
    keras-res3d export model.keras --format openvino --output model.xml --no_preprocessing

MODEL is a folder of keras-res3d train that holds model.keras, a .keras file with its card beside it as .json, or the
name of published weights. An export takes uint8 RGB frames at the net's size and preprocesses them; with
--no_preprocessing it takes float32 clips that are preprocessed already.
"""

from __future__ import annotations

from absl import flags

from keras_res3d.commands.common import import_keras_quietly
from keras_res3d.commands.outputs import check_output
from keras_res3d.export.formats import FORMATS, FORMS
from keras_res3d.export.report import AGREEMENT_BOUND
from keras_res3d.tables import printable

FLAGS = flags.FLAGS
USAGE = "MODEL --output PATH"


def define_flags() -> None:
    quantizations = list(dict.fromkeys(name for row in FORMATS.values() for name in row.quantizations["2d"]))
    flags.DEFINE_enum("format", "saved_model", list(FORMATS), "What to write.")
    flags.DEFINE_string("output", None, "Where to write it: a folder for saved_model, otherwise a file that ends in "
                        + ", ".join(row.suffix for row in FORMATS.values() if row.suffix) + ".")  # fmt: skip
    flags.DEFINE_enum("quantize", "none", quantizations, "float16 stores the weights in float16, dynamic in int8; int8 "
                      "computes with int8 weights and activations.")  # fmt: skip
    flags.DEFINE_enum("form", None, list(FORMS), "2d writes the same function with 2-D convolutions for one clip size; "
                      "3d writes the layers as they are (by default, whichever the format's runtime runs "
                      "faster).")  # fmt: skip
    flags.DEFINE_bool("no_preprocessing", False, "Take preprocessed float32 clips instead of uint8 RGB frames.")
    flags.DEFINE_string("calibration", None, "Videos to calibrate int8 on: a folder of class folders or a CSV list "
                        "(the embedded data set by default).")  # fmt: skip
    flags.DEFINE_string("check", None, "Videos to compare the export on (by default a third of those for calibration, "
                        "which are then not calibrated on, else the embedded data set).")  # fmt: skip
    flags.DEFINE_float("min_agreement", AGREEMENT_BOUND, "Share of the compared clips on which dynamic and int8 must "
                       "have the Keras model's best class; of too few clips to show it, one may "
                       "differ.", lower_bound=0, upper_bound=1)  # fmt: skip
    flags.DEFINE_integer("batch", None, "For litert: how many clips go in at a time (by default any number).",
                         lower_bound=1)  # fmt: skip
    flags.DEFINE_bool("rank4", False, "For litert: clips go in as (batch * frames, height, width, channels), and no "
                      "tensor has more than four axes, for GPU delegates and NNAPI; --batch is then 1 if not "
                      "given.")  # fmt: skip
    flags.DEFINE_string("layer_report", None, "For litert: a file (.csv or text) for the signal to noise of each layer "
                        "against Keras, the worst first.")  # fmt: skip
    flags.DEFINE_float("max_drop", None, "For int8 openvino: share of the calibration's clips that may get another "
                       "best class; layers stay in float until that holds.", lower_bound=0, upper_bound=1)  # fmt: skip
    flags.DEFINE_bool("integer_io", False, "For int8 litert: make the output int8, and with --no_preprocessing the "
                      "input too.")  # fmt: skip
    flags.DEFINE_string("web", None, "For onnx: a folder to write a web page into that runs the export in a browser.")


def _open(name: str):
    """The Keras model and its card; a wrong name is found before Keras is imported, which takes seconds."""
    from keras_res3d.inference.model_file import is_published, model_file

    path = None if is_published(name) else model_file(name)
    if path is not None and path.suffix != ".keras":
        raise ValueError(f"{path} is an export already; expected a .keras file, or a folder that holds model.keras")
    import_keras_quietly()
    from keras_res3d.inference.classifier import load_model, read_keras

    if path is not None:
        return read_keras(path)
    published = load_model(name)
    return published.model, published.card


def run(args: list[str]) -> int:
    if len(args) != 1 or not FLAGS.output:
        raise ValueError("expected one model and --output: keras-res3d export MODEL --format litert --output m.tflite")
    if FLAGS.web and FLAGS.format != "onnx":
        raise ValueError(f"--web is for --format onnx, which browsers run; --format is {FLAGS.format}")
    check_output("layer_report", args)
    model, card = _open(args[0])
    from keras_res3d.export.export import export_model

    quantized = "" if FLAGS.quantize == "none" else f", {FLAGS.quantize}"
    print(f"exporting {printable(args[0])} as {FLAGS.format}{quantized}, then checking it against Keras")
    report = export_model(
        model,
        FLAGS.output,
        FLAGS.format,
        FLAGS.quantize,
        FLAGS.form,
        preprocessing=not FLAGS.no_preprocessing,
        calibration=FLAGS.calibration,
        card=card,
        check_clips=FLAGS.check,
        integer_io=FLAGS.integer_io,
        min_agreement=FLAGS.min_agreement,
        batch=FLAGS.batch,
        rank4=FLAGS.rank4,
        layer_report=FLAGS.layer_report,
        max_drop=FLAGS.max_drop,
    )
    print(f"\n{report.table()}\n\nwrote {printable(report.path)} in {report.seconds:.0f} s")
    if FLAGS.web:
        from keras_res3d.export.web import write_web_page

        print(f"wrote {printable(write_web_page(report.path, FLAGS.web, card))}")
    return 0
