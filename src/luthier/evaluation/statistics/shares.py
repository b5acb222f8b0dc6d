"""Score intervals of shares, in closed form: of one share, and of the difference of two on the same rows."""

from __future__ import annotations

import math
from statistics import NormalDist

_NORMAL = NormalDist()


def wilson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval for a share; both numbers may be fractions (effective sizes)."""
    z = _NORMAL.inv_cdf((1 + level) / 2)
    share = successes / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and n the limit is exact; rounding must not push it past the share.
    return (0.0 if successes <= 0 else center - half), (1.0 if successes >= n else center + half)


def paired_share_interval(wins: float, losses: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return Tango's score interval for (wins - losses) / n.

    Args:
        wins: Rows that only the second answerer has right.
        losses: Rows that only the first has right.
        n: All rows.
        level: Confidence level.
    """
    z = _NORMAL.inv_cdf((1 + level) / 2)
    center = (wins - losses) / n
    return _tango_limit(wins, losses, n, z, center, -1.0), _tango_limit(wins, losses, n, -z, center, 1.0)


def _tango_limit(wins: float, losses: float, n: float, z: float, inside: float, outside: float) -> float:
    """Find the difference between `inside` and `outside` at which the score statistic equals `z`, by bisection."""
    for _ in range(60):
        middle = (inside + outside) / 2
        if abs(_tango_score(wins, losses, n, middle)) < abs(z):
            inside = middle
        else:
            outside = middle
    return (inside + outside) / 2


def _tango_score(wins: float, losses: float, n: float, difference: float) -> float:
    """Return Tango's score statistic; `loss` is the likeliest share of losses given the difference (his q21)."""
    linear = -wins - losses + (2 * n - wins + losses) * difference
    constant = -losses * difference * (1 - difference)
    loss = (math.sqrt(max(linear * linear - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * loss + difference * (1 - difference))
    excess = wins - losses - n * difference
    return excess / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, excess)
