"""Paired tests: could the difference be the luck of the draw if it did not matter who answered?

Under that hypothesis the two answers to an example can be swapped, all of a cluster's at once. The p-value is the share
of swaps with a difference at least as large as the one found, on either side.

- 0/1 outcomes: the exact distribution of the swaps, ties counted half (the mid-p value). Without clusters this is
  McNemar's mid-p test (Fagerland, Lydersen and Laake 2013). Half counting makes up for the steps of the distribution:
  the plain exact test calls 2 to 4 % where it promises 5 % and loses that much power.
- Everything else: all swaps where there are no more than the resamples asked for, else that many drawn at random. The
  swap found (and its mirror image) counts whole, so that p is never 0 (Phipson and Smyth 2010), other ties half: scores
  such as F1 over short texts take few values, and whole ties would cost 2 points of power.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from luthier.core.protocols import Metric
from luthier.core.seeding import stream
from luthier.evaluation.statistics.intervals import is_binary
from luthier.evaluation.statistics.resampling import (
    RESAMPLES,
    Floats,
    Integers,
    cluster_sums,
    depends_on_sums,
    is_mean,
    value_of_sums,
)

_Swapped: TypeAlias = Callable[[Floats], Floats]
"""Swaps `[R, M]` (1 where a cluster's answers change sides) to differences `[R]`."""

_BLOCK = 2_000_000


def paired_p_value(
    metric: Metric, base: Floats, candidate: Floats, codes: Integers, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, str]:
    """Return the two-sided p-value of a paired comparison, and the name of the test.

    Args:
        metric: What the rows were measured by.
        base: Rows `[n, k]` of one answerer.
        candidate: Rows `[n, k]` of the other, on the same examples in the same order.
        codes: Cluster of each row `[n]`.
        resamples: Swaps to draw where there are too many to try all.
        seed: Of the draws.
    """
    if is_binary(metric, base, candidate):
        differences = np.rint(candidate[:, 0] - base[:, 0]).astype(np.int64)
        sums = np.bincount(codes, weights=differences).astype(np.int64)
        if len(sums) == len(codes):
            wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
            return mcnemar_mid_p(wins, losses), "McNemar, exact mid-p"
        return sign_flip_mid_p(sums.tolist()), "permutation by cluster, exact mid-p"
    return _permutation_p(metric, base, candidate, codes, resamples, seed)


def mcnemar_mid_p(wins: int, losses: int) -> float:
    """Return McNemar's two-sided exact mid-p value for two counts of rows that only one answerer has right."""
    from scipy.stats import binom

    total, larger = wins + losses, max(wins, losses)
    if total == 0:
        return 1.0
    equal = float(binom.pmf(larger, total, 0.5))
    if wins == losses:
        return 1 - equal / 2  # one outcome, not two mirrored ones, is as extreme
    return 2 * float(binom.sf(larger, total, 0.5)) + equal


def sign_flip_mid_p(sums: Sequence[int]) -> float:
    """Return the two-sided exact mid-p value of a sum of whole numbers whose signs are tossed.

    The distribution is built up cluster by cluster: at most C times the sum of all sizes steps.
    """
    sizes = sorted(abs(x) for x in sums if x)
    reach = sum(sizes)
    weights = np.zeros(2 * reach + 1)  # index i stands for the sum i - reach
    weights[reach] = 1.0
    for size in sizes:
        flipped = np.zeros_like(weights)
        flipped[size:] += weights[:-size] / 2
        flipped[:-size] += weights[size:] / 2
        weights = flipped
    distance = np.abs(np.arange(-reach, reach + 1))
    found = abs(sum(sums))
    return float(min(1.0, weights[distance > found].sum() + weights[distance == found].sum() / 2)) if reach else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for the number of claims made (Holm 1979), in their order.

    The smallest is multiplied by their number, the next by one less, and so on; none is smaller than the one before it
    (the running maximum), or a claim could be shown that a stronger one is not.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _permutation_p(
    metric: Metric, base: Floats, candidate: Floats, codes: Integers, resamples: int, seed: int
) -> tuple[float, str]:
    swapped, movable = _swapper(metric, base, candidate, codes)
    if movable == 0:
        return 1.0, "permutation by cluster, exact"
    found = abs(float(swapped(np.zeros((1, movable)))[0]))
    slack = 1e-9 * max(1.0, found)  # sums in another order differ in their last digits

    def weight(differences: Floats) -> float:
        """Count differences beyond the one found, and half of those equal to it."""
        sizes = np.abs(differences)
        return float((sizes > found + slack).sum() + (sizes >= found - slack).sum()) / 2

    if movable < 63 and 2**movable <= resamples:
        swaps = (np.arange(2**movable)[:, None] >> np.arange(movable)) & 1
        own = 1.0 if found > slack else 0.5  # the other half of the swap found and of its mirror image
        return (own + weight(swapped(swaps.astype(np.float64)))) / 2**movable, "permutation by cluster, exact"
    random = stream(seed, "permutation")
    step = max(1, _BLOCK // movable)
    beyond = 0.0
    for start in range(0, resamples, step):
        swaps = random.integers(0, 2, (min(step, resamples - start), movable), dtype=np.int8)
        beyond += weight(swapped(swaps.astype(np.float64)))
    return (1 + beyond) / (1 + resamples), f"permutation by cluster, {resamples:,} draws"


def _swapper(metric: Metric, base: Floats, candidate: Floats, codes: Integers) -> tuple[_Swapped, int]:
    """Return the difference as a function of swaps, and the number of clusters whose swap changes anything."""
    if is_mean(metric):
        base, candidate = base[:, :1], candidate[:, :1]
    if depends_on_sums(metric):
        first, second = cluster_sums(base, codes), cluster_sums(candidate, codes)
        change = second - first
        # A cluster that moves nothing would only double every tie.
        moves = np.flatnonzero((np.abs(change) > 1e-12 * (1 + np.abs(first))).any(axis=1))
        change = change[moves]

        def from_sums(swaps: Floats) -> Floats:
            moved = swaps @ change
            return value_of_sums(metric, second.sum(axis=0) - moved) - value_of_sums(metric, first.sum(axis=0) + moved)

        return from_sums, len(moves)

    moves = np.unique(codes[(base != candidate).any(axis=1)])
    place = np.full(int(codes.max()) + 1, len(moves))
    place[moves] = np.arange(len(moves))

    def from_rows(swaps: Floats) -> Floats:
        padded = np.concatenate([swaps, np.zeros((len(swaps), 1))], axis=1)
        sides = padded[:, place[codes]].astype(bool)
        return np.array(
            [
                float(metric.value(np.where(side[:, None], base, candidate)))
                - float(metric.value(np.where(side[:, None], candidate, base)))
                for side in sides
            ]
        )

    return from_rows, len(moves)
