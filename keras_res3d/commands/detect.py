"""Find actions in long videos as S-CNN does; train its networks; score detections by THUMOS' rules or ActivityNet's.

    keras-res3d detect train --stage proposal --videos videos --annotations annotation_val \\
        --weights res3d18/sports1m --output scnn/proposal
    keras-res3d detect train --stage localization --videos videos --annotations annotation_val \\
        --weights scnn/classification --output scnn/localization
    keras-res3d detect run scnn match.mp4 game.mp4 --window_weights weights.json --output found
    keras-res3d detect evaluate --detections res_seg_swin.mat --annotations annotation_test --window_weights weight.mat
    keras-res3d detect evaluate --detections found.json --annotations activity_net.json --protocol activitynet
    keras-res3d detect window_weights --annotations annotation_val --output weights.json

train makes the network of a stage. proposal tells actions from background, and classification tells them apart; both
start from weights of another data set. localization starts from the folder of the classification network. run takes a
folder that holds the networks proposal and localization, and videos, or folders of them. It writes found.csv,
found.json, a picture for each video and index.html, which plays what was found. evaluate prints the average precision
of each class and their mean at each IoU, how many videos were counted, and the average recall of the first detections
of a video. Detections are the released .mat file, a CSV with the columns video, begin, end, label and score, or
ActivityNet's JSON; with --proposals they need no labels, and average recall alone is computed. Annotations are a folder
as of THUMOS, or ActivityNet's JSON.
window_weights computes from annotations how likely each length of window is for each class. Where a file has faults,
all of them are named. The exit code is 2 where what was given is wrong, and 1 where a video cannot be read.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from absl import flags

from keras_res3d.commands.outputs import check_output
from keras_res3d.data.types import VideoError
from keras_res3d.tables import as_json, as_text, printable

FLAGS = flags.FLAGS
USAGE = "TASK [MODELS VIDEO...]"
# Moments of each video that the page plays.
PLAYED = 12


def define_flags() -> None:
    from keras_res3d.tasks.detection.protocols import PROTOCOLS

    flags.DEFINE_string("annotations", None, "Folder of annotations as of THUMOS, or a JSON file as of ActivityNet.")
    flags.DEFINE_string("subset", None, "The part of the annotations, such as test (a folder's only one by default; "
                        "all of a JSON file).")  # fmt: skip
    _define_train_flags()
    flags.DEFINE_float("proposal_score", 0.7, "run: windows of at least this score are looked at closely.",
                       lower_bound=0, upper_bound=1)  # fmt: skip
    flags.DEFINE_string("detections", None, "evaluate: the detections, .mat, .csv or .json.")
    flags.DEFINE_string("window_weights", None, "run, evaluate: factors of scores by class and length of window, .mat "
                        "or .json (none by default).")  # fmt: skip
    flags.DEFINE_bool("proposals", False, "evaluate: the detections have no classes, or these do not count: average "
                      "recall alone is computed. Of a .mat file the proposal scores rank the windows.")  # fmt: skip
    flags.DEFINE_enum("protocol", "thumos14", list(PROTOCOLS), "evaluate: the rules of the scoring.")
    flags.DEFINE_list("iou", None, "evaluate: thresholds of IoU, with commas between them (the protocol's by default).")
    flags.DEFINE_string("nms", "auto", "run, evaluate: IoU above which weaker detections are suppressed, none is off. "
                        "auto is 0.4 for run. For evaluate it is released, 0.1 below each threshold, for .mat, and "
                        "none for other files.")  # fmt: skip
    flags.DEFINE_string("blocked", None, "evaluate: a text file of videos that do not count, one a line.")
    flags.DEFINE_string("output", None, "train, run: folder of what is written; evaluate: folder for scores.json and "
                        "pictures of precision over recall; window_weights: the .json file. The last two write nothing "
                        "by default.")  # fmt: skip


def _define_train_flags() -> None:
    from keras_res3d.tasks.detection.stages import STAGES

    flags.DEFINE_enum("stage", None, list(STAGES), "train: the network to train.")
    flags.DEFINE_string("videos", None, "train: folder of the videos, called as in the annotations.")
    flags.DEFINE_string("weights", None, "train: what to start from, as of keras-res3d train; for localization, the "
                        "folder of the classification network.")  # fmt: skip
    flags.DEFINE_string("net", None, "train: a net of the zoo, such as c3d (res3d18 by default; for localization that "
                        "of the classification network).")  # fmt: skip
    flags.DEFINE_integer("width", None, "train: channels of the first group (the net's own by default).", lower_bound=1)
    flags.DEFINE_integer("crop", None, "train: height and width of clips (the net's own by default).", lower_bound=1)
    flags.DEFINE_integer("iterations", None, "train: steps (those of the stage's recipe by default).", lower_bound=1)
    flags.DEFINE_integer("batch_size", None, "train: clips in a step (as of the recipe by default); run: clips that "
                         "are scored at a time (16 by default).", lower_bound=1)  # fmt: skip
    flags.DEFINE_float("learning_rate", None, "train: the highest learning rate (as of the recipe by default).")
    flags.DEFINE_integer("divide_every", None, "train: steps between falls of the learning rate (as of the recipe).",
                         lower_bound=1)  # fmt: skip
    flags.DEFINE_integer("seed", 0, "train: of new weights, of the windows of background and of their order.",
                         lower_bound=0, upper_bound=2**32 - 1)  # fmt: skip
    flags.DEFINE_float("background", 1.0, "train: windows of background for each window of an action, or of a class on "
                       "average where classes are told apart.", lower_bound=0.0)  # fmt: skip
    flags.DEFINE_float("overlap_loss", None, "train: weight of the overlap loss (1 for localization by default, 0 for "
                       "the others).", lower_bound=0.0)  # fmt: skip
    flags.DEFINE_list("lengths", None, "train: frames of the windows, with commas between them (16 to 512 by default).")
    flags.DEFINE_float("window_overlap", 0.75, "train: the part that a window shares with the next of its length.")
    flags.DEFINE_list("label_iou", "0.7,0.5,0.3", "train: a window above the first IoU shows an instance, and so does "
                      "the one that fits it best, above the second; below the third with all it is background.")
    flags.DEFINE_bool("overwrite", False, "train: start again where the folder holds a run.")


def _number(flag: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--{flag} has {text!r}; expected a number in 0..1") from None


def _blocked() -> list[str]:
    """The names of --blocked; a line may hold a comment behind #."""
    if not FLAGS.blocked:
        return []
    if not pathlib.Path(FLAGS.blocked).is_file():
        raise FileNotFoundError(f"--blocked is {FLAGS.blocked}, which is no file; expected a text file of names, one a "
                                "line")  # fmt: skip
    try:
        lines = pathlib.Path(FLAGS.blocked).read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"--blocked is {FLAGS.blocked}, which is no text in UTF-8") from None
    return [name for line in lines if (name := line.partition("#")[0].strip())]


