"""Demonstrations: which rows to learn from are shown before a question. One file each, and a line in the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from luthier.core.registry import Table
from luthier.core.types import Example


class Selection(Protocol):
    """Ranks the known rows for a question; made once from all of them.

    Attributes:
        best_last: Whether the most wanted row is shown last, next to the question; else it is shown first.
    """

    best_last: bool

    def __init__(self, known: Sequence[Example], seed: int) -> None: ...

    def rank(self, question: Example) -> Iterator[Example]:
        """Yield all known rows, the most wanted first."""
        ...


DEMONSTRATIONS: Table[Any] = Table(
    "selection of demonstrations",
    {
        "random": "luthier.prompting.demonstrations.random:Random",
        "nearest": "luthier.prompting.demonstrations.nearest:Nearest",
    },
)
"""Name -> class that keeps the protocol `Selection`."""
