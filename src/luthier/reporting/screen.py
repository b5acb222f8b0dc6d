"""Blocks on a terminal: labels in a left column, tables without boxes, intervals as "78 % [66, 87]".

Rich's own markup is never read here, so "[66, 87]" and a model's answer come out as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text as Line

from luthier.reporting.blocks import (
    Block,
    Cell,
    CellLike,
    Code,
    Details,
    Heading,
    Histogram,
    Interval,
    IntervalPlot,
    KeyValues,
    LinePlot,
    Panel,
    Row,
    SideBySide,
    StackedBars,
    Table,
    Text,
    Verdict,
    as_cell,
)
from luthier.reporting.differences import differing
from luthier.reporting.inline import clean, paragraphs, spans
from luthier.reporting.quantities import number, quantity
from luthier.reporting.scales import Scale, bins

LABEL_WIDTH = 10
PLAIN_WIDTH = 120
"""Width of output that goes to a file or a pipe, where no terminal says how wide it is."""

_TONES = {"good": "bold green", "bad": "bold red", "unknown": "bold yellow", "neutral": "bold"}
_CELL_TONES = {"good": "green", "bad": "red", "unknown": "yellow", "neutral": ""}
_STYLES = {"plain": "", "bold": "bold", "code": "cyan"}
_MARKS = {"right": ("right", "green"), "wrong": ("wrong", "red"), "": ("", "")}
_BARS = "▁▂▃▄▅▆▇█"
_BAR_WIDTH = 32


def open_console(stream: TextIO, *, color: bool | None = None) -> Console:
    """Return a console on a stream; by default it has colour where the stream is a terminal that shows it."""
    if "utf" not in (getattr(stream, "encoding", None) or "utf").lower() and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")  # an old code page must not end a run over a "–"
    console = Console(file=stream, markup=False, highlight=False, emoji=False, force_terminal=color)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


def print_block(console: Console, block: Block) -> None:
    """Print a block. Where the stream is no terminal, lines end at their last letter."""
    if console.is_terminal:
        console.print(render(block))
        return
    with console.capture() as captured:
        console.print(render(block))
    console.file.write("\n".join(line.rstrip() for line in captured.get().split("\n")))
    console.file.flush()


def render(block: Block) -> RenderableType:
    """Return what rich prints for a block."""
    match block:
        case Heading():
            return Group("", Line(clean(block.text), style="bold underline" if block.level == 2 else "bold"))
        case Text():
            return _text(block.text)
        case Verdict():
            sentence = _inline(block.sentence)
            sentence.stylize(_TONES[block.tone])
            return _labelled(block.label, [sentence, *map(_inline, block.details)])
        case Row():
            pieces = [_inline(piece) if isinstance(piece, str) else render(piece) for piece in block.pieces]
            return _labelled(block.label, pieces)
        case KeyValues():
            return _key_values(block)
        case Table():
            return _table(block)
        case IntervalPlot():
            return _intervals(block)
        case LinePlot():
            return _lines(block)
        case Histogram():
            return _distributions(block)
        case StackedBars():
            return _table(block.as_table())  # a terminal has too few letters to cut a bar into its parts
        case SideBySide():
            return _side_by_side(block)
        case Code():
            return Padding(Line(clean(block.text), style="cyan"), (0, 0, 0, 2))
        case Details():
            inner = Padding(Group(*map(render, block.blocks)), (0, 0, 0, 2))
            return Group(Line(clean(block.summary), style="bold"), inner)


def _labelled(label: str, contents: Sequence[RenderableType]) -> RenderableType:
    grid = Grid.grid()
    grid.add_column(min_width=LABEL_WIDTH, no_wrap=True)
    grid.add_column(overflow="fold")
    for index, content in enumerate(contents):
        grid.add_row(Line(f"{clean(label)} " if index == 0 else "", style="bold cyan"), content)
    return grid


def _inline(text: str) -> Line:
    return Line.assemble(*((clean(piece), _STYLES[style]) for piece, style in spans(text)))


def _text(text: str) -> RenderableType:
    parts: list[RenderableType] = []
    for index, paragraph in enumerate(paragraphs(text)):
        if index and not paragraph.is_list:
            parts.append("")
        for line in paragraph.lines:
            parts.append(_bullet(_inline(line)) if paragraph.is_list else _inline(line))
    return Group(*parts)


def _bullet(line: Line) -> RenderableType:
    grid = Grid.grid()
    grid.add_row("- ", line)
    return grid


def _content(value: CellLike) -> Line:
    """Return a cell's text; the interval is dimmer than the value."""
    cell = as_cell(value)
    if not isinstance(cell.content, Interval):
        return Line(clean(cell.content), style=_cell_style(cell))
    figure, bounds = cell.content.parts
    return Line.assemble((figure, _cell_style(cell)), (f" {bounds}" if bounds else "", "dim"))