def _videos(path: str) -> list[str]:
    """The videos of a file or folder; a folder without one is a wrong call, and no video that cannot be read."""
    from keras_res3d.data.open import videos_in

    try:
        return videos_in(path)
    except VideoError as error:
        raise ValueError(str(error)) from None


def _nms() -> float | str | None:
    if FLAGS.nms in ("auto", "released"):
        return FLAGS.nms
    return None if FLAGS.nms == "none" else _number("nms", FLAGS.nms)


def _evaluate(words: list[str]) -> int:
    from keras_res3d.tasks.detection.annotations import read_annotations
    from keras_res3d.tasks.detection.detections import read_detections
    from keras_res3d.tasks.detection.evaluate import evaluate_detections
    from keras_res3d.tasks.detection.recall import COUNTS, average_recall
    from keras_res3d.tasks.detection.weights_file import read_window_weights

    if FLAGS.proposals:
        return _evaluate_proposals()
    blocked = _blocked()
    annotations = read_annotations(FLAGS.annotations, FLAGS.subset)
    detections = read_detections(FLAGS.detections, annotations)
    weights = read_window_weights(FLAGS.window_weights) if FLAGS.window_weights else None
    scores = evaluate_detections(
        detections, annotations, protocol=FLAGS.protocol, nms=_nms(), window_weights=weights, blocked=blocked,
        thresholds=[_number("iou", text) for text in FLAGS.iou] if FLAGS.iou else None,
    )  # fmt: skip
    recall = average_recall(detections, annotations, blocked=blocked)
    _show(scores, len(detections), set(blocked), set(detections.videos), {*annotations.videos, *annotations.durations})
    reached = ", ".join(f"{count}: {value:.5f}" for count, value in zip(COUNTS, recall, strict=True))
    print(f"average recall of a video's first detections at IoU 0.5 to 0.95: {reached}")
    if FLAGS.output:
        _write(scores, dict(zip(map(str, COUNTS), recall.tolist(), strict=True)), pathlib.Path(FLAGS.output))
    return 0


