"""The grade of a judge as a metric: a language model read each answer by a rubric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from luthier.core.errors import DataError
from luthier.core.types import Answer, Example
from luthier.evaluation.metrics.rows import has_failed, identity_text, mean_of_first_column


@dataclass(frozen=True)
class Grade:
    """Mean grade by a judge (0 to 1): how far answers are on the way from its rubric's worst grade to the best.

    A grade stands in the answer's `scores` under `grade`; `evaluate --judge` puts it there. Grades by another judge or
    another rubric are not compared: both are in the metric's identity. A failed answer has the worst grade.
    """

    judge: str = ""
    """Identity of the judge with its rubric; empty where it is not known."""

    name = "grade"
    higher_is_better = True
    reduction = "mean"
    bounds = (0.0, 1.0)
    unit = "number"
    needs_confidence = True

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name, judge=self.judge)

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return (grade,)."""
        if has_failed(answer):
            return (0.0,)
        value = answer.scores.get("grade")
        if value is None:
            raise DataError(
                f"grade needs a judge's grade of each answer, and that to example '{answer.example_id}' has none. Name "
                "a judge: luthier evaluate … --judge MODEL."
            )
        if not 0 <= value <= 1:
            raise DataError(f"A grade goes from 0 to 1; the answer to example '{answer.example_id}' has {value:g}.")
        return (float(value),)

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 1]` to means `[...]`."""
        return mean_of_first_column(rows)
