"""A model's scores on a data set, as the paper measures them: per clip, and per video over the mean of its clips."""

from __future__ import annotations

import os
import pathlib
import sys
import warnings
from collections.abc import Iterable, Mapping

import keras

from keras_res3d.cards import ModelCard
from keras_res3d.data.bad_videos import SKIP
from keras_res3d.data.batches import video_batches
from keras_res3d.data.clips import Sampling, clips_at_once
from keras_res3d.data.open import read_data_set
from keras_res3d.data.seen import warning_for
from keras_res3d.data.types import DataSet, is_multi_label
from keras_res3d.inference.classifier import Classifier, as_classifier, check_takes_videos
from keras_res3d.multi_label import MultiLabelScores
from keras_res3d.scores import Gathered, Scores, gather
from keras_res3d.tasks.paper import paper_figures
from keras_res3d.tasks.transfer.scores import TransferScores, split_scores
from keras_res3d.weights.contamination import check_benchmark


def evaluate(
    model,
    data,
    sampling: Sampling | None = None,
    clips: int = 10,
    batch_size: int = 32,
    *,
    labels: Iterable[str] | None = None,
    card: ModelCard | None = None,
    benchmark: str | None = None,
    allow_contaminated: bool = False,
    workers: int | None = None,
    on_bad_video: str = SKIP,
) -> Scores | MultiLabelScores:
    """Scores a model on videos with labels: `evaluate("runs/mine", "test.csv").video_at_1`.

    The outputs of the model are taken for its scores, whatever its last layer is: they are averaged over a video's
    clips and compared. After a softmax that is the mean of probabilities, as in the paper; without one, of logits.

    The data say how they are scored: several labels a video (`read_data_set(..., multi_label=True)`) by mean average
    precision, `MultiLabelScores.mean_ap`. The path of a list is read as the model's card says.

    Args:
        model: a path or name as of `load_model`, what `load_model` returned, or a Keras model.
        data: a data set (`read_data_set`), or the path of one.
        sampling: how clips are taken, in place of the card's way. A Keras model without a card needs it, unless the
            paper's sampling fits.
        clips: per video, evenly spread, centre crop; short videos have fewer.
        batch_size: clips that are scored at a time; fewer where they are large, as of `clips_at_once`.
        labels: class names in the order of the outputs, in place of the card's. None, for a Keras model without a card,
            takes the classes of `data`.
        card: of a Keras model.
        benchmark: what `data` is part of, e.g. "ucf101 split 2"; None means its own name.
        allow_contaminated: score weights even on videos that they were trained on.
        workers: threads that read videos; None means one for each core.
        on_bad_video: "skip" leaves out a video that cannot be read, warns of it, and goes on; "stop" ends with an error
            at the first one.

    Returns:
        Every clip's scores, the accuracies that follow from them with their intervals, precision and recall of the
        classes, and the mistakes; its `left_out` names the videos that they lack.
        Of a multi-label data set, `MultiLabelScores`.

    Raises:
        ContaminatedError: the benchmark's test videos were among the training videos, as far as names tell.
        ValueError: the classes of `data` are not those of the model, or its clips do not fit; or `data` has one label a
            video, and the model is for several.
        DataError: `data` has faults.
        VideoError: no video can be read, or with on_bad_video "stop" one cannot; names it.

    Warns where `data` shares videos or groups with the list that the model was trained on.
    """
    classifier, data = _opened(model, data, sampling, labels, card)
    card = classifier.card
    check_benchmark(card, pathlib.PurePath(data.name).name if benchmark is None else benchmark, allow_contaminated)
    if seen := warning_for(card.seen, data):
        warnings.warn(seen, stacklevel=2)
    batch_size = clips_at_once(card.sampling, batch_size)
    batches = video_batches(
        data, card.sampling, batch_size, clips, workers, preprocess=False, on_bad_video=on_bad_video
    )  # fmt: skip
    bar = keras.utils.Progbar(len(data), unit_name="video", verbose=int(sys.stdout.isatty()))
    found = gather(classifier.predict, batches, len(data.classes), bar.update)
    return scores_of(data, found, batches.left_out)


def _opened(model, data, sampling, labels, card) -> tuple[Classifier, DataSet]:
    """The model and the data set of `evaluate`, whose classes agree."""
    named = labels is not None or card is not None or not isinstance(model, keras.Model)
    if not named and isinstance(data, (str, os.PathLike)):
        data = read_data_set(data)
    if not named:
        labels = data.classes
    classifier = as_classifier(model, labels, sampling, card)
    check_takes_videos(classifier)
    card = classifier.card
    if isinstance(data, (str, os.PathLike)):
        data = read_data_set(data, classes=card.labels or None, multi_label=card.multi_label)
    if card.labels and tuple(data.classes) != card.labels:
        raise ValueError(
            f"{data.name} has the classes {_some(data.classes)}, the model {_some(card.labels)}; read the data set "
            "with classes=model.card.labels"
        )
    if card.multi_label and not is_multi_label(data):
        raise ValueError(f"{data.name} has one label a video, and {card.net} gives several; read the data set with "
                         "multi_label=True")  # fmt: skip
    return classifier, data


def scores_of(data: DataSet, found: Gathered, left_out: Mapping[int, str]) -> Scores | MultiLabelScores:
    """What was said of the clips of a data set, with the paths and the groups of its videos.

    Args:
        data: whose videos were scored.
        found: what `gather` gave.
        left_out: what is wrong with each video that could not be read, by its number.
    """
    examples = [data.examples[number] for number in found.numbers]
    paths = tuple(str(example.path) for example in examples)
    groups = tuple(getattr(example, "group", None) for example in examples)
    face, truth = (MultiLabelScores, found.truth > 0) if is_multi_label(data) else (Scores, found.truth)
    return face(
        tuple(data.classes), found.probabilities, found.videos, truth, dict(left_out), paths,
        groups if any(group is not None for group in groups) else (),
    )  # fmt: skip


def over_splits(found: Mapping[str, Scores], net: str = "model", benchmark: str = "") -> TransferScores:
    """Several evaluations as one result: the mean of each accuracy, and its standard deviation with n - 1.

        found = over_splits({"split 1": evaluate("runs/1", first), "split 2": evaluate("runs/2", second)})
        print(found.mean(measure="video@1"), found.std(measure="video@1"))

    Args:
        found: what `evaluate` gave, by the name of the split.
        net: what was scored, for the table.
        benchmark: the data set; the paper's figures are added where it is one of the paper's, such as "ucf101".

    Raises:
        ValueError: `found` is empty.
    """
    if not found:
        raise ValueError("no scores are given; expected what evaluate gave for one split at least")
    paper = paper_figures(benchmark, net)
    rows = [row for name, scores in found.items() for row in split_scores(net, name, scores)]
    return TransferScores("evaluate", tuple(rows), {} if paper is None else paper.nets)


def _some(names) -> str:
    """The first of a list of names, for a message."""
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")