def _evaluate_proposals() -> int:
    from keras_res3d.io import write_atomically
    from keras_res3d.tasks.detection.annotations import read_annotations
    from keras_res3d.tasks.detection.detections import read_detections
    from keras_res3d.tasks.detection.protocols import PROTOCOLS
    from keras_res3d.tasks.detection.recall import COUNTS, average_recall

    odd = [f"--{name}" for name in ("protocol", "nms", "window_weights") if FLAGS[name].present]
    if odd:
        raise ValueError(f"{', '.join(odd)}: proposals have no classes, and take --iou and --blocked alone")
    blocked, annotations = _blocked(), read_annotations(FLAGS.annotations, FLAGS.subset)
    proposals = read_detections(FLAGS.detections, annotations, proposals=True)
    thresholds = [_number("iou", text) for text in FLAGS.iou] if FLAGS.iou else PROTOCOLS["activitynet"].thresholds
    recall = average_recall(proposals, annotations, thresholds=thresholds, blocked=blocked).tolist()
    print(as_text(["proposals of a video", "average recall"],
                  [[str(count), f"{value:.5f}"] for count, value in zip(COUNTS, recall, strict=True)]))
    videos = {*proposals.videos, *annotations.videos, *annotations.durations} - set(blocked)
    print(f"{len(videos)} video{'' if len(videos) == 1 else 's'} counted; {len(proposals)} proposals; IoU "
          f"{', '.join(f'{threshold:g}' for threshold in thresholds)}")  # fmt: skip
    if FLAGS.output:
        facts = {"detections": FLAGS.detections, "annotations": FLAGS.annotations, "iou": list(thresholds)}
        recalls = dict(zip(map(str, COUNTS), recall, strict=True))
        path = pathlib.Path(FLAGS.output) / "scores.json"
        write_atomically(path, as_json({**facts, "videos": len(videos), "average_recall": recalls}))
        print(f"wrote {printable(path)}")
    return 0


def _show(scores, count: int, blocked: set[str], found: set[str], listed: set[str]) -> None:
    """Prints the table of average precisions, and what was counted.

    Args:
        scores: as of `evaluate_detections`.
        count: of detections.
        blocked, found, listed: names of the videos that are blocked, have detections, and have annotations.
    """
    columns = scores.classes, scores.instances.tolist(), scores.average_precision.tolist()
    rows = [[name, str(instances), *("-" if ap != ap else f"{ap:.5f}" for ap in row)]
            for name, instances, row in zip(*columns, strict=True)]  # fmt: skip
    rows.append(["mean", str(int(scores.instances.sum())), *(f"{value:.5f}" for value in scores.mean)])
    print(as_text(["class", "instances", *(f"IoU {threshold:g}" for threshold in scores.thresholds)], rows))
    left_out = f", {len((found | listed) & blocked)} of {len(blocked)} blocked ones left out" if blocked else ""
    alone = len(found - listed - blocked)
    left_out += f", {alone} with detections alone" if alone else ""
    print(f"{scores.videos} video{'' if scores.videos == 1 else 's'} counted{left_out}; {count} detections; protocol "
          f"{scores.protocol}, suppression {'none' if scores.nms is None else scores.nms}")  # fmt: skip


