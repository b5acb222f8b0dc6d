"""Exact match: the share of answers that are a right answer, character by character or as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from luthier.core.types import Answer, Example
from luthier.evaluation.metrics.json_values import NOT_JSON, parse_json, same_json
from luthier.evaluation.metrics.rows import has_failed, identity_text, mean_of_first_column, references_of


@dataclass(frozen=True)
class ExactMatch:
    """Share of answers equal to a right answer (0 to 1), after removing white space at both ends only.

    Where a reference is a JSON object or array, an answer that parses to an equal value counts as well (key order and
    white space do not matter, 1 equals 1.0, true does not equal 1). A reference that is a bare number or word is text:
    "42.0" is not "42". With several references any of them will do. Counted: one 0 or 1 an example.
    """

    name = "exact_match"
    higher_is_better = True
    reduction = "mean"
    bounds = (0.0, 1.0)

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name)

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return (1.0,) for a right answer and (0.0,) for any other."""
        references = references_of(example, self.name)
        right = not has_failed(answer) and any(_matches(answer.text, reference) for reference in references)
        return (float(right),)

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 1]` to shares `[...]`."""
        return mean_of_first_column(rows)


def _matches(text: str, reference: str) -> bool:
    if text.strip() == reference.strip():
        return True
    expected = parse_json(reference)
    if not isinstance(expected, dict | list):
        return False
    found = parse_json(text)
    return found is not NOT_JSON and same_json(found, expected)
