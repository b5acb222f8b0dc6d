"""Intervals: below each other on one axis, or small ones for table cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

from luthier.reporting.blocks import Cell, Interval, IntervalPlot, as_cell
from luthier.reporting.quantities import Unit, quantity
from luthier.reporting.scales import Point, Scale, tick_text, ticks
from luthier.reporting.svg.elements import (
    BOLD,
    LETTER,
    drawing,
    marks_of,
    shorten,
    tag,
    text,
    title,
    typographic,
    upright,
)


def mini_interval(interval: Interval, low: float, high: float, width: float = 88) -> str:
    """Draw an interval as a small bar between `low` and `high`: track, interval, estimate.

    The numbers stand beside it, so that it says nothing to those who cannot see it.
    """
    bar = _bar(interval, Scale(low, high, 4, width - 4), 6, track=True)
    return tag("svg", bar, viewBox=f"0 0 {width:g} 12", width=width, height=12, aria_hidden="true")


def _bar(interval: Interval, scale: Scale, y: float, *, track: bool = False, strong: bool = False) -> str:
    """Draw an interval around y; nothing where the value is not a number."""
    value, low, high = interval.value, interval.low, interval.high
    if not math.isfinite(value):
        return ""
    ends = min(scale.start, scale.end), max(scale.start, scale.end)

    def place(x: float) -> float:
        return min(max(scale(x), ends[0]), ends[1])

    parts = [tag("line", x1=ends[0], x2=ends[1], y1=y, y2=y, class_="track")] if track else []
    if low is not None and high is not None and math.isfinite(low) and math.isfinite(high):
        parts.append(tag("line", x1=place(low), x2=place(high), y1=y, y2=y, class_="interval"))
    parts.append(tag("circle", cx=place(value), cy=y, r=4.5 if strong else 3.5, class_="estimate"))
    return tag("g", title(typographic(str(interval))) + "".join(parts), class_="strong" if strong else "usual")


def interval_plot(block: IntervalPlot, width: float) -> str:
    """Draw intervals below each other: label, bar, numbers; on narrow drawings the label stands above its bar."""
    rows = [(label, as_cell(cell)) for label, cell in block.rows]
    stops = _interval_ticks(block)
    numbers = max((_width(str(cell.content), cell) for _, cell in rows), default=0)
    narrow = width < 500
    longest = max((_width(label, cell) for label, cell in rows), default=0)
    left = 8.0 if narrow else min(longest, 0.36 * width) + 14
    right = width - 8 if narrow else width - numbers - 14
    top, step = (22.0 if block.marks else 6.0), (44.0 if narrow else 28.0)
    bottom = top + step * len(rows)
    scale = Scale(stops[0], stops[-1], left, right)
    bars = [top + step * index + (31 if narrow else step / 2) for index in range(len(rows))]
    lanes = [(y - 9, y + 9) for y in bars] if narrow else [(top, bottom)]  # no line runs through a label
    parts = [_vertical_axis(stops, scale, lanes, bottom, block.unit, block.axis)]
    parts += marks_of(block.marks, scale, lanes, top)
    for y, (label, cell) in zip(bars, rows, strict=True):
        text_y = y - 14 if narrow else y + 4
        style = "label strong" if cell.emphasis else "label"
        label_width = width - _width(str(cell.content), cell) - 24 if narrow else left - 14
        full = title(label) if shorten(label, label_width) != label else ""
        written = text(shorten(label, label_width), 8 if narrow else 0, text_y, class_=style)
        parts.append(tag("g", full + written))
        if isinstance(cell.content, Interval):
            parts.append(_bar(cell.content, scale, y, strong=cell.emphasis))
        shown = typographic(str(cell.content)) if isinstance(cell.content, Interval) else cell.content
        parts.append(text(shown, width - 8 if narrow else width, text_y, "end", style))
    name = block.title or block.axis or "intervals"
    return drawing(width, bottom + (40 if block.axis else 22), name, parts, _told(block))


def _told(block: IntervalPlot) -> str:
    """Say what the plot shows."""
    said = [f"{label}: {as_cell(cell).content}" for label, cell in block.rows]
    return "; ".join([*said, *(f"{name}: {quantity(value, block.unit)}" for name, value in block.marks.items())])


def _width(label: str, cell: Cell) -> float:
    """Return the pixels that a text takes; bold letters are wider."""
    return len(label) * LETTER * (BOLD if cell.emphasis else 1)


def _interval_ticks(block: IntervalPlot) -> list[float]:
    if block.unit == "share":
        return [0, 0.25, 0.5, 0.75, 1]
    ends = [x for i in block.intervals for x in (i.value, i.low, i.high) if x is not None and math.isfinite(x)]
    ends += block.marks.values()
    if block.unit == "points":
        ends.append(0.0)  # a difference is read against zero
    return ticks(min(ends, default=0), max(ends, default=1))


def _vertical_axis(
    stops: Sequence[float], scale: Scale, lanes: Sequence[Point], bottom: float, unit: Unit, axis: str
) -> str:
    """Draw a horizontal axis: its grid lines within the lanes (top, bottom), its ticks below, and its title."""
    parts = []
    for stop in stops:
        style = "zero" if stop == 0 and stops[0] < 0 else "grid"
        parts.append(upright(scale(stop), lanes, style))
        parts.append(text(typographic(tick_text(stop, stops[1] - stops[0], unit)), scale(stop), bottom + 15, "middle"))
    if axis:
        parts.append(text(axis, (scale.start + scale.end) / 2, bottom + 34, "middle", "axis"))
    return "".join(parts)
