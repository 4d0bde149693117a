"""Score a trained net per clip and per video: clip@1, video@1, video@5, a table of the classes, a confusion matrix.

    keras-res3d evaluate runs/fight --data test.csv
    keras-res3d evaluate runs/fight/best.keras --data test.csv --clips 10 --output runs/fight/test
    keras-res3d evaluate runs/ucf101 --layout ucf101 --data UCF-101 --lists ucfTrainTestlist --split 1

A video's score is the mean of its clips' probabilities (10 clips, centre crop, as in the paper).
"""

from __future__ import annotations

import csv
import json
import pathlib
import sys

from absl import flags

from keras_res3d.commands.common import define_sampling_flags, import_keras_quietly, percent, sampling_from_flags
from keras_res3d.commands.data_flags import data_from_flags, define_data_flags

FLAGS = flags.FLAGS


def define_flags():
    define_data_flags(validation=False)
    flags.DEFINE_string("benchmark", None, "What --data is part of, e.g. 'ucf101 split 2' (its name by default).")
    flags.DEFINE_bool("allow_contaminated", False, "Score weights on videos they were trained on all the same.")
    flags.DEFINE_integer("clips", 10, "Clips per video.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 16, "Clips per batch.", lower_bound=1)
    flags.DEFINE_string("output", None, "Folder for scores.json, classes.csv, confusion.png; the model's by default.")
    define_sampling_flags("as in training")


def _write(scores, folder: pathlib.Path, details: dict) -> None:
    from keras_res3d.io import write_atomically
    from keras_res3d.reports.plots import confusion_matrix, save_png

    write_atomically(folder / "scores.json", json.dumps({**details, **scores.summary()}, indent=2) + "\n")
    with open(folder / "classes.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("class", "videos", "right", "accuracy"), *scores.per_class()])
    title = f"video@1 {percent(scores.video_at_1)}"
    save_png(confusion_matrix(scores.confusion, scores.labels, title), folder / "confusion.png")


def run(args: list[str]) -> int:
    import_keras_quietly()
    if len(args) != 1:
        raise ValueError(f"expected one model, found {args or 'none'}: keras-res3d evaluate MODEL --data PATH")
    import keras

    from keras_res3d.data.batches import video_batches
    from keras_res3d.inference.classifier import load_classifier
    from keras_res3d.scores import score
    from keras_res3d.tables import as_text
    from keras_res3d.weights.contamination import check_benchmark

    classifier = load_classifier(args[0])
    labels, sampling = classifier.card.labels, sampling_from_flags(classifier.card.sampling)
    benchmark = FLAGS.benchmark or (
        f"{FLAGS.layout} split {FLAGS.split}" if FLAGS.layout else pathlib.Path(FLAGS.data).name
    )
    check_benchmark(classifier.card, benchmark, FLAGS.allow_contaminated)
    data = data_from_flags("test", classes=labels)
    print(f"{classifier.card.net}: {len(data)} videos of {len(labels)} classes, up to {FLAGS.clips} clips each")
    batches = video_batches(data, sampling, FLAGS.batch_size, FLAGS.clips, preprocess=False)
    bar = keras.utils.Progbar(len(data), unit_name="video", verbose=int(sys.stdout.isatty()))
    scores = score(classifier.predict, batches, labels, bar.update)
    rows = [[name, str(total), str(right), percent(share)] for name, total, right, share in scores.per_class()]
    print(as_text(["class", "videos", "right", "accuracy"], rows))
    for name in ("clip_at_1", "video_at_1", "video_at_5"):
        print(f"{name.replace('_at_', '@'):<8} {percent(getattr(scores, name))}")
    print(f"{'chance':<8} {percent(1 / len(labels))}")
    model = pathlib.Path(args[0])
    folder = pathlib.Path(FLAGS.output) if FLAGS.output else (model if model.is_dir() else model.parent) / "scores"
    folder.mkdir(parents=True, exist_ok=True)
    _write(scores, folder, {"model": args[0], "data": FLAGS.data, "sampling": sampling.to_dict()})
    print(f"wrote {folder}/scores.json, classes.csv, confusion.png")
    return 0
