"""Power: what difference so many rows can show, and how many rows a difference takes.

For 0/1 outcomes on the same rows two numbers decide: the difference, and the discordance, the share of rows on which
the two answerers are not both right or both wrong. The power of McNemar's mid-p test is summed exactly over all counts.
For other scores a standard deviation of the paired differences decides, by Student's t.

All differences are in the score's own unit: for shares 0.05 is five percentage points, from 60 % to 65 %.
Rows are rows that say something of their own: for clustered rows use the effective number (`effective_rows`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from luthier.core.errors import ConfigError
from luthier.evaluation.statistics.resampling import Floats, Integers

_NORMAL = NormalDist()
_EXACT_ROWS = 200_000
"""Beyond this many rows the normal approximation is as good."""


def power(n: float, difference: float, discordance: float = 0.2, alpha: float = 0.05) -> float:
    """Return the probability that n paired 0/1 rows show a difference of shares, and in its direction.

    Where the difference is larger than the discordance, every discordant row is on its side, and there are as many.

    Args:
        n: Rows; a fraction is rounded down.
        difference: True difference of the two shares, 0 to 1 (0.05 is five percentage points).
        discordance: Share of rows on which the answerers differ, 0 to 1.
        alpha: Level of the two-sided test.

    Raises:
        ConfigError: for numbers out of range.
    """
    _check(difference, discordance, alpha)
    from scipy.stats import binom

    rows = int(n)
    share = max(discordance, difference)
    if rows < 1 or share == 0:
        return 0.0
    # Discordant rows beyond eight standard deviations have a probability below 1e-15.
    spread = 8 * math.sqrt(rows * share * (1 - share)) + 1
    counts = np.arange(max(1, math.floor(rows * share - spread)), min(rows, math.ceil(rows * share + spread)) + 1)
    shown = binom.sf(_critical_wins(counts, alpha) - 1, counts, (1 + difference / share) / 2)
    return float((binom.pmf(counts, rows, share) * shown).sum())


_power = power  # the functions below take the wanted power under that name


def _critical_wins(discordant: Integers, alpha: float) -> Integers:
    """Return the fewest wins that McNemar's mid-p test calls significant, for each number of discordant rows."""
    from scipy.stats import binom

    wins = np.asarray(binom.isf(alpha / 2, discordant, 0.5), dtype=np.int64)
    tail = binom.sf(wins, discordant, 0.5) + 0.5 * binom.pmf(wins, discordant, 0.5)
    # isf has P(more) <= alpha / 2 < P(as many or more): the mid-p value of that count may be on either side.
    return np.where(tail <= alpha / 2, wins, wins + 1)


