"""Measure what features are worth on a data set: by a linear SVM, after PCA, by retrieval; or fine-tune a net on it.

    keras-res3d transfer svm features/ucf101 --layout ucf101 --lists ucfTrainTestlist
    keras-res3d transfer svm features/mine --train_list train.csv --test_list test.csv --output transfer
    keras-res3d transfer svm features/train --test features/test --C 1
    keras-res3d transfer pca Res3D=features/res3d C3D=features/c3d --layout ucf101 --lists ucfTrainTestlist
    keras-res3d transfer knn features/mine --k 1,5,10
    keras-res3d transfer finetune --layout ucf101 --data UCF-101 --lists ucfTrainTestlist \\
        --weights res3d18/sports1m --output runs/ucf101

FEATURES is a folder of keras-res3d extract. What is trained on and what is tested on is said by the lists of a public
data set (all splits, with mean and standard deviation), by CSV lists, or by features of the test videos. Videos of a
list are found by the end of their path. svm and pca choose the SVM's C by cross-validation inside the training part, in
which groups stay whole, unless --C is given. pca takes one folder or more, each as FOLDER or NAME=FOLDER. knn without
lists looks for each video among all others. finetune trains and scores a net on each split of a public data set.
"""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Callable

from absl import flags

from keras_res3d.tables import as_json, as_text, printable

FLAGS = flags.FLAGS
USAGE = "TASK [FEATURES...]"


def define_flags() -> None:
    flags.DEFINE_list("test", None, "Folders of features of the test videos, one for each FEATURES.")
    flags.DEFINE_enum("layout", None, ["ucf101", "hmdb51"], "The public data set whose lists are read.")
    flags.DEFINE_string("lists", None, "With --layout, the folder of its lists.")
    flags.DEFINE_list("splits", "1,2,3", "With --layout, numbers of its splits.")
    flags.DEFINE_list("train_list", None, "CSV lists of training videos, with the columns path, label and group.")
    flags.DEFINE_list("test_list", None, "CSV lists of test videos, one for each of --train_list.")
    flags.DEFINE_list("layers", None, "Layers to measure, with commas between them (all by default).")
    flags.DEFINE_float("C", None, "C of the SVM (chosen by cross-validation inside the training part by default).")
    flags.DEFINE_integer("folds", 5, "The number of folds by which C is chosen.", lower_bound=2)
    flags.DEFINE_list("dimensions", "10,50,100,200,300,all", "pca: numbers of dimensions; all is no projection.")
    flags.DEFINE_list("k", "1,5,10,20,50", "knn: how many of the nearest videos count.")
    flags.DEFINE_integer("seed", 0, "The seed of the folds and of the solver; of finetune, of the training.",
                         lower_bound=0, upper_bound=2**32 - 1)  # fmt: skip
    flags.DEFINE_string("output", None, "Folder for TASK.json, TASK.csv and the picture of pca (nothing is written by "
                        "default); of finetune, for its runs too.")  # fmt: skip
    _define_finetune_flags()


def _define_finetune_flags() -> None:
    flags.DEFINE_string("data", None, "finetune: the folder of the videos of the public data set.")
    flags.DEFINE_string("weights", None, "finetune: the weights to start from, as of keras-res3d train.")
    flags.DEFINE_string("net", None, "finetune: a net of the zoo (by default that of --weights, or sr18).")
    flags.DEFINE_string("recipe", "finetune_ucf101", "finetune: the settings of the training.")
    flags.DEFINE_integer("iterations", None, "finetune: steps of the training (those of --recipe by default).",
                         lower_bound=1)  # fmt: skip
    flags.DEFINE_integer("batch_size", None, "finetune: clips in a step (as of --recipe by default).", lower_bound=1)
    flags.DEFINE_integer("clips", 10, "finetune: clips scored of each test video.", lower_bound=1)
    flags.DEFINE_bool("skip_missing", False, "finetune: leave out listed videos whose files are missing.")


def _numbers(flag: str, none: str | None = None) -> list[int | None]:
    """The whole numbers of a flag that is a list; the word `none` stands for None."""
    found = []
    for text in FLAGS[flag].value:
        if not text.strip().isdigit() and text.strip() != none:
            raise ValueError(f"--{flag} is {','.join(FLAGS[flag].value)}; expected whole numbers with commas between")
        found.append(None if text.strip() == none else int(text))
    return found


def _where() -> dict:
    """What says which videos are trained on and which are tested on."""
    return {"layout": FLAGS.layout, "lists": FLAGS.lists, "splits": _numbers("splits"), "layers": FLAGS.layers,
            "train_list": FLAGS.train_list, "test_list": FLAGS.test_list}  # fmt: skip


def _tests(count: int) -> list[str] | None:
    if FLAGS.test is not None and len(FLAGS.test) != count:
        raise ValueError(f"--test names {len(FLAGS.test)} folders; expected one for each of the {count} FEATURES")
    return FLAGS.test


def _one(words: list[str]) -> tuple[str, str | None]:
    """The folder of features, and that of the test videos."""
    if len(words) != 1:
        raise ValueError(f"called with {len(words)} folders of features; expected one")
    tests = _tests(1)
    return words[0], tests[0] if tests else None


