"""Classify videos: the five best classes with their scores, the scores over time, and events; or watch a camera.

    keras-res3d predict runs/fight camera1.mp4 camera2.mp4
    keras-res3d predict runs/fight recordings/ list.txt --csv > predictions.csv
    keras-res3d predict runs/fight/best.keras long.mp4 --timeline scores.png --threshold 0.8 --step 8
    keras-res3d predict runs/fight --camera 0
    keras-res3d predict runs/fight rtsp://192.168.0.7/stream1 --seconds 60 --jsonl

MODEL is a folder of keras-res3d train, a .keras file, an export, or the name of published weights. A VIDEO is a file,
a folder of JPEG or PNG frames, a folder of videos (each video in it and below it is classified), or a list: a text file
(.txt) with a path on each line, or a CSV file with a column path or video. Paths are relative to the list. A name that
begins with a dash is taken where there is such a file, and always after --. A video that cannot be read is reported,
the others are classified, and the exit code is then 1. Every row is printed as soon as it is known. Where the model is
for several labels a video, a * marks those that it gives, with a score above 0.5.

In place of videos, --camera names a camera of this machine, and an address (rtsp, http, rtmp, udp, tcp) a stream.
The best classes are printed with the time until --seconds have passed or Ctrl-C is pressed.
"""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from keras_res3d.commands.common import check_model, define_sampling_flags, model_from_flags
from keras_res3d.commands.outputs import check_output
from keras_res3d.commands.predict_rows import (
    Columns,
    Progress,
    Rows,
    best_classes,
    class_lines,
    define_form_flags,
    form_from_flags,
)
from keras_res3d.io import output_paths
from keras_res3d.remote import is_remote
from keras_res3d.tables import printable

if TYPE_CHECKING:
    from keras_res3d.inference.classifier import Classifier

FLAGS = flags.FLAGS
USAGE = "MODEL VIDEO...|--camera"
FORMATS = ("png", "csv", "json")


def define_flags() -> None:
    flags.DEFINE_integer("top", 5, "Classes to show.", lower_bound=1)
    flags.DEFINE_integer("clips", 10, "Clips per video, evenly spread.", lower_bound=1)
    flags.DEFINE_string("timeline", None, "File for the scores over time, whose name ends in .png (a picture), .csv or "
                        ".json; for several videos, a folder that gets files for each.")  # fmt: skip
    flags.DEFINE_list("timeline_format", None, "What a folder --timeline gets for each video: png, csv or json, or "
                      "several with commas between them (png by default).")  # fmt: skip
    flags.DEFINE_integer("step", None, "Frames between the clips of a timeline, of events and of a stream (by default, "
                         "4 times the clips' stride).", lower_bound=1)  # fmt: skip
    flags.DEFINE_integer("stream", None, "Number of the stream among the video streams of a file or an address, from 0 "
                         "(by default the best one, as FFmpeg chooses it).", lower_bound=0)  # fmt: skip
    _define_event_flags()
    _define_camera_flags()
    define_form_flags()
    define_sampling_flags("as in training")


def _define_event_flags() -> None:
    flags.DEFINE_float("threshold", None, "Find events: stretches of time in which a class scores this or more.")
    flags.DEFINE_float("low_threshold", None, "Score above which an event goes on once it has reached --threshold (the "
                       "same by default).")  # fmt: skip
    flags.DEFINE_float("min_seconds", 0, "Shorter events are left out.", lower_bound=0)
    flags.DEFINE_float("max_gap_seconds", 0, "Events of a class that lie at most this far apart are joined.",
                       lower_bound=0)  # fmt: skip
    flags.DEFINE_list("event_classes", None, "Names of the classes whose events are looked for, with commas between "
                      "them (by default all).")  # fmt: skip


