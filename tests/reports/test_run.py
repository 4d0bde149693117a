"""The report of a run: whatever its folder holds, the page shows it, and says what is missing."""

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_res3d import write_report
from keras_res3d.cards import ModelCard, read_card, save_model
from keras_res3d.commands.main import main
from keras_res3d.data.clips import Sampling
from keras_res3d.data.sources.array import ArrayVideo
from keras_res3d.data.types import Example, VideoError
from keras_res3d.export.export import export_model
from keras_res3d.reports.run import find_exports
from keras_res3d.reports.sections import page, scores_sections
from keras_res3d.training.folder import read_log

from ..browser import CHROMIUM
from ..made_scores import two_classes
from ..training import runs
from .test_pages import Reader

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tour"
    runs.run(folder)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "tour")


def shown(path):
    reader = Reader(path.read_text())
    assert "script" not in {tag for tag, _ in reader.tags}
    return " ".join(" ".join(reader.texts).split())


def test_with_videos(run):
    net = keras.models.load_model(run / "model.keras")
    export_model(net, run / "exports" / "net.tflite", "litert", card=read_card(run))
    path = write_report(run, data=runs.Few("test", 24), clips=2, shown=3)
    text, page = shown(path), path.read_text()
    assert path == run / "report.html" and page.count("data:image/webp") == 6
    size = (run / "exports" / "net.tflite").stat().st_size
    assert f"net.tflite litert {size / 1e6:.2f} MB" in text and re.search(r"[\d.]+ ms \d+ MB", text)
    for expected in ("of 24 videos", "turn_left", "Best clips", "Worst clips", "learning_rate", "0.05", "epochs 2"):
        assert expected in text
    assert "tensorflow" in text and "UTC" in text and "training clips" in text and "validation videos" in text


class WithABadOne(runs.Few):
    """The first video cannot be read."""

    def open(self, i, fps=None, strict=False):
        if i == 0:
            raise VideoError("the first video cannot be read")
        return runs.motion_data_set("test").open(i, fps=fps, strict=strict)

    def __init__(self, count):
        super().__init__("test", count)
        del self.open


def test_clips_are_named_after_their_own_videos_where_one_was_left_out(run):
    data = WithABadOne(5)
    with pytest.warns(UserWarning, match="left out"):
        path = write_report(run, data=data, clips=1, shown=4, measure=False)
    html, text = path.read_text(), shown(path)
    names = [Path(example.path).name for example in data.examples]
    assert [html.count(f"{name}, ") for name in names] == [0, 2, 2, 2, 2]  # each is among the best and the worst
    assert "Intervals are by the bootstrap" in text and "95 % interval" in text and "macro mean" in text


def test_misclassified_videos_and_the_curves_of_two_classes():
    scores = two_classes()
    text = page("title", "lead", scores_sections({"model": scores}))
    assert "11 of 60 videos, the worst first" in text and text.index("48.mp4") < text.index("57.mp4")
    assert "the 15 groups of the videos" in text and "video@5" not in text
    for figure in ("ROC curve", f"<b>{scores.summary()['auc']:.1%}</b>", "precision over recall"):
        assert figure in text
    right = replace(scores, truth=scores.video_probabilities.argmax(axis=1))
    assert "There is none." in page("title", "lead", scores_sections({"model": right}))


def test_without_videos(run, capsys):
    assert main(["report", str(run), "--out", str(run / "bare.html")]) == 0
    text = shown(run / "bare.html")
    assert "Confusion" not in text and "Learning curves" in text and "could not be run" not in text
    assert f"wrote {run}/bare.html" in capsys.readouterr().out


def test_a_card_of_another_model_is_refused_and_a_model_that_cannot_be_opened_is_said(run):
    assert "could not be opened" not in shown(write_report(run, measure=False))
    card = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps({**card, "labels": [*card["labels"], "more"]}))
    with pytest.raises(ValueError, match=r"model\.keras and its card model\.json do not fit: the model has"):
        write_report(run, measure=False)
    (run / "model.keras").write_bytes(b"nothing")
    assert "The model could not be opened" in shown(write_report(run, measure=False))


def test_an_export_that_cannot_be_run_is_said(run):
    (run / "broken.tflite").write_bytes(b"nothing")
    (run / "notes.xml").write_text("<a/>")
    assert find_exports(run) == [run / "broken.tflite"]
    assert "broken.tflite could not be run" in shown(write_report(run))
    assert "could not be run" not in shown(write_report(run, measure=False))
    with pytest.raises(FileNotFoundError, match=r"net\.onnx"):
        write_report(run, exports=[run / "net.onnx"])


