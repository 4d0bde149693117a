"""Take the tour: train a small 3D net and a 2D net of the same size on the embedded data, score both, export the 3D
net, check the exports against Keras, and write a report. There is nothing to configure.

    keras-res3d quickstart
    keras-res3d quickstart --output /tmp/tour
"""

from __future__ import annotations

import time

from absl import flags

from keras_res3d.commands.common import import_keras_quietly

FLAGS = flags.FLAGS
USAGE = ""


def define_flags() -> None:
    flags.DEFINE_string("output", "quickstart", "Folder to write models, exports and report.html into.")


def run(args: list[str]) -> int:
    start = time.perf_counter()
    import_keras_quietly()
    from keras_res3d import quickstart
    from keras_res3d.tables import as_text, percent, printable

    tour = quickstart.run(FLAGS.output)
    rows = [[who.name, percent(who.scores.clip_at_1), percent(who.scores.video_at_1)] for who in tour.contenders]
    print("\n" + as_text(["net", "clip@1", "video@1"], rows) + "\n")
    rows = [
        [name, f"{done.size_bytes / 1e6:.2f} MB", f"{done.largest_difference:.1e}", percent(done.top1_agreement)]
        for name, done in tour.exports.items()
    ]
    print(as_text(["export", "size", "difference", "same class"], rows))
    for name, reason in tour.refused.items():
        print(f"{name} was not kept: {reason}")
    print(f"\n{time.perf_counter() - start:.0f} s. Open {printable(FLAGS.output)}/report.html")
    return 0
