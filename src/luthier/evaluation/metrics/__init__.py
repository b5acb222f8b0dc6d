"""Metrics: one file each, or each closely tied group, and one line in the table below.

A metric turns one answer into a row of sufficient statistics (`measure`) and many rows into a number (`value`). An
answer that failed scores as wrong and is never dropped. Beside the protocol's attributes every metric here has

- `identity`: its name with all settings, what cached scores are keyed by,
- `reduction`: "mean" where the value is the mean of the rows' first column, "totals" where it depends on the rows only
  through their mean row (ratios of sums), "sums" where it depends on them through their sum. A metric without the
  attribute may be any function of its rows; it is resampled row by row, which is slower,
- `bounds`: the smallest and largest value there can be; intervals do not leave them.

Metrics with parts worth showing (precision and recall, classes) also have `details(rows)`. Where a row alone scores
otherwise than a corpus of one row does, `of_each(rows)` says how; where a figure is only comparable with what it was
counted by, `signature(rows)` says that. `unit` is "number" where a value is no share, and reports do not write it in
percent; `needs_confidence` is true where `measure` needs answers with a confidence (or a judge's grade) in their
`scores`. `of_text` is true where it measures how a text was read (`luthier.evaluation.reading`) and not an answer.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from luthier.core.errors import ConfigError, nearest
from luthier.core.protocols import Metric
from luthier.core.registry import Table

METRICS: Table[type[Metric]] = Table(
    "metric",
    {
        "exact_match": "luthier.evaluation.metrics.exact_match:ExactMatch",
        "accuracy": "luthier.evaluation.metrics.classification:Accuracy",
        "macro_f1": "luthier.evaluation.metrics.classification:MacroF1",
        "mcc": "luthier.evaluation.metrics.classification:Mcc",
        "token_f1": "luthier.evaluation.metrics.token_f1:TokenF1",
        "rouge1": "luthier.evaluation.metrics.rouge:Rouge1",
        "rouge2": "luthier.evaluation.metrics.rouge:Rouge2",
        "rougeL": "luthier.evaluation.metrics.rouge:RougeL",
        "bleu": "luthier.evaluation.metrics.translation:Bleu",
        "chrf": "luthier.evaluation.metrics.translation:Chrf",
        "json_validity": "luthier.evaluation.metrics.json_answers:JsonValidity",
        "json_field_f1": "luthier.evaluation.metrics.json_answers:JsonFieldF1",
        "ece": "luthier.evaluation.metrics.calibration:Ece",
        "brier": "luthier.evaluation.metrics.calibration:Brier",
        "grade": "luthier.evaluation.metrics.grade:Grade",
        "empty": "luthier.evaluation.metrics.status:Empty",
        "cut": "luthier.evaluation.metrics.status:Cut",
        "failed": "luthier.evaluation.metrics.status:Failed",
        "bits_per_byte": "luthier.evaluation.metrics.language_model:BitsPerByte",
        "token_perplexity": "luthier.evaluation.metrics.language_model:TokenPerplexity",
        "word_perplexity": "luthier.evaluation.metrics.language_model:WordPerplexity",
        "byte_perplexity": "luthier.evaluation.metrics.language_model:BytePerplexity",
        "next_token_accuracy": "luthier.evaluation.metrics.language_model:NextTokenAccuracy",
    },
)
"""Name -> class. The class is a frozen dataclass whose fields are the metric's settings."""


_TITLES = {
    "exact_match": "exact match",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "mcc": "MCC",
    "token_f1": "token F1",
    "rouge1": "ROUGE-1 F",
    "rouge2": "ROUGE-2 F",
    "rougeL": "ROUGE-L F",
    "bleu": "BLEU",
    "chrf": "chrF",
    "json_validity": "valid JSON",
    "json_field_f1": "field F1",
    "ece": "ECE",
    "brier": "Brier score",
    "grade": "judge's grade",
    "win_rate": "win rate",
    "empty": "empty",
    "cut": "cut",
    "failed": "failed",
    "bits_per_byte": "bits per byte",
    "token_perplexity": "perplexity per token",
    "word_perplexity": "perplexity per word",
    "byte_perplexity": "perplexity per byte",
    "next_token_accuracy": "next-token accuracy",
}


def title_of(name: str) -> str:
    """Return a metric's name as people write it."""
    return _TITLES.get(name, name)


def build_metric(name: str, **context: Any) -> Metric:
    """Build a metric from its name and what is known about the task, such as `labels`.

    Each metric takes from the context what it has a setting for, so one context serves a whole list of metrics.

    Raises:
        ConfigError: for an unknown metric, a setting that no metric has, or a missing one (labels of macro_f1).
    """
    entry = METRICS.get(name)
    own = _settings(entry)
    strangers = context.keys() - own
    if strangers:
        known = {setting for other in METRICS for setting in _settings(METRICS.get(other))}
        for stranger in sorted(strangers - known):
            raise ConfigError(
                f"No metric has a setting '{stranger}'. Known: {', '.join(sorted(known))}.{nearest(stranger, known)}"
            )
    return entry(**{key: value for key, value in context.items() if key in own})


def settings_of(metric: Metric) -> dict[str, Any]:
    """Return a metric's settings as JSON: `build_metric(metric.name, **settings_of(metric))` is the same metric."""
    if not dataclasses.is_dataclass(metric):
        return {}
    values = {field.name: getattr(metric, field.name) for field in dataclasses.fields(metric)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def identity_of(metric: Metric) -> str:
    """Return a metric's identity; its name where it has no identity of its own."""
    return str(getattr(metric, "identity", metric.name))


def _settings(entry: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(entry)}
