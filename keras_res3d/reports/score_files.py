"""What `evaluate` finds, as files of a folder: numbers for other programs, and pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from keras_res3d.io import atomic_group, only_one
from keras_res3d.measures import Curves
from keras_res3d.remote import as_path
from keras_res3d.reports.curves import precision_recall_curves, roc_curves
from keras_res3d.reports.plots import confusion_matrix, save_png
from keras_res3d.scores import Mistake, Scores
from keras_res3d.table_files import check_table_format, write_table
from keras_res3d.tables import as_json, percent

# It comes last: where it is there, the other files are whole, and of the same evaluation.
MARK = "scores.json"
# Every file that there may be: one of an earlier call that the present one does not write is removed.
FILES = (MARK, "classes.csv", "videos.csv", "videos.parquet", "misclassified.csv", "confusion.csv",
         "confusion.png", "curves.csv", "roc.png", "precision_recall.png")  # fmt: skip


def write_scores(
    scores: Scores, folder: str | os.PathLike, details: Mapping | None = None, *, format: str = "csv"
) -> list[str]:
    """Writes the files of an evaluation into a folder in one step, and removes those of an earlier one.

    `scores.json` has the figures, `classes.csv` a row for each class, and `videos.csv` a row for each video with its
    score for every class. `misclassified.csv` lists the mistakes, the worst first. `confusion.csv` and `confusion.png`
    have true classes as rows. Where there are two classes, `curves.csv`, `roc.png` and `precision_recall.png` follow.

    Args:
        scores: what `evaluate` gave.
        folder: made where it is missing.
        details: what goes into `scores.json` beside the figures.
        format: "csv" or "parquet", of the table of the videos. Parquet needs pyarrow.

    Returns:
        The names of the files.

    Raises:
        ImportError: `format` is "parquet", and pyarrow is not installed.
        ValueError: another process writes into the folder.
        OSError: the files cannot be written, for example because one of them is a folder; the old ones stay.
    """
    check_table_format(format)
    folder = as_path(folder)
    header, rows = scores.class_table()
    tables = {"classes.csv": dict(zip(header, zip(*rows, strict=True), strict=True)),
              f"videos.{format}": scores.video_columns()}  # fmt: skip
    if isinstance(scores, Scores):
        tables |= _tables_of_one_label(scores)
    pictures = _pictures(scores) if isinstance(scores, Scores) else {}
    written = [MARK, *tables, *pictures]
    with only_one(folder / MARK, "writes scores into", folder):
        with atomic_group(folder / MARK, last=True) as stage:
            stage.write_text(as_json({**(details or {}), **scores.summary()}), "utf-8", "surrogateescape")
            for name, columns in tables.items():
                write_table(stage.parent / name, columns)
            for name, figure in pictures.items():
                save_png(figure, stage.parent / name)
        for name in set(FILES) - set(written):
            (folder / name).unlink(missing_ok=True)
    return written


def _tables_of_one_label(scores: Scores) -> dict[str, dict]:
    mistakes = scores.mistakes()
    columns = {name: [getattr(each, name) for each in mistakes] for name in Mistake._fields if name != "number"}
    confusion = dict(zip(scores.labels, scores.confusion.T, strict=True))
    tables = {"misclassified.csv": columns, "confusion.csv": {"true class": scores.labels, **confusion}}
    curves = scores.curves()
    return tables | ({"curves.csv": curve_columns(curves)} if curves else {})


def curve_columns(curves: Mapping[str, Curves]) -> dict:
    """The points of the curves as columns: class, threshold, false_positive_rate, recall, precision."""
    names = ("thresholds", "false_positive_rate", "true_positive_rate", "precision")
    rows = [np.concatenate([getattr(each, name) for each in curves.values()]) for name in names]
    classes = [name for name, each in curves.items() for _ in each.thresholds]
    return dict(zip(("class", "threshold", "false_positive_rate", "recall", "precision"), (classes, *rows),
                    strict=True))  # fmt: skip


def _pictures(scores: Scores) -> dict:
    title = f"video@1 {percent(scores.video_at_1)}"
    found = {"confusion.png": confusion_matrix(scores.confusion, scores.labels, title)}
    if curves := scores.curves():
        found["roc.png"] = roc_curves(curves, "ROC of the videos")
        found["precision_recall.png"] = precision_recall_curves(curves, "precision and recall of the videos")
    return found


def class_rows(scores: Scores) -> tuple[list[str], list[list[str]]]:
    """The table of the classes as it is shown: shares in percent, a dash where a class has nothing to divide by.

    The accuracy of a class is its recall, and is shown once.
    """
    header, rows = scores.class_table()
    kept = [number for number, name in enumerate(header) if not (name == "accuracy" and "recall" in header)]
    rows = [[_shown(row[number]) for number in kept] for row in rows]
    return [header[number] for number in kept], rows


def _shown(value: object) -> str:
    return percent(value) if isinstance(value, float) else str(value)
