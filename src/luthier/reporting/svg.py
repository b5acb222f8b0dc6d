"""Plots as inline SVG, drawn for a given width so that their text keeps its size on a phone.

Colours come from the page's style sheet through classes, so that one drawing serves light and dark. Elements carry a
`<title>`, which browsers show on hovering.
"""

from __future__ import annotations

import html
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from luthier.reporting.blocks import Histogram, Interval, IntervalPlot, LinePlot, Series, as_cell
from luthier.reporting.inline import clean
from luthier.reporting.quantities import Unit, number, quantity
from luthier.reporting.scales import Point, Scale, bins, thin, tick_text, ticks

_LETTER = 6.4  # mean width of a 12 px letter of the page's font, with some room
_MOST_POINTS = 400
_MOST_HOVERS = 120


def tag(name: str, content: str = "", **attributes: float | str) -> str:
    """Return an element. Numbers get at most two decimals; `class_` and `stroke_width` become `class`, `stroke-width`.

    Attribute values are escaped, the content is taken as it is.
    """
    pairs = "".join(f' {key.strip("_").replace("_", "-")}="{_attribute(value)}"' for key, value in attributes.items())
    return f"<{name}{pairs}>{content}</{name}>" if content else f"<{name}{pairs}/>"


def text(content: str, x: float, y: float, anchor: str = "start", class_: str = "tick") -> str:
    """Return a text element with escaped content."""
    return tag("text", _escaped(content), x=x, y=y, text_anchor=anchor, class_=class_)


def title(content: str) -> str:
    """Return a hover text."""
    return tag("title", _escaped(content))


def _escaped(content: str) -> str:
    return html.escape(clean(content))


def _attribute(value: float | str) -> str:
    return _escaped(value) if isinstance(value, str) else f"{round(value, 2):g}" if abs(value) < 1e5 else str(value)


