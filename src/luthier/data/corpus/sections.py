"""Sections: the pieces in which documents are read, tokenised and measured.

A section ends where a line ends and text follows, so that byte-level tokenizers cut the whole document into the same
tokens. Where a text has no such place it ends before a space, and where it has none either, anywhere. It does not
depend on the tokenizer: the same sections are measured with every model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from luthier.core.errors import BadRow

SECTION_CHARACTERS = 3000
"""Most characters of a section: about 700 tokens of English."""
MOST_BAD_ROWS = 1000
"""So many bad rows are kept by name; more are only counted."""


@dataclass(frozen=True)
class Section:
    """A piece of a document.

    Attributes:
        text: The piece, never empty.
        file: Index of its file among the corpus' files.
        line: The line on which its document starts, counted from 1 (the row's number in Parquet).
        first: Whether a document begins with it.
    """

    text: str
    file: int
    line: int
    first: bool


@dataclass(frozen=True)
class Unusable:
    """What cannot be used: the document under way, or (in a table) one of which nothing was yielded."""

    row: BadRow
    under_way: bool


@dataclass
class Found:
    """What reading a corpus found, filled while it is read.

    Attributes:
        empty: Documents without a visible character; they are left out.
        unusable: Documents that cannot be used, lines that are no documents among them.
        bad: Why, by file and line, the first of them.
        other_columns: Columns that are not read.
        bytes_read: Of all files so far.
    """

    empty: int = 0
    unusable: int = 0
    bad: list[BadRow] = field(default_factory=list)
    other_columns: dict[str, None] = field(default_factory=dict)
    bytes_read: int = 0

    def refuse(self, row: BadRow, document: bool = True) -> None:
        """Note a bad row; `document` says that it is the first one of a document."""
        self.unusable += document
        if len(self.bad) < MOST_BAD_ROWS:
            self.bad.append(row)


class SectionCutter:
    """Cuts text that comes in pieces into sections; holds no more than a section and the piece that came last."""

    def __init__(self, characters: int = SECTION_CHARACTERS) -> None:
        self._characters = characters
        self._text = ""

    def add(self, text: str) -> Iterator[str]:
        """Take in a piece; yields the sections that are whole."""
        self._text += text
        start = 0
        while len(self._text) - start > self._characters + 1:
            end = _cut(self._text, start, self._characters)
            yield self._text[start:end]
            start = end
        self._text = self._text[start:]

    def rest(self) -> Iterator[str]:
        """Yield what is left at the end of a document, a section or nothing."""
        text, self._text = self._text, ""
        if len(text) > self._characters:
            end = _cut(text, 0, self._characters)
            yield text[:end]
            text = text[end:]
        if text:
            yield text


def cut_into_sections(text: str, characters: int = SECTION_CHARACTERS) -> Iterator[str]:
    """Cut a whole text; the sections joined are the text."""
    cutter = SectionCutter(characters)
    yield from cutter.add(text)
    yield from cutter.rest()


def _cut(text: str, start: int, characters: int) -> int:
    """Return where a section that begins at `start` ends, at most `characters` later."""
    last = start + characters
    end = text.rfind("\n", start, last) + 1
    while end > start and text[end].isspace():
        end = text.rfind("\n", start, end - 1) + 1
    if end > start:
        return end
    end = text.rfind(" ", start + 1, last)
    while end > start and (text[end - 1].isspace() or text[end + 1].isspace()):
        end = text.rfind(" ", start + 1, end)
    return end if end > start else last