def _write(scores, recall: dict[str, float], folder: pathlib.Path) -> None:
    from keras_res3d.io import atomic_group, only_one
    from keras_res3d.reports.moments import precision_over_recall
    from keras_res3d.reports.plots import save_png

    facts = {"detections": FLAGS.detections, "annotations": FLAGS.annotations, "window_weights": FLAGS.window_weights}
    names = ["scores.json"]
    mark = folder / names[0]
    with only_one(mark, "writes scores into", folder), atomic_group(mark, last=True) as stage:
        for number, threshold in enumerate(scores.thresholds):
            curves = {name: (*scores.curve(label, number), float(scores.average_precision[label, number]))
                      for label, name in enumerate(scores.classes) if scores.instances[label]}  # fmt: skip
            title = f"IoU {threshold:g}, mAP {100 * scores.mean[number]:.2f} %"
            names.append(f"precision-recall-{threshold:g}.png")
            save_png(precision_over_recall(curves, title), stage.parent / names[-1])
        facts |= {**scores.summary(), "average_recall": recall}
        stage.write_text(as_json(facts), "utf-8", "surrogateescape")
    print(f"wrote {printable(folder)}/{', '.join(names)}")


def _window_weights(words: list[str]) -> int:
    import numpy as np

    from keras_res3d.tasks.detection.annotations import read_annotations
    from keras_res3d.tasks.detection.weights_file import write_window_weights
    from keras_res3d.tasks.detection.window_weights import window_weights

    check_output("output", words, (".json",))
    found = read_annotations(FLAGS.annotations, FLAGS.subset)
    actions = found.labels >= 0
    weights = window_weights(np.diff(found.spans[actions], axis=1)[:, 0], found.labels[actions], found.classes)
    rows = [[name, *(f"{value:.5f}" for value in column)] for name, column
            in zip(weights.classes, weights.table.T.tolist(), strict=True)]  # fmt: skip
    print(as_text(["class", *(f"{frames} frames" for frames in weights.lengths)], rows))
    if FLAGS.output:
        print(f"wrote {printable(write_window_weights(weights, FLAGS.output))}")
    return 0


def _cutting():
    """How windows are cut and labelled, by --lengths, --window_overlap and --label_iou."""
    from keras_res3d.tasks.detection.segment_data import Cutting
    from keras_res3d.tasks.detection.segment_labels import LabelRule
    from keras_res3d.tasks.detection.windows import LENGTHS

    if FLAGS.lengths is not None and not all(text.strip().isdecimal() for text in FLAGS.lengths):
        raise ValueError(f"--lengths is {','.join(FLAGS.lengths)}; expected whole numbers with commas between")
    if len(FLAGS.label_iou) != 3:
        raise ValueError(f"--label_iou is {','.join(FLAGS.label_iou)}; expected three numbers with commas between")
    lengths = LENGTHS if FLAGS.lengths is None else tuple(map(int, FLAGS.lengths))
    rule = LabelRule(*(_number("label_iou", text) for text in FLAGS.label_iou))
    return Cutting(lengths, FLAGS.window_overlap, rule=rule)


def _train(words: list[str]) -> int:
    from keras_res3d.commands.common import import_keras_quietly, require_tensorflow

    require_tensorflow("keras-res3d detect train")
    import_keras_quietly()
    from keras_res3d.training.folder import held

    with held(FLAGS.output):
        return _train_stage()