def _drawing(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    return tag(
        "svg",
        "".join(parts),
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
    )


def typographic(value: str) -> str:
    """Set true minus signs in a formatted number, and keep it on one line."""
    return value.replace("-", "\u2212").replace(" ", "\u00a0")


def shorten(content: str, width: float) -> str:
    """Cut a label to a width in pixels."""
    letters = max(4, int(width / _LETTER))
    return content if len(content) <= letters else content[: letters - 1].rstrip() + "…"


# -------------------------------------------------------------------------------- intervals


def mini_interval(interval: Interval, low: float, high: float, width: float = 88) -> str:
    """Draw an interval as a small bar between `low` and `high`: track, interval, estimate."""
    return _drawing(width, 12, str(interval), [_bar(interval, Scale(low, high, 4, width - 4), 6, track=True)])


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
    numbers = max((len(str(cell.content)) for _, cell in rows), default=0) * _LETTER
    narrow = width < 500
    longest = max((len(label) * (1.12 if cell.emphasis else 1) for label, cell in rows), default=0) * _LETTER
    left = 8.0 if narrow else min(longest, 0.36 * width) + 14
    right = width - 8 if narrow else width - numbers - 14
    top, step = (22.0 if block.marks else 6.0), (44.0 if narrow else 28.0)
    bottom = top + step * len(rows)
    scale = Scale(stops[0], stops[-1], left, right)
    bars = [top + step * index + (31 if narrow else step / 2) for index in range(len(rows))]
    lanes = [(y - 9, y + 9) for y in bars] if narrow else [(top, bottom)]  # no line runs through a label
    parts = [_vertical_axis(stops, scale, lanes, bottom, block.unit, block.axis)]
    parts += _marks(block.marks, scale, lanes, top)
    for y, (label, cell) in zip(bars, rows, strict=True):
        text_y = y - 14 if narrow else y + 4
        style = "label strong" if cell.emphasis else "label"
        label_width = width - len(str(cell.content)) * _LETTER - 24 if narrow else left - 14
        full = title(label) if shorten(label, label_width) != label else ""
        written = text(shorten(label, label_width), 8 if narrow else 0, text_y, class_=style)
        parts.append(tag("g", full + written))
        if isinstance(cell.content, Interval):
            parts.append(_bar(cell.content, scale, y, strong=cell.emphasis))
        shown = typographic(str(cell.content)) if isinstance(cell.content, Interval) else cell.content
        parts.append(text(shown, width - 8 if narrow else width, text_y, "end", style))
    return _drawing(width, bottom + (40 if block.axis else 22), block.title or block.axis or "intervals", parts)


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
        parts.append(_upright(scale(stop), lanes, style))
        parts.append(text(typographic(tick_text(stop, stops[1] - stops[0], unit)), scale(stop), bottom + 15, "middle"))
    if axis:
        parts.append(text(axis, (scale.start + scale.end) / 2, bottom + 34, "middle", "axis"))
    return "".join(parts)


def _upright(x: float, lanes: Sequence[Point], style: str) -> str:
    """Draw a vertical line that is only seen within the lanes."""
    return "".join(tag("line", x1=x, x2=x, y1=top, y2=bottom, class_=style) for top, bottom in lanes)


def _marks(marks: Mapping[str, float], scale: Scale, lanes: Sequence[Point], top: float) -> list[str]:
    parts = []
    for name, value in marks.items():
        x = scale(value)
        half = len(name) * _LETTER / 2
        anchor = "start" if x - half < scale.start else "end" if x + half > scale.end else "middle"
        parts.append(_upright(x, lanes, "mark"))
        parts.append(text(name, x, top - 7, anchor, "markname"))
    return parts


# -------------------------------------------------------------------------------- lines


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
    y_texts = [typographic(tick_text(stop, y_stops[1] - y_stops[0], block.y_unit)) for stop in y_stops]
    left = max(map(len, y_texts)) * _LETTER + 14
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
    parts += _marks(block.marks, frame.x, [(top, bottom)], top)
    parts += [_line(series, index, frame) for index, series in enumerate(block.series)]
    parts.append(_hovers(block, points, frame))
    return _drawing(width, height, block.title or f"{block.y_title} over {block.x_title}", parts)


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


# -------------------------------------------------------------------------------- distributions


def histogram(block: Histogram, width: float) -> str:
    """Draw a strip of bars for each group, all on one axis and one scale of shares, so that groups compare."""
    groups = list(block.groups.items())
    counted = bins([values for _, values in groups], about=24 if width >= 500 else 14)
    scale = Scale(counted.edges[0], counted.edges[-1], 4, width - 4)
    shares = [[c / max(1, sum(counts)) for c in counts] for counts in counted.counts]
    most = max((s for strip in shares for s in strip), default=0) or 1.0
    strip_height, gap = (104.0 if len(groups) == 1 else 80.0), 32.0
    parts = []
    for index, ((name, _), counts, strip) in enumerate(zip(groups, counted.counts, shares, strict=True)):
        base = 20 + strip_height + index * (strip_height + gap)
        label = ", ".join(filter(None, [name, f"n = {sum(counts):,}"]))
        parts.append(text(label, 4, base - strip_height - 8, class_="label"))
        heights = [share / most * strip_height for share in strip]
        hovers = [
            f"{_bin_text(counted.edges, place, block.unit)}: {count:,} ({quantity(share, 'share')})"
            for place, (count, share) in enumerate(zip(counts, strip, strict=True))
        ]
        parts.append(tag("g", _bars(heights, hovers, counted.edges, scale, base), class_=f"s{index % 6 + 1}"))
        parts.append(tag("line", x1=4, x2=width - 4, y1=base, y2=base, class_="base"))
    bottom = 20 - gap + len(groups) * (strip_height + gap)
    parts += _bin_ticks(counted.edges, scale, bottom, block.unit, about=8 if width >= 500 else 5)
    parts.append(text(block.x_title, width / 2, bottom + 35, "middle", "axis"))
    return _drawing(width, bottom + 42, block.title or f"distribution of {block.x_title}", parts)


def _bars(heights: Sequence[float], hovers: Sequence[str], edges: Sequence[float], scale: Scale, base: float) -> str:
    """Draw the bars that are not empty, standing on `base`, one pixel from the borders of their bins."""
    parts = []
    for height, hover, (low, high) in zip(heights, hovers, pairwise(edges), strict=True):
        if height:
            tall, wide = max(height, 1.5), max(scale(high) - scale(low) - 2, 1)
            bar = {"x": scale(low) + 1, "y": base - tall, "width": wide, "height": tall, "rx": 1.5}
            parts.append(tag("rect", title(hover), **bar, class_="bar"))
    return "".join(parts)


def _bin_text(edges: Sequence[float], place: int, unit: Unit) -> str:
    low, high = edges[place], edges[place + 1]
    if _is_centred(edges):
        return quantity((low + high) / 2, unit)
    return f"{quantity(low, unit)} to {quantity(high, unit)}"


def _is_centred(edges: Sequence[float]) -> bool:
    """Say whether bins stand around whole numbers."""
    return abs(edges[1] - edges[0] - 1) < 1e-9 and abs(edges[0] % 1 - 0.5) < 1e-9


def _bin_ticks(edges: Sequence[float], scale: Scale, y: float, unit: Unit, about: int) -> list[str]:
    stops = [s for s in ticks(edges[0], edges[-1], about) if edges[0] <= s <= edges[-1]]
    if _is_centred(edges) and len(edges) <= about + 1:
        stops = [edge + 0.5 for edge in edges[:-1]]
    step = stops[1] - stops[0] if len(stops) > 1 else 1.0
    parts = []
    for place in stops:
        half = len(tick_text(place, step, unit)) * _LETTER / 2
        x = scale(place)
        anchor = "start" if x - half < 0 else "end" if x + half > scale.end + 4 else "middle"
        parts.append(text(typographic(tick_text(place, step, unit)), x, y + 16, anchor))
    return parts
