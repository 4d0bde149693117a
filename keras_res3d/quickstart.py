"""The tour in one call: it trains a 3D and a 2D net of equal size, scores, exports and checks them, and reports."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_res3d.cards import ModelCard, read_card
from keras_res3d.data.batches import video_batches
from keras_res3d.data.clips import Sampling
from keras_res3d.data.sources.motion import CLASSES, motion_data_set
from keras_res3d.data.transform import preprocess_input
from keras_res3d.export.export import export_model
from keras_res3d.export.report import ExportError, ExportReport
from keras_res3d.io import write_atomically
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.counts import count_macs, count_params
from keras_res3d.reports.pages import ClipShown
from keras_res3d.reports.sections import Clips, Code, Pairs, Section, Table, Text, curves, scores_sections
from keras_res3d.reports.sections import page as report_page
from keras_res3d.reports.surroundings import surroundings
from keras_res3d.tasks.compare import Contender, answers_in_reverse, compare, same_budget_2d
from keras_res3d.training.recipes import TrainingOptions

# One residual block per group as in the paper's D10, narrow, on small clips: it trains in a minute on two cores. conv1
# keeps the full resolution. At half of it the texture that tells a turn to the left from one to the right is gone.
NET = Architecture(
    "quickstart",
    width=10,
    blocks=(1, 1, 1, 1),
    conv1=3,
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)),
    frames=8,
    crop=32,
    classes=len(CLASSES),
    batch_norm_momentum=0.9,
)
SAMPLING = Sampling(frames=8, stride=1, resize=(32, 32), crop=(32, 32))
OPTIONS = TrainingOptions(epochs=6, batch_size=32, learning_rate=0.05)
CLIPS, CALIBRATION_VIDEOS = 3, 200
EXPORTS = {
    "SavedModel": ("saved_model", "none", "saved_model"),
    "LiteRT float32": ("litert", "none", "litert/float32.tflite"),
    "LiteRT int8": ("litert", "int8", "litert/int8.tflite"),
}
# Played backwards, a video of one class is a video of the other.
REVERSED = np.array([1, 0, 3, 2, 5, 4, 7, 6])


@dataclass(frozen=True)
class Tour:
    """What the quickstart found.

    Attributes:
        contenders: the 3D net, then the 2D net.
        reversal: for each, the share of test clips whose answer turns into the opposite class when played backwards.
        exports: name to report, for exports that were kept.
        refused: name to reason, for exports that differed from Keras by more than their bound.
    """

    contenders: list[Contender]
    reversal: list[float]
    exports: dict[str, ExportReport]
    refused: dict[str, str]


def test_clips(test_set, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """The centre clip of every test video, and its class.

    Returns:
        uint8 `(videos, frames, height, width, 3)`, and integers `(videos,)`.
    """
    batches = list(video_batches(test_set, sampling, 64, clips=1, preprocess=False))
    return np.concatenate([batch[0] for batch in batches]), np.concatenate([batch[1] for batch in batches])


def run(
    output: str | os.PathLike,
    options: TrainingOptions = OPTIONS,
    training_set=None,
    test_set=None,
    say: Callable[[str], None] = print,
) -> Tour:
    """Runs the tour and writes models, exports, `results.json` and `report.html` into the folder `output`.

    Args:
        output: the folder, which is made where it is missing; an earlier tour's files are replaced.
        options: what both nets are trained with.
        training_set, test_set: data sets of the motion classes; None means the embedded ones.
        say: called with a line of text before each stage.

    Returns:
        What was found, as `results.json` and the report have it.
    """
    folder = pathlib.Path(output)
    say("drawing the embedded data set: textured patches that move, turn, grow or shrink")
    training_set = training_set or motion_data_set("train")
    test_set = test_set or motion_data_set("test")
    nets = {"3D": NET, "2D": same_budget_2d(NET)}
    contenders = compare(nets, training_set, test_set, SAMPLING, options, folder, CLIPS, say)
    reversal = []
    for contender in contenders:
        forwards, backwards = answers_in_reverse(contender, test_set, SAMPLING)
        reversal.append(float((backwards == REVERSED[forwards]).mean()))
    pixels, truth = test_clips(test_set, SAMPLING)
    tour = Tour(contenders, reversal, *_export(contenders[0], pixels, folder, training_set, say))
    write_atomically(folder / "results.json", json.dumps(results(tour), indent=2) + "\n")
    write_atomically(folder / "report.html", page(tour, pixels, truth, options))
    return tour


def _export(
    contender: Contender, pixels: np.ndarray, folder: pathlib.Path, training_set, say: Callable[[str], None]
) -> tuple[dict[str, ExportReport], dict[str, str]]:
    """Reports of the exports that were kept, and why others were not. int8 is calibrated on training clips."""
    card: ModelCard = read_card(folder / contender.name / "model.keras")
    calibration, _ = test_clips(_First(training_set, CALIBRATION_VIDEOS), SAMPLING)
    reports, refused = {}, {}
    for name, (form, quantize, path) in EXPORTS.items():
        say(f"exporting {name} and checking it against Keras on {len(pixels)} clips")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            reports[name] = export_model(
                contender.model, folder / path, form, quantize, calibration=calibration, card=card, check_clips=pixels
            )
        except ExportError as error:
            refused[name] = str(error)
    return reports, refused


class _First:
    """The first videos of a data set, as a data set."""

    def __init__(self, data_set, count: int):
        self.open, self.classes, self.name = data_set.open, data_set.classes, data_set.name
        self.mirror_safe, self.examples = data_set.mirror_safe, data_set.examples[:count]

    def __len__(self) -> int:
        return len(self.examples)


def results(tour: Tour) -> dict:
    """The numbers of the report as JSON takes them, for other programs."""
    nets = {
        contender.name: {
            "parameters": count_params(contender.architecture),
            "macs": count_macs(contender.architecture),
            "width": contender.architecture.width,
            "training_seconds": round(contender.seconds, 1),
            "reversed_answers": share,
            **contender.scores.summary(),
        }
        for contender, share in zip(tour.contenders, tour.reversal, strict=True)
    }
    exports = {
        name: {
            "size_bytes": done.size_bytes,
            "latency_seconds": done.latency_seconds,
            "largest_difference": done.largest_difference,
            "top1_agreement": done.top1_agreement,
        }
        for name, done in tour.exports.items()
    }
    return {"nets": nets, "exports": exports, "refused": tour.refused}


def _net_table(tour: Tour) -> Table:
    header = ["net", "temporal kernels", "width", "parameters", "live", "MMACs", "training", "clip@1", "video@1"]
    rows = []
    for contender in tour.contenders:
        net, scores = contender.architecture, contender.scores
        rows.append([
            contender.name,
            "-".join(str(kernel) for kernel in net.temporal_kernels),
            net.width,
            f"{count_params(net):,}",
            f"{count_params(net, live=True):,}",
            f"{count_macs(net) / 1e6:.1f}",
            f"{contender.seconds:.0f} s",
            f"{scores.clip_at_1:.1%}",
            f"{scores.video_at_1:.1%}",
        ])  # fmt: skip
    return Table(header, rows)


def _export_table(tour: Tour) -> Table:
    header = ["format", "size", "one clip", "largest difference from Keras", "same best class"]
    rows = [
        [
            name,
            f"{done.size_bytes / 1e6:.2f} MB",
            f"{done.latency_seconds * 1e3:.1f} ms",
            f"{done.largest_difference:.1e}",
            f"{done.top1_agreement:.1%}",
        ]
        for name, done in tour.exports.items()
    ]
    return Table(header, rows)


def _examples(tour: Tour, pixels: np.ndarray, truth: np.ndarray) -> list[ClipShown]:
    """One test clip of each class with both nets' answers."""
    chosen = [int(np.flatnonzero(truth == number)[0]) for number in range(len(CLASSES)) if (truth == number).any()]
    clips = preprocess_input(pixels[chosen], SAMPLING.preprocessing)
    answers = {contender.name: contender.model.predict_on_batch(clips) for contender in tour.contenders}
    return [
        ClipShown(
            pixels[number],
            CLASSES[truth[number]],
            [(who, CLASSES[scores[row].argmax()], float(scores[row].max())) for who, scores in answers.items()],
        )
        for row, number in enumerate(chosen)
    ]


