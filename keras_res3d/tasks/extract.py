"""Features of videos: every clip through the network once, averaged over a video or kept clip by clip."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import Sampling, clips_at_once
from keras_res3d.data.labels import decode_predictions
from keras_res3d.data.types import DataSet, VideoError
from keras_res3d.tasks.clip_stream import ClipStream, Piece, batches
from keras_res3d.tasks.feature_folder import FORMAT, part_format
from keras_res3d.tasks.feature_net import FeatureNet
from keras_res3d.tasks.feature_parts.base import VideoRow
from keras_res3d.tasks.features import Features, read_features
from keras_res3d.tasks.named_videos import data_set_of, has_names, name_videos, root_of
from keras_res3d.tasks.shared_folder import FeatureWriter


@dataclass(frozen=True)
class VideoFeatures:
    """What came of one video.

    Attributes:
        id: its path as listed.
        label, group: of the video, or None.
        number: its place in the data set, from 0.
        values: for each layer, float32 `(rows, width)`: one row, or one for each clip with `per_clip`. Empty where the
            video could not be read.
        seconds: when each row's clips begin and end, float64 `(rows, 2)`.
        scores: the model's own output, averaged over the clips, or None where the video could not be read.
        classes: names of the scores.
        error: why the video could not be read, or None.
    """

    id: str
    label: str | None
    group: str | None
    number: int
    values: dict[str, np.ndarray]
    seconds: np.ndarray
    scores: np.ndarray | None
    classes: tuple[str, ...] = ()
    error: str | None = None

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The best classes of the video, best first: `(name, score)` each; none where its scores have no names."""
        if self.scores is None or len(self.classes) != self.scores.size:
            return []
        return [(name, score) for _, name, score in decode_predictions(self.scores[None], count, self.classes)[0]]


class Extraction:
    """A model, its layers and the way clips are taken: everything that features depend on but the videos.

    Args:
        net: of the features.
        overlap: frames of a clip that the next one has too, from 0 to one less than the clip's frames.
        per_clip, normalize, batch_size, workers: as of `extract_features`.
    """

    # Whether all that a folder lacks is claimed at once, and not a few videos at a time.
    at_once = False

    def __init__(
        self,
        net: FeatureNet,
        overlap: int = 0,
        per_clip: bool = False,
        normalize: bool = True,
        batch_size: int = 16,
        workers: int | None = None,
    ):
        self.net, self.sampling = net, net.card.sampling
        if isinstance(overlap, bool) or not isinstance(overlap, int) or not 0 <= overlap < self.sampling.frames:
            raise ValueError(f"overlap is {overlap!r}; expected 0 to {self.sampling.frames - 1} of the "
                             f"{self.sampling.frames} frames of a clip")  # fmt: skip
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected at least 1")
        self.step = (self.sampling.frames - overlap) * self.sampling.stride
        self.per_clip, self.normalize, self.workers = per_clip, normalize, workers
        self.batch_size = clips_at_once(self.sampling, batch_size)

    def header(self) -> dict:
        """The header of a folder of these features."""
        model = {"net": self.net.card.net, "digest": self.net.digest, "engine": self.net.engine}
        return {
            "format": FORMAT, "model": model, "layers": dict(self.net.widths), "sampling": self.sampling.to_dict(),
            "step": self.step, "per_clip": self.per_clip, "normalized": self.normalize,
            "trained_on": self.net.card.trained_on, "classes": list(self.net.card.labels), "data": [],
        }  # fmt: skip

    def videos(self, data_set: DataSet, numbers: Iterable[int], names: Sequence[VideoRow]) -> Iterator[VideoFeatures]:
        """Yields what came of each video, as soon as its last clip is computed.

        Args:
            data_set: of the videos.
            numbers: which of them.
            names: of every video of the data set.
        """
        gathering = Gathering(self, names)

        def compute(pieces: list[Piece]) -> None:
            for piece, values, scores in computed(self.net, pieces):
                gathering.add(piece, values, scores)

        stream = ClipStream(data_set, numbers, self.sampling, self.step, 2 * self.batch_size, self.workers)
        with contextlib.closing(iter(stream)) as pieces:
            yield from batches(pieces, self.batch_size, compute, gathering.ended)


def computed(net: FeatureNet, pieces: list[Piece]) -> Iterator[tuple[Piece, dict[str, np.ndarray], np.ndarray]]:
    """Each clip with its features and the model's own output, from one batch.

    Args:
        net: of the features.
        pieces: that hold clips.
    """
    found, scores = net(np.stack([piece.clip for piece in pieces]))
    for row, piece in enumerate(pieces):
        yield piece, {name: value[row] for name, value in found.items()}, scores[row].ravel()


