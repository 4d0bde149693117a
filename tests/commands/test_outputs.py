"""A file that a command is to write is none that it reads, and none that a run, features or shards need."""

import contextlib
import shutil

import pytest

from keras_res3d.commands.main import main


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Files of every kind, each with its own name as its content; the current folder."""
    for name in ("run/model.keras", "run/model.json", "run/log.csv", "features/features.json", "an.json", "own.html",
                 "saliency_a.mp4", "a.mp4", "layers.csv"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    (tmp_path / "link.html").symlink_to("own.html")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


READS, BELONGS = "which this command reads; choose another name", "which belongs to what lies in its folder"


@pytest.mark.parametrize("words, said", [
    ("report run --out run/model.keras", "--out is run/model.keras; expected a name that ends in .html or .htm"),
    ("report own.html --out link.html", f"--out is link.html, {READS}"),
    ("models --cards run/model.keras", "--cards is run/model.keras; expected a name that ends in .md or .markdown"),
    ("search-videos features a.mp4 --output features/features.json", "--output is features/features.json; expected"),
    ("search-videos features own.html --output own.html", f"--output is own.html, {READS}"),
    ("detect window_weights --annotations an.json --output ./an.json", f"--output is ./an.json, {READS}"),
    ("detect window_weights --annotations an.json --output run/model.json", f"--output is run/model.json, {BELONGS}"),
    ("detect window_weights --annotations an.json --output features/features.json", BELONGS),
    ("export run --format litert --output o.tflite --layer_report run/model.keras", BELONGS),
    ("export run --format litert --output o.tflite --layer_report layers.csv --calibration layers.csv", READS),
    ("figures saliency run a.mp4 saliency_a.mp4 --output .", f"--output writes saliency_a.mp4, {READS}"),
])  # fmt: skip
def test_an_output_that_is_an_input_is_refused(place, capsys, words, said):
    before = contents(place)
    assert main(words.split()) in (1, 2)
    assert said in capsys.readouterr().err
    assert contents(place) == before


@pytest.fixture
def run(trained, tmp_path):
    for name in ("model.keras", "model.json", "log.csv"):
        shutil.copy(trained / name, tmp_path / name)
    return tmp_path


def test_a_timeline_replaces_nothing_of_the_model_or_the_videos(run, two_classes, capsys):
    frames = run / "frames"
    frames.mkdir()
    (frames / "0001.png").write_bytes(b"")
    shutil.copy(two_classes / "dark" / "clip ü 0.mp4", run / "model.mp4")
    before = contents(run)
    for words in (["model.mp4", "--timeline", "model.json"], ["model.mp4", "--timeline", "log.csv"],
                  ["frames", "--timeline", "frames/0001.png"],
                  ["model.mp4", "--timeline", ".", "--timeline_format", "json"]):  # fmt: skip
        with contextlib.chdir(run):
            assert main(["predict", str(run), *words]) == 1
        assert "choose another name" in capsys.readouterr().err
    assert contents(run) == before
