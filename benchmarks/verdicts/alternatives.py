"""Intervals that Luthier does not use, to show why: the percentile bootstrap, and BCa without the expansion."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from luthier.core.protocols import Metric
from luthier.evaluation.statistics import intervals
from luthier.evaluation.statistics.resampling import bootstrap, difference_of, leave_one_out, statistic_of

Limits = tuple[float, float]


def percentile_and_bca(
    metric: Metric, rows: np.ndarray, codes: np.ndarray, resamples: int, seed: int
) -> tuple[Limits, Limits]:
    """Return two 95 % intervals of one score: the percentiles of its resamples, and Efron's BCa."""
    statistic, clusters = statistic_of(metric, rows, codes), int(codes.max()) + 1
    values = np.sort(bootstrap(statistic, clusters, resamples, seed))
    low, high = np.quantile(values, (0.025, 0.975))
    left_out = leave_one_out(statistic, clusters)
    if np.ptp(left_out) < 1e-12:
        return (float(low), float(high)), (float(low), float(high))
    bias = intervals._normal_quantile(intervals._share_below(values, float(metric.value(rows))), resamples)
    skew = intervals._acceleration(left_out)
    normal = NormalDist()
    shares = [normal.cdf(bias + (bias + z) / (1 - skew * (bias + z))) for z in (-1.959964, 1.959964)]
    bca_low, bca_high = intervals._mid_quantiles(values, shares)
    return (float(low), float(high)), (bca_low, bca_high)


def paired_percentile(
    metric: Metric, base: np.ndarray, candidate: np.ndarray, codes: np.ndarray, resamples: int, seed: int
) -> Limits:
    """Return the 2.5 and 97.5 percentiles of resampled differences."""
    values = bootstrap(difference_of(metric, base, candidate, codes), int(codes.max()) + 1, resamples, seed)
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
