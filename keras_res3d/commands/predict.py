"""Classify videos: the five best classes with their scores.

    keras-res3d predict runs/fight camera1.mp4 camera2.mp4
    keras-res3d predict runs/fight/best.keras long.mp4 --timeline scores.png --step 8
    keras-res3d predict runs/fight *.mp4 --json > predictions.json

MODEL is a folder of keras-res3d train, a .keras file, an export, or the name of published weights. A VIDEO is a file,
or a folder of frames. A video that cannot be read is reported, the others are classified, and the exit code
is then 1.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys

from absl import flags

from keras_res3d.commands.common import define_sampling_flags, import_keras_quietly, sampling_from_flags

FLAGS = flags.FLAGS
USAGE = "MODEL VIDEO..."


def define_flags() -> None:
    flags.DEFINE_integer("top", 5, "Classes to show.", lower_bound=1)
    flags.DEFINE_integer("clips", 10, "Clips per video, evenly spread.", lower_bound=1)
    flags.DEFINE_string("timeline", None, "Picture (PNG) of the scores over time; for several videos, a folder.")
    flags.DEFINE_integer("step", None, "Frames between the clips of a timeline (by default, 4 times the clips' "
                         "stride).", lower_bound=1)  # fmt: skip
    flags.DEFINE_bool("json", False, "Print JSON instead of a table.")
    define_sampling_flags("as in training")


def _best(prediction, top: int) -> list[dict]:
    from keras_res3d.data.labels import decode_predictions

    found = decode_predictions(prediction.mean[None], top, prediction.labels)[0]
    return [{"class": int(number), "label": name, "score": float(score)} for number, name, score in found]


def _write_timeline(prediction, several: bool) -> str:
    from keras_res3d.reports.plots import save_png, timeline

    path, name = pathlib.Path(FLAGS.timeline), pathlib.Path(prediction.path)
    if several:
        path = path / f"{name.stem}.png"
    picture = timeline(prediction.seconds, prediction.probabilities, prediction.labels, name.name, FLAGS.top)
    return str(save_png(picture, path))


def _predict(classifier, path: str, several: bool) -> dict:
    """One video's row of the output."""
    from keras_res3d.inference.videos import predict_video

    step = FLAGS.step or 4 * classifier.card.sampling.stride
    prediction = predict_video(classifier, path, FLAGS.clips, step if FLAGS.timeline else None)
    row = {"video": path, "clips": len(prediction.seconds), "predictions": _best(prediction, FLAGS.top)}
    if FLAGS.timeline:
        row["timeline"] = _write_timeline(prediction, several)
    return row


def _show(row: dict) -> None:
    print(row["video"])
    for best in row["predictions"]:
        print(f"  {best['score']:7.4f}  {best['label']}")
    if "timeline" in row:
        print(f"  wrote {row['timeline']}")


def _open(model: str, videos: list[str]):
    """The model, opened; what is wrong with the names is found before Keras is imported, which takes seconds."""
    from keras_res3d.inference.model_file import is_published, model_file

    if not is_published(model):
        model_file(model)
    if not any(os.path.exists(video) for video in videos):
        raise FileNotFoundError(f"no such video: {', '.join(videos)}")
    import_keras_quietly()
    from keras_res3d.inference.classifier import load_model, with_sampling

    classifier = load_model(model)
    return with_sampling(classifier, **sampling_from_flags(classifier.card.sampling).__dict__)


def run(args: list[str]) -> int:
    if len(args) < 2:
        raise ValueError("expected a model and at least one video: keras-res3d predict MODEL VIDEO...")
    model, *videos = args
    classifier = _open(model, videos)
    rows, failed = [], 0
    for number, path in enumerate(videos, 1):
        if len(videos) > 1 and sys.stderr.isatty():
            print(f"\r{number} of {len(videos)} ", end="", file=sys.stderr, flush=True)
        try:
            rows.append(_predict(classifier, path, len(videos) > 1))
        except (ValueError, OSError) as error:
            failed += 1
            rows.append({"video": path, "error": str(error)})
            print(f"keras-res3d predict: {error}", file=sys.stderr)
        if not FLAGS.json and "error" not in rows[-1]:
            _show(rows[-1])
    if FLAGS.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    return 1 if failed else 0
