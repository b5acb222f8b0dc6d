"""Blocks as one HTML file: no network, no scripts, light and dark, phone and desktop, paper.

All text is escaped; the page also forbids scripts and loads to the browser itself (Content-Security-Policy), so that a
model's answer can do nothing but be read.
"""

from __future__ import annotations

import html
import importlib.resources
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from luthier.core.errors import RunError
from luthier.core.files import write_atomically
from luthier.reporting import svg
from luthier.reporting.blocks import (
    Block,
    Cell,
    Code,
    Column,
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
    Table,
    Text,
    Tone,
    Verdict,
    as_cell,
)
from luthier.reporting.differences import differing
from luthier.reporting.inline import Style, clean, paragraphs, spans

WIDE, NARROW = 840, 330
"""Widths of the drawings in pixels; the page shows the one that fits."""

_SIGNS: Mapping[Tone, tuple[str, str]] = {
    "good": ("yes", "M8.5 14.5l4 4 7-8.5"),
    "bad": ("no", "M10 10l8 8M18 10l-8 8"),
    "unknown": ("open", "M10.5 11a3.5 3.5 0 1 1 5 3.2c-1 .5-1.5 1.2-1.5 2.3M14 20v.1"),
    "neutral": ("result", "M9 14h10"),
}
"""Name and path of the sign in front of a verdict, in a circle of 28 pixels."""
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=%|(?:m?s|[kMGT]?B)\b)")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write_html(
    path: Path,
    title: str,
    blocks: Sequence[Block],
    *,
    subtitle: str = "",
    glossary: Mapping[str, str] | None = None,
    footer: str = "",
) -> None:
    """Write a page (see `to_html`) to a file, whole or not at all.

    Raises:
        RunError: if the file cannot be written.
    """
    page = to_html(title, blocks, subtitle=subtitle, glossary=glossary, footer=footer)
    try:
        write_atomically(path, page)
    except OSError as error:
        reason = f"Cannot write the report {path}: {error.strerror}."
        raise RunError(f"{reason} Check that its folder exists, may be written to and has room.") from None


