"""The verb figures."""

from __future__ import annotations

import csv

import keras
import pytest
from PIL import Image

from keras_res3d import ModelCard, Sampling, Video, build_model, load_model, save_model
from keras_res3d.commands.main import main
from keras_res3d.nets.zoo import ZOO
from keras_res3d.reports.filters import first_filters
from keras_res3d.reports.saliency import saliency


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A narrow 3D and a narrow 2D net in files."""
    keras.utils.set_random_seed(0)  # some weights give a score of 1.000
    folder = tmp_path_factory.mktemp("nets")
    sampling = Sampling(4, 1, (36, 48), (32, 32))
    for name in ("sr18", "mc1"):
        model = build_model(ZOO[name], width=2, input_shape=(4, 32, 32, 3), classes=2)
        save_model(model, folder / f"{name}.keras", ModelCard(name, ("bright", "dark"), sampling))
    return folder


def test_architecture(tmp_path, capsys):
    assert main(["figures", "architecture", "mc3", "2.5d", "--output", str(tmp_path), "--target_params", "1e6"]) == 0
    assert (tmp_path / "mc3.svg").read_text().startswith("<svg") and "2.5d.svg" in capsys.readouterr().out
    assert main(["figures", "landscape", "mc3"]) == 1 and "architecture, filters" in capsys.readouterr().err


def test_filters(saved, tmp_path, capsys):
    words = [str(saved / "sr18.keras"), str(saved / "mc1.keras")]
    assert main(["figures", "filters", *words, "--output", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "2 filters of 3x7x7" in text and "2 filters of 1x7x7; 0.0% of their energy changes in time" in text
    rows = list(csv.DictReader((tmp_path / "filters.csv").open()))
    assert [float(row["temporal_share"]) > 0 for row in rows] == [True, True, False, False]
    assert len(list(csv.DictReader((tmp_path / "matches.csv").open()))) == 2
    for name in ("filters_sr18.png", "filters_2d_3d.png", "matches.png", "filters_sr18.gif"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 50
    # The released nets read BGR: the picture shows RGB.
    model = load_model(saved / "sr18.keras")
    kernel = model.model.get_layer("conv1").kernel.numpy()
    assert (first_filters(model)[0] == kernel[..., ::-1, 0]).all()


def test_saliency(saved, two_classes, tmp_path, capsys):
    video = next(iter(sorted((two_classes / "dark").iterdir())))
    words = [str(saved / "sr18.keras"), str(video), "--output", str(tmp_path), "--layer", "res3b", "--class", "bright"]
    assert main(["figures", "saliency", *words]) == 0
    assert "bright, score 0." in capsys.readouterr().out
    (written,) = tmp_path.glob("*.mp4")
    with Video(written) as shown:
        assert shown.num_frames == 4 and next(shown.frames([0]))[1].shape == (224, 448, 3)
    (gif,) = tmp_path.glob("*.gif")
    with Image.open(gif) as picture:
        assert picture.size == (448, 224)
    found = saliency(saved / "sr18.keras", video, clips=2)
    assert found.heat.shape == (2, 4, 32, 32) and found.class_name in ("bright", "dark")
    with pytest.raises(ValueError, match="expected one of bright, dark"):
        saliency(saved / "sr18.keras", video, class_name="grey")
    assert main(["figures", "saliency", str(saved / "sr18.keras")]) == 1