def test_unfinished_stopped_and_without_validation(run):
    card = json.loads((run / "model.json").read_text())
    for changes, sentence in (
        ({"finished": False, "epochs": 9}, "The run is not finished: 2 of 9 epochs are done."),
        ({"finished": True, "epochs": 9}, "The run stopped early, after 2 of 9 epochs."),
    ):
        (run / "model.json").write_text(json.dumps({**card, "training": {**card["training"], **changes}}))
        assert sentence in shown(write_report(run))
    rows = list(csv.DictReader((run / "log.csv").read_text().splitlines()))
    (run / "log.csv").write_text("epoch,loss,clip@1\n" + "".join(f"{r['epoch']},nan,\n" for r in rows) + "3,0.5,inf\n")
    assert np.isnan(read_log(run)["clip@1"][0])
    text = shown(write_report(run))
    assert "no validation videos" in text and "loss is not a finite number in epochs 1, 2." in text
    for name in ("log.csv", "model.keras", "best.keras"):
        (run / name).unlink()
    assert "no log of a finished epoch" in shown(write_report(run))
    (run / "log.csv").write_text("epoch,loss\n1," + "9" * 200_000)
    with pytest.raises(ValueError, match=r"log\.csv is no log of a run: line 2: malformed \(field larger than"):
        write_report(run)
    (run / "log.csv").unlink()
    with pytest.raises(ValueError, match="nothing can be scored"):
        write_report(run, data=runs.Few("test", 8))


def test_what_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"neither log\.csv nor model\.keras"):
        write_report(tmp_path)


class Many:
    """400 classes of one grey video each."""

    classes = (SCRIPT, *(f"class <{number}> \u202e$x_1$" for number in range(399)))
    name, mirror_safe = "many", True
    examples = tuple(Example(f"{SCRIPT}{number}.mp4", number) for number in range(400))

    def __len__(self):
        return 400

    def open(self, i, fps=None, strict=False):
        return ArrayVideo(np.full((2, 8, 8, 3), i % 256, np.uint8), None, fps)


def test_400_classes_with_odd_names(tmp_path):
    clip = keras.Input((2, 8, 8, 3))
    model = keras.Model(clip, keras.layers.Dense(400)(keras.layers.GlobalAveragePooling3D()(clip)), name="flat")
    sampling = Sampling(2, 1, (8, 8), (8, 8))
    save_model(model, tmp_path / "model.keras", replace(ModelCard(SCRIPT, Many.classes, sampling), licence=SCRIPT))
    page = write_report(tmp_path, data=Many(), clips=1)
    text = shown(page)
    assert "All 400 classes, the worst first" in text and "The 20 classes with the most mistakes" in text
    assert SCRIPT in text and "\u202e" not in text and len(page.read_bytes()) < 1_000_000
    (tmp_path / "log.csv").write_text("epoch,loss\n1,2\n2,nan\n")
    assert_fits_a_telephone(write_report(tmp_path, data=Many(), clips=1))


@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
def test_a_run_fits_a_telephone(run):
    (run / "net.tflite").write_bytes(b"nothing")
    assert_fits_a_telephone(write_report(run, data=runs.Few("test", 8), clips=1))


def assert_fits_a_telephone(page):
    """In a frame 390 pixels wide, with all that can be opened open, nothing scrolls sideways."""
    if not CHROMIUM:
        return
    frame = page.with_name("frame.html")
    frame.write_text(f'''<iframe id="frame" src="{page.name}" style="width: 390px; height: 9000px; border: 0"></iframe>
        <pre id="found"></pre><script>frame.onload = () => {{
        const page = frame.contentDocument; page.querySelectorAll("details").forEach((each) => each.open = true);
        const root = page.documentElement;
        found.textContent = "width " + root.scrollWidth + " of " + root.clientWidth; }}</script>''')
    flags = ["--headless", "--no-sandbox", "--allow-file-access-from-files", "--virtual-time-budget=5000"]
    flags.append(f"--user-data-dir={page.parent / 'profile'}")
    command = [CHROMIUM, *flags, "--dump-dom", f"file://{frame}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    width, room = re.search(r"width (\d+) of (\d+)", done.stdout).groups()
    assert 370 <= int(width) == int(room)
