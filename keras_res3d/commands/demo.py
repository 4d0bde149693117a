"""Try a model on a local web page: drop a video or use the camera, and see classes, scores over time and Grad-CAM.

    keras-res3d demo runs/fight
    keras-res3d demo fight.tflite --port 8000

MODEL is a folder of keras-res3d train, a .keras file, an export, or the name of published weights. Grad-CAM is shown
for Keras models alone, since an export has no gradients. Nothing is sent away from this machine. The page needs the
extra: pip install "keras-res3d[demo]".
"""

from __future__ import annotations

import importlib.util

from absl import flags

from keras_res3d.commands.common import check_model, import_keras_quietly
from keras_res3d.tables import printable

FLAGS = flags.FLAGS
USAGE = "MODEL"


def define_flags() -> None:
    flags.DEFINE_integer("port", 7860, "Port to listen at.", lower_bound=1, upper_bound=65535)
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen at. The default is reached from this machine alone, "
                        "0.0.0.0 from the whole network.")  # fmt: skip


def run(args: list[str]) -> int:
    if len(args) != 1:
        raise ValueError(f"expected one model, found {args or 'none'}: keras-res3d demo MODEL")
    if importlib.util.find_spec("gradio") is None:
        raise ImportError("the demo needs gradio, which is not installed: pip install 'keras-res3d[demo]'")
    check_model(args[0])
    import_keras_quietly()
    from keras_res3d.inference.classifier import load_model
    from keras_res3d.reports.demo import serve_demo

    classifier = load_model(args[0])
    print(f"{printable(args[0])} at http://{FLAGS.host}:{FLAGS.port}; Ctrl+C ends it", flush=True)
    serve_demo(classifier, FLAGS.host, FLAGS.port)
    return 0