def _train_stage() -> int:
    """Trains one network, in a folder that is held."""
    from keras_res3d.nets.zoo import get_architecture
    from keras_res3d.tasks.detection.annotations import read_annotations
    from keras_res3d.tasks.detection.stages import STAGES
    from keras_res3d.tasks.detection.train import train_stage
    from keras_res3d.tasks.named_videos import unlabelled_videos
    from keras_res3d.training.folder import state_of
    from keras_res3d.training.recipes import recipe

    state = "nothing" if FLAGS.overwrite else state_of(FLAGS.output)
    if state in ("finished", "foreign"):
        raise ValueError(f"{FLAGS.output} holds a model; choose another --output, or give --overwrite")
    if not pathlib.Path(FLAGS.videos).exists():
        raise FileNotFoundError(f"--videos is {FLAGS.videos}, which is not there; expected a folder of videos")
    stage = STAGES[FLAGS.stage]
    inherited = [f"--{name}" for name in ("net", "width", "crop") if stage.after and FLAGS[name].value is not None]
    if inherited:
        raise ValueError(f"{', '.join(inherited)}: the {FLAGS.stage} network has those of the {stage.after} network; "
                         "leave them out")  # fmt: skip
    names = ("iterations", "batch_size", "learning_rate", "divide_every", "crop")
    changes = {name: FLAGS[name].value for name in names if FLAGS[name].value is not None}
    net = get_architecture(FLAGS.net or "res3d18")
    history = train_stage(
        FLAGS.stage, unlabelled_videos(_videos(FLAGS.videos), FLAGS.videos),
        read_annotations(FLAGS.annotations, FLAGS.subset), FLAGS.output, start=FLAGS.weights,
        net=net if FLAGS.width is None else replace(net, width=FLAGS.width),
        options=recipe(stage.recipe, seed=FLAGS.seed, **changes), cutting=_cutting(),
        background=FLAGS.background, overlap=FLAGS.overlap_loss, resume=state == "unfinished",
    )  # fmt: skip
    last = ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items())
    print(f"{last}\nwrote {printable(FLAGS.output)}/model.keras, model.json, log.csv")
    return 0


def _run(words: list[str]) -> int:
    from keras_res3d.io import only_one

    with only_one(pathlib.Path(FLAGS.output) / "index.html", "writes into", FLAGS.output):
        return _find(words)


def _find(words: list[str]) -> int:
    """Finds actions, in an output folder that is held."""
    from keras_res3d.commands.common import import_keras_quietly

    import_keras_quietly()
    from keras_res3d.tasks.detection.annotations import read_annotations
    from keras_res3d.tasks.detection.run import NMS, detect_actions, load_detector
    from keras_res3d.tasks.detection.weights_file import read_window_weights

    if FLAGS.nms == "released":
        raise ValueError("--nms is released, which evaluate alone knows; expected a number in 0..1, none or auto")
    truth = read_annotations(FLAGS.annotations, FLAGS.subset) if FLAGS.annotations else None
    weights = read_window_weights(FLAGS.window_weights) if FLAGS.window_weights else None
    settings = {"nms": NMS if FLAGS.nms == "auto" else _nms(), "proposal_score": FLAGS.proposal_score,
                "window_weights": weights, "batch_size": FLAGS.batch_size or 16}  # fmt: skip
    detector, found = load_detector(words[0]), []
    paths = [path for word in words[1:] for path in _videos(word)]
    for path in paths:
        try:
            found.append((path, detect_actions(detector, path, **settings)))
            print(f"{printable(path)}: {len(found[-1][1])} moments", flush=True)
        except VideoError as error:  # the other videos are searched all the same
            print(f"keras-res3d detect: {printable(error)}", file=sys.stderr)
    if not found:
        return 1
    names = _write_found(found, truth, pathlib.Path(FLAGS.output))
    print(f"wrote {printable(FLAGS.output)}/{', '.join(map(printable, names))}")
    return 0 if len(found) == len(paths) else 1


