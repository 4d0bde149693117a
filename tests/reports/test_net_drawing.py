"""The drawing of a net against its walk."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from keras_res3d.nets.architecture import convolutions
from keras_res3d.nets.zoo import ZOO
from keras_res3d.reports.net_drawing import architecture_svg, steps

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", ZOO)
def test_every_net_is_drawn_whole(name):
    drawing = ET.fromstring(architecture_svg(name))
    texts = [element.text for element in drawing.iter(f"{SVG}text")]
    for layer in convolutions(ZOO[name]):
        assert layer.name in texts or layer.name.endswith("_branch1"), layer.name
    bows = list(drawing.iter(f"{SVG}path"))
    assert len(bows) == (sum(ZOO[name].blocks) if ZOO[name].shortcut else 0)
    height = float(drawing.get("height"))
    assert all(float(box.get("y")) + 24 <= height for box in drawing.iter(f"{SVG}rect") if box.get("y"))


def test_sr18_by_hand():
    boxes, bows = steps("sr18")
    assert [box.text for box in boxes[:2]] == ["3x7x7, 64 / 1x2x2", "3x3x3, 64"]
    assert boxes[0].size == "4x56x56x64" and boxes[-1].text == "dense, 101"
    # Blocks of two convolutions after conv1, each with a bow from its input to its output; four have a projection.
    assert [(bow.start, bow.end) for bow in bows] == [(first, first + 2) for first in range(0, 16, 2)]
    assert [bow.text for bow in bows[::2]] == [
        "1x1x1, 64", "1x1x1, 128 / 2x2x2", "1x1x1, 256 / 2x2x2", "1x1x1, 512 / 1x2x2",
    ]  # fmt: skip
    assert {bow.text for bow in bows[1::2]} == {""}


def test_what_reaches_over_time_is_filled():
    drawing = ET.fromstring(architecture_svg("mc3"))
    fills = [box.get("fill") for box in drawing.iter(f"{SVG}rect")][1:]
    assert fills[:5].count("#ffffff") == 0 and fills[5:17].count("#ffffff") == 12
