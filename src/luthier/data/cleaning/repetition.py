"""Texts that repeat themselves: lines, paragraphs, phrases.

Source: Rae et al. 2021, Scaling Language Models: Methods, Analysis & Insights from Training Gopher (arXiv:2112.11446),
appendix A.1.1 and table A1. A text is repetitive if one of 13 shares is above its limit.

Differences from the paper:

- Texts of less than 50 words are not judged. The paper has removed such documents before; in a short text one phrase
  that stands twice is a large share already.
- Shares of characters leave out white space (for phrases also punctuation), so that layout does not count.
- Of a repeated line, paragraph or phrase of 5 to 10 words, all but its first occurrence counts. The most frequent
  phrase of 2 to 4 words counts whole, if it stands at least twice. Characters in overlapping phrases count once.
- Answers that are JSON objects are not judged: their keys have to repeat.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from pydantic import Field

from luthier.core.config import Config
from luthier.data.cleaning.rules import Finding, Row
from luthier.data.tasks import split_words
from luthier.data.values import looks_like_json_object

LINES, LINE_CHARACTERS = 0.30, 0.20
"""Most of a text's lines, and of their characters, that may repeat earlier lines; the same holds for paragraphs."""
TOP_PHRASE = {2: 0.20, 3: 0.18, 4: 0.16}
"""Largest share of characters in the most frequent phrase, by its number of words."""
PHRASES = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
"""Largest share of characters in phrases that stand earlier too, by their number of words."""

_PARAGRAPH = re.compile(r"\n\s*\n")


class RepetitionConfig(Config):
    """How strict the rule is; 1 is the paper's table."""

    fewest_words: int = Field(default=50, ge=2, description="shorter texts are not judged, in words")
    tolerance: float = Field(default=1.0, gt=0, description="factor on all limits of Gopher's table: 2 lets pass more")


class Repetition:
    """Removes rows whose question or answer repeats its own lines or phrases (the limits of Gopher)."""

    name = "repetition"
    Config = RepetitionConfig

    def __init__(self, config: RepetitionConfig) -> None:
        self.config = config

    def find(self, rows: Sequence[Row]) -> list[Finding]:
        """Find rows with a repetitive question or a repetitive right answer."""
        reasons = [self._reason(row) for row in rows]
        return [Finding(number, reason) for number, reason in enumerate(reasons) if reason]

    def _reason(self, row: Row) -> str | None:
        answers = [text for text in row.example.references if not looks_like_json_object(text)]
        for where, text in (("question", row.asked), *(("answer", text) for text in answers)):
            if len(split_words(text)) < self.config.fewest_words:
                continue
            for share, limit, what in shares(text):
                if share > limit * self.config.tolerance:
                    most = 100 * limit * self.config.tolerance
                    return f"{100 * share:.0f} % of the {where}'s {what}, more than {most:.0f} %"
        return None


def shares(text: str) -> Iterator[tuple[float, float, str]]:
    """Yield the 13 shares of a text, each with its limit and what it is a share of, in the order of the table."""
    lines, paragraphs = _parts(text.split("\n")), _parts(_PARAGRAPH.split(text))
    for parts, name in ((lines, "lines"), (paragraphs, "paragraphs")):
        repeated = list(_repeated(parts))
        yield _share(len(repeated), len(parts)), LINES, f"{name} repeat earlier ones"
        shown = f"characters are in repeated {name}"
        yield _share(_characters(repeated), _characters(parts)), LINE_CHARACTERS, shown
    words = split_words(text.casefold())
    for length, limit in TOP_PHRASE.items():
        yield _top_share(words, length), limit, f"characters are in one phrase of {length} words"
    for length, limit in PHRASES.items():
        yield _repeated_share(words, length), limit, f"characters are in repeated phrases of {length} words"


def _parts(pieces: Sequence[str]) -> list[str]:
    return [" ".join(piece.split()) for piece in pieces if piece.strip()]


def _repeated(parts: Sequence[str]) -> Iterator[str]:
    """Yield the parts that stand earlier too."""
    seen: set[str] = set()
    for part in parts:
        if part in seen:
            yield part
        seen.add(part)


def _characters(parts: Sequence[str]) -> int:
    return sum(len(part.replace(" ", "")) for part in parts)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _phrases(words: Sequence[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]


def _top_share(words: Sequence[str], length: int) -> float:
    """Return the share of characters in the most frequent phrase; of equally frequent ones, in the longest."""
    phrases = _phrases(words, length)
    counts = Counter(phrases)
    top = max(counts, key=lambda phrase: (counts[phrase], _characters(phrase)), default=())
    if counts[top] < 2:
        return 0.0
    return _covered(words, [start for start, phrase in enumerate(phrases) if phrase == top], length)


def _repeated_share(words: Sequence[str], length: int) -> float:
    """Return the share of characters in phrases that stand earlier too."""
    seen: set[tuple[str, ...]] = set()
    starts = []
    for start, phrase in enumerate(_phrases(words, length)):
        if phrase in seen:
            starts.append(start)
        seen.add(phrase)
    return _covered(words, starts, length)


def _covered(words: Sequence[str], starts: Sequence[int], length: int) -> float:
    """Return the share of characters in the phrases that start at some words, each word once."""
    covered = {position for start in starts for position in range(start, start + length)}
    return _share(sum(len(words[position]) for position in covered), sum(map(len, words)))