def _define_camera_flags() -> None:
    flags.DEFINE_string("camera", None, "Camera of this machine to watch, by its number from 0, its name or its "
                        "device.")  # fmt: skip
    flags.DEFINE_float("seconds", None, "Seconds of a camera or stream after which to stop (by default, Ctrl-C "
                       "stops).", lower_bound=0)  # fmt: skip
    flags.DEFINE_float("timeout", 10, "Seconds that a camera or stream may take to answer, or to come back, before it "
                       "is given up.", lower_bound=0.1)  # fmt: skip
    flags.DEFINE_float("smoothing", 0.6, "Weight of the past in the scores of a camera or stream, from 0 (the latest "
                       "clip alone) to below 1.", lower_bound=0, upper_bound=0.999)  # fmt: skip


def _timelines(videos: list[str]) -> Iterable[tuple[pathlib.Path, ...]]:
    """The files of each video's timeline."""
    name = FLAGS.timeline
    if not name:
        if FLAGS.timeline_format:
            raise ValueError("--timeline_format is given without --timeline, the folder")
        return [()] * len(videos)
    suffix = pathlib.Path(name).suffix.lower()[1:]
    formats = [each.strip().lower() for each in FLAGS.timeline_format or ["png"]]
    unknown = [each for each in formats if each not in FORMATS]
    if unknown:
        raise ValueError(f"--timeline_format is {', '.join(unknown)}; expected some of {', '.join(FORMATS)}")
    if os.path.isdir(name) or name.endswith(("/", os.sep)) or not suffix:
        columns = [output_paths(videos, name, f".{each}") for each in dict.fromkeys(formats)]
        return list(zip(*columns, strict=True))
    if suffix not in FORMATS:
        raise ValueError(f"--timeline is {name}; expected a name that ends in .png, .csv or .json, or a folder")
    if len(videos) > 1:
        raise ValueError(f"--timeline is {name}, one file, and there are {len(videos)} videos; expected a folder, and "
                         f"--timeline_format {suffix}")  # fmt: skip
    if FLAGS.timeline_format:
        raise ValueError(f"--timeline is {name}, whose end says the format; --timeline_format is for a folder")
    return [(pathlib.Path(name),)] * len(videos)


def _events(prediction):
    """The video's events, or None where they are not asked for."""
    if FLAGS.threshold is None:
        return None
    from keras_res3d.inference.events import find_events

    return find_events(
        prediction, FLAGS.threshold, low_threshold=FLAGS.low_threshold, min_seconds=FLAGS.min_seconds,
        max_gap_seconds=FLAGS.max_gap_seconds, classes=FLAGS.event_classes,
    )  # fmt: skip


def _predict(classifier, path: str, files: tuple[pathlib.Path, ...]) -> dict:
    """One video's row of the output."""
    from keras_res3d.inference.videos import predict_video

    sliding = bool(files) or FLAGS.threshold is not None
    step = FLAGS.step or 4 * classifier.card.sampling.stride
    prediction = predict_video(classifier, path, FLAGS.clips, step if sliding else None, stream=FLAGS.stream)
    events = _events(prediction)
    row = {"video": path, "clips": len(prediction.seconds),
           "predictions": best_classes(prediction.mean, prediction.labels, FLAGS.top,
                                       prediction.multi_label)}  # fmt: skip
    if sliding:
        from keras_res3d.reports.timeline import Timeline, event_row, write_timeline

        if events is not None:
            row["events"] = list(map(event_row, events))
        timeline = Timeline(prediction, events, FLAGS.threshold, FLAGS.top)
        written = [str(write_timeline(timeline, file)) for file in files]
        if written:
            row["timeline"] = written[0] if len(written) == 1 else written
    return row


def _show(row: dict) -> None:
    print(printable(row["video"]))
    for best in row["predictions"]:
        print(f"{'*' if best.get('given') else ' '} {best['score']:7.4f}  {printable(best['label'])}")
    for event in row.get("events", ()):
        print(f"  {event['start']:.2f} to {event['end']:.2f} s  {printable(event['label'])}, mean {event['mean']:.3f}, "
              f"peak {event['peak']:.3f}")  # fmt: skip
    if row.get("events") == []:
        print("  no events")
    written = row.get("timeline", [])
    for file in [written] if isinstance(written, str) else written:
        print(f"  wrote {printable(file)}")


