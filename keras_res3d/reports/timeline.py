"""A video's scores over time, and its events, as a picture, as CSV or as JSON: the end of the file's name decides."""

from __future__ import annotations

import csv
import io
import os
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keras_res3d.inference.events import Event
from keras_res3d.inference.videos import VideoPrediction
from keras_res3d.io import write_atomically
from keras_res3d.reports.plots import save_png, timeline
from keras_res3d.tables import as_json, printable


@dataclass(frozen=True)
class Timeline:
    """What is written of a video.

    Attributes:
        prediction: its scores, as `predict_video` gives them.
        events: as of `find_events`; None where they were not looked for.
        threshold: of the events, or None.
        top: number of classes in the picture; CSV and JSON have all.
    """

    prediction: VideoPrediction
    events: Sequence[Event] | None = None
    threshold: float | None = None
    top: int = 5


def event_row(event: Event) -> dict:
    """An event as plain values, times to a millisecond."""
    return {"class": event.number, "label": event.label, "start": round(event.start, 3), "end": round(event.end, 3),
            "clips": event.clips, "mean": round(event.mean, 6), "peak": round(event.peak, 6)}  # fmt: skip


def _as_png(of: Timeline, path: pathlib.Path) -> None:
    found, title = of.prediction, pathlib.Path(of.prediction.path).name
    save_png(timeline(found.seconds, found.probabilities, found.labels, title, of.top, of.events, of.threshold), path)


def _as_csv(of: Timeline, path: pathlib.Path) -> None:
    """A line for each clip: when it begins and ends, its centre, and the score of every class."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["start", "end", "seconds", *map(printable, of.prediction.labels)])
    for times, scores in _clips(of.prediction):
        lines.writerow([*(f"{time:.3f}" for time in times), *(f"{score:.6g}" for score in scores)])
    write_atomically(path, text.getvalue())


def _as_json(of: Timeline, path: pathlib.Path) -> None:
    found = of.prediction
    clips = [
        {"start": round(start, 3), "end": round(end, 3), "seconds": round(centre, 3),
         "scores": [float(f"{score:.6g}") for score in scores]}
        for (start, end, centre), scores in _clips(found)
    ]  # fmt: skip
    document = {"video": found.path, "labels": list(found.labels), "clips": clips}
    if of.events is not None:
        document |= {"threshold": of.threshold, "events": list(map(event_row, of.events))}
    write_atomically(path, as_json(document, indent=None))


def _clips(found: VideoPrediction) -> list[tuple[tuple[float, float, float], list[float]]]:
    """((start, end, centre), scores) of every clip."""
    rows = zip(found.extents.tolist(), found.seconds.tolist(), found.probabilities.tolist(), strict=True)
    return [((start, end, centre), scores) for (start, end), centre, scores in rows]


WRITERS: dict[str, Callable[[Timeline, pathlib.Path], None]] = {"png": _as_png, "csv": _as_csv, "json": _as_json}


def write_timeline(of: Timeline, path: str | os.PathLike) -> pathlib.Path:
    """Writes the file, whole or not at all, and returns its path; missing folders are made.

    Args:
        of: what is written.
        path: ends in .png, .csv or .json.
    """
    path = pathlib.Path(path)
    WRITERS[path.suffix.lower()[1:]](of, path)
    return path
