"""Bars whose parts add up to a whole."""

from __future__ import annotations

from luthier.reporting.blocks import StackedBars, as_cell
from luthier.reporting.quantities import percent
from luthier.reporting.scales import Scale
from luthier.reporting.svg.elements import BOLD, LETTER, drawing, shorten, tag, text, title, typographic

_HEIGHT = 22.0


def stacked_bars(block: StackedBars, width: float) -> str:
    """Draw a bar a row, cut into its parts; on narrow drawings the label stands above its bar."""
    rows = [(as_cell(label), counts) for label, counts in block.rows]
    narrow = width < 500
    longest = max((len(str(cell.content)) * (BOLD if cell.emphasis else 1) for cell, _ in rows), default=0) * LETTER
    left = 0.0 if narrow or not longest else min(longest, 0.36 * width) + 14
    above = 20.0 if narrow and longest else 0.0
    step = _HEIGHT + above + (12 if narrow else 10)
    parts, told = [], []
    for index, (cell, counts) in enumerate(rows):
        y, label = 2 + index * step + above, str(cell.content)
        room = width if narrow else left - 14
        style = "label strong" if cell.emphasis else "label"
        full = title(label) if shorten(label, room) != label else ""
        written = text(shorten(label, room), 0, y - 6 if narrow else y + _HEIGHT / 2 + 4, class_=style)
        parts.append(tag("g", full + written) if label else "")
        parts.append(_bar(block, counts, Scale(0, max(1, sum(counts)), left, width), y))
        told.append(f"{label}: {block.told(counts)}" if label else block.told(counts))
    bottom = 2 + step * len(rows)
    axis = Scale(0, 1, left, width)
    for share in (0.0, 0.5, 1.0):
        anchor = {0.0: "start", 1.0: "end"}.get(share, "middle")
        parts.append(text(typographic(percent(share)), axis(share), bottom + 10, anchor))
    return drawing(width, bottom + 16, block.title or f"shares of {block.unit}", parts, "; ".join(told))


def _bar(block: StackedBars, counts: tuple[int, ...], scale: Scale, y: float) -> str:
    """Draw one bar; a count is written where its part has room for it."""
    total, start, parts = max(1, sum(counts)), 0, []
    for portion, count in zip(block.portions, counts, strict=True):
        if not count:
            continue
        x, wide = scale(start), scale(start + count) - scale(start)
        hover = title(f"{portion.name}: {count:,} of {total:,} {block.unit} ({typographic(percent(count / total))})")
        bar = tag("rect", hover, x=x, y=y, width=max(wide - 1.5, 1), height=_HEIGHT, rx=2, class_="part")
        parts.append(tag("g", bar, class_=f"c-{portion.color}"))
        if wide > len(f"{count:,}") * LETTER + 8:
            parts.append(text(f"{count:,}", x + wide / 2 - 0.75, y + _HEIGHT / 2 + 4, "middle", "count"))
        start += count
    return "".join(parts)
