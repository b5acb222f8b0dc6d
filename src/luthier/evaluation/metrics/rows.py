"""What metrics share: reading references, naming themselves, and the mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luthier.core.errors import DataError
from luthier.core.types import Answer, Example
from luthier.data.thinking import length_of_thoughts, without_thoughts


def mean_of_first_column(rows: Any) -> Any:
    """Map rows `[..., n, k]` to the mean of their first column `[...]`."""
    return rows[..., 0].mean(axis=-1)


def references_of(example: Example, metric: str) -> tuple[str, ...]:
    """Return the right answers of an example.

    Raises:
        DataError: if it has none; a row without a right answer cannot be scored, and must not be dropped in silence.
    """
    if not example.references:
        where = f"example '{example.id}'" + (f" (line {example.line})" if example.line else "")
        raise DataError(
            f"{metric} needs a right answer, and {where} has none. Add one, or leave the row out of the data."
        )
    return tuple(map(without_thoughts, example.references))


def without_its_thoughts(answer: Answer) -> Answer:
    """Return an answer as it is scored: what a model thinks before it answers is not part of the answer."""
    return replace(answer, text=without_thoughts(answer.text)) if length_of_thoughts(answer.text) else answer


def has_failed(answer: Answer) -> bool:
    """Say whether there is no answer to judge: it scores as wrong, whatever its text."""
    return answer.finish == "failed"


def identity_text(name: str, **settings: Any) -> str:
    """Return a metric's name with its settings, such as "rouge1(use_stemmer=True)"."""
    if not settings:
        return name
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"
