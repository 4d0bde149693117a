"""The JSON beside a model: read back as written, replaced whole or not at all."""

import os

import pytest

from keras_res3d.cards import ModelCard, card_path, read_card, write_atomically
from keras_res3d.video.clips import Sampling

CARD = ModelCard("sr18", ("ä", "b"), Sampling(fps=15.0), "CC BY-NC 3.0", "ucf101 split 1", {"epochs": 3})


def test_cards_survive_json(tmp_path):
    write_atomically(tmp_path / "model.json", CARD.to_json())
    assert read_card(tmp_path / "model.keras") == CARD
    assert read_card(tmp_path) == CARD
    assert card_path(tmp_path / "a.tflite") == tmp_path / "a.json"
    assert read_card(tmp_path / "other.keras") is None


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1, "labels": ["a"], "sampling": {"speed": 3}, "net": ""}'])
def test_what_is_no_card_is_refused(text):
    with pytest.raises(ValueError):
        ModelCard.from_json(text)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_atomically(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]
