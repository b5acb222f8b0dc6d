"""Calibration: do answers that are given with a confidence of 80 % turn out right 80 % of the time?

An answer's confidence is the probability, by its answerer, that the answer is right. It stands in the answer's
`scores`: under `confidence`, or, where the scores are probabilities of labels, under the label that was answered.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from luthier.core.errors import DataError
from luthier.core.types import Answer, Example
from luthier.evaluation.metrics.classification import Accuracy, normalize_label
from luthier.evaluation.metrics.exact_match import ExactMatch
from luthier.evaluation.metrics.rows import has_failed, identity_text, mean_of_first_column, references_of

BINS = 10
_EDGES = tuple(k / BINS for k in range(1, BINS))
"""Upper ends of all bins but the last; a confidence on an edge belongs below it, as in Guo et al."""


def confidence_of(answer: Answer, metric: str) -> float:
    """Return the confidence in an answer, 0 to 1.

    Raises:
        DataError: if it has none, or one that is no probability.
    """
    value = answer.scores.get("confidence", _of_own_label(answer.text, answer.scores))
    if value is None:
        found = f"it has scores of: {', '.join(answer.scores)}" if answer.scores else "it has no scores"
        raise DataError(
            f"{metric} needs the confidence in each answer, and that to example '{answer.example_id}' has none: "
            f'{found}. Lines of an answers file hold it as "scores": {{"confidence": 0.83}}, or as a probability for '
            "each label; models and runs are not asked for one."
        )
    if not 0 <= value <= 1:  # NaN is not, either
        raise DataError(
            f"A confidence is a probability from 0 to 1; the answer to example '{answer.example_id}' has {value:g}. "
            "Divide percentages by 100; take the exponential of log-probabilities."
        )
    return float(value)


def _of_own_label(text: str, scores: Mapping[str, float]) -> float | None:
    return {normalize_label(label): score for label, score in scores.items()}.get(normalize_label(text))


@dataclass(frozen=True)
class _Calibration:
    as_labels: bool = False
    """Whether an answer is right by `accuracy`; else it is by `exact_match`."""

    name = ""
    higher_is_better = False
    bounds = (0.0, 1.0)
    unit = "number"
    needs_confidence = True

    @property
    def identity(self) -> str:
        """Name with all settings."""
        return identity_text(self.name, as_labels=self.as_labels)

    def _confidence_and_right(self, example: Example, answer: Answer) -> tuple[float, float]:
        """Return an answer's confidence, and 1 if it is right, else 0; a failed one was sure and wrong."""
        references_of(example, self.name)
        (right,) = (Accuracy() if self.as_labels else ExactMatch()).measure(example, answer)
        return (1.0, 0.0) if has_failed(answer) else (confidence_of(answer, self.name), right)


@dataclass(frozen=True)
class Ece(_Calibration):
    """Expected calibration error, 10 equally wide bins (0 to 1): how far confidence and share of right answers part.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 5: answers are sorted by confidence into bins;
    the distance of mean confidence and share of right answers is averaged over bins, each by its answers. Few answers
    in a bin scatter, so that the error of few rows is too high on average: compare scores on as many rows only. Row:
    for each bin right less confidence; confidence; right.
    """

    name = "ece"
    reduction = "totals"

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return right less confidence in the answer's bin and 0 in all others; confidence; right.

        Raises:
            DataError: if the answer has no confidence, or one that is no probability.
        """
        confidence, right = self._confidence_and_right(example, answer)
        gaps = [0.0] * BINS
        gaps[bisect_left(_EDGES, confidence)] = right - confidence
        return (*gaps, confidence, right)

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 12]` to errors `[...]`."""
        return np.abs(rows[..., :BINS].mean(axis=-2)).sum(axis=-1)

    def details(self, rows: Any) -> dict[str, float]:
        """Return mean confidence and share of right answers: confidence above it is too much."""
        means = rows.mean(axis=-2)
        return {"confidence": float(means[BINS]), "right": float(means[BINS + 1])}


@dataclass(frozen=True)
class Brier(_Calibration):
    """Mean squared distance of the confidence in an answer from 1 if it is right, from 0 if it is wrong (0 to 1).

    Brier 1950, "Verification of forecasts expressed in terms of probability", for the event that the answer is right;
    not the sum over all labels, which is larger. It rewards being right as well as knowing when. A confidence of 0.5
    throughout scores 0.25.
    """

    name = "brier"
    reduction = "mean"

    def measure(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Return the squared distance of one answer.

        Raises:
            DataError: if the answer has no confidence, or one that is no probability.
        """
        confidence, right = self._confidence_and_right(example, answer)
        return (math.pow(confidence - right, 2),)

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 1]` to means `[...]`."""
        return mean_of_first_column(rows)
