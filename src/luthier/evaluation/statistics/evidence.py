"""What two answerers' rows say about their difference: interval, p-value, and what more rows would show."""

from __future__ import annotations

import math
from dataclasses import dataclass

from luthier.core.protocols import Metric
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
    difference_of,
    jackknife_error,
    leave_one_out,
)
from luthier.evaluation.statistics.significance import paired_p_value


@dataclass(frozen=True)
class Evidence:
    """What is known of a difference; the verdict is drawn from it.

    Attributes:
        interval: Of the difference.
        p_value, test: Of the test that carries the verdict, and its name.
        rows_to_show: For a difference that is not shown: rows that would show one of its size, with 80 % power; None
            where it is zero, or where no number of rows would.
        seeds_to_show: The same of seeds a side, on these rows; None for two single runs, and where no number would.
        smallest_difference: The smallest difference that is shown with 80 % power; None where none can be.
    """

    interval: Interval
    p_value: float
    test: str
    rows_to_show: int | None
    seeds_to_show: int | None
    smallest_difference: float | None


def is_shown(interval: Interval, p_value: float, alpha: float) -> bool:
    """Say whether a difference is shown: both the test and the interval must rule zero out."""
    return p_value <= alpha and interval.excludes(0.0)


def evidence_of_pair(
    metric: Metric,
    base: Floats,
    candidate: Floats,
    codes: Integers,
    alpha: float = 0.05,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evidence:
    """Return what rows `[n, k]` of two answerers say, on the same examples in clusters `codes` `[n]`."""
    p_value, test = paired_p_value(metric, base, candidate, codes, resamples, seed)
    interval = difference_interval(metric, base, candidate, codes, 1 - alpha, resamples, seed)
    pair = _Pair(metric, base, candidate, codes, alpha)
    rows = None if is_shown(interval, p_value, alpha) else pair.rows_to_show(interval.value)
    return Evidence(interval, p_value, test, rows, None, pair.smallest_difference())


@dataclass(frozen=True)
class _Pair:
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
