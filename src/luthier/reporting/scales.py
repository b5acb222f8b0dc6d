"""Axes: round tick values, their text, and the map from values to coordinates. Also bins and thinning for plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from luthier.reporting.quantities import Unit

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """A linear map from [low, high] to [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return about so many round values, the first at or below `low` and the last at or above `high`.

    The step is 1, 2 or 5 times a power of ten.
    """
    if high <= low:
        margin = abs(low) / 2 or 1.0
        low, high = low - margin, high + margin
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def tick_text(value: float, step: float, unit: Unit) -> str:
    """Write a tick with as many decimals as its step needs."""
    scale = 100 if unit in ("share", "points") else 1
    decimals = max(0, -math.floor(math.log10(step * scale) + 1e-9))
    if decimals > 4:
        return f"{value:.2g}"
    text = f"{value * scale:+,.{decimals}f}" if unit == "points" and value else f"{value * scale:,.{decimals}f}"
    return text + {"share": " %", "seconds": " s"}.get(unit, "")


@dataclass(frozen=True)
class Bins:
    """Counts between edges; there is one edge more than counts. `centred` bins stand around single values."""

    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    centred: bool = False


def bins(groups: Sequence[Sequence[float]], about: int = 20) -> Bins:
    """Count several groups in the same bins. Few evenly spaced values get a bin each, others round edges."""
    values = [v for group in groups for v in group if math.isfinite(v)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    step = _step(values)
    centred = step is not None and (high - low) / step <= about
    if step is not None and centred:
        edges = [low + (k - 0.5) * step for k in range(round((high - low) / step) + 2)]
    else:
        edges = ticks(low, high, about)
    counts = [[0] * (len(edges) - 1) for _ in groups]
    width = edges[1] - edges[0]
    for count, group in zip(counts, groups, strict=True):
        for value in group:
            if math.isfinite(value):
                # The last bin holds its upper edge too, as everywhere.
                count[min(int((value - edges[0]) / width + 1e-9), len(count) - 1)] += 1
    return Bins(tuple(edges), tuple(map(tuple, counts)), centred)


def _step(values: Sequence[float]) -> float | None:
    """Return the step of which all distances are multiples: 1 for whole numbers, 0.2 for fifths; None for others."""
    if all(float(value).is_integer() for value in values):
        return 1.0
    ordered = sorted({round(value, 9) for value in values})
    step = min((b - a for a, b in pairwise(ordered)), default=0.0)
    if step <= 0 or any(abs((v - ordered[0]) / step - round((v - ordered[0]) / step)) > 1e-6 for v in ordered):
        return None
    return step


def thin(points: Sequence[Point], most: int) -> list[Point]:
    """Keep about `most` points at most: both ends, and the lowest and highest of each stretch: no spike is lost."""
    if len(points) <= most:
        return list(points)
    stretch = math.ceil(2 * len(points) / most)
    kept = {points[0], points[-1]}
    for start in range(0, len(points), stretch):
        chunk = points[start : start + stretch]
        kept |= {min(chunk, key=lambda p: p[1]), max(chunk, key=lambda p: p[1])}
    return sorted(kept)
