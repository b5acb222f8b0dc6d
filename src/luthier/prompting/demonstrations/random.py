"""Random demonstrations: one fixed block, the same for every question, so that its prefix is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from luthier.core.seeding import unit_interval
from luthier.core.types import Example


class Random:
    """Rows drawn once by the seed, one of each answer in turn.

    In turn, because four random rows of a classification easily show one label alone. Answers that are all different
    (free text, most JSON) make it a plain draw. A row's draw depends on the seed and its name only, not on other rows.
    """

    best_last = False

    def __init__(self, known: Sequence[Example], seed: int) -> None:
        by_answer: dict[str, list[Example]] = {}
        for row in sorted(known, key=lambda row: unit_interval("demonstrations", seed, row.id)):
            by_answer.setdefault(row.reference, []).append(row)
        turns = zip_longest(*by_answer.values())
        self._order = [row for turn in turns for row in turn if row is not None]

    def rank(self, question: Example) -> Iterator[Example]:
        """Yield all rows in the order drawn, whatever the question is."""
        return iter(self._order)
