"""Rows that say nearly the same as an earlier row."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from luthier.data.cleaning.rules import Finding, NoSettings, Row
from luthier.data.overlap import SIMILARITY, normalized, similar_pairs, similarity
from luthier.data.tasks import count_words

_MOST_COMPARED = 100
"""Rows with nearly the same question whose answers are compared with a row's; more are hardly ever different."""
_FEWEST_ANSWER_WORDS = 10
"""Shorter answers must be equal: they may be labels, where one character can make the difference."""
_NUMBER = re.compile(r"\d+")


class NearDuplicates:
    """Removes rows whose question and answer nearly repeat an earlier row's.

    Questions are compared as they are when rows are divided (see `data.overlap`). The answers must be alike too: equal
    but for case and spacing or, from 10 words on, as similar as the questions, with the same numbers. So a question
    stays that nearly repeats another and has another label, or another number in its answer.
    """

    name = "near_duplicates"
    Config = NoSettings

    def __init__(self, config: NoSettings) -> None:
        self.config = config

    def find(self, rows: Sequence[Row]) -> list[Finding]:
        """Find every row that nearly repeats an earlier one which stays."""
        texts = normalized([row.asked for row in rows])
        number_of: dict[str, int] = {}
        text_of = [number_of.setdefault(text, len(number_of)) for text in texts]
        alike: dict[int, list[int]] = defaultdict(list)
        for left, right in similar_pairs(list(number_of)):
            alike[left].append(right)
            alike[right].append(left)
        answers = [" ".join(row.answer.casefold().split()) for row in rows]
        kept: dict[int, list[int]] = defaultdict(list)
        findings = []
        for number, text in enumerate(text_of):
            earlier = (other for near in (text, *alike[text]) for other in kept[near])
            twin = _with_like_answer(answers, number, earlier)
            if twin is None:
                kept[text].append(number)
            else:
                findings.append(Finding(number, f"nearly the same as line {rows[twin].example.line}"))
        return findings


def _with_like_answer(answers: Sequence[str], number: int, earlier: Iterable[int]) -> int | None:
    """Return the first of some earlier rows whose answer is like a row's, or None."""
    candidates = list(earlier)
    same = next((other for other in candidates if answers[other] == answers[number]), None)
    if same is not None:
        return same
    return next((other for other in candidates[:_MOST_COMPARED] if _alike(answers[other], answers[number])), None)


def _alike(left: str, right: str) -> bool:
    """Say whether two different answers are nearly the same."""
    if min(count_words(left), count_words(right)) < _FEWEST_ANSWER_WORDS:
        return False
    return _NUMBER.findall(left) == _NUMBER.findall(right) and similarity(left, right) >= SIMILARITY
