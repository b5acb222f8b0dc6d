"""The columns of a data file as guesses look at them: by usual names, by what they hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.data.values import is_empty


@dataclass(frozen=True)
class Columns:
    """The columns of all files, their raw rows, and how the user calls the data.

    Attributes:
        source: The file or folder, for error texts.
        columns: Their names, in the order of their first appearance.
        rows: The raw rows.
    """

    source: str
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]

    def named(self, names: Sequence[str], without: Sequence[str] = ()) -> list[str]:
        """Return the columns with one of the names (case, spaces and hyphens apart), in the names' order."""
        by_name = {plain_name(column): column for column in reversed(self.columns) if column not in without}
        return [by_name[name] for name in names if name in by_name]

    def texts(self, names: Sequence[str], without: Sequence[str] = ()) -> list[str]:
        """Return the columns with one of the names that hold texts: numbers are no prompts."""
        return [column for column in self.named(names, without) if is_text(self.values(column)[:100])]

    def values(self, column: str) -> list[Any]:
        """Return the filled values of a column."""
        return [row[column] for row in self.rows if not is_empty(row.get(column))]


def is_text(values: Sequence[Any]) -> bool:
    """Say whether most values are texts or lists, not numbers."""
    texts = [v for v in values if isinstance(v, list | dict) or (isinstance(v, str) and re.search(r"[^\W\d_]", v))]
    return not values or len(texts) >= len(values) / 2


def plain_name(name: str) -> str:
    """Return a column's name as it is compared: in lower case, spaces and hyphens as underscores."""
    return re.sub(r"[\s\-]+", "_", name.strip().lower())
