"""Two levels of chance: the examples that were drawn, and the seeds that a method was run with.

A method is run k times with different seeds, and all runs answer the same examples (a random-effects model;
Bouthillier et al. 2021, arXiv:2103.03098, and Reimers and Gurevych 2017, arXiv:1707.09861, show how much of a
difference seeds make):

    score of run s on example i = method + seed s + example i + (seed s x example i)

For the difference D between the mean scores of two groups of kA and kB runs, three variances can be measured:

    S   between seeds    var(scores of A's runs) / kA + var(scores of B's runs) / kB    kA - 1 and kB - 1 degrees
    E   over examples    of D, when examples (clusters) are drawn again                 C - 1
    R   seed x example   the part that is in both

E holds what seeds and examples do together, averaged over the runs at hand, and so does S: two runs that differ by
nothing but luck from example to example have different scores. So var(D) = S + E - R; adding S and E alone would
count R twice, and give up to twice the variance. R is the jackknife variance (Efron and Tibshirani 1993, chapter 11)
of each run's score less its group's mean, summed over a group's runs and divided by k (k - 1).

The half-width of the interval of D is, with Student's quantiles t,

    h^2 = max( t(C-1)^2 E,  t(C-1)^2 (E - R) + t(df)^2 S )

Squares of half-widths are added, each with its own quantile: Banerjee's interval (1960, Sankhya 22), which holds at
least as often as it promises, whatever the ratio of the two variances. Satterthwaite's single t for the sum, the
usual shortcut, does not (below). E comes from the interval over examples alone, each side for itself (square and add;
Zou and Donner 2008, Statistics in Medicine 27), so that a claim about methods is never surer than one about these
very runs, and skewed and all-equal outcomes keep their own intervals. df is Welch's for S, as if both groups had as
few runs as the smaller one: Welch's own trusts a group of two beside a larger one too soon.

False verdicts where 5 % are promised, normal scores, the worst of many ratios of the variances (also where one
method's seeds scatter and the other's do not): 5.8, 6.0, 5.7, 5.5 % for 2, 3, 4, 5 runs a side, 7.2 % for two runs
against more; Satterthwaite's 12.1, 7.7, 6.2, 5.8 %.

What is not used: a permutation of the runs' seeds. Given the examples, it asks whether *these examples* tell the
methods apart. Where methods differ from example to example and not on the whole, it calls 14 to 18 % of equal methods
different; and what the interval above calls different it nearly always does too, so that it would add nothing as a
second test (tried with four and five runs a side, also where a tenth or a third of the runs fail to learn).

k runs, n rows, C clusters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from luthier.core.protocols import Metric
from luthier.evaluation.statistics.power import fewest, power_of_mean, smallest_mean_difference
from luthier.evaluation.statistics.resampling import Floats, Integers, jackknife_error, leave_one_out, statistic_of

_MOST_SEEDS, _MOST_TIMES = 1_000, 1_000_000
"""Where the search for enough seeds, and for enough times the rows, ends: no number is then enough."""


@dataclass(frozen=True)
class Group:
    """How the scores of a method's runs scatter.

    Attributes:
        runs: How many there are.
        between: Variance of one run's score from seed to seed, on these examples; 0 for a single run.
        shared: The part of `between` that comes from seeds and examples together and shrinks with more examples.
    """

    runs: int
    between: float = 0.0
    shared: float = 0.0

    @classmethod
    def of(cls, metric: Metric, runs: Sequence[Floats], codes: Integers) -> Group:
        """Measure a group by the rows `[n, k]` of each of its runs, on the same examples in clusters `codes` `[n]`."""
        k, clusters = len(runs), int(codes.max()) + 1
        if k == 1:
            return cls(1)
        between = float(np.var([float(metric.value(rows)) for rows in runs], ddof=1))
        if clusters == 1:
            return cls(k, between)
        left_out = np.array([leave_one_out(statistic_of(metric, rows, codes), clusters) for rows in runs])  # [k, C]
        apart = left_out - left_out.mean(axis=0)
        return cls(k, between, sum(jackknife_error(one) ** 2 for one in apart) / (k - 1))


@dataclass(frozen=True)
class TwoLevels:
    """The variance of a mean score, or of a difference of two, over examples and seeds.

    Attributes:
        groups: The group, or the two.
        examples: Variance over examples, for the runs as they are (`E` above).
        clusters: Clusters of examples.
    """

    groups: tuple[Group, ...]
    examples: float
    clusters: int

    @classmethod
    def of_half_width(cls, groups: tuple[Group, ...], clusters: int, half: float, alpha: float) -> TwoLevels:
        """Take the variance over examples from the half-width of an interval over examples alone."""
        return cls(groups, (half / quantile(clusters - 1, alpha)) ** 2, clusters)

    @property
    def seeds(self) -> float:
        """Variance between seeds (`S` above)."""
        return sum(group.between / group.runs for group in self.groups)

    @property
    def shared(self) -> float:
        """What is in the variance over examples and in that between seeds (`R` above); no more than the former."""
        return min(sum(group.shared / group.runs for group in self.groups), self.examples)

    @property
    def variance(self) -> float:
        """The variance over both; no less than over examples alone."""
        return self.examples + max(self.seeds - self.shared, 0.0)

    @property
    def degrees(self) -> float:
        """Degrees of freedom of the variance between seeds: Welch's, as if all groups were as small as the smallest."""
        parts = [group.between / group.runs for group in self.groups]
        fewest_runs = min((group.runs for group in self.groups if group.runs > 1), default=2)
        squares = sum(part**2 for part in parts)
        return (fewest_runs - 1) * (sum(parts) ** 2 / squares if squares > 0 else 1.0)

    def half_width(self, alpha: float) -> float:
        """Return the half-width of the interval with confidence 1 - alpha."""
        by_examples, by_seeds = quantile(self.clusters - 1, alpha) ** 2, quantile(self.degrees, alpha) ** 2
        over_examples = by_examples * self.examples
        return math.sqrt(max(over_examples, over_examples - by_examples * self.shared + by_seeds * self.seeds))

    def p_value(self, difference: float) -> float:
        """Return the alpha at which the interval of this difference just touches zero, at least 1e-12.

        Fewer than six clusters cannot be surer than a permutation of them: at least 2 / 2^C.
        """
        least, most = math.log(1e-12), 0.0  # of log alpha; the interval shrinks to a point at alpha 1
        for _ in range(50):
            middle = (least + most) / 2
            least, most = (middle, most) if self.half_width(math.exp(middle)) >= abs(difference) else (least, middle)
        return max(math.exp(most), 2.0 ** (1 - self.clusters))

    def smallest_difference(self, alpha: float) -> float | None:
        """Return the smallest difference that such examples and seeds show with 80 % power; None if they show none."""
        if 2.0 ** (1 - self.clusters) > alpha:
            return None
        degrees, deviation = self._as_one_sample(alpha)
        return smallest_mean_difference(degrees + 1, deviation, alpha=alpha)

    def rows_to_show(self, difference: float, rows: int, alpha: float) -> int | None:
        """Return how many rows in place of these `rows` would show a difference; None where no number would."""
        return _search(lambda n: self._with_rows(n / rows)._shows(difference, alpha), rows, _MOST_TIMES * rows)

    def seeds_to_show(self, difference: float, alpha: float) -> int | None:
        """Return how many seeds a side would show a difference on these examples; None where no number would.

        A single run stays a single run.
        """
        runs = [group.runs for group in self.groups if group.runs > 1]
        if not runs:
            return None
        return _search(lambda k: self._with_seeds(int(k))._shows(difference, alpha), max(runs), _MOST_SEEDS)

    def _shows(self, difference: float, alpha: float) -> bool:
        degrees, deviation = self._as_one_sample(alpha)
        return self.clusters > 1 and power_of_mean(degrees + 1, difference, deviation, alpha) >= 0.8

    def _as_one_sample(self, alpha: float) -> tuple[float, float]:
        """Return degrees of freedom whose quantile makes this interval of this variance, and the rows' deviation."""
        error = math.sqrt(self.variance)
        degrees = _degrees_of(self.half_width(alpha) / error, alpha) if error > 0 else 1e6
        return degrees, error * math.sqrt(degrees + 1)

    def _with_rows(self, times: float) -> TwoLevels:
        """Return what is expected with so many times the rows: all that comes with examples shrinks."""
        groups = [
            Group(g.runs, max(g.between - g.shared, 0.0) + g.shared / times, g.shared / times) for g in self.groups
        ]
        return TwoLevels(tuple(groups), self.examples / times, math.ceil(self.clusters * times))

    def _with_seeds(self, runs: int) -> TwoLevels:
        """Return what is expected with so many seeds a side, or as many as there are if those are more."""
        groups = tuple(replace(g, runs=max(runs, g.runs)) if g.runs > 1 else g for g in self.groups)
        alone = self.examples - self.shared
        return TwoLevels(groups, alone + sum(g.shared / g.runs for g in groups), self.clusters)


def quantile(degrees: float, alpha: float) -> float:
    """Return Student's two-sided quantile; at least one degree of freedom."""
    from scipy.special import stdtrit

    return float(-stdtrit(max(degrees, 1.0), alpha / 2))


def _degrees_of(value: float, alpha: float) -> float:
    """Return the degrees of freedom, 1 to a million, whose two-sided quantile is closest to a value."""
    low, high = 0.0, math.log(1e6)
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if quantile(math.exp(middle), alpha) > value else (low, middle)
    return math.exp(low)


def _search(enough: Callable[[float], bool], have: int, most: int) -> int | None:
    """Return the smallest number beyond `have` that is enough; None if `most` is not."""
    return max(have + 1, fewest(enough, max(have, 2))) if enough(most) else None
