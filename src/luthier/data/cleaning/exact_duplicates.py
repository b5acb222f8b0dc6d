"""Rows that say the same as an earlier row."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.data.cleaning.rules import Finding, NoSettings, Row


class ExactDuplicates:
    """Removes rows that ask and answer the same as an earlier row, but for spacing.

    The same question with another answer stays: that is a contradiction, and which of the two is right no rule knows.
    """

    name = "exact_duplicates"
    Config = NoSettings

    def __init__(self, config: NoSettings) -> None:
        self.config = config

    def find(self, rows: Sequence[Row]) -> list[Finding]:
        """Find every repetition; the first row of each kind stays."""
        first: dict[tuple[str, str], int] = {}
        findings = []
        for number, row in enumerate(rows):
            earlier = first.setdefault((" ".join(row.asked.split()), " ".join(row.answer.split())), number)
            if earlier != number:
                findings.append(Finding(number, f"the same as line {rows[earlier].example.line}"))
        return findings
