"""Scores: one answerer's answers to a set of examples, measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from luthier.core.errors import ConfigError, DataError, unknown_name
from luthier.core.files import sha256_text
from luthier.core.protocols import Metric
from luthier.core.types import Answer, Example
from luthier.evaluation.metrics import build_metric, identity_of, settings_of
from luthier.evaluation.metrics.rows import without_its_thoughts
from luthier.evaluation.statistics.intervals import Interval, score_interval
from luthier.evaluation.statistics.resampling import (
    RESAMPLES,
    Floats,
    Integers,
    cluster_codes,
    depends_on_sums,
    values_of_each,
)

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class Scores:
    """Rows of sufficient statistics, metric by metric, for one answerer on n examples.

    Attributes:
        answerer: Its identity.
        metrics: What was measured; their names are the keys of `rows`.
        example_ids: The examples, in the order of all rows.
        clusters: Cluster of each example, None for a row of its own.
        finishes: How each answer ended ("failed" where there was none); of several samples all, with spaces between.
        rows: Metric name -> array `[n, k]`.
    """

    answerer: str
    metrics: tuple[Metric, ...]
    example_ids: tuple[str, ...]
    clusters: tuple[str | None, ...]
    finishes: tuple[str, ...]
    rows: Mapping[str, Floats]

    @classmethod
    def measure(
        cls, answerer: str, examples: Sequence[Example], answers: Iterable[Answer], metrics: Sequence[Metric]
    ) -> Scores:
        """Measure answers. An example without an answer gets a failed one: it scores as wrong and is not dropped.

        Raises:
            DataError: for no examples, two with one id, two answers to one example, an answer to no example, or a
                metric that gives something else than numbers.
        """
        aligned = answers_in_order(examples, answers)
        rows = {metric.name: _measured(metric, examples, aligned) for metric in metrics}
        return cls(
            answerer=answerer,
            metrics=tuple(metrics),
            example_ids=tuple(example.id for example in examples),
            clusters=tuple(example.cluster for example in examples),
            finishes=tuple(answer.finish for answer in aligned),
            rows=rows,
        )

    @classmethod
    def over_samples(cls, samples: Sequence[Scores]) -> Scores:
        """Return the scores of several sampled answers to each example: a row is the mean over an example's samples.

        A metric that is a mean then has the mean of the samples' scores. A ratio of sums (macro-F1, BLEU) is that of
        the counts' means: of all samples' answers as one corpus.

        Args:
            samples: Scores of one sample each, on the same examples in the same order, by the same metrics.

        Raises:
            ConfigError: for a metric that is no function of sums over its rows.
        """
        first = samples[0]
        if len(samples) == 1:
            return first
        for metric in first.metrics:
            if not depends_on_sums(metric):
                raise ConfigError(
                    f"{metric.name} cannot be measured over several samples: it has no `reduction` (mean, totals or "
                    "sums), so that the samples of a row cannot stand for one row."
                )
        return replace(
            first,
            answerer=sha256_text(*(one.answerer for one in samples)),
            finishes=tuple(" ".join(finishes) for finishes in zip(*(one.finishes for one in samples), strict=True)),
            rows={name: np.mean([one.rows[name] for one in samples], axis=0) for name in first.names},
        )

    def __len__(self) -> int:
        return len(self.example_ids)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics' names."""
        return tuple(metric.name for metric in self.metrics)

    @property
    def codes(self) -> Integers:
        """The cluster of each row as a number `[n]`."""
        return cluster_codes(self.clusters)

    @property
    def failed(self) -> int:
        """How many answers failed or were missing."""
        return sum(finish.split().count("failed") for finish in self.finishes)

    def metric(self, name: str) -> Metric:
        """Return a metric by name.

        Raises:
            ConfigError: if it was not measured.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise unknown_name("metric", name, self.names)

    def value(self, metric: str) -> float:
        """Return the score by one metric."""
        return float(self.metric(metric).value(self.rows[metric]))

    def details(self, metric: str) -> dict[str, float]:
        """Return the parts of a score (precision and recall, classes), empty for a metric without parts."""
        found = self.metric(metric)
        return found.details(self.rows[metric]) if hasattr(found, "details") else {}

    def signature(self, metric: str) -> str:
        """Return what a score is only comparable with (sacrebleu's signature); empty for a metric that needs none."""
        found: Any = self.metric(metric)
        return str(found.signature(self.rows[metric])) if hasattr(found, "signature") else ""

    def interval(self, metric: str, level: float = 0.95, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
        """Return the score by one metric with its interval (see `luthier.evaluation.statistics.intervals`)."""
        return score_interval(self.metric(metric), self.rows[metric], self.codes, level, resamples, seed)

    def frame(self) -> pandas.DataFrame:
        """Return one line an example: its id, cluster, how its answer ended, and its value by each metric alone."""
        import pandas

        columns: dict[str, Any] = {
            "example_id": self.example_ids,
            "cluster": self.clusters,
            "finish": self.finishes,
        }
        for metric in self.metrics:
            columns[metric.name] = values_of_each(metric, self.rows[metric.name])
        return pandas.DataFrame(columns)

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON: all rows, so that everything can be computed again."""
        return {
            "answerer": self.answerer,
            "metrics": [{"name": m.name, "identity": identity_of(m), "settings": settings_of(m)} for m in self.metrics],
            "example_ids": list(self.example_ids),
            "clusters": list(self.clusters),
            "finishes": list(self.finishes),
            "rows": {name: rows.tolist() for name, rows in self.rows.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], metrics: Sequence[Metric] = ()) -> Scores:
        """Read scores back.

        Args:
            value: What `to_json` gave.
            metrics: Metrics that are not in Luthier's table; those in the table are built from their settings.

        Raises:
            ConfigError: for a metric that is neither in the table nor among `metrics`.
        """
        given = {metric.name: metric for metric in metrics}
        return cls(
            answerer=value["answerer"],
            metrics=tuple(given.get(m["name"]) or build_metric(m["name"], **m["settings"]) for m in value["metrics"]),
            example_ids=tuple(value["example_ids"]),
            clusters=tuple(value["clusters"]),
            finishes=tuple(value["finishes"]),
            rows={name: np.array(rows, dtype=np.float64) for name, rows in value["rows"].items()},
        )


def answers_in_order(examples: Sequence[Example], answers: Iterable[Answer]) -> list[Answer]:
    """Return one answer an example, in the examples' order, without thoughts; a missing one is a failed one.

    Raises:
        DataError: for no examples, two with one id, two answers to one example, or an answer to no example.
    """
    if not examples:
        raise DataError("There are no examples to score.")
    ids = [example.id for example in examples]
    if twice := _first_repeated(ids):
        raise DataError(f"Two examples have the id '{twice}'. Ids must tell rows apart.")
    given = list(answers)
    if twice := _first_repeated([answer.example_id for answer in given]):
        raise DataError(f"There are two answers to the example '{twice}'. Give one answer an example.")
    by_id = {answer.example_id: answer for answer in given}
    if strangers := by_id.keys() - set(ids):
        raise DataError(
            f"{len(strangers)} answer(s) belong to no example, such as '{min(strangers)}'. "
            "Were they made from another file, or another part of the data?"
        )
    return [without_its_thoughts(by_id.get(name) or Answer(name, "", "failed")) for name in ids]


def _first_repeated(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _measured(metric: Metric, examples: Sequence[Example], answers: Sequence[Answer]) -> Floats:
    """Return a metric's rows `[n, k]`."""
    rows = np.array([metric.measure(e, a) for e, a in zip(examples, answers, strict=True)], dtype=np.float64)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise DataError(f"The metric {metric.name} must give one row of finite numbers, always as long, an example.")
    return rows
