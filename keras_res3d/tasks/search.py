"""The videos most like a given one, by the cosine of their features."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from keras_res3d.data.clips import Sampling
from keras_res3d.tasks.features import Features
from keras_res3d.tasks.transfer.rows import Finder, check_finite, features_of, is_count, layers_of, listed, normalised

ROWS_AT_A_TIME = 65_536


@dataclass(frozen=True)
class Hit:
    """A video that was found.

    Attributes:
        id: its path, as listed when its features were extracted.
        label: name of its class, or None.
        group: or None.
        score: cosine of its features and the query's, at most 1.
        seconds: (begin, end) of the clip that is most like the query; of the whole video where its clips were averaged.
    """

    id: str
    label: str | None
    group: str | None
    score: float
    seconds: tuple[float, float]


class VideoIndex:
    """Features held for searching, rows of length 1.

    Args:
        features: a folder of `keras-res3d extract`, what `read_features` gave, or arrays (values, labels[, groups]).
            Those of single clips (`--per_clip`) find a video by its best clip.
        layer: whose features are compared; None takes the only one, or pool5 of several.

    Raises:
        ValueError: there is no such layer, or several and no pool5; a value is not finite.
    """

    def __init__(self, features, layer: str | None = None):
        features = features_of(features, layer)
        if layer is None:
            layer = next(iter(features.values)) if len(features.values) == 1 else "pool5"
        layers_of(features, layer)
        check_finite(features)
        self.features: Features = features
        self.layer = layer
        self._rows = normalised(features.values[layer])
        numbers: dict[str, int] = {}
        # The video of each row; the rows of a video may lie anywhere.
        self._video = np.array([numbers.setdefault(name, len(numbers)) for name in features.ids], np.int64)
        self.ids = tuple(numbers)
        self._finder = Finder(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, name: str | os.PathLike) -> str | None:
        """The id that a path or an id means, or None where there is none.

        Raises:
            ValueError: it can mean several videos.
        """
        found = self._finder.candidates(os.fspath(name))
        if len(found) > 1:
            raise ValueError(f"{os.fspath(name)} can mean several videos: {listed(self.ids[row] for row in found)}")
        return self.ids[found[0]] if found else None

    def query(self, name: str | os.PathLike, model=None) -> tuple[np.ndarray, str | None]:
        """The features of a video, `(clips, width)`, and its id; None of a new video, whose features are extracted.

        Args:
            name: a path or an id.
            model: that the features are of, as of `extract_features`; needed for a new video alone.

        Raises:
            ValueError: the video is not among the features and there is no model, or the model is another one; as of
                `find` and `extract_features`.
        """
        found = self.find(name)
        if found is not None:
            return self.vectors_of(found), found
        if model is None:
            raise ValueError(f"{os.fspath(name)} is not one of the {len(self)} videos of the features; for a new video "
                             "give the model that they are of")  # fmt: skip
        return self._extracted(name, model), None

    def _extracted(self, path: str | os.PathLike, model) -> np.ndarray:
        """The features of a new video, by the model and the clips of the others."""
        from keras_res3d.tasks.extract import extract_features
        from keras_res3d.tasks.feature_net import FeatureNet

        facts = self.features.facts
        if not facts:
            raise ValueError("the features are arrays, which do not tell how they were extracted; give the query's as "
                             "an array too")  # fmt: skip
        if not os.path.exists(path):
            raise ValueError(f"{os.fspath(path)} is not one of the {len(self)} videos of the features, and there is no "
                             "such file")  # fmt: skip
        sampling = Sampling.from_dict(facts["sampling"])
        net = FeatureNet(model, [self.layer], engine=facts["model"]["engine"], sampling=sampling)
        if net.digest != facts["model"]["digest"]:
            raise ValueError(f"the features are of another model ({facts['model']['net']} with other weights); give "
                             "the one that they are of")  # fmt: skip
        overlap = sampling.frames - facts["step"] // sampling.stride
        found = extract_features(net, [path], overlap=overlap, per_clip=facts["per_clip"])
        return found.values[self.layer]

    def vectors_of(self, name: str) -> np.ndarray:
        """The rows of a video by its id, `(clips, width)`."""
        return self._rows[self._video == self.ids.index(name)]

    def search(self, query: np.ndarray, k: int = 12, without: str | None = None) -> list[Hit]:
        """The k videos most like a query, the most like first; of equal ones the first of the features.

        Args:
            query: features of a video, `(width,)`, or of its clips, `(clips, width)`.
            k: how many, fewer where there are fewer.
            without: an id that is left out, that of the query itself.

        Raises:
            ValueError: the query has another width than the features, or k is below 1.
        """
        given, width = np.atleast_2d(query), self._rows.shape[1]
        if given.ndim != 2 or given.shape[1] != width or not np.issubdtype(given.dtype, np.number):
            raise ValueError(f"the query is {given.dtype} of shape {np.shape(query)}; expected {width} values, as "
                             f"{self.layer} has, or rows of so many")  # fmt: skip
        query = normalised(given)
        if not np.isfinite(query).all():
            raise ValueError("the query has values that are not finite")
        if not is_count(k):
            raise ValueError(f"k is {k!r}; expected a whole number, 1 or more")
        starts = range(0, len(self._rows), ROWS_AT_A_TIME)
        scores = np.concatenate([(self._rows[at : at + ROWS_AT_A_TIME] @ query.T).max(axis=1) for at in starts])
        hits: dict[int, int] = {}
        for row in np.argsort(-scores, kind="stable").tolist():
            video = int(self._video[row])
            if self.ids[video] != without:
                hits.setdefault(video, row)
            if len(hits) == k:
                break
        return [self._hit(row, float(scores[row])) for row in hits.values()]

    def _hit(self, row: int, score: float) -> Hit:
        features = self.features
        begin, end = map(float, features.seconds[row])
        return Hit(features.ids[row], features.labels[row], features.groups[row], min(score, 1.0), (begin, end))


def search_videos(
    features, query, *, k: int = 12, layer: str | None = None, model=None
) -> list[Hit]:
    """The videos of a folder of features that are most like a given one: `search_videos("features", "fight/3.mp4")`.

    Args:
        features: as of `VideoIndex`, or one that was made before, which saves reading again.
        query: a video of the features, by its path or the end of it, which is then left out of what is found; the path
            of a new video; or the features of a video as an array, `(width,)`, or of its clips, `(clips, width)`.
        k: how many videos, fewer where there are fewer.
        layer: whose features are compared; as of `VideoIndex`.
        model: that the features are of, as of `extract_features`; needed for a new video alone.

    Raises:
        ValueError: as of `VideoIndex`, `VideoIndex.query` and `VideoIndex.search`.
    """
    index = features if isinstance(features, VideoIndex) else VideoIndex(features, layer)
    if not isinstance(query, (str, os.PathLike)):
        return index.search(np.asarray(query), k)
    vectors, name = index.query(query, model)
    return index.search(vectors, k, without=name)