def _lead(tour: Tour) -> str:
    """The result in a sentence."""
    three, two = tour.contenders
    sizes = [count_params(contender.architecture) for contender in tour.contenders]
    return (
        f"The 3D net ({sizes[0]:,} parameters) names {three.scores.video_at_1:.1%} of {len(three.scores.truth)} test "
        f"videos, the 2D net ({sizes[1]:,}) {two.scores.video_at_1:.1%}; chance is {1 / len(CLASSES):.1%}."
    )


def _why(tour: Tour) -> list[Text]:
    """Why the 2D net cannot learn these classes, with the numbers that show it."""
    flat = tour.contenders[1].architecture
    seen = flat.frames // int(np.prod([stride[0] for stride in flat.strides]))
    forwards, backwards = (f"{share:.0%}" for share in tour.reversal)
    return [
        Text(
            "Each class is a direction of change: a patch that moves to the right moves to the left when the video is "
            "played backwards, and one that grows shrinks. A single frame, taken at a random moment, does not tell the "
            f"class. The kernels of the 2D net span one frame. It therefore looks at frames one by one ({seen} of the "
            f"{flat.frames}, because of its temporal strides) and averages what it saw, so that the order of the "
            "frames never reaches it. It can learn the textures of the training clips by heart: its accuracy on them "
            "rises, and its accuracy on test clips stays where it was."
        ),
        Text(
            "Playing every test clip backwards shows it. The answer of the 3D net turns into the opposite class for "
            f"{forwards} of the clips, the answer of the 2D net for {backwards}. More parameters would not help the 2D "
            "net, and temporal kernels do: the width solver gave both nets as nearly the same number of parameters as "
            "whole widths allow."
        ),
    ]


