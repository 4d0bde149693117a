"""Features of videos in memory: rows of numbers with ids, labels, groups and times; from a folder or from arrays."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from keras_res3d.tables import printable
from keras_res3d.tasks.feature_folder import open_part, read_header, videos_in_parts
from keras_res3d.tasks.feature_parts.base import Part

# What the layer is called where arrays came without a name.
UNNAMED = "features"


@dataclass(frozen=True, eq=False)
class Features:
    """Features of videos: one row a video, or one row a clip where they were extracted with `per_clip`.

    Attributes:
        values: for each layer, float32 `(rows, width)`.
        ids: of each row, the path of its video as listed.
        labels: of each row, the name of its class, or None.
        groups: of each row, what its video belongs together with, or None.
        seconds: of each row, when its clips begin and end in the video, float64 `(rows, 2)`; NaN where that is not
            known.
        facts: the model, layers, sampling and digests as the folder's header has them; empty for arrays.
    """

    values: dict[str, np.ndarray]
    ids: tuple[str, ...]
    labels: tuple[str | None, ...]
    groups: tuple[str | None, ...]
    seconds: np.ndarray
    facts: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("features have no layer; expected at least one")
        lengths = {name: len(value) for name, value in self.values.items()}
        lengths |= {name: len(getattr(self, name)) for name in ("ids", "labels", "groups", "seconds")}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"features have rows of different numbers: {lengths}")

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        layers = ", ".join(f"{printable(name)} {value.shape[1]}" for name, value in self.values.items())
        return f"<Features: {len(self)} rows of {len(set(self.ids))} videos, {layers}>"

    def layer(self, name: str | None = None) -> np.ndarray:
        """The values of a layer, float32 `(rows, width)`; of the only layer where no name is given.

        Raises:
            ValueError: there is no such layer, or there are several and no name was given.
        """
        if name is None and len(self.values) == 1:
            return next(iter(self.values.values()))
        if name not in self.values:
            raise ValueError(f"layer is {name!r}; expected one of {', '.join(map(printable, self.values))}")
        return self.values[name]

    def to_data_frame(self, layers: Iterable[str] | None = None) -> object:
        """The features as a pandas DataFrame: id, label, group, begin, end, then a column for each number.

        Args:
            layers: whose numbers to take; None takes all. Columns are named `pool5.0`, `pool5.1` and so on.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("a data frame needs pandas, which is not installed: pip install pandas") from error
        # As objects, since pandas' own kind of text has no place for names that are not UTF-8.
        names = {"id": self.ids, "label": self.labels, "group": self.groups}
        about = {name: pandas.Series(values, dtype=object) for name, values in names.items()}
        about |= {"begin": self.seconds[:, 0], "end": self.seconds[:, 1]}
        frames = [pandas.DataFrame(about)]
        for name in self.values if layers is None else layers:
            values = self.layer(name)
            frames.append(pandas.DataFrame(values, columns=[f"{name}.{i}" for i in range(values.shape[1])]))
        return pandas.concat(frames, axis=1)


def read_features(folder, layers: Iterable[str] | None = None) -> Features:
    """Reads a folder that `extract_features` or `keras-res3d extract` wrote: `read_features("DIR").values["pool5"]`.

    Rows come in the order of the list of videos, and the clips of a video in the order of time. Videos that could not
    be read have no row; the folder's bad_videos.csv has them.

    Args:
        folder: of features.
        layers: which to read; None reads all.

    Raises:
        FileNotFoundError: there are no features in the folder.
        ValueError: a file is damaged or of another format, or there is no such layer; names the file.
        ImportError: the files are Parquet, and pyarrow is not installed.
    """
    header = read_header(folder)
    wanted = list(header["layers"]) if layers is None else [layers] if isinstance(layers, str) else list(layers)
    for name in wanted:
        if name not in header["layers"]:
            raise ValueError(f"{folder} has no layer {name!r}; it has {', '.join(header['layers'])}")
    counted = [(video, path) for video, path in videos_in_parts(folder, header).values() if video.error is None]
    counted.sort(key=lambda pair: (pair[0].number, pair[0].id))
    starts: dict[pathlib.Path, dict[str, int]] = {}  # of each part
    total = 0
    for video, path in counted:
        starts.setdefault(path, {})[video.id] = total
        total += video.rows
    seconds = np.empty((total, 2), np.float64)
    values = {name: np.empty((total, header["layers"][name]), np.float32) for name in wanted}
    for path, own in sorted(starts.items()):
        with open_part(path, header) as part:
            _fill(part, seconds, values, own)
    rows = [video for video, _ in counted for _ in range(video.rows)]
    return Features(values, tuple(row.id for row in rows), tuple(row.label for row in rows),
                    tuple(row.group for row in rows), seconds, header)  # fmt: skip


def _fill(part: Part, seconds: np.ndarray, values: dict[str, np.ndarray], starts: Mapping[str, int]) -> None:
    """Copies a part's rows to their places, which `starts` has for the videos whose rows count."""
    arrays = [(seconds, part.seconds()), *((values[name], part.values(name)) for name in values)]
    place = 0
    for video in part.videos:
        if video.id in starts and video.error is None:
            start = starts[video.id]
            for target, source in arrays:
                target[start : start + video.rows] = source[place : place + video.rows]
        place += video.rows


def as_features(source) -> Features:
    """What a caller names as features, as `Features`.

    Args:
        source: a `Features`; the path of a folder of features; or `(values, labels)` or `(values, labels, groups)`:
            `values` an array `(rows, width)` or a dictionary of such arrays by layer, `labels` and `groups` a name or a
            number for each row, or None. Bare values without labels are taken too.

    Raises:
        TypeError: `source` is none of these.
        ValueError: the arrays do not fit each other, or hold values that are not finite.
    """
    if isinstance(source, Features):
        return source
    if isinstance(source, (str, os.PathLike)):
        return read_features(source)
    if not isinstance(source, tuple):
        source = (source,)
    if not 1 <= len(source) <= 3 or not (isinstance(source[0], Mapping) or hasattr(source[0], "__array__")):
        raise TypeError(
            f"features are {type(source[0] if source else source).__name__}; expected Features, a folder of features, "
            "or arrays: (values, labels) or (values, labels, groups)"
        )
    values, labels, groups = (*source, None, None)[:3]
    named = values if isinstance(values, Mapping) else {UNNAMED: values}
    arrays = {str(name): _matrix(name, value) for name, value in named.items()}
    if not arrays:
        raise ValueError("features are an empty dictionary; expected an array for at least one layer")
    rows = len(next(iter(arrays.values())))
    return Features(arrays, tuple(map(str, range(rows))), _names("labels", labels, rows),
                    _names("groups", groups, rows), np.full((rows, 2), np.nan))  # fmt: skip


def _matrix(name: object, value) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 2 or not array.size or not np.issubdtype(array.dtype, np.number):
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}; expected numbers of shape (rows, width)")
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite values; expected finite numbers")
    return array


def _names(what: str, names: Sequence | None, rows: int) -> tuple[str | None, ...]:
    if names is None:
        return (None,) * rows
    names = tuple(None if name is None else str(name) for name in names)
    if len(names) != rows:
        raise ValueError(f"{what} has {len(names)} entries; expected one for each of the {rows} rows")
    return names
