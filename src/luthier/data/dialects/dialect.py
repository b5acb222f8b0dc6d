"""What every dialect of conversations offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from luthier.core.types import Message
from luthier.data.columns import Columns
from luthier.data.values import as_list


class Dialect(Protocol):
    """A shape of rows that hold conversations. The docstring's first line is what `luthier list dialects` prints.

    Attributes:
        name: Its name in the table and in a run's mapping.
        title: How people call it.
        beside: Columns (as `plain_name` has them) that belong to the conversation beside its own, where a row has them.
        no_answer: Problem, what is expected, and what to do, where a row has no answer though others have; None for
            the words that suit any conversation.
    """

    name: str
    title: str
    beside: tuple[str, ...]
    no_answer: tuple[str, str, str] | None

    def find(self, table: Columns) -> str | None:
        """Return the column that holds the conversation, if the rows are of this dialect."""
        ...

    def messages(self, values: Mapping[str, Any], column: str) -> tuple[Message, ...]:
        """Return a row's conversation, with the answer as its last turn where there is one.

        Raises:
            RowError: for what is wrong first.
        """
        ...


def column_of_turns(table: Columns, names: Sequence[str], keys: Sequence[str]) -> str | None:
    """Return the first of some columns in which a row has a list of objects with one of the keys (or its JSON text)."""
    return next((c for c in table.named(names) if any(_is_turns(value, keys) for value in table.values(c))), None)


def _is_turns(value: Any, keys: Sequence[str]) -> bool:
    value = as_list(value)
    return isinstance(value, list) and any(
        isinstance(part, dict) and any(key in part for key in keys) for part in value
    )