@lru_cache(maxsize=1024)
def smallest_difference(n: float, discordance: float = 0.2, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """Return the smallest difference of shares that n paired 0/1 rows show with this power (0.13 is 13 points).

    None where not even a difference of 1 would do (fewer than five rows at alpha 0.05).
    """
    _check(1.0, discordance, alpha)
    reached = _reaches(power, lambda difference: _power(n, difference, discordance, alpha))
    return _bisect(reached, 0.0, 1.0) if reached(1.0) else None


@lru_cache(maxsize=1024)
def rows_needed(difference: float, discordance: float = 0.2, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return the fewest paired 0/1 rows that show a difference of shares (0.05 is five points) with this power.

    Raises:
        ConfigError: for numbers out of range; no number of rows shows a difference of zero.
    """
    _check(difference, discordance, alpha)
    if difference == 0:
        raise ConfigError("No number of rows shows a difference of 0.")
    share = max(discordance, difference)
    reach = _NORMAL.inv_cdf(1 - alpha / 2) * math.sqrt(share)
    reach += _NORMAL.inv_cdf(power) * math.sqrt(max(share - difference**2, 0.0))
    guess = math.ceil((reach / difference) ** 2)  # Miettinen 1968; the exact search starts from here
    if guess > _EXACT_ROWS:
        return guess
    return fewest(_reaches(power, lambda n: _power(n, difference, discordance, alpha)), guess)


def power_of_mean(n: float, difference: float, deviation: float, alpha: float = 0.05) -> float:
    """Return the probability that n paired rows show a difference of means, and in its direction.

    Args:
        n: Rows.
        difference: True difference, in the score's unit.
        deviation: Standard deviation of the rows' differences, in the same unit.
        alpha: Level of the two-sided test.
    """
    from scipy.special import nctdtr, stdtrit

    if n < 2:
        return 0.0
    if deviation <= 0:
        return float(difference != 0)
    shift = abs(difference) / deviation * math.sqrt(n)
    bar = float(stdtrit(n - 1, 1 - alpha / 2))
    return 1 - float(nctdtr(n - 1, shift, bar)) if shift < 30 + bar else 1.0


def smallest_mean_difference(n: float, deviation: float, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """Return the smallest difference of means that n paired rows show with this power; None for fewer than two rows."""
    if n < 2:
        return None
    if deviation <= 0:
        return 0.0
    reached = _reaches(power, lambda difference: power_of_mean(n, difference, deviation, alpha))
    high = deviation
    while not reached(high):
        high *= 2
    return _bisect(reached, 0.0, high)


def rows_needed_for_mean(difference: float, deviation: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return the fewest paired rows that show a difference of means with this power.

    Raises:
        ConfigError: for a difference of zero.
    """
    if difference == 0:
        raise ConfigError("No number of rows shows a difference of 0.")
    reach = _NORMAL.inv_cdf(1 - alpha / 2) + _NORMAL.inv_cdf(power)
    guess = max(2, math.ceil((reach * deviation / difference) ** 2))
    if guess > _EXACT_ROWS:
        return guess
    return fewest(_reaches(power, lambda n: power_of_mean(n, difference, deviation, alpha)), guess)


def design_effect(values: Floats, codes: Integers) -> float:
    """Return by how much clusters widen the variance of the mean of `values` `[n]`: n rows are worth n / this.

    1 for rows without clusters, the cluster size where the rows of a cluster are copies of each other; kept between
    these. Where all values are equal it cannot be known, and the rows of a cluster count as copies.
    """
    n, sizes = len(values), np.bincount(codes)
    largest = float((sizes.astype(np.float64) ** 2).sum()) / n
    centered = values - values.mean()
    apart = float((centered**2).sum()) / (n * (n - 1)) if n > 1 else 0.0
    if apart == 0 or len(sizes) == 1:
        return largest
    together = float((np.bincount(codes, weights=centered) ** 2).sum()) * len(sizes) / (len(sizes) - 1) / n**2
    return min(max(1.0, together / apart), largest)


def effective_rows(values: Floats, codes: Integers) -> float:
    """Return how many independent rows the `values` `[n]` in clusters `codes` `[n]` are worth."""
    return len(values) / design_effect(values, codes)


def _check(difference: float, discordance: float, alpha: float) -> None:
    if not 0 <= difference <= 1:
        raise ConfigError(
            f"A difference of shares lies between 0 and 1 (0.05 is five percentage points); received {difference}."
        )
    if not 0 <= discordance <= 1:
        raise ConfigError(f"Discordance is a share of rows between 0 and 1; received {discordance}.")
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha lies between 0 and 1, such as 0.05; received {alpha}.")


def _reaches(wanted: float, found: Callable[[float], float]) -> Callable[[float], bool]:
    if not 0 < wanted < 1:
        raise ConfigError(f"Power lies between 0 and 1, such as 0.8; received {wanted}.")
    return lambda x: found(x) >= wanted


def _bisect(reached: Callable[[float], bool], low: float, high: float) -> float:
    """Return the smallest number that reaches, between one that does not and one that does."""
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def fewest(reached: Callable[[float], bool], guess: int) -> int:
    """Return the smallest whole number that reaches, searched outward from a guess."""
    low, high = guess // 2, max(guess, 1)
    if reached(low):
        low = 0
    while not reached(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
