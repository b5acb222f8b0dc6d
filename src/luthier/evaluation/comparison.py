"""Comparing two answerers on the same examples: difference, interval, p-value, verdict.

The verdict generalises over examples: these two answerers, on examples like these. It says nothing about another run of
the method that made one of them. The p-value of the paired test carries "better" and "worse"; the interval must agree,
and where they differ the cautious one wins and the comparison says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from luthier.core.errors import ConfigError, DataError
from luthier.core.protocols import Metric
from luthier.evaluation.metrics import identity_of, title_of
from luthier.evaluation.statistics.intervals import Interval, difference_interval, is_binary
from luthier.evaluation.statistics.power import (
    design_effect,
    rows_needed,
    rows_needed_for_mean,
    smallest_difference,
    smallest_mean_difference,
)
from luthier.evaluation.statistics.resampling import (
    RESAMPLES,
    Floats,
    Integers,
    bounds_of,
    difference_of,
    jackknife_error,
    leave_one_out,
)
from luthier.evaluation.statistics.scores import Scores
from luthier.evaluation.statistics.significance import holm, paired_p_value

Verdict = Literal["better", "worse", "as good within the margin", "not shown"]


@dataclass(frozen=True)
class Comparison:
    """A candidate against a base, by one metric, on the same examples.

    Attributes:
        base, candidate: Identities of the answerers.
        metric, higher_is_better: What they were compared by.
        is_share: Whether scores are shares of right rows (shown in percent and percentage points).
        rows, clusters: Examples, and groups of them that belong together.
        base_value, candidate_value: Their scores.
        interval: Of `candidate_value - base_value`.
        interval_widened: Whether the interval was widened to hold zero, because the test does not rule zero out.
        p_value, test: Of the paired test, and its name.
        claims, p_adjusted: How many claims were made together, and the p-value after Holm's adjustment for them.
        alpha: Level of the verdict.
        margin: Largest difference that still counts as equally good, in the score's unit; None if there is none.
        verdict: What is shown about the candidate.
        wins, losses: Examples on which the candidate scores better, and worse.
        base_failed, candidate_failed: Answers that failed or were missing; they are scored as wrong.
        rows_to_show: For "not shown": rows that would show a difference of the size found, with 80 % power. None where
            it is zero.
        smallest_difference: The smallest difference that rows like these show with 80 % power, in the score's unit;
            None where they are too few to show any.
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
        notes = []
        if self.interval_widened:
            notes.append(
                f"The interval was widened to hold zero, because the paired test does not rule zero out "
                f"(p = {_p_text(self.p_value)})."
            )
        if self.p_adjusted <= self.alpha and not self.interval.excludes(0.0):
            notes.append(
                f"The paired test alone would show a difference (p = {_p_text(self.p_adjusted)}), but the interval "
                "holds zero; the cautious one of the two counts."
            )
        if self.p_value <= self.alpha < self.p_adjusted:
            notes.append(
                f"Alone, this claim would be shown (p = {_p_text(self.p_value)}); as one of {self.claims} it is not."
            )
        if self.verdict == "as good within the margin" and self.p_adjusted <= self.alpha:
            notes.append("There is a difference, but it is smaller than the margin.")
        if self.base_failed or self.candidate_failed:
            notes.append(
                f"Failed or missing answers, scored as wrong: {self.base_failed} of the base, "
                f"{self.candidate_failed} of the candidate."
            )
        return tuple(notes)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Comparison:
        """Read a comparison back."""
        return cls(**{**value, "interval": Interval.from_json(value["interval"])})

    def sentence(self, base: str | None = None, candidate: str | None = None) -> str:
        """Return the result in plain words; `base` and `candidate` name the two where their identities are unwieldy."""
        base, candidate = base or self.base, candidate or self.candidate
        claim = {
            "better": f"{candidate} is better than {base}",
            "worse": f"{candidate} is worse than {base}",
            "as good within the margin": f"{candidate} is as good as {base} within {self._size(self.margin or 0.0)}",
            "not shown": f"No difference is shown between {candidate} and {base}",
        }[self.verdict]
        parts = [f"{claim}: {self._figures()}."]
        if self.verdict == "not shown":
            parts.append(self._what_would_show())
        return " ".join([*(part for part in parts if part), *self.notes])

    def _figures(self) -> str:
        """Return scores, difference, interval, p-value and rows."""
        low, high = self._signed(self.interval.low), self._signed(self.interval.high)
        percent = None if self.is_share else self.relative_percent
        relative = "" if percent is None else f", {percent:+.2f} %"
        adjusted = f" (adjusted for {self.claims} claims)" if self.claims > 1 else ""
        grouped = f" in {self.clusters:,} clusters" if self.clusters != self.rows else ""
        return (
            f"{title_of(self.metric)} {self._score(self.candidate_value)} against {self._score(self.base_value)}, "
            f"a difference of {self._signed(self.difference)}{' points' if self.is_share else ''}{relative} "
            f"({100 * self.interval.level:g} % interval {low} to {high}; p = {_p_text(self.p_adjusted)}{adjusted}; "
            f"{self.rows:,} rows{grouped})"
        )

    def _what_would_show(self) -> str:
        """Return how many rows the difference would take, and what these rows could have shown."""
        texts = []
        if self.rows_to_show is not None:
            texts.append(f"About {self.rows_to_show:,} rows would show a difference of this size.")
        if self.smallest_difference is None:
            texts.append("These are too few to show any difference.")
        else:
            texts.append(f"{self.rows:,} rows like these can show one of {self._size(self.smallest_difference)}.")
        return " ".join(texts)

    def _score(self, value: float) -> str:
        return f"{100 * value:.1f} %" if self.is_share else f"{value:.3f}"

    def _signed(self, value: float) -> str:
        text = f"{100 * value:+.1f}" if self.is_share else f"{value:+.3f}"
        return text.replace("-", "−") if float(text) else text.lstrip("+-")

    def _size(self, value: float) -> str:
        return f"{100 * value:.1f} points" if self.is_share else f"{value:.3f}"


