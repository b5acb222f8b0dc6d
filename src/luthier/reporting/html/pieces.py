"""Pieces of a page: escaped text, lists, cells, figures with their legends."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from luthier.reporting import svg
from luthier.reporting.blocks import Cell, Column, Interval, LinePlot
from luthier.reporting.inline import clean

_BEFORE_UNIT = re.compile(r"(?<=\d) (?=%|(?:m?s|[kMGT]?B)\b)")


def escaped(text: str) -> str:
    """Escape a text, and keep numbers together with their units."""
    return _BEFORE_UNIT.sub("\u00a0", html.escape(clean(text)))


def classes(*names: str) -> str:
    """Return the attribute with the class names that are not empty."""
    joined = " ".join(name for name in names if name and name != "left")
    return f' class="{joined}"' if joined else ""


def details(summary: str, inside: str) -> str:
    """Return what the reader unfolds."""
    return f'<details><summary>{escaped(summary)}</summary><div class="inside">{inside}</div></details>'


def listed(items: Sequence[str]) -> str:
    """Return a list of items that are HTML already."""
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>" if items else ""


def content(cell: Cell) -> str:
    """Return what a cell shows; the bounds of an interval are softer than its value."""
    if not isinstance(cell.content, Interval):
        return escaped(cell.content.strip())
    value, bounds = map(svg.typographic, cell.content.parts)
    shown = f'<span class="num">{escaped(value)}</span>'
    return f'{shown} <span class="range">{escaped(bounds)}</span>' if bounds else shown


def note(cell: Cell) -> str:
    """Return a cell's remark."""
    tone = f" tone-{cell.tone}" if cell.tone != "neutral" else ""
    return f' <span class="note{tone}">{escaped(cell.note)}</span>' if cell.note else ""


def cell_classes(cell: Cell) -> tuple[str, str]:
    """Return the class names of a cell."""
    return "strong" if cell.emphasis else "", f"tone-{cell.tone}" if cell.tone != "neutral" else ""


def table_cell(cell: Cell, column: Column, ends: tuple[float, float], *, heads_row: bool) -> str:
    """Return a cell of a table, with a small bar under an interval; `ends` is what the bars of the column span."""
    has_bar = isinstance(cell.content, Interval) and cell.content.low is not None
    bar = svg.mini_interval(cell.content, *ends) if has_bar and isinstance(cell.content, Interval) else ""
    indented = isinstance(cell.content, str) and cell.content.startswith("  ")
    names = [column.align, "interval" if has_bar else "", "indent" if indented else "", *cell_classes(cell)]
    name, scope = ("th", ' scope="row"') if heads_row else ("td", "")
    return f"<{name}{scope}{classes(*names)}>{content(cell)}{note(cell)}{bar}</{name}>"


def span_of(cells: Sequence[Cell]) -> tuple[float, float]:
    """Return what the small bars of a column span: 0 to 1 for shares, else all intervals and zero."""
    intervals: list[Interval] = [cell.content for cell in cells if isinstance(cell.content, Interval)]
    if not intervals or intervals[0].unit == "share":
        return 0.0, 1.0
    ends = [end for i in intervals for end in (i.value, i.low, i.high) if end is not None and abs(end) < float("inf")]
    low, high = min([*ends, 0.0]), max([*ends, 0.0])
    return (low, high) if high > low else (low - 1, high + 1)


def figure(title: str, legend: str, wide: str, narrow: str) -> str:
    """Return a drawing in two widths, of which the page shows the one that fits."""
    caption = f"<figcaption>{escaped(title)}</figcaption>" if title else ""
    return f'<figure>{caption}{legend}<div class="wide">{wide}</div><div class="narrow">{narrow}</div></figure>'


def line_legend(block: LinePlot) -> str:
    """Return the names of several lines, each beside a piece of it."""
    if len(block.series) < 2:
        return ""
    line = '<svg width="26" height="6" aria-hidden="true"><path class="line" d="M1 3H25"/></svg>'
    items = "".join(f'<span class="s{i % 6 + 1}">{line}{escaped(s.name)}</span>' for i, s in enumerate(block.series))
    return f'<div class="legend">{items}</div>'


SWATCH = '<svg width="12" height="12" aria-hidden="true"><rect class="part" width="12" height="12" rx="2"/></svg>'
"""A sample of a portion's colour."""
