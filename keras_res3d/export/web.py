"""A web page that runs an ONNX export in the browser by onnxruntime-web: the video stays on the reader's machine."""

from __future__ import annotations

import base64
import json
import pathlib

from keras_res3d.cards import ModelCard
from keras_res3d.data.transform import preprocessing_row
from keras_res3d.export.formats import format_of, load_runner
from keras_res3d.io import write_atomically

PARTS = pathlib.Path(__file__).parent / "web_page"
# V8, the JavaScript engine of Chromium, has no longer strings than 2 ** 29 - 24 characters.
LARGEST_MODEL = 380_000_000


def write_web_page(onnx_path, folder, card: ModelCard | None = None) -> pathlib.Path:
    """Writes `index.html` with all that it needs but onnxruntime-web, which the page loads when it is opened.

    The model goes into `model.js` as text, so that the page also works where it is opened from a disk.

    Args:
        onnx_path: an .onnx file of `export_model`.
        folder: the folder to write into, made if missing; files of an earlier page are replaced.
        card: class names and sampling; None takes the file's own card.

    Returns:
        The path of `index.html`.

    Raises:
        ValueError: it is no ONNX file, it is too large for a page, or it has no card.
        ImportError: onnxruntime is not installed.
    """
    onnx_path, folder = pathlib.Path(onnx_path), pathlib.Path(folder)
    if format_of(onnx_path) != "onnx":
        raise ValueError(f"{onnx_path} is no ONNX file; a browser runs that format alone: export with format 'onnx'")
    runner = load_runner(onnx_path)
    card = card or runner.card
    if card is None:
        raise ValueError(f"{onnx_path} has no card, which says how clips are taken; pass card")
    size = onnx_path.stat().st_size
    if size > LARGEST_MODEL:
        raise ValueError(f"{onnx_path} has {size:,} bytes; a page takes at most {LARGEST_MODEL:,}")
    about = {
        "net": card.net,
        "labels": list(card.labels),
        "sampling": card.sampling.to_dict(),
        "preprocessing": preprocessing_row(card.sampling.preprocessing)._asdict(),
        "input": {"type": runner.dtype.name, "shape": list(runner.input_shape)},
    }
    data = base64.b64encode(onnx_path.read_bytes()).decode("ascii")
    # Escaped, so that odd class names are harmless wherever the text goes.
    text = json.dumps(about).replace("<", "\\u003c")
    write_atomically(folder / "model.js", f'globalThis.res3dModel = {text};\nglobalThis.res3dModel.onnx = "{data}";\n')
    for part in ("clips.js", "page.js", "index.html"):
        write_atomically(folder / part, (PARTS / part).read_text(encoding="utf-8"))
    return folder / "index.html"
