"""Points over a logarithmic cost: where they stand, and which are on the front."""

from __future__ import annotations

import math

from keras_res3d.reports.pages import render
from keras_res3d.reports.scatter import scatter
from keras_res3d.reports.sections import Section


def test_points_stand_in_order_and_the_front_is_drawn():
    points = [("cheap", 10.0, 0.5, 0.02), ("bad", 50.0, 0.4, math.nan), ("best", 1000.0, 0.9, 0.01)]
    panel = scatter([*points, ("lost", 5.0, math.nan, 0.0)], "MMACs", "video@1")
    cheap, bad, best = panel.points
    assert cheap.x < bad.x < best.x and best.y < cheap.y < bad.y
    assert (cheap.front, bad.front, best.front) == (True, False, True)
    assert panel.front == f"M{cheap.x} {cheap.y}L{best.x} {best.y}"
    assert cheap.high < cheap.y < cheap.low and bad.low is None
    # Ten times the cost is the same way everywhere.
    places = {text: x for x, text in panel.x_ticks}
    assert round(places["100"] - places["10"], 0) == round(places["1000"] - places["100"], 0)
    section = Section("s", [scatter([("<b>", 1, 0.5, 0)], "c", "m")])
    page = render("report.html", title="t", lead="l", sections=[section])
    assert "&lt;b&gt;" in page and "<b>:" not in page


def test_nothing_to_draw():
    assert scatter([("a", math.nan, 0.5, 0)], "c", "m") is None
