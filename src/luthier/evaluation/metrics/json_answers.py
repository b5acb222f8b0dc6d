"""JSON answers: whether they parse, and how many of their fields are right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from luthier.core.errors import DataError
from luthier.core.types import Answer, Example
from luthier.evaluation.metrics.json_values import NOT_JSON, Path, field_name, flatten, parse_json, same_json
from luthier.evaluation.metrics.rows import has_failed, identity_text, mean_of_first_column, references_of


@dataclass(frozen=True)
class JsonValidity:
    """Share of answers that are JSON as a whole (0 to 1); a code fence or a word around it makes it invalid.

    Needs no right answers. Counted: one 0 or 1 an example.
    """

    name = "json_validity"
    higher_is_better = True
    reduction = "mean"
    bounds = (0.0, 1.0)

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name)

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return (1.0,) if the answer parses, else (0.0,)."""
        return (float(not has_failed(answer) and parse_json(answer.text) is not NOT_JSON),)

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 1]` to shares `[...]`."""
        return mean_of_first_column(rows)


@dataclass(frozen=True)
class JsonFieldF1:
    """F1 over the fields of JSON answers, all examples' fields together (micro; 0 to 1).

    Nested objects and arrays are flattened to leaves; a field is right when the same path holds an equal value, so the
    order of an array counts and 1 means equal values. A wrong value is one false positive and one false negative, an
    answer that is not JSON has no fields and misses all of the reference's. With several references the one with the
    best F1 counts. Row: true positives, false positives, false negatives.
    """

    name = "json_field_f1"
    higher_is_better = True
    reduction = "totals"
    bounds = (0.0, 1.0)

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name)

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return (true positives, false positives, false negatives).

        Raises:
            DataError: if a reference is not JSON.
        """
        expected, found = _best_reference(example, answer)
        right = float(len(_right_fields(expected, found)))
        return right, len(found) - right, len(expected) - right

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 3]` to F1 `[...]`."""
        return _f1(rows.sum(axis=-2))

    def details(self, rows: Any) -> dict[str, float]:
        """Return precision and recall over all fields."""
        right, extra, missed = (float(x) for x in rows.sum(axis=-2))
        return {"precision": right / max(right + extra, 1.0), "recall": right / max(right + missed, 1.0)}


@dataclass(frozen=True)
class FieldAccuracy:
    """How often one field of the references was answered right."""

    right: int
    total: int

    @property
    def share(self) -> float:
        """Right answers among all, 0 to 1."""
        return self.right / self.total


def field_accuracies(pairs: Iterable[tuple[Example, Answer]]) -> dict[str, FieldAccuracy]:
    """Count right answers for each field of the references, in the order in which fields appear.

    The entries of an array count under one name (`items[].price`); extra fields of an answer are not counted here.

    Raises:
        DataError: if a reference is not JSON.
    """
    counts: dict[str, tuple[int, int]] = {}
    for example, answer in pairs:
        expected, found = _best_reference(example, answer)
        right = _right_fields(expected, found)
        for path in expected:
            before_right, before_total = counts.get(field_name(path), (0, 0))
            counts[field_name(path)] = (before_right + (path in right), before_total + 1)
    return {name: FieldAccuracy(right, total) for name, (right, total) in counts.items()}


def _best_reference(example: Example, answer: Answer) -> tuple[dict[Path, Any], dict[Path, Any]]:
    """Return the fields of the reference that the answer fits best, and the answer's own fields."""
    parsed = NOT_JSON if has_failed(answer) else parse_json(answer.text)
    found = {} if parsed is NOT_JSON else flatten(parsed)
    candidates = [_fields_of(reference, example) for reference in references_of(example, JsonFieldF1.name)]

    def f1(expected: dict[Path, Any]) -> float:
        return 2 * len(_right_fields(expected, found)) / (len(expected) + len(found))

    return max(candidates, key=f1), found


def _fields_of(reference: str, example: Example) -> dict[Path, Any]:
    value = parse_json(reference)
    if value is NOT_JSON:
        raise DataError(
            f"json_field_f1 needs references that are JSON; that of example '{example.id}' is not: {reference[:80]!r}. "
            "Mend the row, or choose another metric."
        )
    return flatten(value)


def _right_fields(expected: dict[Path, Any], found: dict[Path, Any]) -> set[Path]:
    return {path for path, value in expected.items() if path in found and same_json(value, found[path])}


def _f1(totals: Any) -> Any:
    """Map (true positives, false positives, false negatives) `[..., 3]` to F1 `[...]`; 0 where nothing is counted."""
    right, extra, missed = totals[..., 0], totals[..., 1], totals[..., 2]
    total = 2 * right + extra + missed
    return np.where(total > 0, 2 * right / np.where(total > 0, total, 1.0), 0.0)
