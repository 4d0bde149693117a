"""Score a trained net per clip and per video: clip@1, video@1, video@5, each class, the mistakes, a confusion matrix.

    keras-res3d evaluate runs/fight --data test.csv
    keras-res3d evaluate runs/fight/best.keras --data test.csv --clips 10 --output runs/fight/test
    keras-res3d evaluate runs/ucf101 --layout ucf101 --data UCF-101 --lists ucfTrainTestlist --split 1
    keras-res3d evaluate runs/split1 runs/split2 runs/split3 --layout ucf101 --data UCF-101 --lists ucfTrainTestlist \\
        --splits 1,2,3 --output runs/ucf101
    keras-res3d evaluate runs/fold1 runs/fold2 --data folds/fold1_test.csv,folds/fold2_test.csv --output runs/folds

MODEL is a folder of keras-res3d train, a .keras file, an export, or the name of published weights. A video's score is
the mean of its clips' scores (10 clips, centre crop, as in the paper). Intervals are of 95 %, by the bootstrap over
videos, or over groups where the data have groups. Several models are scored each on a split of its own, and the mean
and the standard deviation over the splits are shown. The paper's figures stand beside yours where --layout or
--benchmark names a data set of the paper. You are warned if the model was trained on some of these videos. A video
that cannot be read is reported and left out of the scores, scores.json names it, and the exit code is then 1; where no
video can be read, nothing is written.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from absl import flags

from keras_res3d.commands.common import define_sampling_flags, import_keras_quietly, model_from_flags
from keras_res3d.commands.data_flags import data_from_flags, define_data_flags
from keras_res3d.io import only_one
from keras_res3d.remote import as_path
from keras_res3d.table_files import FORMATS, check_table_format
from keras_res3d.tables import as_json, as_text, interval_text, percent, printable

FLAGS = flags.FLAGS
USAGE = "MODEL... --data PATH"
# Mistakes that are printed; the file has all of them.
SHOWN_MISTAKES = 10


def define_flags() -> None:
    define_data_flags(validation=False)
    flags.DEFINE_list("splits", None, "With --layout, the numbers of several splits: one model for each, or one for "
                      "all.")  # fmt: skip
    flags.DEFINE_string("benchmark", None, "Benchmark that --data is part of, e.g. 'ucf101 split 2' (the name of "
                        "--data by default).")  # fmt: skip
    flags.DEFINE_bool("allow_contaminated", False, "Score the weights even where they were trained on these videos.")
    flags.DEFINE_integer("clips", 10, "Clips per video, evenly spread.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 16, "Clips that are scored at a time.", lower_bound=1)
    flags.DEFINE_enum("on_bad_video", "skip", ["stop", "skip"], "What a video that cannot be read does: skip leaves it "
                      "out of the scores, stop ends with an error at the first one.")  # fmt: skip
    flags.DEFINE_string("output", None, "Folder for scores.json, the tables and the pictures (by default, the folder "
                        "'scores' beside the model; with several models it is required).")  # fmt: skip
    flags.DEFINE_enum("format", "csv", FORMATS, "The format of the table of single videos, with the score of each for "
                      "every class. parquet needs the package pyarrow.")  # fmt: skip
    define_sampling_flags("as in training")


class Part(NamedTuple):
    """A model and the videos that it is scored on: the whole call, or one split of it."""

    model: str
    path: str
    split: int
    name: str
    folder: os.PathLike

    def data(self, card):
        classes, several = card.labels or None, card.multi_label
        return data_from_flags("test", classes=classes, path=self.path, split=self.split, multi_label=several)


def _parts(models: list[str]) -> list[Part]:
    """What is to be scored on what, as the words and the flags say."""
    splits = _splits()
    if FLAGS.output and as_path(FLAGS.output).is_file():
        raise ValueError(f"--output is {FLAGS.output}, a file; expected a folder, which is made where it is missing")
    paths = FLAGS.data.split(",") if len(models) > 1 and FLAGS.layout is None else [FLAGS.data]
    count = max(len(models), len(splits))
    if len(models) not in (1, count) or (splits != [FLAGS.split] and len(splits) < count):
        raise ValueError(f"{len(models)} models are given and {len(splits)} --splits; expected one model for each")
    if FLAGS.layout and len(splits) < count:
        raise ValueError(f"{count} models are given; say which split each is scored on: --splits 1,2,3")
    if not FLAGS.layout and len(paths) != count:
        raise ValueError(f"{count} models are given, and --data is {FLAGS.data}; expected {count} paths with commas "
                         "between, one for each model")  # fmt: skip
    if count == 1:
        return [Part(models[0], FLAGS.data, splits[0], _benchmark(splits[0], FLAGS.data), _folder(models[0]))]
    if not FLAGS.output:
        raise ValueError("several splits are scored; say with --output which folder the scores go to")
    models, splits, paths = (each * count if len(each) == 1 else each for each in (models, splits, paths))
    return [
        Part(model, path, split, _benchmark(split, path),
             as_path(FLAGS.output) / f"split{split if FLAGS.layout else number}")
        for number, (model, path, split) in enumerate(zip(models, paths, splits, strict=True), 1)
    ]  # fmt: skip


def _splits() -> list[int]:
    if FLAGS.splits is None:
        return [FLAGS.split]
    if FLAGS.layout is None:
        raise ValueError("--splits is given and --layout is missing; say whose splits they are: --layout ucf101")
    if not all(text.strip().isdigit() and int(text) for text in FLAGS.splits) or len(set(FLAGS.splits)) < len(
        FLAGS.splits
    ):
        raise ValueError(f"--splits is {','.join(FLAGS.splits)}; expected numbers from 1, each once: 1,2,3")
    return [int(text) for text in FLAGS.splits]


def _benchmark(split: int, path: str) -> str:
    """What the videos are part of, as far as the flags tell."""
    return FLAGS.benchmark or (f"{FLAGS.layout} split {split}" if FLAGS.layout else as_path(path).name)


def _folder(model: str) -> os.PathLike:
    path = as_path(model)
    return as_path(FLAGS.output) if FLAGS.output else (path if path.is_dir() else path.parent) / "scores"


def _data_of_the_card(part: Part):
    """The videos, where a card beside the model has their classes; else None.

    What is wrong with a name or a list is found here, before Keras is imported, which takes seconds.
    """
    from keras_res3d.cards import read_card
    from keras_res3d.inference.model_file import is_published, model_file

    card = None if is_published(part.model) else read_card(model_file(part.model))
    return part.data(card) if card is not None and card.labels else None


def _paper(net: str):
    """What the paper prints for the data set, where a flag names it."""
    from keras_res3d.tasks.paper import paper_figures

    return paper_figures(FLAGS.layout or FLAGS.benchmark or "", net)


def _show_paper(paper) -> None:
    if paper is not None:
        print(f"The paper's figures are of {paper.source}.")
        if paper.search:
            print(f"The paper has {paper.search}.")


def _show_measures(scores, paper=None) -> None:
    """The accuracies with their intervals, and the paper's beside them."""
    nets = {} if paper is None else paper.nets
    rows = [
        [name, percent(value), interval_text(scores.intervals[name]),
         *(str(figures.get(name, "-")) for figures in nets.values())]
        for name, value in scores.measures.items()
    ]  # fmt: skip
    found = scores.summary()
    rows.append(["chance", percent(found["chance"]), "-", *("-" for _ in nets)])
    print(as_text(["", "share", "95 % interval", *(f"paper's {name}" for name in nets)], rows))
    drawn = found["intervals"]
    if drawn["over"] == "groups":
        print(f"Intervals are over the {drawn['groups']} groups of the videos, since videos of a group are alike.")


