"""What a run's folder says of the run: its card compared with another run, and its log."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import for_crop
from keras_res3d.nets.zoo import ZOO
from keras_res3d.training.folder import other_run, read_log

NET, SAMPLING, LABELS = ZOO["sr18"], for_crop(8, 2, 112), ("a", "b")
CARD = ModelCard("sr18", LABELS, SAMPLING, architecture=NET, training={"seed": 0, "mixup": 0.0, "loss": 1.5})


def test_a_run_is_told_from_others():
    options = {"seed": 0, "mixup": 0.0, "of a later release": 1}
    assert other_run(CARD, NET, SAMPLING, LABELS, options) == []
    for arguments, told in (
        ((replace(NET, width=5), SAMPLING, LABELS, options), "architecture.width: 64 there, 5 expected"),
        ((NET, replace(SAMPLING, stride=1), LABELS, options), "sampling.stride: 2 there, 1 expected"),
        ((NET, SAMPLING, ("b", "a"), options), "classes: ['a', 'b'] there, ['b', 'a'] expected"),
        ((NET, SAMPLING, LABELS, {**options, "seed": 1}), "seed: 0 there, 1 expected"),
        ((replace(NET, batch_norm_momentum=None), SAMPLING, LABELS, {}), "architecture.batch norm: True there, False "
                                                                         "expected"),
    ):  # fmt: skip
        assert other_run(CARD, *arguments) == [told]
    (told,) = other_run(replace(CARD, architecture=None), NET, SAMPLING, LABELS, options)
    assert told.startswith("architecture: None there")


def test_the_same_net_in_other_words_is_no_other():
    words = replace(NET, width=32, multipliers=(2, 2, 4, 8, 16), batch_norm_momentum=0.9, classes=7, frames=16)
    assert other_run(CARD, words, SAMPLING, LABELS, {}) == []


def test_a_log_of_any_cells(tmp_path):
    assert read_log(tmp_path) == {}
    for text in ("", "\n", "epoch,loss\n"):
        (tmp_path / "log.csv").write_text(text)
        assert read_log(tmp_path) == {}
    (tmp_path / "log.csv").write_text('epoch,loss,,clip@1\n1,"0.5",x\n\n2,x,3,0.25,more\n')
    found = read_log(tmp_path)
    assert list(found) == ["epoch", "loss", "clip@1"] and found["epoch"] == [1, 2] and found["loss"][0] == 0.5
    assert math.isnan(found["loss"][1]) and math.isnan(found["clip@1"][0]) and found["clip@1"][1] == 0.25
    (tmp_path / "log.csv").write_text("epoch\n1\n" + "1" * 200_000)
    with pytest.raises(ValueError, match=r"log\.csv is no log of a run: line 3: malformed \("):
        read_log(tmp_path)
