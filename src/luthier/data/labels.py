"""Labels as people write them: "Positive", "POSITIVE" and "positive." are one label, and data often holds all three.

Answers are compared without case, outer white space and final punctuation, so the spellings count as one label. A
model still learns each row as it is written, so they are named: rows to learn from should not teach several ways.
(White space around answers is taken away when rows are read.)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from luthier.core.types import Example
from luthier.data.splits import Parts

_TERMINAL = " \t\n.,;:!?…。，；：！？"
_MOST_NAMED = 3
"""Lines of a spelling, and labels, that a note names."""


def normalize_label(text: str) -> str:
    """Return a label without outer white space, case and punctuation at its end ("Positive." -> "positive").

    A label made of punctuation alone ("?") stays as it is.
    """
    folded = text.strip().casefold()
    return folded.rstrip(_TERMINAL) or folded


def spelled_alike(texts: Sequence[str]) -> list[str]:
    """Return each text as its label is written most often; of equals, in alphabetical order."""
    ways: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        ways[normalize_label(text)][text] += 1
    usual = {label: min(counts, key=lambda text: (-counts[text], text)) for label, counts in ways.items()}
    return [usual[normalize_label(text)] for text in texts]


def distinct_labels(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the labels, most frequent first, each as it is written most often."""
    counts = Counter(spelled_alike(texts))
    return tuple(sorted(counts, key=lambda label: (-counts[label], label)))


def add_labels(labels: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
    """Return labels, and behind them those among the texts that they do not hold."""
    known = set(map(normalize_label, labels))
    return (*labels, *(label for label in distinct_labels(texts) if normalize_label(label) not in known))


@dataclass(frozen=True)
class Spelling:
    """One way in which a label is written, and the lines of the rows that write it so."""

    text: str
    lines: tuple[int, ...]

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.lines[:_MOST_NAMED])) + ", …" * (len(self.lines) > _MOST_NAMED)
        return f"'{self.text}' {len(self.lines)} (line{'s' * (len(self.lines) > 1)} {shown})"


def label_spellings(examples: Sequence[Example]) -> dict[str, tuple[Spelling, ...]]:
    """Return the labels that are written in several ways, each with its spellings, the most frequent first."""
    alike: defaultdict[str, list[Spelling]] = defaultdict(list)
    for spelling in _spellings(examples):
        alike[normalize_label(spelling.text)].append(spelling)
    return {label: tuple(spellings) for label, spellings in sorted(alike.items()) if len(spellings) > 1}


def _spellings(examples: Sequence[Example]) -> list[Spelling]:
    lines: defaultdict[str, list[int]] = defaultdict(list)
    for example in examples:
        for text in example.references:
            lines[text].append(example.line)
    found = [Spelling(text, tuple(sorted(places))) for text, places in lines.items()]
    return sorted(found, key=lambda spelling: (-len(spelling.lines), spelling.text))


def label_notes(parts: Parts) -> list[str]:
    """Say what people should know of their labels, in sentences: spellings, and labels that nothing is learned of."""
    others = (*parts.choose, *parts.confirm)
    notes = []
    if found := label_spellings([*parts.tune, *others]):
        named = _named([", ".join(map(str, ways)) for ways in found.values()])
        notes.append(
            f"{len(found)} label{'s are' if len(found) > 1 else ' is'} written in several ways: {named}. They count as "
            "one when answers are scored, but each row is learned as it is written: write them alike."
        )
    learned = {normalize_label(text) for example in parts.tune for text in example.references}
    if unknown := [e for e in others if learned.isdisjoint(map(normalize_label, e.references))]:
        named = _named([str(spelling) for spelling in _spellings(unknown)])
        notes.append(
            f"No row to learn from has the label of {len(unknown)} row(s) to choose or confirm: {named}. They can "
            "hardly be answered right: add rows with it, or leave them out."
        )
    return notes


def _named(items: Sequence[str]) -> str:
    more = len(items) - _MOST_NAMED
    return "; ".join(items[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
