"""Score a trained net per clip and per video: clip@1, video@1, video@5, a table of the classes, a confusion matrix.

    keras-res3d evaluate runs/fight --data test.csv
    keras-res3d evaluate runs/fight/best.keras --data test.csv --clips 10 --output runs/fight/test
    keras-res3d evaluate runs/ucf101 --layout ucf101 --data UCF-101 --lists ucfTrainTestlist --split 1

MODEL is a folder of keras-res3d train, a .keras file, an export, or the name of published weights. A video's score is
the mean of its clips' scores (10 clips, centre crop, as in the paper). You are warned if the model was trained
on some of these videos. A video that cannot be read is reported and left out of the scores, scores.json names it, and
the exit code is then 1; where no video can be read, nothing is written.
"""

from __future__ import annotations

import csv
import io
import pathlib

from absl import flags

from keras_res3d.commands.common import define_sampling_flags, import_keras_quietly, percent, sampling_from_flags
from keras_res3d.commands.data_flags import data_from_flags, define_data_flags
from keras_res3d.tables import as_json, printable

FLAGS = flags.FLAGS
USAGE = "MODEL --data PATH"


def define_flags() -> None:
    define_data_flags(validation=False)
    flags.DEFINE_string("benchmark", None, "Benchmark that --data is part of, e.g. 'ucf101 split 2' (the name of "
                        "--data by default).")  # fmt: skip
    flags.DEFINE_bool("allow_contaminated", False, "Score the weights even where they were trained on these videos.")
    flags.DEFINE_integer("clips", 10, "Clips per video, evenly spread.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 16, "Clips that are scored at a time.", lower_bound=1)
    flags.DEFINE_enum("on_bad_video", "skip", ["stop", "skip"], "What a video that cannot be read does: skip leaves it "
                      "out of the scores, stop ends with an error at the first one.")  # fmt: skip
    flags.DEFINE_string("output", None, "Folder for scores.json, classes.csv and confusion.png (by default, the folder "
                        "'scores' beside the model).")  # fmt: skip
    define_sampling_flags("as in training")


def _write(scores, folder: pathlib.Path, details: dict) -> None:
    from keras_res3d.io import write_atomically
    from keras_res3d.reports.plots import confusion_matrix, save_png

    write_atomically(folder / "scores.json", as_json({**details, **scores.summary()}))
    rows = io.StringIO(newline="")
    csv.writer(rows).writerows([("class", "videos", "right", "accuracy"), *scores.per_class()])
    write_atomically(folder / "classes.csv", rows.getvalue())
    title = f"video@1 {percent(scores.video_at_1)}"
    save_png(confusion_matrix(scores.confusion, scores.labels, title), folder / "confusion.png")


def _show(scores) -> None:
    from keras_res3d.tables import as_text

    rows = [[name, str(total), str(right), percent(share)] for name, total, right, share in scores.per_class()]
    print(as_text(["class", "videos", "right", "accuracy"], rows))
    for name in ("clip_at_1", "video_at_1", "video_at_5"):
        print(f"{name.replace('_at_', '@'):<8} {percent(getattr(scores, name))}")
    print(f"{'chance':<8} {percent(1 / len(scores.labels))}")
    if left_out := len(scores.left_out):
        print(f"left out {left_out} of {left_out + len(scores.truth)} videos, which could not be read")


def _benchmark() -> str:
    """What the videos are part of, as far as the flags tell."""
    return FLAGS.benchmark or (
        f"{FLAGS.layout} split {FLAGS.split}" if FLAGS.layout else pathlib.Path(FLAGS.data).name
    )


def _data_of_the_card(model: str):
    """The videos, where a card beside the model has their classes; else None.

    What is wrong with a name or a list is found here, before Keras is imported, which takes seconds.
    """
    from keras_res3d.cards import read_card
    from keras_res3d.inference.model_file import is_published, model_file

    card = None if is_published(model) else read_card(model_file(model))
    return data_from_flags("test", classes=card.labels) if card is not None and card.labels else None


def run(args: list[str]) -> int:
    if len(args) != 1:
        raise ValueError(f"expected one model, found {args or 'none'}: keras-res3d evaluate MODEL --data PATH")
    data = _data_of_the_card(args[0])
    import_keras_quietly()
    from keras_res3d.inference.classifier import load_model, with_sampling
    from keras_res3d.tasks.evaluate import evaluate

    classifier = load_model(args[0])
    sampling = sampling_from_flags(classifier.card.sampling)
    classifier = with_sampling(classifier, **sampling.__dict__)
    data = data or data_from_flags("test", classes=classifier.card.labels or None)
    print(f"{classifier.card.net}: {len(data)} videos of {len(data.classes)} classes, up to {FLAGS.clips} clips each")
    scores = evaluate(
        classifier,
        data,
        clips=FLAGS.clips,
        batch_size=FLAGS.batch_size,
        benchmark=_benchmark(),
        allow_contaminated=FLAGS.allow_contaminated,
        on_bad_video=FLAGS.on_bad_video,
    )
    _show(scores)
    model = pathlib.Path(args[0])
    folder = pathlib.Path(FLAGS.output) if FLAGS.output else (model if model.is_dir() else model.parent) / "scores"
    details = {"model": args[0], "data": FLAGS.data, "sampling": sampling.to_dict()}
    if scores.left_out:
        details["left_out_videos"] = [{"video": str(data.examples[number].path), "fault": fault}
                                      for number, fault in scores.left_out.items()]  # fmt: skip
    _write(scores, folder, details)
    print(f"wrote {printable(folder)}/scores.json, classes.csv, confusion.png")
    return int(bool(scores.left_out))
