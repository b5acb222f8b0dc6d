"""Where a text differs from a reference, word by word."""

from __future__ import annotations

import difflib
import re

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_MOST_WORDS = 600  # the comparison is quadratic
_LEAST_SHARED = 0.3  # below this nearly everything would be highlighted, which helps nobody


def differing(text: str, reference: str) -> list[tuple[str, bool]]:
    """Split a text into pieces and say of each whether it differs from the reference.

    Texts that are very long, or have little in common with the reference, come back as one piece that does not differ.
    """
    ours, theirs = _WORDS.findall(text), _WORDS.findall(reference)
    if not ours or max(len(ours), len(theirs)) > _MOST_WORDS:
        return [(text, False)]
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    shared = [word for block in matcher.get_matching_blocks() for word in ours[block.a : block.a + block.size]]
    if _count(shared) < _LEAST_SHARED * _count(ours):
        return [(text, False)]
    pieces: list[tuple[str, bool]] = []
    for kind, start, end, _, _ in matcher.get_opcodes():
        pieces += _without_edges("".join(ours[start:end])) if kind != "equal" else [("".join(ours[start:end]), False)]
    return [(piece, differs) for piece, differs in pieces if piece]


def _count(words: list[str]) -> int:
    """Count words and signs, without the white space that all texts share."""
    return sum(not word.isspace() for word in words)


def _without_edges(piece: str) -> list[tuple[str, bool]]:
    """Take white space at the ends out of what differs: highlighted, it looks like a fault of the page."""
    core = piece.strip()
    before = piece.index(core) if core else len(piece)
    return [(piece[:before], False), (core, True), (piece[before + len(core) :], False)]
