"""A page on its way: renders blocks, and remembers headings and explained words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from luthier.reporting import svg
from luthier.reporting.blocks import (
    Block,
    Code,
    Column,
    Details,
    Heading,
    Histogram,
    IntervalPlot,
    KeyValues,
    LinePlot,
    Row,
    SideBySide,
    StackedBars,
    Table,
    Text,
    Tone,
    Verdict,
    as_cell,
)
from luthier.reporting.html.beside import side_by_side
from luthier.reporting.html.pieces import (
    SWATCH,
    cell_classes,
    classes,
    content,
    details,
    escaped,
    figure,
    line_legend,
    listed,
    note,
    span_of,
    table_cell,
)
from luthier.reporting.inline import Style, paragraphs, spans

WIDE, NARROW = 840, 330
"""Widths of the drawings in pixels; the page shows the one that fits."""

_SIGNS: Mapping[Tone, tuple[str, str]] = {
    "good": ("yes", "M8.5 14.5l4 4 7-8.5"),
    "bad": ("no", "M10 10l8 8M18 10l-8 8"),
    "unknown": ("open", "M10.5 11a3.5 3.5 0 1 1 5 3.2c-1 .5-1.5 1.2-1.5 2.3M14 20v.1"),
    "neutral": ("result", "M9 14h10"),
}
"""Name and path of the sign in front of a verdict, in a circle of 28 pixels."""


class Page:
    """Renders blocks, and remembers the headings and the explained words on the way."""

    def __init__(self, glossary: Mapping[str, str]) -> None:
        self._glossary = {word.lower(): explanation for word, explanation in glossary.items()}
        words = sorted(map(re.escape, self._glossary), key=len, reverse=True)
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE) if words else None
        self._explained: dict[str, str] = {}  # meaning -> the shortest word for it
        self._said: set[str] = set()  # meanings explained in this section: once is enough, for the Tab key too
        self._headings: list[tuple[str, str]] = []
        self._level = 2

    # ---------------------------------------------------------------- the page around the blocks

    def navigation(self) -> str:
        """Return links to the sections, where there are enough to need them."""
        if len(self._headings) < 3:
            return ""
        links = "".join(f'<a href="#{anchor}">{escaped(name)}</a>' for anchor, name in self._headings)
        return f'<nav aria-label="Sections">{links}</nav>'

    def words(self) -> str:
        """Return the list of explained words that the page uses: paper and phones show no hover texts."""
        if not self._explained:
            return ""
        pairs = sorted(self._explained.items(), key=lambda pair: pair[1].lower())
        items = "".join(f"<dt>{escaped(word)}</dt><dd>{escaped(meaning)}</dd>" for meaning, word in pairs)
        return details("Words used here", f'<dl class="facts">{items}</dl>')

    # ---------------------------------------------------------------- texts

    def inline(self, text: str) -> str:
        """Return a text with its markup as HTML."""
        written: dict[Style, Callable[[str], str]] = {
            "plain": self._with_glossary,
            "bold": lambda piece: f"<strong>{self._with_glossary(piece)}</strong>",
            "code": lambda piece: f"<code>{escaped(piece)}</code>",
        }
        return "".join(written[style](piece) for piece, style in spans(text))

    def _with_glossary(self, text: str) -> str:
        """Escape a text and explain the words of the glossary in it."""
        if self._pattern is None:
            return escaped(text)
        parts, end = [], 0
        for match in self._pattern.finditer(text):
            parts += [escaped(text[end : match.start()]), self._explain(match[0], self._glossary[match[0].lower()])]
            end = match.end()
        return "".join([*parts, escaped(text[end:])])

    def _explain(self, word: str, meaning: str, *, always: bool = False) -> str:
        """Return a word with its explanation; within a section only the first time, unless `always`."""
        self._explained[meaning] = min(word, self._explained.get(meaning, word), key=len)
        if meaning in self._said and not always:
            return escaped(word)
        self._said.add(meaning)
        return f'<abbr title="{escaped(meaning)}" tabindex="0">{escaped(word)}</abbr>'

    def _term(self, word: str, meaning: str = "") -> str:
        """Return a title, explained where an explanation is given or the glossary has one."""
        meaning = meaning or self._glossary.get(word.lower(), "")
        return self._explain(word, meaning, always=True) if meaning else self._with_glossary(word)

    # ---------------------------------------------------------------- blocks

    def blocks(self, blocks: Iterable[Block]) -> str:
        """Render blocks; neighbouring rows share one list, so that their contents align."""
        parts: list[str] = []
        rows: list[str] = []
        for block in [*blocks, None]:
            if isinstance(block, Row):
                rows.append(self._row(block))
                continue
            if rows:
                parts.append(f'<dl class="facts">{"".join(rows)}</dl>')
                rows = []
            if block is not None:
                parts.append(self.block(block))
        return "\n".join(parts)

    def block(self, block: Block) -> str:
        """Render one block."""
        match block:
            case Heading():
                return self._heading(block)
            case Text():
                return self._paragraphs(block.text)
            case Verdict():
                return self._verdict(block)
            case Row():
                return self.blocks([block])
            case KeyValues():
                return self._key_values(block)
            case Table():
                return self._table(block)
            case IntervalPlot():
                return figure(block.title, "", svg.interval_plot(block, WIDE), svg.interval_plot(block, NARROW))
            case LinePlot():
                drawn = svg.line_plot(block, WIDE), svg.line_plot(block, NARROW)
                return figure(block.title, line_legend(block), *drawn)
            case Histogram():
                return figure(block.title, "", svg.histogram(block, WIDE), svg.histogram(block, NARROW))
            case StackedBars():
                drawn = svg.stacked_bars(block, WIDE), svg.stacked_bars(block, NARROW)
                return figure(block.title, self._portions(block), *drawn)
            case SideBySide():
                return side_by_side(block, self._level + 1)
            case Code():
                return f"<pre><code>{escaped(block.text)}</code></pre>"
            case Details():
                return details(block.summary, self.blocks(block.blocks))

    def _heading(self, block: Heading) -> str:
        self._level = block.level
        if block.level == 3:
            return f"<h3>{self._term(block.text)}</h3>"
        self._said = set()
        anchor = f"section-{len(self._headings) + 1}"
        self._headings.append((anchor, block.text))
        return f'<h2 id="{anchor}">{self._term(block.text)}</h2>'

    def _paragraphs(self, text: str) -> str:
        parts = []
        for paragraph in paragraphs(text):
            lines = [self.inline(line) for line in paragraph.lines]
            parts.append(listed(lines) if paragraph.is_list else f"<p>{lines[0]}</p>")
        return "".join(parts)

    def _verdict(self, block: Verdict) -> str:
        name, path = _SIGNS[block.tone]
        lines = svg.tag("circle", cx=14, cy=14, r=12) + svg.tag("path", d=path)
        sign = svg.tag("svg", lines, class_="sign", viewBox="0 0 28 28", role="img", aria_label=name)
        sentence = f'<p class="sentence">{self.inline(block.sentence)}</p>'
        below = listed([self.inline(line) for line in block.details])
        return f'<section class="verdict {block.tone}">{sign}{sentence}{below}</section>'

    def _row(self, block: Row) -> str:
        parts = [f"<p>{self.inline(p)}</p>" if isinstance(p, str) else self.block(p) for p in block.pieces]
        return f"<dt>{self._term(block.label)}</dt><dd>{''.join(parts)}</dd>"

    def _key_values(self, block: KeyValues) -> str:
        items = []
        for key, value in block.pairs:
            cell = as_cell(value)
            items.append(f"<dt>{self._term(key, block.help.get(key, ''))}</dt>")
            items.append(f"<dd{classes(*cell_classes(cell))}>{content(cell)}{note(cell)}</dd>")
        return f'<dl class="facts">{"".join(items)}</dl>'

    def _table(self, block: Table) -> str:
        rows = [[as_cell(value) for value in row] for row in block.rows]
        spans_of = [span_of([row[index] for row in rows]) for index in range(len(block.columns))]
        title = f"<caption>{escaped(block.title)}</caption>" if block.title else ""
        head = "".join(self._column(column) for column in block.columns)
        head = f"<thead><tr>{head}</tr></thead>" if any(column.title for column in block.columns) else ""
        body = []
        for row in rows:
            cells = [
                table_cell(cell, column, ends, heads_row=index == 0 and len(row) > 1)
                for index, (cell, column, ends) in enumerate(zip(row, block.columns, spans_of, strict=True))
            ]
            body.append(f"<tr{classes('strong' if row and row[0].emphasis else '')}>{''.join(cells)}</tr>")
        below = f'<p class="below">{self.inline(block.caption)}</p>' if block.caption else ""
        return f'<div class="table"><table>{title}{head}<tbody>{"".join(body)}</tbody></table></div>{below}'

    def _column(self, column: Column) -> str:
        if not column.title:
            return "<td></td>"  # an empty heading would be read out as one
        unit = f" ({escaped(column.unit)})" if column.unit else ""
        return f'<th scope="col"{classes(column.align)}>{self._term(column.title, column.help)}{unit}</th>'

    def _portions(self, block: StackedBars) -> str:
        """Return the names of the parts, each beside its colour."""
        items = "".join(
            f'<span class="c-{portion.color}">{SWATCH}{self._term(portion.name, portion.help)}</span>'
            for portion in block.named
        )
        return f'<div class="legend">{items}</div>'
