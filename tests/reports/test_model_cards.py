"""The page of model cards: what the package's tables say today, and nothing that needs a net to be built."""

import subprocess
import sys

import pytest

from keras_res3d.commands.main import main
from keras_res3d.nets.zoo import ZOO
from keras_res3d.reports.model_cards import cards_page, net_card, preprocessing_text, weights_card
from keras_res3d.weights import catalog
from tests.docs.markdown import ROOT, pages


@pytest.fixture(scope="module")
def page():
    return cards_page()


@pytest.mark.skipif("docs/models.md" not in pages(), reason="the tests lie without the pages")
def test_the_page_is_what_the_tables_say_today(page):
    """Otherwise run `keras-res3d models --cards docs/models.md`."""
    assert (ROOT / "docs/models.md").read_text(encoding="utf-8") == page


def test_every_net_and_all_weights_have_a_card(page):
    headings = [line.lstrip("# ") for line in page.splitlines()[1:] if line.startswith("#")]
    assert sorted(headings) == sorted([*ZOO, *(entry.name for entry in catalog.entries())])


def test_a_nets_card():
    card = dict(net_card("sr18"))
    assert card["parameters"] == "33,222,309 with 101 classes; 12,873,381 of them are live"
    assert "4 frames of 112 x 112" in card["input"] and "(clips, 4, 112, 112, 3)" in card["input"]
    assert "46.1 % (table 5)" in card["published accuracy"] and "21.5 % (table 15)" in card["published accuracy"]
    assert card["published weights"] == "none" and "arxiv.org/abs/1708.05038" in card["paper"]
    assert "groups 3, 4, 5 of 5" in dict(net_card("mc3"))["what it is"]
    assert "8 convolutions, 5 poolings and 3 dense layers" in dict(net_card("c3d"))["what it is"]
    assert "[kinetics400](#r2plus1d_18kinetics400)" in dict(net_card("r2plus1d_18"))["published weights"]


def test_the_cards_of_weights():
    scratch = dict(weights_card(catalog.find("res3d18", "ucf101-scratch")))
    assert scratch["limits"].startswith("no commercial use") and "ucf101 split 3" in scratch["limits"]
    assert "no public address" in scratch["original"] and scratch["published accuracy"] == "none of this file"
    torchvision = weights_card(catalog.find("r3d_18", "kinetics400"))
    card = dict(torchvision)
    assert card["SHA-256"].strip("`") == catalog.find("r3d_18", "kinetics400").sha256
    assert "limits" not in card and card["published accuracy"].startswith("video@1 63.2 %, video@5 83.5 %: torchvision")
    assert "16 frames, every frame of the video at 15 frames/s" in card["input"]


def test_preprocessing_as_a_formula():
    assert preprocessing_text("res3d") == "BGR - 128"
    assert preprocessing_text("pixels") == "RGB"
    assert preprocessing_text("torchvision").startswith("(RGB / 255 - (0.43216, 0.394666, 0.37645)) / (0.22803")


def test_the_command_writes_it(page, tmp_path, capsys):
    assert main(["models", "--cards", str(tmp_path / "cards.md")]) == 0
    assert (tmp_path / "cards.md").read_text(encoding="utf-8") == page
    assert main(["models", "sr18", "--cards", str(tmp_path / "more.md")]) == 1
    assert "leave sr18 out" in capsys.readouterr().err and not (tmp_path / "more.md").exists()


def test_cards_need_neither_keras_nor_tensorflow():
    code = "import sys; from keras_res3d.reports.model_cards import cards_page; cards_page(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "keras_res3d.nets.zoo" in loaded and not {"keras", "tensorflow", "cv2", "av"} & set(loaded)