def to_html(
    title: str,
    blocks: Sequence[Block],
    *,
    subtitle: str = "",
    glossary: Mapping[str, str] | None = None,
    footer: str = "",
) -> str:
    """Return a page as HTML.

    Args:
        title: Title of the page.
        blocks: Its content; the first verdict comes to the top wherever it stands.
        subtitle: A line below the title.
        glossary: Words and their explanations, shown on hovering (or a tap) and listed at the end where they occur.
        footer: A line at the end.
    """
    page = _Page(glossary or {})
    verdict = next((block for block in blocks if isinstance(block, Verdict)), None)
    top = page.block(verdict) if verdict else ""
    body = page.blocks([block for block in blocks if block is not verdict])
    head = f"<h1>{_text(title)}</h1>" + (f'<p class="subtitle">{page.inline(subtitle)}</p>' if subtitle else "")
    parts = [f"<header>{head}</header>", top, page.navigation(), f"<main>{body}</main>", page.words()]
    parts.append(f"<footer>{page.inline(footer)}</footer>" if footer else "")
    style = importlib.resources.files("luthier.reporting").joinpath("page.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_text(title)}</title>
<style>
{style}</style>
</head>
<body>
<div class="page">
{"".join(f"{part}{chr(10)}" for part in parts if part)}</div>
</body>
</html>
"""


class _Page:
    """Renders blocks, and remembers the headings and the explained words on the way."""

    def __init__(self, glossary: Mapping[str, str]) -> None:
        self._glossary = {word.lower(): explanation for word, explanation in glossary.items()}
        words = sorted(map(re.escape, self._glossary), key=len, reverse=True)
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE) if words else None
        self._explained: dict[str, str] = {}  # meaning -> the shortest word for it
        self._headings: list[tuple[str, str]] = []

    # ---------------------------------------------------------------- the page around the blocks

    def navigation(self) -> str:
        """Return links to the sections, where there are enough to need them."""
        if len(self._headings) < 3:
            return ""
        links = "".join(f'<a href="#{anchor}">{_text(name)}</a>' for anchor, name in self._headings)
        return f'<nav aria-label="Sections">{links}</nav>'

    def words(self) -> str:
        """Return the list of explained words that the page uses: paper and phones show no hover texts."""
        if not self._explained:
            return ""
        pairs = sorted(self._explained.items(), key=lambda pair: pair[1].lower())
        items = "".join(f"<dt>{_text(word)}</dt><dd>{_text(meaning)}</dd>" for meaning, word in pairs)
        return _details("Words used here", f'<dl class="facts">{items}</dl>')

    # ---------------------------------------------------------------- texts

    def inline(self, text: str) -> str:
        """Return a text with its markup as HTML."""
        written: dict[Style, Callable[[str], str]] = {
            "plain": self._with_glossary,
            "bold": lambda piece: f"<strong>{self._with_glossary(piece)}</strong>",
            "code": lambda piece: f"<code>{_text(piece)}</code>",
        }
        return "".join(written[style](piece) for piece, style in spans(text))

    def _with_glossary(self, text: str) -> str:
        """Escape a text and explain the words of the glossary in it."""
        if self._pattern is None:
            return _text(text)
        parts, end = [], 0
        for match in self._pattern.finditer(text):
            parts += [_text(text[end : match.start()]), self._explain(match[0], self._glossary[match[0].lower()])]
            end = match.end()
        return "".join([*parts, _text(text[end:])])

    def _explain(self, word: str, meaning: str) -> str:
        self._explained[meaning] = min(word, self._explained.get(meaning, word), key=len)
        return f'<abbr title="{_text(meaning)}" tabindex="0">{_text(word)}</abbr>'

    def _term(self, word: str, meaning: str = "") -> str:
        """Return a title, explained where an explanation is given or the glossary has one."""
        meaning = meaning or self._glossary.get(word.lower(), "")
        return self._explain(word, meaning) if meaning else self._with_glossary(word)

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
                return _figure(block.title, "", svg.interval_plot(block, WIDE), svg.interval_plot(block, NARROW))
            case LinePlot():
                return _figure(block.title, _legend(block), svg.line_plot(block, WIDE), svg.line_plot(block, NARROW))
            case Histogram():
                return _figure(block.title, "", svg.histogram(block, WIDE), svg.histogram(block, NARROW))
            case SideBySide():
                return _side_by_side(block)
            case Code():
                return f"<pre><code>{_text(block.text)}</code></pre>"
            case Details():
                return _details(block.summary, self.blocks(block.blocks))

    def _heading(self, block: Heading) -> str:
        if block.level == 3:
            return f"<h3>{self._term(block.text)}</h3>"
        anchor = f"section-{len(self._headings) + 1}"
        self._headings.append((anchor, block.text))
        return f'<h2 id="{anchor}">{self._term(block.text)}</h2>'

    def _paragraphs(self, text: str) -> str:
        parts = []
        for paragraph in paragraphs(text):
            lines = [self.inline(line) for line in paragraph.lines]
            parts.append(_list(lines) if paragraph.is_list else f"<p>{lines[0]}</p>")
        return "".join(parts)

    def _verdict(self, block: Verdict) -> str:
        name, path = _SIGNS[block.tone]
        lines = svg.tag("circle", cx=14, cy=14, r=12) + svg.tag("path", d=path)
        sign = svg.tag("svg", lines, class_="sign", viewBox="0 0 28 28", role="img", aria_label=name)
        sentence = f'<p class="sentence">{self.inline(block.sentence)}</p>'
        details = _list([self.inline(line) for line in block.details])
        return f'<section class="verdict {block.tone}">{sign}{sentence}{details}</section>'

    def _row(self, block: Row) -> str:
        parts = [f"<p>{self.inline(p)}</p>" if isinstance(p, str) else self.block(p) for p in block.pieces]
        return f"<dt>{self._term(block.label)}</dt><dd>{''.join(parts)}</dd>"

    def _key_values(self, block: KeyValues) -> str:
        items = []
        for key, value in block.pairs:
            cell = as_cell(value)
            items.append(f"<dt>{self._term(key, block.help.get(key, ''))}</dt>")
            items.append(f"<dd{_classes(*_cell_classes(cell))}>{_content(cell)}{_note(cell)}</dd>")
        return f'<dl class="facts">{"".join(items)}</dl>'

    def _table(self, block: Table) -> str:
        rows = [[as_cell(value) for value in row] for row in block.rows]
        ranges = [_range([row[index] for row in rows]) for index in range(len(block.columns))]
        title = f"<caption>{_text(block.title)}</caption>" if block.title else ""
        head = "".join(self._column(column) for column in block.columns)
        head = f"<thead><tr>{head}</tr></thead>" if any(column.title for column in block.columns) else ""
        body = []
        for row in rows:
            cells = [_table_cell(*each) for each in zip(row, block.columns, ranges, strict=True)]
            body.append(f"<tr{_classes('strong' if row and row[0].emphasis else '')}>{''.join(cells)}</tr>")
        below = f'<p class="below">{self.inline(block.caption)}</p>' if block.caption else ""
        return f'<div class="table"><table>{title}{head}<tbody>{"".join(body)}</tbody></table></div>{below}'

    def _column(self, column: Column) -> str:
        unit = f" ({_text(column.unit)})" if column.unit else ""
        return f'<th scope="col"{_classes(column.align)}>{self._term(column.title, column.help)}{unit}</th>'


# -------------------------------------------------------------------------------- pieces


def _text(text: str) -> str:
    """Escape a text, and keep numbers together with their units."""
    return _BEFORE_UNIT.sub("\u00a0", html.escape(clean(text)))


def _classes(*names: str) -> str:
    joined = " ".join(name for name in names if name and name != "left")
    return f' class="{joined}"' if joined else ""


def _details(summary: str, inside: str) -> str:
    return f'<details><summary>{_text(summary)}</summary><div class="inside">{inside}</div></details>'


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>" if items else ""


def _content(cell: Cell) -> str:
    if not isinstance(cell.content, Interval):
        return _text(cell.content.strip())
    value, bounds = map(svg.typographic, cell.content.parts)
    shown = f'<span class="num">{_text(value)}</span>'
    return f'{shown} <span class="range">{_text(bounds)}</span>' if bounds else shown


def _note(cell: Cell) -> str:
    tone = f" tone-{cell.tone}" if cell.tone != "neutral" else ""
    return f' <span class="note{tone}">{_text(cell.note)}</span>' if cell.note else ""


def _cell_classes(cell: Cell) -> tuple[str, str]:
    return "strong" if cell.emphasis else "", f"tone-{cell.tone}" if cell.tone != "neutral" else ""


def _table_cell(cell: Cell, column: Column, ends: tuple[float, float]) -> str:
    has_bar = isinstance(cell.content, Interval) and cell.content.low is not None
    bar = svg.mini_interval(cell.content, *ends) if has_bar and isinstance(cell.content, Interval) else ""
    indented = isinstance(cell.content, str) and cell.content.startswith("  ")
    names = [column.align, "interval" if has_bar else "", "indent" if indented else "", *_cell_classes(cell)]
    return f"<td{_classes(*names)}>{_content(cell)}{_note(cell)}{bar}</td>"


def _range(cells: Sequence[Cell]) -> tuple[float, float]:
    """Return what the small bars of a column span: 0 to 1 for shares, else all intervals and zero."""
    intervals: list[Interval] = [cell.content for cell in cells if isinstance(cell.content, Interval)]
    if not intervals or intervals[0].unit == "share":
        return 0.0, 1.0
    ends = [end for i in intervals for end in (i.value, i.low, i.high) if end is not None and abs(end) < float("inf")]
    low, high = min([*ends, 0.0]), max([*ends, 0.0])
    return (low, high) if high > low else (low - 1, high + 1)


def _figure(title: str, legend: str, wide: str, narrow: str) -> str:
    caption = f"<figcaption>{_text(title)}</figcaption>" if title else ""
    return f'<figure>{caption}{legend}<div class="wide">{wide}</div><div class="narrow">{narrow}</div></figure>'


def _legend(block: LinePlot) -> str:
    if len(block.series) < 2:
        return ""
    line = '<svg width="26" height="6" aria-hidden="true"><path class="line" d="M1 3H25"/></svg>'
    items = "".join(f'<span class="s{i % 6 + 1}">{line}{_text(s.name)}</span>' for i, s in enumerate(block.series))
    return f'<div class="legend">{items}</div>'


def _side_by_side(block: SideBySide) -> str:
    reference = block.panels[block.reference] if block.reference is not None and block.panels else None
    title = f"<h4>{_text(block.title)}</h4>" if block.title else ""
    context = f'<p class="context" dir="auto">{_text(block.context)}</p>' if block.context else ""
    # Data reads better in letters of one width, prose does not.
    is_data = any(panel.text.lstrip()[:1] in ("{", "[") for panel in block.panels)
    style = "answer mono" if is_data else "answer"
    panels = "".join(_panel(panel, reference, style) for panel in block.panels)
    return f'<article class="beside">{title}{context}<div class="panels">{panels}</div></article>'


def _panel(panel: Panel, reference: Panel | None, style: str) -> str:
    mark = f' <span class="badge {panel.mark}-mark">{panel.mark}</span>' if panel.mark else ""
    content = clean(panel.text)
    if not content.strip():
        shown = '<em class="soft">(empty)</em>'
    elif reference is None or panel is reference or panel.mark == "right":
        shown = _text(content)
    else:
        pieces = differing(content, clean(reference.text))
        shown = "".join(f"<mark>{_text(piece)}</mark>" if differs else _text(piece) for piece, differs in pieces)
    return f'<div class="panel"><h5>{_text(panel.title)}{mark}</h5><div class="{style}" dir="auto">{shown}</div></div>'
