"""Metrics with the settings that fit a task's rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthier.core.protocols import Metric
from luthier.evaluation.metrics import build_metric
from luthier.evaluation.metrics.translation import tokenizer_for


def fitting_metrics(names: Sequence[str], labels: Sequence[str], references: Sequence[str]) -> list[Metric]:
    """Build metrics by name.

    Args:
        names: Which.
        labels: All labels of a classification; else none.
        references: The right answers of the rows.

    Raises:
        ConfigError: for an unknown metric, or one that needs labels where there are none.
    """
    context: dict[str, Any] = {"labels": tuple(labels), "as_labels": bool(labels)}
    if "bleu" in names:
        context["tokenize"] = tokenizer_for(references)
    return [build_metric(name, **context) for name in names]