def _show_details(scores) -> None:
    """The classes, the averages over them, the areas under the curves, the worst mistakes."""
    from keras_res3d.reports.score_files import class_rows

    header, rows = class_rows(scores)
    print(as_text(header, rows))
    found = scores.summary()
    for kind in ("macro", "weighted"):
        rates = found[kind]
        print(f"{kind} mean: precision {percent(rates['precision'])}, recall {percent(rates['recall'])}, "
              f"F1 {percent(rates['f1'])}")  # fmt: skip
    if "auc" in found:
        shown = ", ".join(f"{printable(name)} {percent(value)}" for name, value in found["average_precision"].items())
        ends = interval_text(found["intervals"].get("auc"))
        print(f"area under the ROC curve {percent(found['auc'])} (95 % interval {ends}); average precision: {shown}")
    mistakes = scores.mistakes() if hasattr(scores, "mistakes") else []
    if mistakes:
        rows = [[each.path, each.true, each.predicted, f"{each.score:.3f}"] for each in mistakes[:SHOWN_MISTAKES]]
        print(f"\n{len(mistakes)} of {len(scores.truth)} videos are misclassified, the worst first:")
        print(as_text(["video", "true", "predicted", "score"], rows))
        if len(mistakes) > SHOWN_MISTAKES:
            print(f"and {len(mistakes) - SHOWN_MISTAKES} more, which misclassified.csv lists")
    print()