_NEXT = """keras-res3d train --data videos/ --net sr18 --output runs/mine
keras-res3d report runs/mine --data test.csv
keras-res3d predict runs/mine video.mp4"""


def page(tour: Tour, pixels: np.ndarray, truth: np.ndarray, options: TrainingOptions) -> str:
    """The report as one HTML page, the same page as that of `keras-res3d report`.

    Args:
        tour: what was found.
        pixels, truth: the test clips, uint8, and their classes, as of `test_clips`.
        options: what both nets were trained with.
    """
    setting = (
        f"{options.epochs} epochs of {options.batch_size}-clip batches, SGD, seed {options.seed}; clips of "
        f"{SAMPLING.frames} frames of 32 x 32; a video's score is the mean over {CLIPS} clips."
    )
    checked = f"Each was run on the {len(pixels)} test clips and compared with Keras before it was kept."
    refused = [Text(f"{name} was not kept: {reason}", "warning") for name, reason in tour.refused.items()]
    sections = [
        Section("The two nets", [_net_table(tour), Text(setting, "muted")]),
        Section("Why the 2D net cannot", _why(tour)),
        Section("Test clips, and what the nets say", [Clips(_examples(tour, pixels, truth))]),
        curves({who.name: who.history for who in tour.contenders}, 1 / len(CLASSES)),
        *scores_sections({f"{who.name} net": who.scores for who in tour.contenders}),
        Section("Exports of the 3D net", [_export_table(tour), *refused, Text(checked, "muted")]),
        Section("Next: your own videos", [Code(_NEXT)]),
        Section("Machine and versions", [Pairs(surroundings())]),
    ]
    return report_page("keras_res3d quickstart", _lead(tour), sections)
