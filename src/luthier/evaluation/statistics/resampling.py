"""Resampling by cluster: a statistic as a function of how often each cluster is drawn.

Rows of one cluster (one passage, one customer) stand or fall together, so clusters are drawn, not rows. Metrics that
depend on their rows through the mean row or the sum of rows (`reduction` "mean", "totals" or "sums") need one matrix
product for all resamples; any other metric is computed resample by resample.

C clusters, R resamples, n rows, k statistics a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.core.protocols import Metric
from luthier.core.seeding import stream

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Statistic: TypeAlias = Callable[[Floats], Floats]
"""Counts `[R, C]` (how often each cluster is in a resample) to values `[R]`."""

RESAMPLES = 10_000
_CELLS = 4_000_000
"""Cells of a counts matrix that are held at a time: 32 MB."""


def cluster_codes(clusters: Sequence[str | None]) -> Integers:
    """Return a cluster number for each row `[n]`, from 0 in order of appearance; None is a cluster of its own."""
    numbers: dict[Any, int] = {}
    keys = ((row, None) if name is None else name for row, name in enumerate(clusters))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def cluster_sums(rows: Floats, codes: Integers) -> Floats:
    """Sum rows `[n, k]` by cluster, with the number of rows as a last column: `[C, k + 1]`."""
    counted = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    sums = np.zeros((int(codes.max()) + 1, counted.shape[1]))
    np.add.at(sums, codes, counted)
    return sums


def depends_on_sums(metric: Metric) -> bool:
    """Say whether a metric's value depends on its rows through their sum and number alone."""
    return getattr(metric, "reduction", None) in ("mean", "totals", "sums")


def is_mean(metric: Metric) -> bool:
    """Say whether a metric's value is the mean of its rows' first column."""
    return getattr(metric, "reduction", None) == "mean"


def bounds_of(metric: Metric) -> tuple[float, float]:
    """Return the smallest and largest value of a metric; infinite where it does not say."""
    low, high = getattr(metric, "bounds", (-np.inf, np.inf))
    return float(low), float(high)


def value_of_sums(metric: Metric, sums: Floats) -> Floats:
    """Map sums with their row counts `[..., k + 1]` to values `[...]`, for a metric that depends on these alone.

    One row stands for all: their sum for metrics that are not the same for twice the counts (smoothed BLEU), else
    their mean.
    """
    by_sum = getattr(metric, "reduction", None) == "sums"
    rows = sums[..., :-1] if by_sum else sums[..., :-1] / sums[..., -1:]
    values: Floats = np.asarray(metric.value(rows[..., None, :]))
    return values


def values_of_each(metric: Metric, rows: Floats) -> Floats:
    """Return the score of each of the rows `[n, k]` alone: `[n]`."""
    own: Any = getattr(metric, "of_each", None)
    values: Floats = np.asarray(own(rows) if own else metric.value(rows[:, None, :]), dtype=np.float64)
    return values


def statistic_of(metric: Metric, rows: Floats, codes: Integers) -> Statistic:
    """Return a metric's value as a function of cluster counts, for rows `[n, k]` of the clusters `codes` `[n]`."""
    if depends_on_sums(metric):
        sums = cluster_sums(rows, codes)
        return lambda counts: value_of_sums(metric, counts @ sums)

    def by_rows(counts: Floats) -> Floats:
        repeats = counts.astype(np.int64)[:, codes]
        return np.array([metric.value(np.repeat(rows, times, axis=0)) for times in repeats], dtype=np.float64)

    return by_rows


def difference_of(metric: Metric, base: Floats, candidate: Floats, codes: Integers) -> Statistic:
    """Return the difference of two scores on the same rows as a function of cluster counts."""
    first, second = statistic_of(metric, base, codes), statistic_of(metric, candidate, codes)
    return lambda counts: second(counts) - first(counts)


def bootstrap(statistic: Statistic, clusters: int, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Return the statistic over resamples that draw `clusters` clusters with replacement: `[R]`.

    The draws depend on `clusters`, `resamples` and `seed` alone, so two answerers see the same resamples.
    """
    return np.concatenate([statistic(counts) for counts in _drawn_counts(clusters, resamples, seed)])


def _drawn_counts(clusters: int, resamples: int, seed: int) -> Iterable[Floats]:
    """Return how often each cluster is drawn, in blocks `[r, C]`; kept for the next metric where it is one block."""
    if resamples * clusters <= _CELLS:
        return _kept_counts(clusters, resamples, seed)
    return _draw_counts(clusters, resamples, seed)


@lru_cache(maxsize=2)
def _kept_counts(clusters: int, resamples: int, seed: int) -> tuple[Floats, ...]:
    return tuple(_draw_counts(clusters, resamples, seed))


def _draw_counts(clusters: int, resamples: int, seed: int) -> Iterator[Floats]:
    random = stream(seed, "bootstrap")
    for size in _block_sizes(resamples, clusters):
        drawn = random.integers(0, clusters, (size, clusters))
        flat = (drawn + clusters * np.arange(size)[:, None]).ravel()
        counts = np.bincount(flat, minlength=size * clusters).reshape(size, clusters).astype(np.float64)
        counts.flags.writeable = False
        yield counts


def leave_one_out(statistic: Statistic, clusters: int) -> Floats:
    """Return the statistic without each cluster in turn: `[C]`."""
    parts = []
    start = 0
    for size in _block_sizes(clusters, clusters):
        counts = np.ones((size, clusters))
        counts[np.arange(size), np.arange(start, start + size)] = 0.0
        parts.append(statistic(counts))
        start += size
    return np.concatenate(parts)


def jackknife_error(left_out: Floats) -> float:
    """Return the standard error that leave-one-out values `[C]` give."""
    clusters = len(left_out)
    return float(np.sqrt((clusters - 1) / clusters * ((left_out - left_out.mean()) ** 2).sum()))


def _block_sizes(total: int, width: int) -> Iterator[int]:
    """Cut `total` rows of `width` cells into blocks that fit the memory set aside."""
    step = max(1, _CELLS // width)
    for start in range(0, total, step):
        yield min(step, total - start)
