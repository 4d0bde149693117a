"""Tell pairs of videos of the same action from pairs of two, by the ASLAN protocol: accuracy, AUC, ROC curve.

    keras-res3d similarity features/aslan --pairs view2.txt --output similarity

FEATURES is a folder of keras-res3d extract. Each pair gives 12 distances for each layer of features, 36 numbers for
res5b, pool5 and prob. A linear SVM on them is trained on nine folds and tested on the tenth; folds are in the order of
the list. A line of the list is: id1 id2 same, and both actions or none; same is 1 or 0. An id is the path of a video or
the end of it, without the extension.
"""

from __future__ import annotations

import pathlib

from absl import flags

from keras_res3d.tables import as_json, as_text, percent, printable

FLAGS = flags.FLAGS
USAGE = "FEATURES --pairs FILE"


def define_flags() -> None:
    flags.DEFINE_string("pairs", None, "The list of pairs, such as ASLAN's view2.txt.")
    flags.DEFINE_list("layers", None, "Layers whose distances are taken, with commas between them (all by default).")
    flags.DEFINE_integer("folds", 10, "The number of folds, in the order of the list.", lower_bound=2)
    flags.DEFINE_float("C", None, "C of the SVM (chosen by cross-validation over the training folds by default).")
    flags.DEFINE_integer("seed", 0, "The seed of the solver.", lower_bound=0, upper_bound=2**32 - 1)
    flags.DEFINE_string("output", None, "Folder for similarity.json and roc.png (nothing is written by default).")


def _show(found) -> None:
    folds = zip(found.accuracies, found.C, strict=True)
    rows = [[str(fold), percent(share), f"{C:g}"] for fold, (share, C) in enumerate(folds, 1)]
    print(as_text(["fold", "accuracy", "C"], rows))
    error = 100 * found.standard_error
    print(f"accuracy {percent(found.accuracy)}, standard error {error:.1f}; AUC {percent(found.auc)}")
    for name, (accuracy, auc) in found.paper.items():
        print(f"the paper's {name}: accuracy {accuracy} %, AUC {auc} %")


def run(args: list[str]) -> int:
    from keras_res3d.tasks.similarity import similarity

    found = similarity(args[0], FLAGS.pairs, layers=FLAGS.layers, folds=FLAGS.folds, C=FLAGS.C, seed=FLAGS.seed)
    _show(found)
    if FLAGS.output:
        from keras_res3d.io import atomic_group, only_one
        from keras_res3d.reports.curves import roc_curve
        from keras_res3d.reports.plots import save_png

        folder = pathlib.Path(FLAGS.output)
        mark = folder / "similarity.json"
        with only_one(mark, "writes into", folder), atomic_group(mark, last=True) as stage:
            stage.write_text(as_json({"pairs_of": FLAGS.pairs, **found.summary()}), "utf-8", "surrogateescape")
            save_png(roc_curve(*found.roc(), found.auc, "the same action or two"), stage.parent / "roc.png")
        print(f"wrote {printable(folder)}/similarity.json, roc.png")
    return 0
