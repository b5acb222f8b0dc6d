"""Blocks as Markdown, for cards and README files. Plots become tables of what they show."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence

from luthier.reporting.blocks import (
    Block,
    CellLike,
    Code,
    Column,
    Details,
    Heading,
    Histogram,
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
from luthier.reporting.inline import clean, paragraphs, spans
from luthier.reporting.quantities import quantity

_MARKS = {"right": " (right)", "wrong": " (wrong)", "": ""}


def to_markdown(blocks: Sequence[Block]) -> str:
    """Return blocks as Markdown (GitHub's dialect). Data in it cannot become markup or HTML."""
    return "\n\n".join(filter(None, map(_block, blocks))) + "\n"


def _block(block: Block) -> str:
    match block:
        case Heading():
            return "#" * block.level + " " + _plain(block.text)
        case Text():
            return _text(block.text)
        case Verdict():
            lines = [f"> **{_bold(block.sentence)}**", *(f"> - {_inline(line)}" for line in block.details)]
            return "\n>\n".join([lines[0], "\n".join(lines[1:])]) if block.details else lines[0]
        case Row():
            return _row(block)
        case KeyValues():
            return _table(Table((Column(), Column()), [(key, value) for key, value in block.pairs]))
        case Table():
            return _table(block)
        case IntervalPlot():
            rows = [*block.rows, *((name, quantity(value, block.unit)) for name, value in block.marks.items())]
            return _table(Table((Column(), Column(block.axis)), rows, block.title))
        case LinePlot():
            return _lines(block)
        case Histogram():
            return _distributions(block)
        case StackedBars():
            return _table(block.as_table())
        case SideBySide():
            return _side_by_side(block)
        case Code():
            return _fenced(block.text, block.language)
        case Details():
            inner = to_markdown(block.blocks).strip()
            return f"<details>\n<summary>{_plain(block.summary)}</summary>\n\n{inner}\n\n</details>"


def _text(text: str) -> str:
    parts = []
    for paragraph in paragraphs(text):
        lines = [_inline(line) for line in paragraph.lines]
        parts.append("\n".join(f"- {line}" for line in lines) if paragraph.is_list else lines[0])
    return "\n\n".join(parts)


def _inline(text: str) -> str:
    """Write a text with markup as Markdown."""
    written = {"plain": _plain, "bold": lambda piece: f"**{_plain(piece)}**", "code": _code}
    return "".join(written[style](piece) for piece, style in spans(text))


def _bold(text: str) -> str:
    """Write a text with markup inside a bold one: only code is kept."""
    return "".join(_code(piece) if style == "code" else _plain(piece) for piece, style in spans(text))


def _plain(text: str) -> str:
    """Escape what Markdown or HTML would take as markup; line breaks become spaces."""
    line = " ".join(clean(text).split("\n"))
    escaped = re.sub(r"[\\`*|~]|(?<!\w)_|_(?!\w)|^[#>+]|\](?=[(\[:])", r"\\\g<0>", line)  # "[66, 87]" is no link
    return html.escape(escaped, quote=False)


def _code(text: str) -> str:
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{clean(text)}{pad}{fence}"


def _fenced(text: str, language: str = "") -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{clean(text)}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _row(block: Row) -> str:
    parts = [_inline(piece) if isinstance(piece, str) else _block(piece) for piece in block.pieces]
    all_text = all(isinstance(piece, str) for piece in block.pieces)
    label = f"**{_plain(block.label)}**"
    return f"{label}: " + "; ".join(parts) if all_text else "\n\n".join([label, *parts])


def _table(block: Table) -> str:
    headings = [_plain(column.heading) or " " for column in block.columns]
    rules = ["---:" if column.align == "right" else "---" for column in block.columns]
    rows = [headings, rules, *([_cell(cell) for cell in row] for row in block.rows)]
    lines = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    above = f"**{_plain(block.title)}**" if block.title else ""
    return "\n\n".join(filter(None, [above, lines, _inline(block.caption)]))


def _cell(value: CellLike) -> str:
    cell = as_cell(value)
    content = _plain(str(cell.content).strip())
    shown = f"**{content}**" if cell.emphasis and content else content
    return f"{shown} ({_plain(cell.note)})" if cell.note else shown


def _lines(block: LinePlot) -> str:
    columns = [Column(), *(Column(name, "right") for name in ("first", "last", "lowest", "highest"))]
    rows: list[Sequence[CellLike]] = []
    for series in block.series:
        points = [(x, y) for x, y in zip(series.x, series.y, strict=True) if math.isfinite(y)]
        if points:
            ys = [y for _, y in points]
            chosen = (points[0][1], points[-1][1], min(ys), max(ys))
            rows.append([series.name, *(quantity(y, block.y_unit) for y in chosen)])
    return _table(Table(columns, rows, block.title or f"{block.y_title} over {block.x_title}"))


def _distributions(block: Histogram) -> str:
    columns = [Column(), *(Column(name, "right") for name in ("n", "mean", "median", "lowest", "highest"))]
    rows = [[name, *block.summary(values)] for name, values in block.groups.items()]
    return _table(Table(columns, rows, block.title or block.x_title))


def _side_by_side(block: SideBySide) -> str:
    parts = [f"**{_plain(block.title)}**"] if block.title else []
    if block.context:
        parts.append(_fenced(block.context))
    return "\n\n".join([*parts, *map(_panel, block.panels)])


def _panel(panel: Panel) -> str:
    note = f" ({_plain(panel.note)})" if panel.note else ""
    return f"{_plain(panel.title)}{_MARKS[panel.mark]}{note}\n\n{_fenced(panel.text)}"