def _cell_style(cell: Cell) -> str:
    return " ".join(filter(None, ["bold" if cell.emphasis else "", _CELL_TONES[cell.tone]]))


def _table(block: Table) -> RenderableType:
    gap = 3 if len(block.columns) < 5 else 2
    grid = Grid(box=None, show_header=any(c.title for c in block.columns), header_style="dim")
    grid.pad_edge, grid.padding = False, (0, gap, 0, 0)
    cells = [[as_cell(value) for value in row] for row in block.rows]
    for index, column in enumerate(block.columns):
        grid.add_column(Line(clean(column.heading)), justify=column.align)
        if column.align == "right":  # numbers are not broken, titles may be
            grid.columns[-1].min_width = max((_content(row[index]).cell_len for row in cells), default=1)
    notes = ["; ".join(cell.note for cell in row if cell.note) for row in cells]
    if any(notes):
        grid.add_column("", no_wrap=True)
    for row, note in zip(cells, notes, strict=True):
        marker = [Line(f"<- {clean(note)}" if note else "", style="bold")] if any(notes) else []
        grid.add_row(*map(_indented, row), *marker)
    parts: list[RenderableType] = [Line(clean(block.title), style="bold")] if block.title else []
    parts.append(Padding(grid, (0, 0, 0, 2)))
    if block.caption:
        parts.append(Padding(_inline(block.caption), (0, 0, 0, 2)))
    return Group(*parts)


class _Indented:
    """A cell whose text starts with spaces; where room is short, two of them remain, before every line of it."""

    def __init__(self, cell: Cell, content: str) -> None:
        self._whole = _content(cell)
        self._text = _content(replace(cell, content=content.lstrip(" ")))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        fits = self._whole.cell_len <= options.max_width
        yield self._whole if fits else Padding(self._text, (0, 0, 0, 2))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(2 + self._text.cell_len, self._whole.cell_len), self._whole.cell_len)


def _indented(cell: Cell) -> RenderableType:
    content = cell.content
    return _Indented(cell, content) if isinstance(content, str) and content.startswith(" ") else _content(cell)


def _key_values(block: KeyValues) -> RenderableType:
    grid = Grid.grid(padding=(0, 3, 0, 0))
    grid.add_column()
    grid.add_column(overflow="fold")
    for key, value in block.pairs:
        cell = as_cell(value)
        note = f"  {clean(cell.note)}" if cell.note else ""
        grid.add_row(Line(clean(key)), _content(cell).append(note, _cell_style(cell)))
    return grid


# -------------------------------------------------------------------------------- plots, in characters


def _intervals(block: IntervalPlot) -> RenderableType:
    cells = [as_cell(cell) for _, cell in block.rows]
    ends = [x for i in block.intervals for x in (i.value, i.low, i.high) if x is not None and math.isfinite(x)]
    ends += block.marks.values()
    low, high = (0.0, 1.0) if block.unit == "share" else (min([*ends, 0.0]), max([*ends, 0.0]))
    scale = Scale(low, high if high > low else low + 1, 0, _BAR_WIDTH - 1)
    grid = Grid.grid(padding=(0, 3, 0, 0))
    for (label, _), cell in zip(block.rows, cells, strict=True):
        drawn = _bar(cell.content, scale, list(block.marks.values())) if isinstance(cell.content, Interval) else ""
        grid.add_row(Line(clean(label), style="bold" if cell.emphasis else ""), drawn, _content(cell))
    for name, value in block.marks.items():
        grid.add_row(Line(f"| {clean(name)}", style="dim"), "", Line(quantity(value, block.unit), style="dim"))
    title = block.title or block.axis
    return Group(*([Line(clean(title), style="bold")] if title else []), Padding(grid, (0, 0, 0, 2)))


