"""Shapes of rows that hold whole conversations: recognised by their columns, read into messages.

A new dialect is a module with a class that has what `Dialect` asks for, and one line in the table below. The order of
the table is the order in which dialects are asked. Rows of any other shape are columns (see `guessing`).
"""

from __future__ import annotations

from luthier.core.registry import Table
from luthier.data.columns import Columns
from luthier.data.dialects.dialect import Dialect

DIALECTS: Table[Dialect] = Table(
    "dialect",
    {
        "preference": "luthier.data.dialects.preference:PREFERENCE",
        "messages": "luthier.data.dialects.openai:OPENAI",
        "sharegpt": "luthier.data.dialects.sharegpt:SHAREGPT",
        "gemini": "luthier.data.dialects.gemini:GEMINI",
    },
)


def recognise(table: Columns) -> tuple[str, str] | None:
    """Return the dialect of the rows and the column that holds the conversation, or None."""
    for name in DIALECTS:
        column = DIALECTS.get(name).find(table)
        if column is not None:
            return name, column
    return None


__all__ = ["DIALECTS", "Dialect", "recognise"]