def _event_lines(row: dict) -> list[dict]:
    return [{"video": row["video"], **event} for event in row["events"]]


def _columns() -> Columns:
    if FLAGS.threshold is None:
        return Columns(("video", "clips", "rank", "class", "label", "score", "error"), class_lines)
    return Columns(("video", "class", "label", "start", "end", "clips", "mean", "peak", "error"), _event_lines)


def _fault(path: str, error: Exception) -> dict:
    """The row of a video that cannot be read, after saying so."""
    print(f"keras-res3d predict: {printable(error, lines=True)}", file=sys.stderr)
    return {"video": path, "error": str(error)}


def _videos(given: list[str]) -> tuple[list[str], list[dict]]:
    """The videos that the words mean, and the rows of those that mean none."""
    from keras_res3d.data.open import videos_in
    from keras_res3d.data.video_list import is_video_list, listed_videos

    found, faults = [], []
    for path in given:
        try:
            entries = listed_videos(path) if is_video_list(path) else [path]
            listed = entries != [path]
        except (ValueError, OSError) as error:
            faults.append(_fault(path, error))
            continue
        count = len(found)
        for entry in entries:
            try:
                found += videos_in(entry)
            except (ValueError, OSError) as error:
                faults.append(_fault(entry, error))
        if listed or found[count:] not in ([path], []):
            videos = len(found) - count
            print(f"{printable(path)}: {'1 video' if videos == 1 else f'{videos} videos'}", file=sys.stderr)
    return found, faults


def _check_words(given: list[str]) -> None:
    if not any(is_remote(video) or os.path.exists(video) for video in given):
        raise FileNotFoundError(f"no such video: {', '.join(map(printable, given))}")
    for name in ("seconds", "timeout", "smoothing"):
        if FLAGS[name].present:
            raise ValueError(f"--{name} is for a camera or a stream, and there is none")
    if FLAGS.threshold is None:
        for name in ("low_threshold", "min_seconds", "max_gap_seconds", "event_classes"):
            if FLAGS[name].present:
                raise ValueError(f"--{name} is for events, which --threshold asks for")


def _opened(model: str) -> Classifier:
    """The model, opened; flags of events that do not fit it are found before the first video."""
    classifier = model_from_flags(model)
    from keras_res3d.inference.videos import VideoPrediction

    if classifier.card.labels:
        no_clips = np.zeros((0, len(classifier.card.labels)))
        _events(VideoPrediction("", classifier.card.labels, np.zeros(0), no_clips, np.zeros((0, 2))))
    return classifier


def _predict_videos(model: str, given: list[str]) -> int:
    _check_words(given)
    videos, faults = _videos(given)
    timelines = _timelines(videos)
    for file in (file for files in timelines for file in files):
        check_output("timeline", [model, *given], path=file, inputs=videos)
    classifier = _opened(model) if videos else None
    progress, failed = Progress(len(videos)), bool(faults)
    with Rows(form_from_flags(), _columns(), _show) as rows:
        for fault in faults:
            rows.add(fault)
        for number, (path, files) in enumerate(zip(videos, timelines, strict=True), 1):
            progress.begin(number)
            try:
                row = _predict(classifier, path, files)
            except (ValueError, OSError) as error:
                row, failed = _fault(path, error), True
            rows.add(row)
    return int(failed)


def run(args: list[str]) -> int:
    from keras_res3d.data.video_list import is_address

    model, *given = args
    addresses = [word for word in given if is_address(word)]
    form_from_flags()
    check_model(model)
    if FLAGS.camera is None and not addresses:
        return _predict_videos(model, given)
    from keras_res3d.commands.predict_camera import watch

    if len(given) > 1:
        raise ValueError("a stream does not end by itself, so its address is given alone, without other videos")
    return watch(model, addresses[0] if addresses else FLAGS.camera)