def _svm(words: list[str]):
    from keras_res3d.tasks.transfer.svm import transfer_svm

    return transfer_svm(*_one(words), **_where(), C=FLAGS.C, folds=FLAGS.folds, seed=FLAGS.seed)


def _pca(words: list[str]):
    from keras_res3d.tasks.transfer.pca import transfer_pca

    if not words:
        raise ValueError("called without features; expected FOLDER or NAME=FOLDER, one or more")
    paths = [pathlib.Path(word) for word in words]
    named = [word.split("=", 1) if "=" in word and not path.exists() else (path.absolute().name, word)
             for word, path in zip(words, paths, strict=True)]  # fmt: skip
    names = [name for name, _ in named]
    if "" in names:
        raise ValueError(f"{words[names.index('')]} has no name; expected FOLDER or NAME=FOLDER")
    if len(set(names)) < len(names):
        raise ValueError(f"two FEATURES are called alike ({', '.join(names)}); give each as NAME=FOLDER")
    tests = _tests(len(words))
    return transfer_pca(
        dict(named), None if tests is None else dict(zip(names, tests, strict=True)), **_where(), C=FLAGS.C,
        dimensions=_numbers("dimensions", "all"), folds=FLAGS.folds, seed=FLAGS.seed,
    )  # fmt: skip


def _knn(words: list[str]):
    from keras_res3d.tasks.transfer.knn import transfer_knn

    return transfer_knn(*_one(words), **_where(), k=_numbers("k"))


def _finetune(words: list[str]):
    if words:
        raise ValueError(f"called with {' '.join(words)}; finetune takes flags alone (--data, --layout, --output)")
    for name in ("layout", "data", "output"):
        if FLAGS[name].value is None:
            raise ValueError(f"--{name} is required for finetune")
    from keras_res3d.commands.common import import_keras_quietly, require_tensorflow

    require_tensorflow("keras-res3d transfer finetune")
    import_keras_quietly()
    from keras_res3d.tasks.transfer.finetune import transfer_finetune
    from keras_res3d.training.recipes import recipe

    changes = {name: FLAGS[name].value for name in ("iterations", "batch_size") if FLAGS[name].value is not None}
    return transfer_finetune(
        FLAGS.data, FLAGS.output, layout=FLAGS.layout, lists=FLAGS.lists, splits=_numbers("splits"),
        weights=FLAGS.weights, net=FLAGS.net, options=recipe(FLAGS.recipe, seed=FLAGS.seed, **changes),
        clips=FLAGS.clips, skip_missing=FLAGS.skip_missing,
    )  # fmt: skip


TASKS: dict[str, Callable] = {"svm": _svm, "pca": _pca, "knn": _knn, "finetune": _finetune}


def _write(scores, folder: pathlib.Path) -> list[str]:
    """Writes the files of a task in one step; returns their names."""
    from keras_res3d.io import atomic_group, only_one
    from keras_res3d.reports.plots import save_png

    mark, rows = folder / f"{scores.task}.json", io.StringIO(newline="")
    columns = ["name", "dimensions", "measure", "split", "value", "train", "test", "classes", "C"]
    csv.writer(rows).writerows([columns, *([getattr(each, name) for name in columns] for each in scores.scores)])
    figure = [] if scores.task != "pca" else [_figure(scores)]
    with only_one(mark, "writes into", folder), atomic_group(mark, last=True) as stage:
        stage.write_text(as_json(scores.summary()), "utf-8", "surrogateescape")
        stage.with_suffix(".csv").write_text(rows.getvalue(), "utf-8", "surrogateescape", newline="")
        for each in figure:
            save_png(each, stage.with_suffix(".png"))
    return [mark.name, f"{scores.task}.csv", *(f"{scores.task}.png" for _ in figure)]


def _figure(scores):
    from keras_res3d.reports.curves import accuracy_over_dimensions

    lines: dict[str, list] = {}
    whole = {}
    for name, dimensions, _ in scores.rows():
        value = 100 * scores.mean(name, dimensions)
        if dimensions is None:
            whole[name] = value
        lines.setdefault(name, [])
        lines[name] += [] if dimensions is None else [(dimensions, value)]
    return accuracy_over_dimensions({name: sorted(line) for name, line in lines.items()}, whole, scores.paper,
                                    "linear SVM after PCA")  # fmt: skip


def run(args: list[str]) -> int:
    if args[0] not in TASKS:
        raise ValueError(f"the task is {args[0]}; expected {', '.join(TASKS)}")
    scores = TASKS[args[0]](args[1:])
    print(as_text(*scores.table()))
    for name, figures in scores.paper.items():
        points = figures.items() if isinstance(figures, dict) else [("", figures)]
        text = ", ".join(f"{value} %{f' at {count} dimensions' if count else ''}" for count, value in points)
        print(f"the paper's {name}: {text}")
    if FLAGS.output:
        names = _write(scores, pathlib.Path(FLAGS.output))
        print(f"wrote {printable(FLAGS.output)}/{', '.join(names)}")
    return 0
