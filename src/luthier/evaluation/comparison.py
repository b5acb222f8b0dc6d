"""Comparing two answerers on the same examples: difference, interval, p-value, verdict.

Two single answerers: the verdict generalises over examples: these two, on examples like these. It says nothing about
another run of the method that made one of them. Two groups of runs with different seeds: the verdict generalises over
examples and seeds, and is about the methods (`luthier.evaluation.statistics.seeds` has the arithmetic).

The p-value of the paired test carries "better" and "worse"; the interval must agree, and where they differ the cautious
one wins and the comparison says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from luthier.core.errors import ConfigError, DataError
from luthier.core.protocols import Metric
from luthier.evaluation.comparison_text import notes_on, sentence_of
from luthier.evaluation.metrics import identity_of
from luthier.evaluation.statistics.evidence import evidence_of_pair, is_shown
from luthier.evaluation.statistics.intervals import Interval, is_binary
from luthier.evaluation.statistics.over_seeds import evidence_over_seeds
from luthier.evaluation.statistics.resampling import RESAMPLES, Floats, bounds_of, values_of_each
from luthier.evaluation.statistics.scores import Scores
from luthier.evaluation.statistics.significance import holm

Verdict = Literal["better", "worse", "as good within the margin", "not shown"]
Reach = Literal["examples", "examples and seeds"]


@dataclass(frozen=True)
class Comparison:
    """A candidate against a base, by one metric, on the same examples. Each is one answerer, or a group of runs.

    Attributes:
        base, candidate: Identities of the answerers; those of a group joined by commas.
        metric, higher_is_better: What they were compared by.
        is_share: Whether scores are shares of right rows (shown in percent and percentage points).
        rows, clusters: Examples, and groups of them that belong together.
        base_value, candidate_value: Their scores; of a group the mean over its runs.
        interval: Of `candidate_value - base_value`.
        interval_widened: Whether the interval was widened to hold zero, because the test does not rule zero out.
        p_value, test: Of the paired test, and its name.
        claims, p_adjusted: How many claims were made together, and the p-value after Holm's adjustment for them.
        alpha: Level of the verdict.
        margin: Largest difference that still counts as equally good, in the score's unit; None if there is none.
        verdict: What is shown about the candidate.
        wins, losses: Examples on which the candidate scores better, and worse (groups: on the mean over runs).
        base_failed, candidate_failed: Answers that failed or were missing, in all runs; they are scored as wrong.
        rows_to_show: For "not shown": rows that would show a difference of the size found, with 80 % power. None where
            it is zero, or where seeds scatter so much that no number of rows would.
        smallest_difference: The smallest difference that rows (and seeds) like these show with 80 % power, in the
            score's unit; None where they are too few to show any.
        base_seeds, candidate_seeds: For a group: the score of each run, in their order. Empty for a single answerer.
        seeds_to_show: For "not shown": seeds a side that would show such a difference on these rows; None for single
            answerers, and where no number would.
        generalises_over: What the verdict speaks of: other examples, or also other seeds of each group's method.
    """

    base: str
    candidate: str
    metric: str
    higher_is_better: bool
    is_share: bool
    rows: int
    clusters: int
    base_value: float
    candidate_value: float
    interval: Interval
    interval_widened: bool
    p_value: float
    test: str
    claims: int
    p_adjusted: float
    alpha: float
    margin: float | None
    verdict: Verdict
    wins: int
    losses: int
    base_failed: int
    candidate_failed: int
    rows_to_show: int | None
    smallest_difference: float | None
    base_seeds: tuple[float, ...] = ()
    candidate_seeds: tuple[float, ...] = ()
    seeds_to_show: int | None = None
    generalises_over: Reach = "examples"

    @property
    def difference(self) -> float:
        """The candidate's score minus the base's."""
        return self.interval.value

    @property
    def relative_percent(self) -> float | None:
        """The difference in percent of the base's score; None where that is 0."""
        return relative_change_percent(self.base_value, self.candidate_value)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a careful reader should know beside the verdict, in whole sentences."""
        return notes_on(self)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Comparison:
        """Read a comparison back."""
        seeds = {key: tuple(value.get(key, ())) for key in ("base_seeds", "candidate_seeds")}
        return cls(**{**value, **seeds, "interval": Interval.from_json(value["interval"])})

    def sentence(self, base: str | None = None, candidate: str | None = None, *, reach: bool = True) -> str:
        """Return the result in plain words; see `luthier.evaluation.comparison_text.sentence_of`."""
        return sentence_of(self, base, candidate, reach=reach)


def compare(
    base: Scores | Sequence[Scores],
    candidate: Scores | Sequence[Scores],
    metric: str,
    *,
    margin: float | None = None,
    alpha: float = 0.05,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two answerers, or two groups of runs with different seeds, by one metric on the same examples.

    A group of two or more stands for its method: the verdict generalises over its seeds as well. A single answerer,
    alone or in a sequence of one, is that fixed model. Runs of the two groups are not paired by their seeds.

    Args:
        base: Scores of the one to beat.
        candidate: Scores of the other, on the same examples in any order.
        metric: Name of a metric that all were measured by.
        margin: Largest difference that still counts as equally good, in the score's unit (0.02 is two points).
        alpha: Level of the two-sided test; the interval has the confidence 1 - alpha.
        resamples: Of bootstrap and permutation, where they are not exact.
        seed: Of the resamples.

    Raises:
        DataError: if the examples, their clusters or the metric's settings differ.
        ConfigError: for a metric that was not measured, a margin that is not above zero or holds all scores, an empty
            group, or a run that is there twice.
    """
    bases, candidates = _group(base), _group(candidate)
    _require_once(bases, candidates)
    first = bases[0]
    measure = first.metric(metric)
    _require_margin(margin, measure, metric)
    of_base, of_candidate = ([rows_in_order(first, one, metric) for one in group] for group in (bases, candidates))
    over_seeds = len(of_base) > 1 or len(of_candidate) > 1
    evidence = (
        evidence_over_seeds(measure, of_base, of_candidate, first.codes, alpha, resamples, seed)
        if over_seeds
        else evidence_of_pair(measure, of_base[0], of_candidate[0], first.codes, alpha, resamples, seed)
    )
    interval, p_value = evidence.interval, evidence.p_value
    widened = p_value > alpha and interval.excludes(0.0)
    if widened:
        interval = replace(interval, low=min(interval.low, 0.0), high=max(interval.high, 0.0))
    verdict = judge(interval, p_value, measure.higher_is_better, alpha, margin)
    gains = _gains(measure, of_base, of_candidate)
    return Comparison(
        base=",".join(one.answerer for one in bases),
        candidate=",".join(one.answerer for one in candidates),
        metric=metric,
        higher_is_better=measure.higher_is_better,
        is_share=is_binary(measure, *of_base, *of_candidate),
        rows=len(first),
        clusters=interval.clusters,
        base_value=_mean_score(bases, metric),
        candidate_value=_mean_score(candidates, metric),
        interval=interval,
        interval_widened=widened,
        p_value=p_value,
        test=evidence.test,
        claims=1,
        p_adjusted=p_value,
        alpha=alpha,
        margin=margin,
        verdict=verdict,
        wins=int((gains > 1e-12).sum()),
        losses=int((gains < -1e-12).sum()),
        base_failed=sum(one.failed for one in bases),
        candidate_failed=sum(one.failed for one in candidates),
        rows_to_show=evidence.rows_to_show if verdict == "not shown" else None,
        smallest_difference=evidence.smallest_difference,
        base_seeds=_of_each_run(bases, metric),
        candidate_seeds=_of_each_run(candidates, metric),
        seeds_to_show=evidence.seeds_to_show if verdict == "not shown" else None,
        generalises_over="examples and seeds" if over_seeds else "examples",
    )


