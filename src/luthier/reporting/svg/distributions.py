"""Histograms."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from luthier.reporting.blocks import Histogram
from luthier.reporting.quantities import Unit, quantity
from luthier.reporting.scales import Bins, Scale, bins, tick_text, ticks
from luthier.reporting.svg.elements import LETTER, drawing, tag, text, title, typographic

_WIDEST = 56.0
"""Of a bar that stands for a single value, in pixels."""


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
            f"{_bin_text(counted, place, block.unit)}: {count:,} ({quantity(share, 'share')})"
            for place, (count, share) in enumerate(zip(counts, strip, strict=True))
        ]
        parts.append(tag("g", _bars(heights, hovers, counted, scale, base), class_=f"s{index % 6 + 1}"))
        parts.append(tag("line", x1=4, x2=width - 4, y1=base, y2=base, class_="base"))
    bottom = 20 - gap + len(groups) * (strip_height + gap)
    parts += _bin_ticks(counted, scale, bottom, block.unit, about=8 if width >= 500 else 5)
    parts.append(text(block.x_title, width / 2, bottom + 35, "middle", "axis"))
    name = block.title or f"distribution of {block.x_title}"
    return drawing(width, bottom + 42, name, parts, _told(block))


def _told(block: Histogram) -> str:
    """Say how the values of each group lie."""
    said = []
    for name, values in block.groups.items():
        count, _, median, lowest, highest = block.summary(values)
        spread = f", lowest {lowest}, median {median}, highest {highest}" if median else ""
        said.append(f"{name}: n = {count}{spread}".removeprefix(": "))
    return "; ".join(said)


def _bars(heights: Sequence[float], hovers: Sequence[str], counted: Bins, scale: Scale, base: float) -> str:
    """Draw the bars that are not empty, standing on `base`, one pixel from the borders of their bins."""
    parts = []
    for height, hover, (low, high) in zip(heights, hovers, pairwise(counted.edges), strict=True):
        if height:
            tall, wide = max(height, 1.5), max(scale(high) - scale(low) - 2, 1)
            wide = min(wide, _WIDEST) if counted.centred else wide
            bar = {"x": scale((low + high) / 2) - wide / 2, "y": base - tall, "width": wide, "height": tall, "rx": 1.5}
            parts.append(tag("rect", title(hover), **bar, class_="bar"))
    return "".join(parts)


def _bin_text(counted: Bins, place: int, unit: Unit) -> str:
    low, high = counted.edges[place], counted.edges[place + 1]
    if counted.centred:
        return quantity((low + high) / 2, unit)
    return f"{quantity(low, unit)} to {quantity(high, unit)}"


def _bin_ticks(counted: Bins, scale: Scale, y: float, unit: Unit, about: int) -> list[str]:
    edges = counted.edges
    stops = [s for s in ticks(edges[0], edges[-1], about) if edges[0] <= s <= edges[-1]]
    if counted.centred and len(edges) <= about + 1:
        stops = [(low + high) / 2 for low, high in pairwise(edges)]
    step = stops[1] - stops[0] if len(stops) > 1 else 1.0
    parts = []
    for place in stops:
        half = len(tick_text(place, step, unit)) * LETTER / 2
        x = scale(place)
        anchor = "start" if x - half < 0 else "end" if x + half > scale.end + 4 else "middle"
        parts.append(text(typographic(tick_text(place, step, unit)), x, y + 16, anchor))
    return parts