def compare(
    base: Scores,
    candidate: Scores,
    metric: str,
    *,
    margin: float | None = None,
    alpha: float = 0.05,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two answerers by one metric on the same examples.

    Args:
        base: Scores of the one to beat.
        candidate: Scores of the other, on the same examples in any order.
        metric: Name of a metric that both were measured by.
        margin: Largest difference that still counts as equally good, in the score's unit (0.02 is two points).
        alpha: Level of the two-sided test; the interval has the confidence 1 - alpha.
        resamples: Of bootstrap and permutation, where they are not exact.
        seed: Of the resamples.

    Raises:
        DataError: if the examples, their clusters or the metric's settings differ.
        ConfigError: for a metric that was not measured, or a margin that is not above zero or holds all scores.
    """
    measure = base.metric(metric)
    least, most = bounds_of(measure)
    if margin is not None and not 0 < margin < most - least:
        raise ConfigError(
            f"A margin is above zero and in the score's unit (0.02 is two points where scores end at 1); "
            f"received {margin} for {metric}."
        )
    first, second = base.rows[metric], _rows_in_order(base, candidate, metric)
    codes = base.codes
    p_value, test = paired_p_value(measure, first, second, codes, resamples, seed)
    interval = difference_interval(measure, first, second, codes, 1 - alpha, resamples, seed)
    widened = p_value > alpha and interval.excludes(0.0)
    if widened:
        interval = replace(interval, low=min(interval.low, 0.0), high=max(interval.high, 0.0))
    gains = np.asarray(measure.value(second[:, None, :]) - measure.value(first[:, None, :]))
    gains = gains if measure.higher_is_better else -gains
    verdict = judge(interval, p_value, measure.higher_is_better, alpha, margin)
    found = _Paired(measure, first, second, codes, alpha)
    return Comparison(
        base=base.answerer,
        candidate=candidate.answerer,
        metric=metric,
        higher_is_better=measure.higher_is_better,
        is_share=is_binary(measure, first, second),
        rows=len(base),
        clusters=interval.clusters,
        base_value=base.value(metric),
        candidate_value=candidate.value(metric),
        interval=interval,
        interval_widened=widened,
        p_value=p_value,
        test=test,
        claims=1,
        p_adjusted=p_value,
        alpha=alpha,
        margin=margin,
        verdict=verdict,
        wins=int((gains > 1e-12).sum()),
        losses=int((gains < -1e-12).sum()),
        base_failed=base.failed,
        candidate_failed=candidate.failed,
        rows_to_show=found.rows_to_show(interval.value) if verdict == "not shown" else None,
        smallest_difference=found.smallest_difference(),
    )


def judge(
    interval: Interval, p_value: float, higher_is_better: bool, alpha: float = 0.05, margin: float | None = None
) -> Verdict:
    """Return the verdict on a difference.

    "better" needs both p <= alpha and an interval beyond zero. An interval inside the margin on both sides (two
    one-sided tests, each at half of alpha) is "as good within the margin", even where a loss smaller than the margin is
    shown. "worse" needs what "better" needs; all else is "not shown".
    """
    shown = p_value <= alpha and interval.excludes(0.0)
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


def _rows_in_order(base: Scores, candidate: Scores, metric: str) -> Floats:
    """Return the candidate's rows in the order of the base's examples.

    Raises:
        DataError: if the two were not measured on the same examples in the same way.
    """
    if identity_of(base.metric(metric)) != identity_of(candidate.metric(metric)):
        raise DataError(
            f"The two were measured differently: {identity_of(base.metric(metric))} and "
            f"{identity_of(candidate.metric(metric))}. Measure both again with the same settings."
        )
    place = {name: i for i, name in enumerate(candidate.example_ids)}
    apart = set(base.example_ids) ^ set(candidate.example_ids)
    if apart:
        raise DataError(
            f"The two were not measured on the same examples: {len(apart)} are in one only, such as '{min(apart)}'. "
            "A paired comparison needs the same rows."
        )
    order = [place[name] for name in base.example_ids]
    if tuple(candidate.clusters[i] for i in order) != base.clusters:
        raise DataError("The two give different clusters to the same examples. Measure both on the same data.")
    return candidate.rows[metric][order]


@dataclass(frozen=True)
class _Paired:
    """What a comparison could show with more rows, or other rows like these."""

    metric: Metric
    base: Floats
    candidate: Floats
    codes: Integers
    alpha: float

    def rows_to_show(self, difference: float) -> int | None:
        """Return how many rows would show this difference; None for one of zero."""
        if abs(difference) < 1e-12:
            return None
        n = len(self.base)
        if is_binary(self.metric, self.base, self.candidate):
            needed = rows_needed(abs(difference), self._discordance(), alpha=self.alpha) * self._design_effect()
        else:
            needed = rows_needed_for_mean(difference, self._deviation(), alpha=self.alpha) * n / self._clusters()
        return max(n + 1, math.ceil(needed))

    def smallest_difference(self) -> float | None:
        """Return the smallest difference that these rows can show, in the score's unit; None if they can show none."""
        if 2 / 2 ** self._clusters() > self.alpha:
            return None  # even if all clusters agreed, the permutation test could not be as sure as alpha asks
        if is_binary(self.metric, self.base, self.candidate):
            effective = len(self.base) / self._design_effect()
            return smallest_difference(effective, self._discordance(), alpha=self.alpha)
        return smallest_mean_difference(self._clusters(), self._deviation(), alpha=self.alpha)

    def _clusters(self) -> int:
        return int(self.codes.max()) + 1

    def _discordance(self) -> float:
        return float((self.base[:, 0] != self.candidate[:, 0]).mean())

    def _design_effect(self) -> float:
        return design_effect(self.candidate[:, 0] - self.base[:, 0], self.codes)

    def _deviation(self) -> float:
        """Return the standard deviation that one cluster's difference would have, were the score a mean of clusters."""
        clusters = self._clusters()
        if clusters < 2:
            return 0.0
        statistic = difference_of(self.metric, self.base, self.candidate, self.codes)
        return jackknife_error(leave_one_out(statistic, clusters)) * math.sqrt(clusters)


def _p_text(p: float) -> str:
    """Write a p-value: three decimals, "below 0.001" when smaller."""
    return "below 0.001" if p < 0.001 else f"{p:.3f}"