def _evaluate(part: Part, data):
    """Scores a model; returns the scores, its net, and what goes into scores.json beside the figures."""
    from keras_res3d.tasks.evaluate import evaluate

    classifier = model_from_flags(part.model)
    sampling = classifier.card.sampling
    data = data or part.data(classifier.card)
    print(f"{printable(classifier.card.net)}: {len(data)} videos of {len(data.classes)} classes, up to {FLAGS.clips} "
          "clips each")  # fmt: skip
    scores = evaluate(
        classifier,
        data,
        clips=FLAGS.clips,
        batch_size=FLAGS.batch_size,
        benchmark=part.name,
        allow_contaminated=FLAGS.allow_contaminated,
        on_bad_video=FLAGS.on_bad_video,
    )
    details = {"model": part.model, "data": part.path, "sampling": sampling.to_dict()}
    if scores.left_out:
        details["left_out_videos"] = [{"video": str(data.examples[number].path), "fault": fault}
                                      for number, fault in scores.left_out.items()]  # fmt: skip
    return scores, classifier.card.net, details


def _write(scores, part: Part, details: dict, net: str) -> None:
    from keras_res3d.reports.score_files import write_scores

    if (paper := _paper(net)) is not None:
        details = {**details, "paper_percent": paper.nets, "paper_source": paper.source}
    names = write_scores(scores, part.folder, details, format=FLAGS.format)
    if left_out := len(scores.left_out):
        print(f"left out {left_out} of {left_out + len(scores.truth)} videos, which could not be read")
    print(f"wrote {printable(part.folder)}/{', '.join(names)}")


def _write_over_splits(found: dict, nets: list[str], details: dict) -> None:
    from keras_res3d.io import write_atomically
    from keras_res3d.tasks.evaluate import over_splits

    net = nets[0] if len(set(nets)) == 1 else "model"
    over = over_splits(found, net, FLAGS.layout or FLAGS.benchmark or "")
    print("\n" + as_text(*over.table()))
    for name, figures in over.paper.items():
        print(f"the paper's {name}: " + ", ".join(f"{measure} {value} %" for measure, value in figures.items()))
    _show_paper(_paper(net))
    summary = {name: value for name, value in over.summary().items() if name != "features"}
    write_atomically(as_path(FLAGS.output) / "scores.json", as_json({**details, **summary}))
    print(f"wrote {printable(FLAGS.output)}/scores.json")


def run(args: list[str]) -> int:
    if not args:
        raise ValueError("expected a model, found none: keras-res3d evaluate MODEL --data PATH")
    check_table_format(FLAGS.format)
    parts = _parts(args)
    folder = _folder(args[0])
    # Before anything is computed: a second process would put its files over those of the first.
    with only_one(folder / "scores.json", "writes scores into", folder):
        return _score_parts(parts)


def _score_parts(parts: list[Part]) -> int:
    data = [_data_of_the_card(part) for part in parts]
    import_keras_quietly()
    found, nets, bad = {}, [], 0
    for part, videos in zip(parts, data, strict=True):
        if len(parts) > 1:
            print(f"\n{printable(part.name)}, {printable(part.model)}")
        scores, net, details = _evaluate(part, videos)
        if len(parts) == 1:
            _show_details(scores)
        _show_measures(scores, _paper(net) if len(parts) == 1 else None)
        if len(parts) == 1:
            _show_paper(_paper(net))
        _write(scores, part, details, net)
        found[part.name if part.name not in found else f"{part.name} {len(found) + 1}"] = scores
        nets.append(net)
        bad += len(scores.left_out)
    if len(parts) > 1:
        _write_over_splits(found, nets, {"models": [part.model for part in parts]})
    return int(bool(bad))
