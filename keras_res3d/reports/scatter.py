"""Points of accuracy over a cost as a part of an HTML page, with the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.ticker import LogLocator, MaxNLocator

from keras_res3d.reports.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from keras_res3d.tasks.studies.statistics import pareto_front

# Points of accuracy that the axis shows at least, so that a difference of two videos looks as small as it is.
SMALLEST_SPAN = 0.2


@dataclass(frozen=True)
class Point:
    """A candidate: its place, its bar from `low` to `high` (None without), and on which side its name stands."""

    name: str
    x: float
    y: float
    low: float | None
    high: float | None
    anchor: str
    front: bool
    about: str


@dataclass(frozen=True)
class Scatter:
    """A panel of points: (place, text) of the ticks of both axes, and the front as an SVG path."""

    title: str
    points: tuple[Point, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    front: str
    macro = "scatter"
    width, height, left, right, top, bottom = WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM


def scatter(points: Sequence[tuple[str, float, float, float]], cost: str, measure: str) -> Scatter | None:
    """A panel of points with costs on a logarithmic axis; None where no point has both figures.

    Args:
        points: (name, cost, accuracy in 0..1, its standard deviation or NaN) of each.
        cost, measure: what the axes are called.
    """
    points = [row for row in points if math.isfinite(row[1]) and row[1] > 0 and math.isfinite(row[2])]
    if not points:
        return None
    costs, values = [row[1] for row in points], [row[2] for row in points]
    low, high = min(costs) / 1.15, max(costs) * 1.15
    bars = [0.0 if math.isnan(row[3]) else row[3] for row in points]
    bottom = min(value - bar for value, bar in zip(values, bars, strict=True))
    top = max(value + bar for value, bar in zip(values, bars, strict=True))
    middle, half = (bottom + top) / 2, max(1.1 * (top - bottom), SMALLEST_SPAN) / 2

    def x(value: float) -> float:
        return round(LEFT + math.log(value / low) / math.log(high / low) * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(TOP + (middle + half - value) / (2 * half) * (HEIGHT - TOP - BOTTOM), 1)

    front = pareto_front(costs, values)
    placed = tuple(
        Point(name, x(at), y(value), y(value - bar) if bar else None, y(value + bar) if bar else None,
              "end" if x(at) > WIDTH / 2 else "start", number in front, f"{name}: {at:.3g} {cost}, {value:.1%}")
        for number, ((name, at, value, _), bar) in enumerate(zip(points, bars, strict=True))
    )  # fmt: skip
    path = "M" + "L".join(f"{x(costs[number])} {y(values[number])}" for number in front) if len(front) > 1 else ""
    y_ticks = MaxNLocator(5).tick_values(middle - half, middle + half)
    return Scatter(
        f"{measure} over {cost}", placed, tuple((x(tick), f"{tick:g}") for tick in _ticks(low, high)),
        tuple((y(tick), f"{tick:.0%}") for tick in y_ticks if middle - half <= tick <= middle + half), path,
    )  # fmt: skip


def _ticks(low: float, high: float) -> list[float]:
    for subs in ((1.0,), (1.0, 2.0, 5.0)):
        found = [float(tick) for tick in LogLocator(subs=subs).tick_values(low, high) if low <= tick <= high]
        if len(found) > 1:
            return found
    return [float(tick) for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
