"""Markup inside texts, and texts that cannot be trusted.

`**bold**` and `` `code` `` do not nest; a backslash before `*` or a backtick takes it as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Style = Literal["plain", "bold", "code"]
Span = tuple[str, Style]

_ESCAPED = re.compile(r"\\([*`])")
_MARKUP = re.compile(r"\*\*((?:\\[*`]|[^*])+?)\*\*|(?<!\\)`((?:\\[*`]|[^`])+?)`")
# All control characters but tab and line feed, and halves of surrogate pairs: an escape sequence in a model's answer
# must not drive a terminal, and a lone surrogate cannot be written as UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Paragraph:
    """A paragraph (one line) or a list (its items)."""

    lines: tuple[str, ...]
    is_list: bool = False


def clean(text: str) -> str:
    """Return text that is safe to print: unprintable characters become the replacement character."""
    return _UNPRINTABLE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def escape(text: str) -> str:
    """Return text that shows as it is inside a `Text`, `Row` or `Verdict`."""
    return re.sub(r"[*`]", r"\\\g<0>", text)


def spans(text: str) -> list[Span]:
    """Split a text at its markup: "a **b**" -> [("a ", "plain"), ("b", "bold")]."""
    found: list[Span] = []
    end = 0
    for match in _MARKUP.finditer(text):
        if match.start() > end:
            found.append((_unescape(text[end : match.start()]), "plain"))
        bold, code = match.groups()
        found.append((_unescape(code), "code") if bold is None else (_unescape(bold), "bold"))
        end = match.end()
    if end < len(text):
        found.append((_unescape(text[end:]), "plain"))
    return found


def without_markup(text: str) -> str:
    """Return the text alone."""
    return "".join(piece for piece, _ in spans(text))


def paragraphs(text: str) -> list[Paragraph]:
    """Split a text at blank lines and at the borders of lists; other line breaks become spaces."""
    found: list[Paragraph] = []
    for chunk in re.split(r"\n\s*\n", text.strip()):
        plain: list[str] = []
        items: list[str] = []
        for line in chunk.splitlines():
            if line.lstrip().startswith("- "):
                items.append(line.strip()[2:].strip())
            elif items:
                items[-1] += " " + line.strip()
            else:
                plain.append(line.strip())
        if plain:
            found.append(Paragraph((" ".join(plain),)))
        if items:
            found.append(Paragraph(tuple(items), is_list=True))
    return found


def _unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)
