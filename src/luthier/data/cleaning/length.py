"""Rows that are too short or too long, in words."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from luthier.core.config import Config
from luthier.data.cleaning.rules import Finding, Row
from luthier.data.tasks import count_words


class LengthConfig(Config):
    """Limits in words. Characters of languages without spaces count as a word each."""

    fewest_words: int = Field(default=1, ge=0, description="fewest words of what is asked")
    fewest_answer_words: int = Field(default=0, ge=0, description="fewest words of the first right answer, if any")
    most_words: int = Field(default=8000, ge=1, description="most words of what is asked and the first answer together")


class Length:
    """Removes rows with too few or too many words.

    The defaults remove only what can hardly be meant: questions without any word, and rows of more than 8,000 words,
    which most models do not take. A classifier of "hello" and "bye" keeps its rows.
    """

    name = "length"
    Config = LengthConfig

    def __init__(self, config: LengthConfig) -> None:
        self.config = config

    def find(self, rows: Sequence[Row]) -> list[Finding]:
        """Find rows outside of the limits."""
        reasons = [self._reason(row) for row in rows]
        return [Finding(number, reason) for number, reason in enumerate(reasons) if reason]

    def _reason(self, row: Row) -> str | None:
        limits, asked = self.config, count_words(row.asked)
        answered = count_words(row.example.reference) if row.example.references else 0
        if asked < limits.fewest_words:
            return f"{_words(asked)} in the question, fewer than {limits.fewest_words}"
        if row.example.references and answered < limits.fewest_answer_words:
            return f"{_words(answered)} in the answer, fewer than {limits.fewest_answer_words}"
        if asked + answered > limits.most_words:
            return f"{_words(asked + answered)}, more than {limits.most_words:,}"
        return None


def _words(count: int) -> str:
    return "1 word" if count == 1 else f"{count:,} words"
