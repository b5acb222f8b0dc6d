"""Scores of the benchmark from its stored rows: ROUGE's F values, ROUGE-L's precision, and paired comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from luthier.evaluation.comparison import Comparison, adjust_for_claims, compare
from luthier.evaluation.statistics import Scores

PRECISION = "rougeL_precision"
METRICS = {"rouge1": "ROUGE-1 F", "rouge2": "ROUGE-2 F", "rougeL": "ROUGE-L F", PRECISION: "ROUGE-L precision"}
CLAIMED = ("rouge1", PRECISION)
"""What the comparisons claim together; the other metrics stand beside them."""


@dataclass(frozen=True)
class RougeLPrecision:
    """Mean ROUGE-L precision, that against the reference with the best F: the second number of the rows of rougeL."""

    name: str = PRECISION
    higher_is_better: bool = True
    reduction: str = "mean"
    bounds: tuple[float, float] = (0.0, 1.0)

    def measure(self, example: Any, answer: Any) -> tuple[float, ...]:
        raise NotImplementedError("The rows are those of rougeL; nothing is measured here.")

    def value(self, rows: Any) -> Any:
        """Map rows `[..., n, 1]` to their mean `[...]`."""
        return rows[..., 0].mean(axis=-1)


def read_scores(stored: Mapping[str, Any]) -> Scores:
    """Return stored scores with ROUGE-L's precision as a metric of its own."""
    found = Scores.from_json(stored)
    rows = {**found.rows, PRECISION: found.rows["rougeL"][:, 1:2]}
    return replace(found, metrics=(*found.metrics, RougeLPrecision()), rows=rows)


def compare_all(scores: Mapping[str, Scores]) -> dict[tuple[str, str], list[Comparison]]:
    """Compare every two, the later one against the earlier one; all claims are adjusted together."""
    pairs = list(combinations(scores, 2))
    found = [compare(scores[base], scores[other], name) for base, other in pairs for name in CLAIMED]
    adjusted = iter(adjust_for_claims(found))
    return {pair: [next(adjusted) for _ in CLAIMED] for pair in pairs}
