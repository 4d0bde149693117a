"""The page that runs an ONNX export in the browser: its arithmetic under Node, and the page itself in Chromium.

The page's own run needs the npm package onnxruntime-web: its folder `dist` is named by KERAS_RES3D_ORT_WEB, or lies in
node_modules of the checkout.
"""

import contextlib
import functools
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import threading

import numpy as np
import pytest

from keras_res3d.commands.main import main
from keras_res3d.data.clips import even_clips
from keras_res3d.data.images import resize
from keras_res3d.data.transform import PREPROCESSING, centre_crop, preprocess_input
from keras_res3d.export.web import PARTS, write_web_page

from ..browser import CHROMIUM, browser

NODE = shutil.which("node")
ROOT = pathlib.Path(__file__).resolve().parents[2]
ORT = pathlib.Path(os.environ.get("KERAS_RES3D_ORT_WEB", ROOT / "node_modules/onnxruntime-web/dist"))
NEEDED = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
with_node = pytest.mark.skipif(not NODE, reason="node is not installed")


def run_js(code, given, folder):
    """What the code makes of `given`, with the page's arithmetic as `clips`."""
    (folder / "given.json").write_text(json.dumps(given))
    text = (f"const clips = require({str(PARTS / 'clips.js')!r}), fs = require('fs');\n"
            f"const given = JSON.parse(fs.readFileSync({str(folder / 'given.json')!r}));\n"
            f"console.log(JSON.stringify({code}));")  # fmt: skip
    done = subprocess.run([NODE, "-e", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@with_node
def test_clip_places(tmp_path):
    cases = [(n, frames, stride, clips) for n in (1, 5, 16, 17, 33, 100, 251) for frames in (1, 8) for stride in (1, 2)
             for clips in (1, 2, 3, 10)]  # fmt: skip
    found = run_js("given.map((one) => clips.evenClips(...one))", cases, tmp_path)
    for case, places in zip(cases, found, strict=True):
        assert places == [place.tolist() for place in even_clips(*case)], case


@with_node
@pytest.mark.parametrize("size", [(36, 48), (128, 171), (48, 64), (17, 90)])
def test_pixels(size, tmp_path):
    frame = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    rgba = np.concatenate([frame, np.full((48, 64, 1), 255, np.uint8)], -1)
    crop = (size[0] - 5, size[1] - 4)
    rows = [row._asdict() for row in PREPROCESSING.values()]
    given = {"rgba": rgba.ravel().tolist(), "size": size, "crop": crop, "rows": rows}
    code = ("(() => { const all = clips.resize(given.rgba, 48, 64, ...given.size); "
            "const part = clips.centreCrop(all, ...given.size, ...given.crop); "
            "const inputs = given.rows.map((row) => [...clips.preprocess(part, row)]); "
            "return {all: [...all], part: [...part], inputs}; })()")  # fmt: skip
    found = run_js(code, given, tmp_path)
    resized = np.array(found["all"], np.uint8).reshape(*size, 3)
    assert np.abs(resized.astype(int) - resize(frame, size)).max() <= 1
    part = np.array(found["part"], np.uint8).reshape(*crop, 3)
    assert np.array_equal(part, centre_crop(resized, crop))
    for mode, values in zip(PREPROCESSING, found["inputs"], strict=True):
        assert np.allclose(np.array(values).reshape(part.shape), preprocess_input(part, mode), atol=1e-4)


@with_node
def test_the_best_classes(tmp_path):
    scores = [[0.1, 0.4, 0.4, 0.1], [0.3, 0.3, 0.3, 0.1]]
    found = run_js("clips.best(given, 3)", scores, tmp_path)
    assert [row["number"] for row in found] == [1, 2, 0] and np.isclose(found[2]["score"], 0.2)


def test_what_is_written(exported, card, tmp_path):
    import dataclasses

    pytest.importorskip("tf2onnx")
    path, _ = exported("onnx")
    odd = dataclasses.replace(card, labels=("</script><script>alert(1)</script>", "b", "c"))
    page = write_web_page(path, tmp_path / "page", odd)
    assert sorted(file.name for file in page.parent.iterdir()) == ["clips.js", "index.html", "model.js", "page.js"]
    model = (tmp_path / "page" / "model.js").read_text()
    about = json.loads(model.splitlines()[0].removeprefix("globalThis.res3dModel = ").removesuffix(";"))
    assert about["labels"] == list(odd.labels) and "</script" not in model
    assert about["input"] == {"type": "uint8", "shape": [4, 32, 32, 3]} and about["sampling"]["resize"] == [36, 48]
    with pytest.raises(ValueError, match="is no ONNX file"):
        write_web_page(exported("litert")[0], tmp_path / "page")


def test_the_flag(model, card, tmp_path, capsys):
    from keras_res3d import save_model

    pytest.importorskip("tf2onnx")
    save_model(model, tmp_path / "net.keras", card)
    words = ["export", str(tmp_path / "net.keras"), "--web", str(tmp_path / "web")]
    assert main([*words, "--output", str(tmp_path / "net.tflite"), "--format", "litert"]) == 1
    assert "--web is for --format onnx" in capsys.readouterr().err
    assert main([*words, "--output", str(tmp_path / "net.onnx"), "--format", "onnx"]) == 0
    assert f"wrote {tmp_path}/web/index.html" in capsys.readouterr().out and (tmp_path / "web" / "page.js").exists()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@pytest.fixture
def page(request, exported, model, card, tmp_path):
    if not CHROMIUM or not all((ORT / name).exists() for name in NEEDED):
        pytest.skip("chromium or the npm package onnxruntime-web is not there")
    pytest.importorskip("websockets")
    path, _ = exported("onnx", preprocessing=request.param)
    folder = write_web_page(path, tmp_path / "page", card).parent
    (folder / "ort").mkdir()
    for name in NEEDED:
        shutil.copy(ORT / name, folder / "ort")
    with serving(folder) as address, browser(tmp_path / "profile") as tab:
        tab.open(f"{address}/index.html", width=390)
        tab.wait_for("Ready. Choose a video.")
        yield tab


@pytest.mark.parametrize("page", [True, False], indirect=True)
def test_scores_of_a_clip_are_keras_own(page, model, clips):
    for clip in clips[:3]:
        found = page.value(f"res3dPage.score(new Uint8Array({clip.ravel().tolist()}))")
        expected = model.predict_on_batch(preprocess_input(clip[None]))[0]
        assert np.allclose(found, expected, atol=1e-5)
    outside = [address for address in page.requested if not address.startswith(("http://127.0.0.1", "data:", "blob:"))]
    assert not outside


@pytest.mark.parametrize("page", [True], indirect=True)
def test_a_video(page, model, card, clips, tmp_path, make_video):
    """The video is one that the net is sure about, enlarged; its browser's colours may differ by some levels."""
    from keras_res3d.inference.videos import predict_video

    frames = np.repeat(clips[0], 8, axis=0).repeat(4, axis=1).repeat(4, axis=2)
    video = make_video(tmp_path / "clip.webm", frames, codec="libvpx", options={"crf": "4", "b": "4M"})
    expected = predict_video(model, video, 10, card=card)
    page.give_file(video)
    shown = page.wait_for("clips at")
    name, share = expected.top(1)[0]
    lines = [line.strip() for line in shown.splitlines() if line.strip()]
    assert "10 clips at 25.00 frames a second." in shown
    assert abs(float(lines[lines.index(name) + 1]) - share) < 0.1
    (tmp_path / "bad.mp4").write_bytes(b"\0" * 500)
    page.screenshot(tmp_path / "page.png")
    assert page.value("document.documentElement.scrollWidth <= window.innerWidth")
    page.give_file(tmp_path / "bad.mp4")
    page.wait_for("This browser cannot play the video.")
