"""Extraction on a Ray cluster: tasks decode clips, actors run the network, and this process gathers the videos.

The features are those of one host: clips are cut by the same function, and a video's clips are added up in their order.
"""

from __future__ import annotations

import functools
import itertools
import pathlib
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from keras_res3d.cards import ModelCard, save_model
from keras_res3d.data.children import Outcome
from keras_res3d.data.clips import Sampling
from keras_res3d.data.cluster import Network, in_child, stream
from keras_res3d.data.types import DataSet, VideoError
from keras_res3d.tasks.clip_stream import Piece, pieces_of
from keras_res3d.tasks.extract import Extraction, Gathering, VideoFeatures, computed
from keras_res3d.tasks.feature_net import FeatureNet, files_of_export
from keras_res3d.tasks.feature_parts.base import VideoRow

# Clips that a child decodes before it hands them on, so that a long video does not fill the memory.
CLIPS_AT_A_TIME = 16
# Batches that an actor is given at a time: what it is given ends with a batch that is not full.
BATCHES_AT_A_TIME = 8


class Computed(NamedTuple):
    """What comes back of a clip, or the end of a video.

    Args:
        piece: of the clip, without its pixels; or the end.
        values: the features of the clip; None with an end.
        scores: the model's own output for the clip; None with an end.
    """

    piece: Piece
    values: dict[str, np.ndarray] | None = None
    scores: np.ndarray | None = None


class ClusterExtraction(Extraction):
    """An `Extraction` whose videos are decoded and computed on a Ray cluster, whose hosts see the same files.

    Args:
        net, options: as of `Extraction`; `workers` are tasks that decode at a time.
        address: as of `cluster.connected`.
        actors: copies of the network; None is one for each GPU of the cluster, or one where it has none.
    """

    at_once = True

    def __init__(self, net: FeatureNet, *options, address: str | None = None, actors: int | None = None, **more):
        super().__init__(net, *options, **more)
        self.address, self.actors = address, actors

    def videos(self, data_set: DataSet, numbers: Iterable[int], names: Sequence[VideoRow]) -> Iterator[VideoFeatures]:
        """As of `Extraction.videos`; the videos come in their order."""
        gathering = Gathering(self, names)
        items = [(number, *_alone(data_set, number)) for number in numbers]
        arguments = (_shipped(self.net), self.net.card, tuple(self.net.widths), self.net.engine, self.net.digest)
        network = Network(
            _Computing, (*arguments, self.batch_size), BATCHES_AT_A_TIME * self.batch_size, self.actors
        )
        decode = functools.partial(_clips, self.sampling, self.step)
        for outcome in stream(items, decode, self.workers, self.address, network):
            found = outcome.value
            if found.values is None:
                yield gathering.ended(found.piece)
            else:
                gathering.add(*found)


def _alone(data_set: DataSet, number: int) -> tuple[DataSet, int]:
    """A data set that has this video, and the video's number in it: of a long list, the other rows do not travel."""
    return (data_set.alone(number), 0) if hasattr(data_set, "alone") else (data_set, number)


def _clips(sampling: Sampling, step: int, item: tuple) -> Iterator[Outcome]:
    """The task: the pieces of one video, decoded in a child."""
    number, data_set, place = item
    token = uuid.uuid4().hex
    while True:
        outcome = in_child(next_pieces, (token, data_set, place, sampling, step))
        if outcome.error is not None:
            yield outcome if outcome.lost else Outcome(Piece(number, error=VideoError(_named(outcome, item))))
            return
        for piece in outcome.value:
            yield Outcome(piece._replace(number=number))
        if outcome.value[-1].clip is None:
            return


def _named(outcome: Outcome, item: tuple) -> str:
    _, data_set, place = item
    return f"{data_set.examples[place].path}: {outcome.error}" if outcome.crashed else outcome.error


_open: dict[str, Iterator[Piece]] = {}


def next_pieces(item: tuple) -> list[Piece]:
    """The next pieces of a video; runs in the child, which keeps the video open from call to call.

    Args:
        item: (token, data set, number, sampling, step); a new token begins a video.
    """
    token, *video = item
    if token not in _open:
        _open.clear()  # of a task that was not finished
        _open[token] = pieces_of(*video)
    found = list(itertools.islice(_open[token], CLIPS_AT_A_TIME))
    if found[-1].clip is None:
        del _open[token]
        end = found[-1]
        if end.error is not None:  # errors of FFmpeg cannot be sent
            found[-1] = end._replace(error=VideoError(str(end.error) or type(end.error).__name__))
    return found


def _shipped(net: FeatureNet) -> dict[str, bytes]:
    """The files of a network, by their names in its folder, the one to open first."""
    if net.model is None and net.path is None:
        raise ValueError("the export was opened by the caller, and its file is not known; give its path")
    if net.model is None:
        base = net.path.parent
        return {file.relative_to(base).as_posix(): file.read_bytes() for file in files_of_export(net.path)}
    with tempfile.TemporaryDirectory() as folder:
        save_model(net.model, pathlib.Path(folder, "model.keras"), net.card)
        return {name: pathlib.Path(folder, name).read_bytes() for name in ("model.keras", "model.json")}


def _has_clip(outcome: Outcome) -> bool:
    return outcome.value is not None and outcome.value.clip is not None


class _Computing:
    """The network in an actor; called with outcomes of the tasks, gives those of the clips."""

    def __init__(self, files: dict[str, bytes], card: ModelCard, layers: tuple[str, ...], engine: str, digest: str,
                 batch_size: int):  # fmt: skip
        self._batch_size = batch_size
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            first = pathlib.PurePath(next(iter(files))).parts[0]
            self._net = FeatureNet(pathlib.Path(folder, first), layers, engine, card=card)
        if self._net.digest != digest:
            raise ValueError("the network that came to the cluster has other weights than the one that was sent")

    def __call__(self, outcomes: list[Outcome]) -> list[Outcome]:
        found = iter(self._computed([each.value for each in outcomes if _has_clip(each)]))
        return [next(found) if _has_clip(each) else self._passed(each) for each in outcomes]

    def _computed(self, clips: list[Piece]) -> Iterator[Outcome]:
        for start in range(0, len(clips), self._batch_size):
            for piece, values, scores in computed(self._net, clips[start : start + self._batch_size]):
                yield Outcome(Computed(piece._replace(clip=None), values, scores))

    def _passed(self, outcome: Outcome) -> Outcome:
        return outcome if outcome.value is None else Outcome(Computed(outcome.value))