class Gathering:
    """Videos in the making: what is kept of their clips until they end.

    Args:
        extraction: says what is kept.
        names: of every video of the data set.
    """

    def __init__(self, extraction: Extraction, names: Sequence[VideoRow]):
        self._extraction, self._names, self._sums = extraction, names, {}

    def add(self, piece: Piece, values: dict[str, np.ndarray], scores: np.ndarray) -> None:
        """Takes what the net gives for a clip; those of a video come in order."""
        own = self._sums.setdefault(piece.number, _Sum(self._extraction.per_clip))
        own.add(values, scores, piece.seconds)

    def ended(self, piece: Piece) -> VideoFeatures:
        """What came of the video that a piece ends."""
        named, error = self._names[piece.number], piece.error
        about = (named.id, named.label, named.group, piece.number)
        own = self._sums.pop(piece.number, None)
        if error is None:
            values, seconds, scores = own.result(self._extraction.normalize)
            wrong = [name for name, value in values.items() if not np.isfinite(value).all()]
            if not wrong:
                return VideoFeatures(*about, values, seconds, scores, tuple(self._extraction.net.card.labels))
            error = VideoError(f"{named.id}: layer {wrong[0]} of the model gives values that are not finite")
        text = str(error) or type(error).__name__
        return VideoFeatures(*about, {}, np.empty((0, 2)), None, error=text)


