"""What a rule of cleaning takes and gives: rows as they are compared, and what it finds in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from luthier.core.config import Config
from luthier.core.types import Example
from luthier.data.mapping import RowMapping
from luthier.data.overlap import comparable_text
from luthier.data.values import as_text, is_empty


class NoSettings(Config):
    """The settings of a rule that has none."""


@dataclass(frozen=True)
class Row:
    """A row of a file.

    Attributes:
        example: The row as it is understood.
        asked: All that is asked in it.
        answer: Its right answers, line by line. Where it is not known which column is the answer: all other columns,
            so that rows are not taken for the same that differ there.
        names: The columns that name the row, its part or its cluster; they are no text.
    """

    example: Example
    asked: str
    answer: str
    names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Finding:
    """What a rule says of a row.

    Attributes:
        row: Its position in what the rule was given.
        reason: Why, in a few words that go on from "removed: " or "changed: ". It repeats nothing of the row.
        changed: The columns that get another value; None if the row is to be removed.
    """

    row: int
    reason: str
    changed: Mapping[str, Any] | None = None


class Rule(Protocol):
    """A rule. The first line of the class's docstring is what `luthier list cleaning` prints."""

    name: str
    Config: type[Config]

    def __init__(self, config: Any) -> None: ...

    def find(self, rows: Sequence[Row]) -> list[Finding]:
        """Return what is to be removed or changed, at most one finding a row, in the order of the rows."""
        ...


def rows_of(examples: Sequence[Example], mapping: RowMapping) -> list[Row]:
    """Return examples as the rules take them."""
    names = frozenset(filter(None, (mapping.id, mapping.cluster, mapping.split)))
    known = mapping.conversations is not None or mapping.answer is not None
    others = [c for c in mapping.columns if c not in names and c not in mapping.input_columns]
    return [
        Row(e, comparable_text(e), "\n".join(e.references) if known else _joined(e.fields, others), names)
        for e in examples
    ]


def _joined(values: Mapping[str, Any], columns: Sequence[str]) -> str:
    return "\n".join(f"{name}: {as_text(values[name])}" for name in columns if not is_empty(values.get(name)))
