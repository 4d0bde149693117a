"""What `predict` does with a camera or the address of a stream: the best classes with the time, as they come."""

from __future__ import annotations

import sys

import numpy as np
from absl import flags

from keras_res3d.commands.common import model_from_flags
from keras_res3d.commands.predict_rows import Columns, Rows, best_classes, class_lines, form_from_flags
from keras_res3d.tables import printable

FLAGS = flags.FLAGS
# Flags that are for videos, which have an end.
_FOR_VIDEOS = ("clips", "timeline", "timeline_format", "threshold", "low_threshold", "min_seconds", "max_gap_seconds",
               "event_classes")  # fmt: skip


def _show(row: dict) -> None:
    best = (f"{printable(each['label'])} {each['score']:.3f}" for each in row["predictions"])
    print(f"{row['seconds']:9.2f} s  {'  '.join(best)}")


COLUMNS = Columns(("seconds", "rank", "class", "label", "score"), class_lines)


class _Summary:
    """What has been seen so far, in bounded memory."""

    def __init__(self, labels: tuple[str, ...]):
        self.count, self.labels, self._sum, self._last = 0, labels, 0.0, 0.0

    def add(self, seconds: float, scores: np.ndarray) -> None:
        self.count, self._sum, self._last = self.count + 1, self._sum + scores, seconds

    def text(self, camera) -> str:
        counts = ((camera.frames, "frame"), (self.count, "prediction"), (camera.breaks, "break"),
                  (camera.faults, "fault"))  # fmt: skip
        parts = [f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts if count]
        said = f"{camera.name}: {', '.join(parts)} in {self._last:.1f} s"
        if not self.count:
            return said
        best = best_classes(self._sum / self.count, self.labels, FLAGS.top)
        return f"{said}; on average " + ", ".join(f"{each['label']} {each['score']:.3f}" for each in best)


def watch(model: str, source: str) -> int:
    """Prints what the model sees, until the stream ends, --seconds have passed or Ctrl-C is pressed.

    Args:
        model: its name.
        source: a camera, or the address of a stream.

    Raises:
        VideoError: the camera is not there, does not answer or is lost.
        ValueError: a flag that is for videos is given.
    """
    given = [f"--{name}" for name in _FOR_VIDEOS if FLAGS[name].present]
    if given:
        raise ValueError(f"{', '.join(given)}: for videos alone, which have an end; a camera or a stream has none")
    from keras_res3d.data.sources.addresses import place_of

    place_of(source, FLAGS.timeout)  # a camera that is not there is found before the model is opened
    classifier = model_from_flags(model)
    from keras_res3d.data.crashes import reading
    from keras_res3d.data.sources.camera import Camera
    from keras_res3d.inference.classifier import check_takes_videos
    from keras_res3d.inference.streaming import StreamingPredictor

    check_takes_videos(classifier)
    sampling = classifier.card.sampling
    every = FLAGS.step or 4 * sampling.stride
    stream = StreamingPredictor(classifier, every=every, smoothing=FLAGS.smoothing)
    # The first clip takes longest, and no camera waits for it.
    classes = classifier.predict(np.zeros((1, sampling.frames, *sampling.crop, 3), np.uint8)).shape[-1]
    labels = classifier.card.labels or tuple(f"class {number}" for number in range(classes))
    camera = Camera(source, sampling.resize, sampling.fps, FLAGS.timeout, FLAGS.stream)
    summary = _Summary(labels)
    with camera, reading(camera.name), Rows(form_from_flags(), COLUMNS, _show) as rows:
        try:
            _print_all(stream, camera, rows, summary)
        except KeyboardInterrupt:
            print(file=sys.stderr)
        finally:
            if camera.frames:
                print(printable(summary.text(camera)), file=sys.stderr)
    return 0


def _print_all(stream, camera, rows: Rows, summary: _Summary) -> None:
    for seconds, scores in stream.watch(camera, FLAGS.seconds):
        summary.add(seconds, scores)
        best = best_classes(scores, summary.labels, FLAGS.top)
        rows.add({"video": camera.name, "seconds": round(seconds, 3), "predictions": best})
