"""Write the report of a run as one HTML page: curves, confusion matrix, classes, clips, exports, settings.

    keras-res3d report runs/fight
    keras-res3d report runs/fight --data test.csv
    keras-res3d report runs/fight/best.keras --data test.csv --out best.html --exports net.tflite,net.onnx

RUN is a folder of keras-res3d train, finished or not, or a .keras file in one. Without --data the page shows what the
folder knows. The page is a single file without scripts, and takes nothing from the network.
"""

from __future__ import annotations

import os

from absl import flags

from keras_res3d.commands.common import import_keras_quietly
from keras_res3d.commands.data_flags import data_from_flags, define_data_flags
from keras_res3d.commands.outputs import check_output
from keras_res3d.tables import printable

FLAGS = flags.FLAGS
USAGE = "RUN"


def define_flags() -> None:
    define_data_flags("Videos to score, with labels", validation=False)
    flags.DEFINE_string("out", None, "The file to write (by default report.html in the run's folder).")
    flags.DEFINE_string("exports", None, "The exports to list, separated by commas (by default, those in the run's "
                        "folder).")  # fmt: skip
    flags.DEFINE_bool("measure", True, "Run each export for its latency and its memory.")
    flags.DEFINE_integer("clips", 10, "Clips per video, evenly spread.", lower_bound=1)
    flags.DEFINE_integer("shown", 6, "How many of the best clips, and of the worst, are shown.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 16, "Clips that are scored at a time.", lower_bound=1)


def _data(run: str):
    """The videos, with the classes of the run's card; a wrong name is found before Keras is imported."""
    from keras_res3d.cards import read_card

    if FLAGS.data is None:
        return None
    card = read_card(os.path.join(run, "model.keras") if os.path.isdir(run) else run)
    several = card is not None and card.multi_label
    return data_from_flags("test", card.labels or None if card is not None else None, multi_label=several)


def run(args: list[str]) -> int:
    if len(args) != 1:
        raise ValueError(f"expected one run, found {args or 'none'}: keras-res3d report RUN")
    if not os.path.exists(args[0]):
        raise FileNotFoundError(f"{args[0]} does not exist; expected a folder of keras-res3d train")
    check_output("out", args, (".html", ".htm"))
    data = _data(args[0])
    import_keras_quietly()
    from keras_res3d.reports.run import write_report

    exports = FLAGS.exports.split(",") if FLAGS.exports else None
    path = write_report(
        args[0], FLAGS.out, data, exports=exports, clips=FLAGS.clips, batch_size=FLAGS.batch_size, shown=FLAGS.shown,
        measure=FLAGS.measure,
    )  # fmt: skip
    print(f"wrote {printable(path)}")
    return 0