def _write_found(found: list, truth, folder: pathlib.Path) -> list[str]:
    """Writes the lists, the pictures and the page of (path, detections) of each video; returns their names."""
    from keras_res3d.io import atomic_group, output_paths
    from keras_res3d.reports.moments import moments_page
    from keras_res3d.reports.plots import save_png
    from keras_res3d.tasks.detection.detections import write_detections
    from keras_res3d.tasks.detection.moments import joined

    whole = joined([detections for _, detections in found])
    shown = [_shown(path, detections, truth) for path, detections in found]
    pictures = output_paths([path for path, _ in found], folder, ".png")
    lead = f"{len(whole)} moments of {len(whole.classes)} classes in {len(found)} videos."
    lead += " Bars in grey are the annotations." if truth is not None else ""
    with atomic_group(folder / "index.html", last=True) as stage:
        for name in ("found.csv", "found.json"):
            write_detections(whole, stage.parent / name)
        for each, picture in zip(shown, pictures, strict=True):
            save_png(each.timeline, stage.parent / picture.name)
        stage.write_text(moments_page(shown, lead), "utf-8", "surrogateescape")
    return ["found.csv", "found.json", *(picture.name for picture in pictures), "index.html"]


def _shown(path: str, detections, truth):
    """A video as the page shows it."""
    from keras_res3d.data.open import open_video
    from keras_res3d.data.types import Example
    from keras_res3d.reports.moments import VideoMoments, moments_on_a_line
    from keras_res3d.reports.search import thumbnail
    from keras_res3d.tasks.detection.segment_data import name_of

    with open_video(path) as video:
        first, last = float(video.seconds[0]), float(video.seconds[-1])
    name, rows = name_of(Example(path, 0)), []
    annotated = {} if truth is None else truth.spans_of(name)
    for label, of_class in enumerate(detections.classes):
        mine = [(*detections.spans[row].tolist(), float(detections.scores[row]))
                for row in range(len(detections)) if detections.labels[row] == label]  # fmt: skip
        true = annotated.get(of_class, [])
        if mine or true:
            rows.append((of_class, mine, [(begin, end, 1.0) for begin, end in true]))
    played = []
    for row in range(min(PLAYED, len(detections))):
        begin, end = detections.spans[row].tolist()
        lines = (f"score {detections.scores[row]:.3f}", f"{begin:.1f} to {end:.1f} s")
        name_of_class = detections.classes[detections.labels[row]]
        played.append(thumbnail(path, name_of_class, lines, (first + begin, min(last, first + end))))
    return VideoMoments(path, moments_on_a_line(rows, last - first, name), tuple(played), len(detections) - len(played))


@dataclass(frozen=True)
class Task:
    """A task of this verb.

    Attributes:
        run: does it, and returns the exit code.
        required: flags that it needs.
        words: how many words it needs at least beside its name; none at all where it is 0.
        writes_folder: whether --output is a folder.
    """

    run: Callable[[list[str]], int]
    required: tuple[str, ...]
    words: int = 0
    writes_folder: bool = True


TASKS = {
    "train": Task(_train, ("stage", "videos", "annotations", "output")),
    "run": Task(_run, ("output",), words=2),
    "evaluate": Task(_evaluate, ("detections", "annotations")),
    "window_weights": Task(_window_weights, ("annotations",), writes_folder=False),
}


def _wrong_call(name: str, words: list[str]) -> str | None:
    """What is wrong with the words and flags, or None."""
    if name not in TASKS:
        return f"the task is {name}; expected one of {', '.join(TASKS)}"
    task = TASKS[name]
    if len(words) < task.words:
        return "MODELS or VIDEO is missing; expected a folder of networks, and videos"
    if words and not task.words:
        return f"unexpected arguments {' '.join(words)}; {name} takes flags alone"
    output = pathlib.Path(FLAGS.output or "")
    if FLAGS.output and output.exists() and output.is_dir() != task.writes_folder:
        there, expected = ("file", "folder") if task.writes_folder else ("folder", "file")
        return f"--output is {FLAGS.output}, a {there}; {name} writes a {expected}"
    missing = [f"--{flag}" for flag in task.required if not FLAGS[flag].value]
    return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} required for {name}" if missing else None


def run(args: list[str]) -> int:
    name, words = args[0], args[1:]
    fault = _wrong_call(name, words)
    if fault is None:
        try:
            return TASKS[name].run(words)
        except VideoError:
            raise
        except (ValueError, FileNotFoundError) as error:  # what was given is wrong
            fault = str(error)
    print(f"keras-res3d detect: {printable(fault, lines=True)}", file=sys.stderr)
    return 2