def _bar(interval: Interval, scale: Scale, marks: Sequence[float]) -> Line:
    """Draw "····──●───····"."""
    letters = ["·"] * _BAR_WIDTH

    def place(value: float) -> int:
        return min(max(round(scale(value)), 0), _BAR_WIDTH - 1)

    if interval.low is not None and interval.high is not None and math.isfinite(interval.low + interval.high):
        for index in range(place(interval.low), place(interval.high) + 1):
            letters[index] = "─"
    for mark in marks:
        letters[place(mark)] = "|"
    if math.isfinite(interval.value):
        letters[place(interval.value)] = "●"
    return Line.assemble(*((letter, "dim" if letter == "·" else "cyan") for letter in letters))


def _lines(block: LinePlot) -> RenderableType:
    grid = Grid.grid(padding=(0, 2, 0, 0))
    for series in block.series:
        ys = [y for y in series.y if math.isfinite(y)]
        if ys:
            ends = [quantity(y, block.y_unit) for y in (ys[0], ys[-1])]
            grid.add_row(Line(clean(series.name)), ends[0], Line(sparkline(ys), style="cyan"), ends[1])
    title = block.title or f"{block.y_title} over {block.x_title}"
    return Group(Line(clean(title), style="bold"), Padding(grid, (0, 0, 0, 2)))


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Draw values as a line of bars; more values than `width` are averaged in stretches."""
    count = min(width, len(values))
    borders = [round(k * len(values) / count) for k in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(borders)]
    low, span = min(means), max(means) - min(means)
    return "".join(_BARS[round((m - low) / span * (len(_BARS) - 1))] if span else _BARS[0] for m in means)


def _distributions(block: Histogram) -> RenderableType:
    counted = bins(list(block.groups.values()), about=24)
    low, high = counted.edges[0], counted.edges[-1]
    grid = Grid.grid(padding=(0, 2, 0, 0))
    for name, counts in zip(block.groups, counted.counts, strict=True):
        most = max(counts) or 1
        bars = "".join(_BARS[math.ceil(c / most * 7)] if c else "·" for c in counts)
        grid.add_row(Line(clean(name)), number(low), Line(bars, style="cyan"), number(high), f"n = {sum(counts):,}")
    title = block.title or block.x_title
    return Group(Line(clean(title), style="bold"), Padding(grid, (0, 0, 0, 2)))


# -------------------------------------------------------------------------------- texts beside each other


def _side_by_side(block: SideBySide) -> RenderableType:
    reference = block.panels[block.reference] if block.reference is not None and block.panels else None
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    if block.context:
        grid.add_row("", Line(clean(block.context), style="dim"))
    for panel in block.panels:
        word, style = _MARKS[panel.mark]
        remarks = "".join(f" {clean(remark)}" for remark in (word, panel.note) if remark)
        title = Line.assemble((clean(panel.title), "bold"), remarks, style=style)
        grid.add_row(title, _panel(panel, reference))
    return Group(*([Line(clean(block.title), style="bold")] if block.title else []), Padding(grid, (0, 0, 0, 2)))


def _panel(panel: Panel, reference: Panel | None) -> Line:
    if not panel.text.strip():
        return Line("(empty)", style="dim italic")
    if reference is None or panel is reference or panel.mark == "right":
        return Line(clean(panel.text))
    pieces = differing(clean(panel.text), clean(reference.text))
    return Line.assemble(*((piece, "yellow" if differs else "") for piece, differs in pieces))
