"""Score detections of actions in long videos, by THUMOS' evaluation or ActivityNet's.

    keras-res3d detect evaluate --detections res_seg_swin.mat --annotations annotation_test --window_weights weight.mat
    keras-res3d detect evaluate --detections found.json --annotations activity_net.json --protocol activitynet
    keras-res3d detect window_weights --annotations annotation_val --output weights.json

evaluate prints the average precision of each class and their mean at each IoU, how many videos were counted, and the
average recall of the first detections of a video. Detections are the released .mat file, a CSV with the columns video,
begin, end, label and score, or ActivityNet's JSON. Annotations are a folder as of THUMOS, or ActivityNet's JSON.
window_weights computes from annotations how likely each length of window is for each class. Where a file has faults,
all of them are named and the exit code is 2.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable

from absl import flags

from keras_res3d.tables import as_json, as_text, printable

FLAGS = flags.FLAGS
USAGE = "TASK"


def define_flags() -> None:
    flags.DEFINE_string("annotations", None, "Folder of annotations as of THUMOS, or a JSON file as of ActivityNet.")
    flags.DEFINE_string("subset", None, "The part of the annotations, such as test (a folder's only one by default; "
                        "all of a JSON file).")  # fmt: skip
    flags.DEFINE_string("detections", None, "evaluate: the detections, .mat, .csv or .json.")
    flags.DEFINE_string("window_weights", None, "evaluate: factors of scores by class and length of window, .mat or "
                        ".json (none by default).")  # fmt: skip
    flags.DEFINE_enum("protocol", "thumos14", ["thumos14", "activitynet"], "evaluate: the rules of the scoring.")
    flags.DEFINE_list("iou", None, "evaluate: thresholds of IoU, with commas between them (the protocol's by default).")
    flags.DEFINE_string("nms", "auto", "evaluate: IoU above which detections are suppressed before scoring; released "
                        "is 0.1 below each threshold, none is off, auto is released for .mat and none for others.")
    flags.DEFINE_string("blocked", None, "evaluate: a text file of videos that do not count, one a line.")
    flags.DEFINE_string("output", None, "evaluate: folder for scores.json and pictures of precision over recall; "
                        "window_weights: the .json file (nothing is written by default).")  # fmt: skip


def _required(*names: str) -> None:
    for name in names:
        if not FLAGS[name].value:
            raise ValueError(f"--{name} is required")


def _number(flag: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--{flag} has {text!r}; expected a number in 0..1") from None


def _blocked() -> list[str]:
    """The names of --blocked; a line may hold a comment behind #."""
    if not FLAGS.blocked:
        return []
    lines = pathlib.Path(FLAGS.blocked).read_text("utf-8-sig").splitlines()
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def _nms() -> float | str | None:
    if FLAGS.nms in ("auto", "released"):
        return FLAGS.nms
    return None if FLAGS.nms == "none" else _number("nms", FLAGS.nms)


def _evaluate() -> int:
    from keras_res3d.tasks.detection.annotations import read_annotations
    from keras_res3d.tasks.detection.detections import read_detections
    from keras_res3d.tasks.detection.evaluate import evaluate_detections
    from keras_res3d.tasks.detection.recall import COUNTS, average_recall
    from keras_res3d.tasks.detection.weights_file import read_window_weights

    _required("detections", "annotations")
    blocked = _blocked()
    annotations = read_annotations(FLAGS.annotations, FLAGS.subset)
    detections = read_detections(FLAGS.detections, annotations)
    weights = read_window_weights(FLAGS.window_weights) if FLAGS.window_weights else None
    scores = evaluate_detections(
        detections, annotations, protocol=FLAGS.protocol, nms=_nms(), window_weights=weights, blocked=blocked,
        thresholds=[_number("iou", text) for text in FLAGS.iou] if FLAGS.iou else None,
    )  # fmt: skip
    recall = average_recall(detections, annotations, blocked=blocked)
    _show(scores, len(detections), blocked, {*annotations.videos, *annotations.durations, *detections.videos})
    reached = ", ".join(f"{count}: {value:.5f}" for count, value in zip(COUNTS, recall, strict=True))
    print(f"average recall of a video's first detections at IoU 0.5 to 0.95: {reached}")
    if FLAGS.output:
        _write(scores, dict(zip(map(str, COUNTS), recall.tolist(), strict=True)), pathlib.Path(FLAGS.output))
    return 0