def judge(
    interval: Interval, p_value: float, higher_is_better: bool, alpha: float = 0.05, margin: float | None = None
) -> Verdict:
    """Return the verdict on a difference.

    "better" needs both p <= alpha and an interval beyond zero. An interval inside the margin on both sides (two
    one-sided tests, each at half of alpha) is "as good within the margin", even where a loss smaller than the margin is
    shown. "worse" needs what "better" needs; all else is "not shown".
    """
    shown = is_shown(interval, p_value, alpha)
    gained = (interval.value > 0) == higher_is_better
    if shown and gained:
        return "better"
    if margin is not None and -margin < interval.low and interval.high < margin:
        return "as good within the margin"
    return "worse" if shown else "not shown"


def adjust_for_claims(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return comparisons that make their claims together, p-values and verdicts adjusted by Holm's method.

    Use it where several candidates, metrics or parts of the data could each have given the news.
    """
    adjusted = []
    for comparison, p in zip(comparisons, holm([c.p_value for c in comparisons]), strict=True):
        verdict = judge(comparison.interval, p, comparison.higher_is_better, comparison.alpha, comparison.margin)
        adjusted.append(replace(comparison, p_adjusted=p, claims=len(comparisons), verdict=verdict))
    return adjusted


def relative_change_percent(base: float, candidate: float) -> float | None:
    """Return the change from `base` in percent of it (0.2 to 0.3 is +50); None where the base is 0."""
    return None if base == 0 else 100 * (candidate - base) / abs(base)


def _group(one_or_more: Scores | Sequence[Scores]) -> tuple[Scores, ...]:
    group = (one_or_more,) if isinstance(one_or_more, Scores) else tuple(one_or_more)
    if not group:
        raise ConfigError("A group of runs to compare has at least one; received none.")
    return group


def _require_once(bases: Sequence[Scores], candidates: Sequence[Scores]) -> None:
    """Refuse a run that is there twice: seeds would seem to scatter less than they do.

    Two single answerers may be the same one.
    """
    runs = [*bases, *candidates]
    if len(runs) > 2 and len({id(run) for run in runs}) < len(runs):
        raise ConfigError("The same run is there twice. A group holds different runs, and none stands in both groups.")


def _require_margin(margin: float | None, measure: Metric, metric: str) -> None:
    least, most = bounds_of(measure)
    if margin is not None and not 0 < margin < most - least:
        raise ConfigError(
            f"A margin is above zero and in the score's unit (0.02 is two points where scores end at 1); "
            f"received {margin} for {metric}."
        )


def _mean_score(group: Sequence[Scores], metric: str) -> float:
    return float(np.mean([one.value(metric) for one in group]))


def _of_each_run(group: Sequence[Scores], metric: str) -> tuple[float, ...]:
    return tuple(one.value(metric) for one in group) if len(group) > 1 else ()


def _gains(measure: Metric, base: Sequence[Floats], candidate: Sequence[Floats]) -> Floats:
    """Return by how much the candidate scores better on each example `[n]`, on the mean over its runs."""
    first, second = (np.mean([values_of_each(measure, rows) for rows in group], axis=0) for group in (base, candidate))
    gains: Floats = second - first
    return gains if measure.higher_is_better else -gains


def rows_in_order(base: Scores, other: Scores, metric: str) -> Floats:
    """Return the rows of another one in the order of the base's examples.

    Raises:
        DataError: if the two were not measured on the same examples in the same way.
    """
    names = f"{base.answerer} and {other.answerer}"
    if identity_of(base.metric(metric)) != identity_of(other.metric(metric)):
        raise DataError(
            f"{names} were measured differently: {identity_of(base.metric(metric))} and "
            f"{identity_of(other.metric(metric))}. Measure both again with the same settings."
        )
    place = {name: i for i, name in enumerate(other.example_ids)}
    apart = set(base.example_ids) ^ set(other.example_ids)
    if apart:
        raise DataError(
            f"{names} were not measured on the same examples: {len(apart)} are in one only, such as '{min(apart)}'. "
            "A paired comparison needs the same rows."
        )
    order = [place[name] for name in base.example_ids]
    if tuple(other.clusters[i] for i in order) != base.clusters:
        raise DataError(f"{names} give different clusters to the same examples. Measure both on the same data.")
    return other.rows[metric][order]
