"""Scores and differences of groups of runs, over examples and seeds: the intervals of `seeds` for the rows of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from luthier.core.protocols import Metric
from luthier.evaluation.statistics.evidence import Evidence, is_shown
from luthier.evaluation.statistics.intervals import (
    Interval,
    Sample,
    check_level,
    difference_interval,
    interval_of_difference,
    interval_of_score,
    score_interval,
)
from luthier.evaluation.statistics.resampling import (
    RESAMPLES,
    Floats,
    Integers,
    Statistic,
    bounds_of,
    is_mean,
    statistic_of,
)
from luthier.evaluation.statistics.seeds import Group, TwoLevels

_SUFFIX = ", widened for seeds"


def score_over_seeds(
    metric: Metric,
    runs: Sequence[Floats],
    codes: Integers,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the interval of a method's score: the mean over runs with different seeds, over examples and seeds.

    Args:
        metric: What the rows were measured by.
        runs: Rows `[n, k]` of each run, all on the same examples; a single run is taken as it is, over examples alone.
        codes: Cluster of each row `[n]`.
        level: Confidence.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    check_level(level)
    n, clusters, bounds = len(runs[0]), int(codes.max()) + 1, bounds_of(metric)
    if is_mean(metric):
        over_examples = score_interval(metric, _mean_rows(runs), codes, level, resamples, seed)
    else:
        sample = Sample(_mean_of(metric, runs, codes), _mean_value(metric, runs), clusters)
        over_examples = interval_of_score(sample, bounds, n, level, resamples, seed)
    return _widened(over_examples, (Group.of(metric, runs, codes),), bounds)


def evidence_over_seeds(
    metric: Metric,
    base: Sequence[Floats],
    candidate: Sequence[Floats],
    codes: Integers,
    alpha: float = 0.05,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evidence:
    """Return what the rows `[n, k]` of two groups of runs say about the difference of their mean scores.

    It generalises over examples and over the seeds of every group of two or more runs; a single run is a fixed model.
    """
    groups = Group.of(metric, base, codes), Group.of(metric, candidate, codes)
    reach = bounds_of(metric)[1] - bounds_of(metric)[0]
    over_examples = _difference_over_examples(metric, base, candidate, codes, 1 - alpha, resamples, seed)
    difference = over_examples.value
    facing_zero = over_examples.low if difference > 0 else over_examples.high
    levels = TwoLevels.of_half_width(groups, over_examples.clusters, abs(difference - facing_zero), alpha)
    interval, p_value = _widened(over_examples, groups, (-reach, reach)), levels.p_value(difference)
    asked = abs(difference) > 1e-12 and not is_shown(interval, p_value, alpha)
    smallest = levels.smallest_difference(alpha)
    return Evidence(
        interval=interval,
        p_value=p_value,
        test="Student's t over examples and seeds",
        rows_to_show=levels.rows_to_show(difference, len(base[0]), alpha) if asked else None,
        seeds_to_show=levels.seeds_to_show(difference, alpha) if asked else None,
        smallest_difference=smallest if smallest is None or smallest <= reach else None,
    )


def _difference_over_examples(
    metric: Metric,
    base: Sequence[Floats],
    candidate: Sequence[Floats],
    codes: Integers,
    level: float,
    resamples: int,
    seed: int,
) -> Interval:
    """Return the interval of the difference between mean scores for these very runs, over examples alone."""
    if is_mean(metric):
        return difference_interval(metric, _mean_rows(base), _mean_rows(candidate), codes, level, resamples, seed)
    first, second = _mean_of(metric, base, codes), _mean_of(metric, candidate, codes)
    difference = _mean_value(metric, candidate) - _mean_value(metric, base)
    sample = Sample(lambda counts: second(counts) - first(counts), difference, int(codes.max()) + 1)
    reach = bounds_of(metric)[1] - bounds_of(metric)[0]
    return interval_of_difference(sample, reach, len(base[0]), level, resamples, seed)


def _widened(over_examples: Interval, groups: tuple[Group, ...], bounds: tuple[float, float]) -> Interval:
    """Return an interval over examples, each side widened for the seeds of the groups, within the metric's bounds."""
    if all(group.runs == 1 for group in groups):
        return over_examples
    alpha, value = 1 - over_examples.level, over_examples.value
    below, above = (
        TwoLevels.of_half_width(groups, over_examples.clusters, half, alpha).half_width(alpha)
        for half in (value - over_examples.low, over_examples.high - value)
    )
    low, high = max(value - below, bounds[0]), min(value + above, bounds[1])
    return replace(over_examples, low=low, high=high, method=over_examples.method + _SUFFIX)


def _mean_rows(runs: Sequence[Floats]) -> Floats:
    """Return the rows' mean over runs: its mean score is the mean of the runs' scores, for a metric that is a mean."""
    mean: Floats = np.mean(runs, axis=0)
    return mean


def _mean_value(metric: Metric, runs: Sequence[Floats]) -> float:
    return float(np.mean([metric.value(rows) for rows in runs]))


def _mean_of(metric: Metric, runs: Sequence[Floats], codes: Integers) -> Statistic:
    """Return the mean over runs of a metric's value, as a function of cluster counts."""
    statistics = [statistic_of(metric, rows, codes) for rows in runs]

    def mean(counts: Floats) -> Floats:
        values: Floats = np.mean([statistic(counts) for statistic in statistics], axis=0)
        return values

    return mean