def _show(scores, count: int, blocked: list[str], videos: set[str]) -> None:
    """Prints the table of average precisions, and what was counted."""
    columns = scores.classes, scores.instances.tolist(), scores.average_precision.tolist()
    rows = [[name, str(instances), *("-" if ap != ap else f"{ap:.5f}" for ap in row)]
            for name, instances, row in zip(*columns, strict=True)]  # fmt: skip
    rows.append(["mean", str(int(scores.instances.sum())), *(f"{value:.5f}" for value in scores.mean)])
    print(as_text(["class", "instances", *(f"IoU {threshold:g}" for threshold in scores.thresholds)], rows))
    there = len(videos & set(blocked))
    left_out = f", {there} of {len(set(blocked))} blocked ones left out" if blocked else ""
    print(f"{scores.videos} video{'' if scores.videos == 1 else 's'} counted{left_out}; {count} detections; protocol "
          f"{scores.protocol}, suppression {'none' if scores.nms is None else scores.nms}")  # fmt: skip


def _write(scores, recall: dict[str, float], folder: pathlib.Path) -> None:
    from keras_res3d.io import write_atomically
    from keras_res3d.reports.moments import precision_over_recall
    from keras_res3d.reports.plots import save_png

    facts = {"detections": FLAGS.detections, "annotations": FLAGS.annotations, "window_weights": FLAGS.window_weights}
    write_atomically(folder / "scores.json", as_json({**facts, **scores.summary(), "average_recall": recall}))
    names = ["scores.json"]
    for number, threshold in enumerate(scores.thresholds):
        curves = {name: (*scores.curve(label, number), float(scores.average_precision[label, number]))
                  for label, name in enumerate(scores.classes) if scores.instances[label]}  # fmt: skip
        title = f"IoU {threshold:g}, mAP {100 * scores.mean[number]:.2f} %"
        names.append(f"precision-recall-{threshold:g}.png")
        save_png(precision_over_recall(curves, title), folder / names[-1])
    print(f"wrote {printable(folder)}/{', '.join(names)}")


def _window_weights() -> int:
    import numpy as np

    from keras_res3d.tasks.detection.annotations import read_annotations
    from keras_res3d.tasks.detection.weights_file import write_window_weights
    from keras_res3d.tasks.detection.window_weights import window_weights

    _required("annotations")
    found = read_annotations(FLAGS.annotations, FLAGS.subset)
    actions = found.labels >= 0
    weights = window_weights(np.diff(found.spans[actions], axis=1)[:, 0], found.labels[actions], found.classes)
    rows = [[name, *(f"{value:.5f}" for value in column)] for name, column
            in zip(weights.classes, weights.table.T.tolist(), strict=True)]  # fmt: skip
    print(as_text(["class", *(f"{frames} frames" for frames in weights.lengths)], rows))
    if FLAGS.output:
        print(f"wrote {printable(write_window_weights(weights, FLAGS.output))}")
    return 0


TASKS: dict[str, Callable[[], int]] = {"evaluate": _evaluate, "window_weights": _window_weights}


def run(args: list[str]) -> int:
    try:
        if args[0] not in TASKS:
            raise ValueError(f"the task is {args[0]}; expected {', '.join(TASKS)}")
        return TASKS[args[0]]()
    except (ValueError, FileNotFoundError) as error:  # lists and files that are not what they should be
        print(f"keras-res3d detect: {printable(str(error), lines=True)}", file=sys.stderr)
        return 2
