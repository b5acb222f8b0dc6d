"""Lines over a common axis."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from luthier.reporting.blocks import LinePlot, Series
from luthier.reporting.quantities import number, quantity
from luthier.reporting.scales import Point, Scale, thin, tick_text, ticks
from luthier.reporting.svg.elements import LETTER, drawing, marks_of, tag, text, title, typographic

_MOST_POINTS = 400
_MOST_HOVERS = 120


@dataclass(frozen=True)
class _Frame:
    """The inside of a plot and its scales."""

    x: Scale
    y: Scale
    top: float
    bottom: float


def line_plot(block: LinePlot, width: float) -> str:
    """Draw lines with axes; hovering anywhere shows the values at that place."""
    height = 300.0 if width >= 500 else 250.0
    points = [_finite(series) for series in block.series]
    xs = [x for line in points for x, _ in line] or [0.0, 1.0]
    ys = [y for line in points for _, y in line] or [0.0, 1.0]
    x_stops = [t for t in ticks(min(xs), max(xs), 6 if width >= 500 else 4) if min(xs) <= t <= max(xs)]
    low, high = (min(xs), max(xs)) if max(xs) > min(xs) else (min(xs) - 1, max(xs) + 1)
    # Losses read best against zero, unless they move far away from it.
    y_stops = ticks(0.0 if 0 <= min(ys) < 0.5 * max(ys) else min(ys), max(ys))
    if block.y_unit == "share" and y_stops[-1] > 1:
        y_stops = ticks(0.0, 1.0)
    y_texts = [typographic(tick_text(stop, y_stops[1] - y_stops[0], block.y_unit)) for stop in y_stops]
    left = max(map(len, y_texts)) * LETTER + 14
    top, bottom = (44.0 if block.marks else 26.0), height - 42
    frame = _Frame(Scale(low, high, left, width - 10), Scale(y_stops[0], y_stops[-1], bottom, top), top, bottom)
    parts = [text(block.y_title, 0, 12, class_="axis")]
    for stop, label in zip(y_stops, y_texts, strict=True):
        parts.append(tag("line", x1=left, x2=width - 10, y1=frame.y(stop), y2=frame.y(stop), class_="grid"))
        parts.append(text(label, left - 8, frame.y(stop) + 4, "end"))
    step = x_stops[1] - x_stops[0] if len(x_stops) > 1 else 1.0
    parts += [text(typographic(tick_text(s, step, "number")), frame.x(s), bottom + 16, "middle") for s in x_stops]
    parts.append(tag("line", x1=left, x2=width - 10, y1=bottom, y2=bottom, class_="base"))
    parts.append(text(block.x_title, (left + width - 10) / 2, bottom + 36, "middle", "axis"))
    parts += marks_of(block.marks, frame.x, [(top, bottom)], top)
    parts += [_line(series, index, frame) for index, series in enumerate(block.series)]
    parts.append(_hovers(block, points, frame))
    name = block.title or f"{block.y_title} over {block.x_title}"
    return drawing(width, height, name, parts, _told(block, points))


def _told(block: LinePlot, points: Sequence[Sequence[Point]]) -> str:
    """Say where each line starts and ends."""
    said = []
    for series, line in zip(block.series, points, strict=True):
        if line:
            first, last = (f"{quantity(y, block.y_unit)} at {number(x)}" for x, y in (line[0], line[-1]))
            said.append(f"{series.name or block.y_title}: from {first} to {last}")
    return "; ".join(said)


def _finite(series: Series) -> list[Point]:
    return [(x, y) for x, y in zip(series.x, series.y, strict=True) if math.isfinite(x) and math.isfinite(y)]


def _line(series: Series, index: int, frame: _Frame) -> str:
    """Draw one series: a path broken at values that are not finite, and dots where points are few."""
    stretches: list[list[Point]] = [[]]
    for x, y in zip(series.x, series.y, strict=True):
        if math.isfinite(x) and math.isfinite(y):
            stretches[-1].append((x, y))
        elif stretches[-1]:
            stretches.append([])
    parts = []
    for stretch in filter(None, stretches):
        line = [(frame.x(x), frame.y(y)) for x, y in thin(stretch, _MOST_POINTS)]
        path = "M" + "L".join(f"{round(x, 1):g} {round(y, 1):g}" for x, y in line)
        parts.append(tag("path", d=path, class_="line"))
        if len(line) <= 30:
            parts += [tag("circle", cx=x, cy=y, r=2.5, class_="dot") for x, y in line]
    return tag("g", "".join(parts), class_=f"s{index % 6 + 1}")


def _hovers(block: LinePlot, points: Sequence[Sequence[Point]], frame: _Frame) -> str:
    """Lay invisible strips over the plot, each with the values of all series at its place as a hover text."""
    lines = [sorted(line) for line in points]
    places = sorted({x for line in lines for x, _ in line})
    places = places[:: math.ceil(len(places) / _MOST_HOVERS) or 1]
    borders = [(a + b) / 2 for a, b in pairwise(places)]
    edges = [frame.x.low, *borders, frame.x.high]
    name = block.x_title.split(" (")[0]
    parts = []
    for place, low, high in zip(places, edges, edges[1:], strict=False):
        values = []
        for series, line in zip(block.series, lines, strict=True):
            inside = line[bisect_left(line, (low,)) : bisect_left(line, (high, math.inf))]
            near = min(inside, key=lambda point: abs(point[0] - place), default=None)
            if near:
                values.append(f"{series.name or block.y_title}: {typographic(quantity(near[1], block.y_unit))}")
        x, width = frame.x(low), frame.x(high) - frame.x(low)
        strip = {"x": x, "y": frame.top, "width": width, "height": frame.bottom - frame.top}
        hover = title("\n".join([f"{name} {typographic(number(place))}", *values]))
        parts.append(tag("rect", hover, **strip, class_="hover"))
    return "".join(parts)
