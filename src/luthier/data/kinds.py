"""Values of another kind than their column's: a list or an object where nearly all rows have a text.

Numbers, truth values and lists of texts (several right answers, paragraphs) count as text: that is how they are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from luthier.data.values import RowError, is_empty

_FEWEST_VALUES, _NEARLY_ALL = 10, 0.9


def columns_of_text(rows: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that hold texts in at least nine of ten rows, of ten or more with a value."""
    found = []
    for column in columns:
        filled = [row[column] for row in rows if not is_empty(row.get(column))]
        if len(filled) >= _FEWEST_VALUES and sum(map(_is_text, filled)) >= _NEARLY_ALL * len(filled):
            found.append(column)
    return tuple(found)


def check_texts(values: Mapping[str, Any], columns: Iterable[str]) -> None:
    """Make sure that a row has texts where the other rows have them.

    Raises:
        RowError: for the first column that holds a list or an object.
    """
    for column in columns:
        value = values.get(column)
        if not is_empty(value) and not _is_text(value):
            kind = "an object" if isinstance(value, Mapping) else "a list that is not of texts"
            raise RowError(f"column '{column}' holds {kind}", "text, as in the other rows", "write the text alone")


def _is_text(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(part, str) for part in value)
    return not isinstance(value, Mapping)
