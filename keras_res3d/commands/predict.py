"""Classify videos: the five best classes with their scores.

    keras-res3d predict runs/fight camera1.mp4 camera2.mp4
    keras-res3d predict runs/fight/best.keras long.mp4 --timeline scores.png --step 8
    keras-res3d predict runs/fight *.mp4 --json > predictions.json
    keras-res3d predict runs/fight recordings/

MODEL is a folder of keras-res3d train, a .keras file, an export, or the name of published weights. A VIDEO is a file,
a folder of JPEG or PNG frames, or a folder of videos: then each video in it and below it is classified. A name that
begins with a dash is taken where there is such a file, and always after --. A video that cannot be read is reported,
the others are classified, and the exit code is then 1.
"""

from __future__ import annotations

import os
import pathlib
import sys

from absl import flags

from keras_res3d.commands.common import define_sampling_flags, import_keras_quietly, sampling_from_flags
from keras_res3d.io import output_paths
from keras_res3d.tables import as_json, printable

FLAGS = flags.FLAGS
USAGE = "MODEL VIDEO..."


def define_flags() -> None:
    flags.DEFINE_integer("top", 5, "Classes to show.", lower_bound=1)
    flags.DEFINE_integer("clips", 10, "Clips per video, evenly spread.", lower_bound=1)
    flags.DEFINE_string("timeline", None, "Picture (PNG) of the scores over time; for several videos, a folder "
                        "that gets one for each.")  # fmt: skip
    flags.DEFINE_integer("step", None, "Frames between the clips of a timeline (by default, 4 times the clips' "
                         "stride).", lower_bound=1)  # fmt: skip
    flags.DEFINE_integer("stream", None, "Number of the stream among a file's video streams, from 0 (by default the "
                         "best one, as FFmpeg chooses it).", lower_bound=0)  # fmt: skip
    flags.DEFINE_bool("json", False, "Print JSON instead of a table.")
    define_sampling_flags("as in training")


def _best(prediction, top: int) -> list[dict]:
    from keras_res3d.data.labels import decode_predictions

    found = decode_predictions(prediction.mean[None], top, prediction.labels)[0]
    return [{"class": int(number), "label": name, "score": float(score)} for number, name, score in found]


def _timelines(videos: list[str]) -> list[pathlib.Path | None]:
    """Where each video's timeline is written."""
    if not FLAGS.timeline:
        return [None] * len(videos)
    if len(videos) == 1 and not os.path.isdir(FLAGS.timeline):
        return [pathlib.Path(FLAGS.timeline)]
    return output_paths(videos, FLAGS.timeline, ".png")


def _write_timeline(prediction, path: pathlib.Path) -> str:
    from keras_res3d.reports.plots import save_png, timeline

    title = pathlib.Path(prediction.path).name
    picture = timeline(prediction.seconds, prediction.probabilities, prediction.labels, title, FLAGS.top)
    return str(save_png(picture, path))


def _predict(classifier, path: str, timeline: pathlib.Path | None) -> dict:
    """One video's row of the output."""
    from keras_res3d.inference.videos import predict_video

    step = FLAGS.step or 4 * classifier.card.sampling.stride
    prediction = predict_video(classifier, path, FLAGS.clips, step if timeline else None, stream=FLAGS.stream)
    row = {"video": path, "clips": len(prediction.seconds), "predictions": _best(prediction, FLAGS.top)}
    if timeline:
        row["timeline"] = _write_timeline(prediction, timeline)
    return row


def _show(row: dict) -> None:
    print(printable(row["video"]))
    for best in row["predictions"]:
        print(f"  {best['score']:7.4f}  {printable(best['label'])}")
    if "timeline" in row:
        print(f"  wrote {printable(row['timeline'])}")


def _fault(path: str, error: Exception) -> dict:
    """The row of a video that cannot be read, after saying so."""
    print(f"keras-res3d predict: {printable(error)}", file=sys.stderr)
    return {"video": path, "error": str(error)}


def _open(model: str, videos: list[str]):
    """The model, opened; what is wrong with the names is found before Keras is imported, which takes seconds."""
    from keras_res3d.inference.model_file import is_published, model_file

    if not is_published(model):
        model_file(model)
    if not any(os.path.exists(video) for video in videos):
        raise FileNotFoundError(f"no such video: {', '.join(map(printable, videos))}")
    import_keras_quietly()
    from keras_res3d.inference.classifier import load_model, with_sampling

    classifier = load_model(model)
    return with_sampling(classifier, **sampling_from_flags(classifier.card.sampling).__dict__)


def _videos(given: list[str]) -> tuple[list[str], list[dict]]:
    """The videos that the words mean, and the rows of those that mean none."""
    from keras_res3d.data.open import videos_in

    found, faults = [], []
    for path in given:
        try:
            videos = videos_in(path)
        except (ValueError, OSError) as error:
            faults.append(_fault(path, error))
            continue
        if videos != [path]:
            count = "1 video" if len(videos) == 1 else f"{len(videos)} videos"
            print(f"{printable(path)}: {count}", file=sys.stderr)
        found += videos
    return found, faults


def run(args: list[str]) -> int:
    if len(args) < 2:
        raise ValueError("expected a model and at least one video: keras-res3d predict MODEL VIDEO...")
    model, *given = args
    classifier = _open(model, given)
    videos, rows = _videos(given)
    for number, (path, timeline) in enumerate(zip(videos, _timelines(videos), strict=True), 1):
        if len(videos) > 1 and sys.stderr.isatty():
            print(f"\r{number} of {len(videos)} ", end="", file=sys.stderr, flush=True)
        try:
            rows.append(_predict(classifier, path, timeline))
        except (ValueError, OSError) as error:
            rows.append(_fault(path, error))
        if not FLAGS.json and "error" not in rows[-1]:
            _show(rows[-1])
    if FLAGS.json:
        print(as_json(rows), end="")
    return int(any("error" in row for row in rows))