class _Sum:
    """What is kept of a video while its clips are computed: sums, or with `per_clip` a row for each clip."""

    def __init__(self, per_clip: bool):
        self._per_clip, self._seconds, self._count = per_clip, [], 0
        self._values: dict[str, list | np.ndarray] = {}
        self._scores: np.ndarray | float = 0.0

    def add(self, values: dict[str, np.ndarray], scores: np.ndarray, seconds: tuple[float, float]) -> None:
        self._count += 1
        self._scores = self._scores + scores.astype(np.float64)
        for name, value in values.items():
            if self._per_clip:
                self._values.setdefault(name, []).append(value.copy())  # a view would keep its whole batch
            else:
                self._values[name] = self._values.get(name, 0.0) + value.astype(np.float64)
        if self._per_clip or not self._seconds:
            self._seconds.append(seconds)
        else:
            self._seconds[0] = (self._seconds[0][0], seconds[1])

    def result(self, normalize: bool) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Rows of each layer, their times, and the mean scores."""
        values = {}
        for name, value in self._values.items():
            rows = np.stack(value).astype(np.float64) if self._per_clip else value[None] / self._count
            if normalize:
                length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
                rows = np.divide(rows, length, out=np.zeros_like(rows), where=length != 0)
            values[name] = rows.astype(np.float32)
        return values, np.array(self._seconds, np.float64), (self._scores / self._count).astype(np.float32)


def _opened(model, data, layers, options: dict) -> tuple[Extraction, DataSet, list[VideoRow]]:
    """The extraction, the data set and the names of its videos, from what a caller gave."""
    root = options.pop("root", None)
    root = root_of(data) if root is None else root
    data = data_set_of(data)
    own = {name: options.pop(name) for name in ("engine", "labels", "sampling", "card") if name in options}
    net = model if isinstance(model, FeatureNet) else FeatureNet(model, layers, **own)
    return Extraction(net, **options), data, name_videos(data, root)


def each_video(model, data, layers: Iterable[str] | None = None, **options) -> Iterator[VideoFeatures]:
    """A generator of `extract_features` that writes nothing and yields each video as soon as it is done.

    Videos come as they finish, which is not always the order of the list; `number` tells a video's place in it. One
    that cannot be read comes with `error` and without values.

    Args:
        model, data, layers, options: as of `extract_features`.
    """
    extraction, data_set, names = _opened(model, data, layers, options)
    return extraction.videos(data_set, range(len(data_set)), names)


def extract_features(
    model,
    data,
    layers: Iterable[str] | None = None,
    output=None,
    *,
    overlap: int = 0,
    per_clip: bool = False,
    normalize: bool = True,
    engine: str = "keras",
    labels: Iterable[str] | None = None,
    sampling: Sampling | None = None,
    card: ModelCard | None = None,
    batch_size: int = 16,
    workers: int | None = None,
    root=None,
    format: str | None = None,
) -> Features:
    """Features of videos: `extract_features("res3d18/sports1m", "videos", ["pool5"]).values["pool5"]`.

    Every clip of every video goes through the network once, whatever the number of layers. A clip is resized and
    cropped as in evaluation. Clips follow each other without a gap, each `frames * stride` frames after the last; what
    is left behind the last whole clip is not used, and a video shorter than a clip gives one, its last frame repeated.
    A layer's maps are flattened as Caffe's extraction does: channel by channel, then time, height and width, so res5b
    of the released net is 512 x 1 x 7 x 7 = 25,088 numbers. The features of a video's clips are averaged, and the
    average is divided by its Euclidean length, as in section 5 of the paper.

    Args:
        model: a path or name as of `load_model`, what `load_model` returned, a Keras model, or an export, which gives
            its output alone.
        data: a data set, the path of one (`read_data_set`), a list of videos without labels, each as of `open_video`,
            or an array of the frames of one video or of several, uint8 RGB `([videos,] frames, height, width, 3)`.
        layers: names of layers of the model, also inside models within it; "output" is the model's own output. None
            takes those of res5b, pool5 and prob that the model has.
        output: a folder to write (`read_features` reads it); what it has already is not computed again, and several
            processes may write into one folder at a time. None writes nothing. Videos that are arrays have no names by
            which a later run could know them, so that their features are not written.
        overlap: frames of a clip that the next one has too: with 8 frames and an overlap of 4 a clip begins every
            4 x stride frames.
        per_clip: keep a row for each clip, with its time, in place of the average.
        normalize: False leaves out the division by the length.
        engine: "keras" computes in the model's own type, which is float32 as a rule; "bfloat16" in bfloat16.
        labels, sampling, card: class names and how clips are taken, in place of the model's own card.
        batch_size: clips that the network computes at a time.
        workers: threads that decode videos; None is one for each core.
        root: the folder that ids are relative to; None is the folder of the list.
        format: of the files in `output`: "npz", or "parquet", which needs pyarrow. None goes on with what the folder
            has, and a new one gets npz.

    Returns:
        The features, in the order of the list. Videos that cannot be read are left out with a warning; a folder lists
        them in bad_videos.csv.

    Raises:
        ValueError: there is no such layer, the folder holds other features, no video at all can be read, or as of
            `load_model`.
        DataError: `data` has faults.
        TypeError: `data` is none of these.
        ImportError: `format` is "parquet", and pyarrow is not installed.
    """
    options = {"overlap": overlap, "per_clip": per_clip, "normalize": normalize, "engine": engine, "labels": labels,
               "sampling": sampling, "card": card, "batch_size": batch_size, "workers": workers,
               "root": root}  # fmt: skip
    check_format(format, output)
    extraction, data_set, names = _opened(model, data, layers, options)
    if output is not None and not has_names(data_set):
        raise ValueError("output is given, and videos are arrays, which a later run could not tell from others; give "
                         "no output, or the videos as files")  # fmt: skip
    if output is not None:
        extract_to_folder(extraction, data_set, names, output, format=format)
        return read_features(output)
    found = sorted(extraction.videos(data_set, range(len(data_set)), names), key=lambda video: video.number)
    return _gathered(found, extraction.header())


def check_format(format: str | None, output) -> None:
    """Raises where features cannot be written in a format, before anything is read for them.

    Args:
        format, output: as of `extract_features`.
    """
    if format is not None and output is None:
        raise ValueError(f"format is {format!r}, and there is no output to write; give a folder as output too")
    if format is not None:
        part_format(format).check(())


def _gathered(found: list[VideoFeatures], header: dict) -> Features:
    good = [video for video in found if video.error is None]
    bad = [video for video in found if video.error is not None]
    if not good:
        raise ValueError(f"none of {len(found)} videos can be read: {bad[0].error if bad else 'the list is empty'}")
    if bad:
        warnings.warn(f"{len(bad)} of {len(found)} videos cannot be read and are left out: {bad[0].error}",
                      stacklevel=3)  # fmt: skip
    rows = [video for video in good for _ in range(len(video.seconds))]
    values = {name: np.concatenate([video.values[name] for video in good]) for name in header["layers"]}
    return Features(values, tuple(row.id for row in rows), tuple(row.label for row in rows),
                    tuple(row.group for row in rows), np.concatenate([video.seconds for video in good]),
                    header)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What a run added to a folder.

    Attributes:
        done: videos whose features this run wrote.
        before: videos that the folder had already.
        bad: videos of the list that cannot be read, with the reason.
        others: videos that other processes were at work on when this one had nothing left to do.
    """

    done: int
    before: int
    bad: dict[str, str]
    others: int


def extract_to_folder(
    extraction: Extraction,
    data_set: DataSet,
    names: Sequence[VideoRow],
    output,
    progress: Callable[[VideoFeatures, int, int], None] | None = None,
    format: str | None = None,
) -> Report:
    """Writes the features of what a folder lacks.

    Args:
        extraction: of the features.
        data_set: of the videos.
        names: of its videos, as `name_videos` gives them.
        output: the folder.
        progress: called with each video, how many are done, and how many there are to do.
        format: as of `extract_features`.

    Raises:
        ValueError: the folder holds other features, or no video at all could be read.
    """
    with FeatureWriter(output, extraction.header(), data_set.name, names, format, extraction.at_once) as writer:
        for done, video in enumerate(extraction.videos(data_set, writer.claim(), names), 1):
            writer.add(video)
            if progress:
                progress(video, done, writer.missing)
    report = Report(writer.written, writer.before, writer.bad(), writer.others)
    if len(report.bad) == len(names):
        raise ValueError(f"none of {len(names)} videos can be read: {next(iter(report.bad.values()), 'no videos')}")
    return report
