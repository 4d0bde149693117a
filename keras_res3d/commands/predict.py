"""Classify videos: the five best classes with their scores.

    keras-res3d predict runs/fight camera1.mp4 camera2.mp4
    keras-res3d predict runs/fight/best.keras long.mp4 --timeline scores.png --step 8
    keras-res3d predict runs/fight *.mp4 --json > predictions.json

A file that cannot be read is reported and the others go on; the exit code is then 1.
"""

from __future__ import annotations

import json
import pathlib
import sys

from absl import flags

from keras_res3d.commands.common import define_sampling_flags, import_keras_quietly, sampling_from_flags

FLAGS = flags.FLAGS
USAGE = "MODEL VIDEO..."


def define_flags():
    flags.DEFINE_integer("top", 5, "Classes to show.", lower_bound=1)
    flags.DEFINE_integer("clips", 10, "Clips per video, evenly spread.", lower_bound=1)
    flags.DEFINE_string("timeline", None, "Picture (PNG) of the scores over time; for several videos, a folder.")
    flags.DEFINE_integer("step", None, "Frames between the clips of a timeline (a clip's stride times 4 by default).",
                         lower_bound=1)  # fmt: skip
    flags.DEFINE_bool("json", False, "Print JSON instead of a table.")
    define_sampling_flags("as in training")


def _best(prediction, labels, top: int) -> list[dict]:
    from keras_res3d.data.labels import decode_predictions

    found = decode_predictions(prediction.mean[None], top, labels)[0]
    return [{"class": int(number), "label": name, "score": float(score)} for number, name, score in found]


def _write_timeline(prediction, labels, several: bool) -> str:
    from keras_res3d.reports.plots import save_png, timeline

    path = pathlib.Path(FLAGS.timeline)
    name = pathlib.Path(prediction.path)
    if several:
        path = path / f"{name.stem}.png"
    return str(save_png(timeline(prediction.seconds, prediction.probabilities, labels, name.name, FLAGS.top), path))


def _predict(classifier, path: str, several: bool) -> dict:
    """One video's row of the output."""
    from keras_res3d.inference.classifier import predict_video

    labels, row = classifier.card.labels, {"video": path}
    step = FLAGS.step or 4 * classifier.card.sampling.stride
    prediction = predict_video(classifier, path, FLAGS.clips, step if FLAGS.timeline else None)
    row |= {"clips": len(prediction.seconds), "predictions": _best(prediction, labels, FLAGS.top)}
    if FLAGS.timeline:
        row["timeline"] = _write_timeline(prediction, labels, several)
    return row


def _show(row: dict) -> None:
    print(row["video"])
    for best in row["predictions"]:
        print(f"  {best['score']:7.4f}  {best['label']}")
    if "timeline" in row:
        print(f"  wrote {row['timeline']}")


def run(args: list[str]) -> int:
    import_keras_quietly()
    if len(args) < 2:
        raise ValueError("expected a model and at least one video: keras-res3d predict MODEL VIDEO...")
    from keras_res3d.inference.classifier import load_classifier, with_sampling

    model, *videos = args
    classifier = load_classifier(model)
    sampling = sampling_from_flags(classifier.card.sampling)
    classifier = with_sampling(classifier, **sampling.__dict__)
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
